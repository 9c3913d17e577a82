//! Giving a keeper its lost share back, with the help of the user and t other keepers, none of whom learns it.

use keyward_crypto::shared::{Columns, Message, Repair, SharedKey, USER};

use super::{
    error::SharedError, generate::Answer, kept::KeptShare, plan::RepairPlan, renew::handed_in, roster::Facts,
};
use crate::{callers::Caller, keeper::Keeper};

/// How long a split is given again, and summed, in milliseconds of ledger time.
const SPLIT_MS: u64 = 10 * 60 * 1_000;

impl Keeper {
    /// At the keeper whose share is lost: its signed request.
    pub(crate) async fn ask_repair(&self, plan: &RepairPlan, key: &[u8]) -> Result<Answer, SharedError> {
        let (_, repair) = self.lost(plan, key).await?;
        let inner = self.0.clone();
        self.work(move || Ok(repair.request(|bytes| inner.signing.sign(bytes)).into())).await
    }

    /// At a helper: its split, once the keeper has asked and the user has split too.
    pub(crate) async fn split_share(
        &self,
        caller: &Caller,
        plan: &RepairPlan,
        [request, device]: [&[u8]; 2],
    ) -> Result<Answer, SharedError> {
        let facts = self.repairable(plan).await?;
        let kept = self.share_now(&facts).await?;
        let repair = self.repair_run(&facts, plan, kept.key.clone()).await?;
        let _turn = self.0.turns.costly()?;
        let (inner, caller, now_ms) = (self.0.clone(), caller.clone(), facts.now_ms);
        let (request, device) = (request.to_vec(), device.to_vec());
        self.work(move || {
            repair.judge(&device)?;
            if Message::decode(&device).map(|message| message.from()) != Ok(USER) {
                return Err(SharedError::Malformed { what: "the user's split" });
            }
            let runs = &inner.shared.splits;
            if let Some(before) = runs.with(repair.id(), |message| message.clone()) {
                return Ok(before.into());
            }
            let message = repair.split(&kept.share, &request, |bytes| inner.signing.sign(bytes))?;
            let times = [now_ms, now_ms.saturating_add(SPLIT_MS)];
            if runs.begin(&caller, *repair.id(), message.clone(), times)? {
                return Ok(message.into());
            }
            // Somebody asked at the same time.
            let before = runs.with(repair.id(), |message| message.clone());
            before.map(Answer::from).ok_or(SharedError::NoRun)
        })
        .await
    }

    /// At a helper: the sums of what it was given, sealed to the keeper that asked.
    pub(crate) async fn sum_share(
        &self,
        plan: &RepairPlan,
        splits: Vec<Vec<u8>>,
    ) -> Result<Answer, SharedError> {
        let facts = self.repairable(plan).await?;
        let kept = self.share_now(&facts).await?;
        let repair = self.repair_run(&facts, plan, kept.key.clone()).await?;
        let _turn = self.0.turns.costly()?;
        let inner = self.0.clone();
        self.work(move || {
            let own = inner.shared.splits.with(repair.id(), |message| message.clone());
            let own = own.ok_or(SharedError::NoRun)?;
            let columns = repair.columns(&splits)?;
            Ok(columns.add(&own, &inner.sealing, |bytes| inner.signing.sign(bytes))?.into())
        })
        .await
    }

    /// At the keeper whose share is lost: keeps it.
    pub(crate) async fn keep_repaired_share(
        &self,
        plan: &RepairPlan,
        key: &[u8],
        [splits, sums]: [Vec<Vec<u8>>; 2],
    ) -> Result<(), SharedError> {
        let (facts, repair) = self.lost(plan, key).await?;
        let key = handed_in(&facts, key)?;
        let _turn = self.0.turns.costly()?;
        let alone = self.0.writing.clone().lock_owned().await;
        let inner = self.0.clone();
        self.work(move || {
            let _alone = alone;
            let columns: Columns = repair.columns(&splits)?;
            let share = columns.finish(&sums, &inner.sealing)?;
            let kept = KeptShare { until_ms: 0, run: *repair.id(), confirmation: Vec::new(), key, share };
            inner.shared.store.put_back(&kept)?;
            Ok(())
        })
        .await
    }

    /// A repair of our own share, which is really not here.
    async fn lost(&self, plan: &RepairPlan, key: &[u8]) -> Result<(Facts, Repair), SharedError> {
        let facts = self.repairable(plan).await?;
        if facts.place_of(&self.0.id)? != plan.lost {
            return Err(SharedError::NoPlace);
        }
        match self.share_now(&facts).await {
            Ok(_held) => return Err(SharedError::NotLost),
            Err(error) if error.is_lost() => {}
            Err(error) => return Err(error),
        }
        let repair = self.repair_run(&facts, plan, handed_in(&facts, key)?).await?;
        Ok((facts, repair))
    }

    async fn repairable(&self, plan: &RepairPlan) -> Result<Facts, SharedError> {
        let facts = self.shared_key_now(&plan.key_id).await?;
        facts.require_held()?;
        self.require_open(&facts.shared.name.owner).await?;
        Ok(facts)
    }

    async fn repair_run(
        &self,
        facts: &Facts,
        plan: &RepairPlan,
        key: SharedKey,
    ) -> Result<Repair, SharedError> {
        let roster = self.roster_now(facts).await?;
        Ok(Repair::new(key, roster, plan.lost, &plan.helpers, plan.attempt)?)
    }
}
