//! Giving a keeper back the share that it lost: the person and t others help, and none of them learns anything.

use keyward_crypto::shared::Repair;
use keyward_proto::custody::ask_co_signer_request::Request;
use keyward_proto::custody::{
    AskRepairRequest, KeepRepairedShareRequest, RepairPlan, SplitShareRequest, SumShareRequest,
};
use tonic::codegen::Bytes;

use super::ask::{Placed, placed};
use super::create::{blamed, with_own};
use super::error::{SharedError, SharedFault, SharedFaultCause};
use super::part::{open, signer};
use super::renew::attempt;
use super::status::SharedStatus;
use super::{SharedProgress, SharedStep};
use crate::client::Client;
use crate::device::DeviceKeys;
use crate::person::Login;

impl Client {
    /// Helps a keeper, by its name, to its share of a key. This device must speak for the key.
    pub async fn repair_shared_key(
        &self,
        key: &str,
        keeper: &str,
        login: &Login,
        device: &DeviceKeys,
        progress: SharedProgress<'_>,
    ) -> Result<(), SharedError> {
        progress(SharedStep::Proving);
        let status = self.shared_status(key).await?;
        status.must_not_be_experimental("no keeper is given a lost share back")?;
        let opened = open(&status, key, device, &login.export_key)?;
        opened.must_speak(&status)?;
        let share = opened.share(&status.key)?;
        let lost = placed(&status.keepers).into_iter().find(|(_, holder)| holder.name == keeper);
        let lost = lost.ok_or_else(|| SharedError::NotAHolder { name: keeper.to_owned() })?;
        let helpers = self.helpers(&status, Some(lost.0)).await?;
        let places: Vec<u8> = helpers.iter().map(|(place, _)| *place).collect();
        let attempt = attempt()?;
        let repair = Repair::new(status.key.clone(), status.roster()?, lost.0, &places, attempt)?;
        let plan = Some(RepairPlan {
            key_id: status.key_id.0.to_vec().into(),
            lost: lost.0.into(),
            helpers: places.iter().copied().map(u32::from).collect(),
            attempt,
        });
        let encoded = Bytes::from(status.key.encode());
        let blamed = |error| blamed(&status.keepers, error);

        progress(SharedStep::Opening);
        let ask = Request::AskRepair(AskRepairRequest { plan: plan.clone(), key: encoded.clone() });
        let request = self.ask_one(lost, ask).await?.message;
        let own = repair.split(&share, &request, signer(&opened.part.signing)).map_err(blamed)?;
        progress(SharedStep::Dealing);
        let split = SplitShareRequest { plan: plan.clone(), request, device: own.encode().into() };
        let rounds = self.ask_all(&helpers, |_| Request::SplitShare(split.clone())).await?;
        let splits = with_own(own.encode(), &rounds);
        let columns = repair.columns(&splits).map_err(blamed)?;
        let sum = columns.add(&own, &opened.part.sealing, signer(&opened.part.signing)).map_err(blamed)?;
        let splits: Vec<Bytes> = splits.into_iter().map(Bytes::from).collect();
        let add = SumShareRequest { plan: plan.clone(), messages: splits.clone() };
        let rounds = self.ask_all(&helpers, |_| Request::SumShare(add.clone())).await?;
        let sums = with_own(sum.encode(), &rounds).into_iter().map(Bytes::from).collect();

        progress(SharedStep::Confirming);
        let keep = KeepRepairedShareRequest { plan, key: encoded, splits, sums };
        self.ask_one(lost, Request::KeepRepairedShare(keep)).await.map(drop)
    }

    /// As many keepers as it takes beside the one whose share is lost, of those that are there with theirs.
    pub(super) async fn helpers<'a>(
        &self,
        status: &'a SharedStatus,
        lost: Option<u8>,
    ) -> Result<Vec<Placed<'a>>, SharedError> {
        let mut others = placed(&status.keepers);
        others.retain(|(place, _)| Some(*place) != lost);
        let there = self.holding(&others, &status.key_id.0, status.state.share_version).await;
        let (good, missing): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(place, _)| there.contains(place));
        let needed = usize::from(status.threshold());
        if good.len() >= needed {
            return Ok(good.into_iter().take(needed).collect());
        }
        Err(SharedError::Faults { faults: missing.into_iter().map(absent).collect() })
    }
}

/// A keeper without its share, as far as it says itself.
fn absent((place, keeper): Placed<'_>) -> SharedFault {
    let message = "it does not answer, or has no share of the key as it is".to_owned();
    let cause = SharedFaultCause::Told { code: "SHARED_SHARE_MISSING".to_owned(), message };
    SharedFault { place, keeper: keeper.name.clone(), cause }
}
