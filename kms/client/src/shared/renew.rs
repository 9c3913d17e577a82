//! Dealing the shares of a key anew: to other keepers, or with another threshold. The key stays, and so does its address.
//!
//! The person's new share is on the device, beside the present one, before the ledger can know of it: which of them counts, the
//! ledger says.

use keyward_crypto::shared::{Renewal, Roster, USER};
use keyward_ledger_core::entry::{Renewal as Kind, SharedAct, SharedRenewal};
use keyward_ledger_core::shared::Circle;
use keyward_proto::custody::ask_co_signer_request::Request;
use keyward_proto::custody::{ChangeSharedKeyRequest, KeepRenewedKeyRequest, RedealKeyRequest, RenewalPlan};
use tonic::codegen::Bytes;

use super::ask::placed;
use super::create::{acknowledgements, blamed, choose, holders, with_own};
use super::entry::signed;
use super::error::SharedError;
use super::part::{keep_only, keep_share, open, signer};
use super::status::{SharedStatus, holder, user};
use super::{SharedProgress, SharedStep};
use crate::client::Client;
use crate::device::DeviceKeys;
use crate::error::ClientError;
use crate::person::Login;
use crate::vault::{KeeperChoice, LedgerKeeper};

/// How long a renewal may be recorded, in milliseconds of ledger time.
const RECORDED_WITHIN_MS: u64 = 60 * 60 * 1_000;

/// Who is to hold shares from now on.
#[derive(Clone, Debug, Default)]
pub struct RenewOrder {
    /// How many keepers sign with the person; as many as before where nobody says.
    pub threshold: Option<u8>,
    /// The keepers; those of before where nobody says.
    pub keepers: Option<KeeperChoice>,
}

impl Client {
    /// Deals the shares of a key anew. This device must speak for the key; gives the receipt.
    pub async fn renew_shared_key(
        &self,
        key: &str,
        order: &RenewOrder,
        login: &Login,
        device: &DeviceKeys,
        progress: SharedProgress<'_>,
    ) -> Result<Vec<u8>, SharedError> {
        let view = self.view()?;
        progress(SharedStep::Proving);
        let status = self.shared_status(key).await?;
        status.must_not_be_experimental("its shares are never dealt anew")?;
        let mut opened = open(&status, key, device, &login.export_key)?;
        opened.must_speak(&status)?;
        let share = opened.share(&status.key)?;
        let (keepers, circle) = self.to_come(&status, order).await?;
        let dealers = self.helpers(&status, None).await?;
        let own = user(view.account, status.device());
        let to = Roster::new(own, keepers.iter().map(holder).collect(), circle.threshold)?;
        let attempt = attempt()?;
        let places: Vec<u8> = dealers.iter().map(|(place, _)| *place).collect();
        let renewal = Renewal::new(status.key.clone(), status.roster()?, to, &places, attempt)?;

        progress(SharedStep::Dealing);
        let own = renewal.deal(&share, signer(&opened.part.signing))?;
        let plan = RenewalPlan {
            key_id: status.key_id.0.to_vec().into(),
            holders: Some(holders(&circle, &opened.part)),
            dealers: places.iter().copied().map(u32::from).collect(),
            attempt,
        };
        let redeal = RedealKeyRequest { plan: Some(plan.clone()), device: own.encode().into() };
        let dealt = self.ask_all(&dealers, |_| Request::RedealKey(redeal.clone())).await?;
        let messages = with_own(own.encode(), &dealt);
        let renewed = renewal.agree(&messages).map_err(|error| blamed(&status.keepers, error))?;
        let dealt = renewed.receive(USER, Some(&own), &opened.part.sealing);
        let dealt = dealt.map_err(|error| blamed(&status.keepers, error))?;

        progress(SharedStep::Confirming);
        let expires_ms = status.time_ms.saturating_add(RECORDED_WITHIN_MS);
        keep_share(&mut opened.part, dealt.share(), expires_ms, Some((&status.key, status.time_ms)))?;
        device.put_part(&opened.kept, &opened.part, &login.export_key)?;
        let own = dealt.confirmation(signer(&opened.part.signing));
        let keep = KeepRenewedKeyRequest {
            plan: Some(plan),
            key: status.key.encode().into(),
            messages: messages.into_iter().map(Bytes::from).collect(),
            expires_ms,
        };
        let rounds = self.ask_all(&placed(&keepers), |_| Request::KeepRenewedKey(keep.clone())).await?;
        let confirmed = dealt.confirmed(&with_own(own.encode(), &rounds));
        let (_share, next) = confirmed.map_err(|error| blamed(&keepers, error))?;

        progress(SharedStep::Recording);
        let mut body = SharedRenewal {
            key_id: status.key_id,
            share_version: next.share_version(),
            renewal: Kind::Renew,
            circle,
            device: *status.device(),
            key_hash: next.hash(),
            expires_ms,
            acknowledgements: Vec::new(),
        };
        body.acknowledgements = acknowledgements(&view.chain_id(), &body.record_hash(), &keepers, &rounds)?;
        let entry = signed(&view, SharedAct::Renew(Box::new(body)), login, status.height)?;
        let receipt = self.change(&view, &entry, next.encode()).await?;
        keep_only(&mut opened.part, &next);
        device.put_part(&opened.kept, &opened.part, &login.export_key)?;
        Ok(receipt)
    }

    /// Hands in a change of a shared key; gives the receipt.
    pub(super) async fn change(
        &self,
        view: &crate::vault::proof::View,
        entry: &keyward_ledger_core::entry::Entry,
        shared_key: Vec<u8>,
    ) -> Result<Vec<u8>, SharedError> {
        let shared_key = Bytes::from(shared_key);
        let call = |entry, idempotency_key, left| {
            let message = ChangeSharedKeyRequest { entry, shared_key: shared_key.clone(), idempotency_key };
            async move { self.answer(self.shared().change(self.request_within(message, left)).await) }
        };
        let (receipt, _) = self.hand_in_shared(view, entry, call, |answer| answer.receipt.to_vec()).await?;
        Ok(receipt)
    }

    async fn to_come(
        &self,
        status: &SharedStatus,
        order: &RenewOrder,
    ) -> Result<(Vec<LedgerKeeper>, Circle), SharedError> {
        let threshold = order.threshold.unwrap_or(status.threshold());
        let known = self.keepers_of(&self.view()?).await?.list;
        let same = || KeeperChoice::Named(status.keepers.iter().map(|keeper| keeper.name.clone()).collect());
        let keepers = choose(known, &order.keepers.clone().unwrap_or_else(same), threshold)?;
        let circle = Circle { threshold, keepers: keepers.iter().map(|keeper| keeper.id).collect() };
        Ok((keepers, circle))
    }
}

/// A run has a number of its own, so that nobody takes the messages of two together.
pub(super) fn attempt() -> Result<u32, SharedError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(ClientError::Randomness)?;
    Ok(u32::from_be_bytes(bytes).max(1))
}
