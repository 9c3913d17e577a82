//! Dealing a key's shares anew, for the same holders or others: the user and t keepers deal, everybody to come keeps.

use keyward_crypto::shared::{Message, Renewal, SharedKey, USER};
use keyward_ledger_core::{
    entry::{Renewal as Kind, SharedRenewal},
    shared::{SHARED_LIFE_MAX_MS, acknowledge},
};

use super::{
    error::SharedError,
    generate::Answer,
    kept::KeptShare,
    plan::RenewalPlan,
    roster::{Facts, place_of},
    store::keep_longer,
};
use crate::{callers::Caller, keeper::Keeper};

/// How long a dealing is given again, in milliseconds of ledger time.
const DEALING_MS: u64 = 60 * 60 * 1_000;

impl Keeper {
    /// First step, at a keeper that deals. The user's redealing comes first: without the user nobody's share is dealt, and
    /// what is dealt fits no other run.
    pub(crate) async fn redeal_key(
        &self,
        caller: &Caller,
        plan: &RenewalPlan,
        device: &[u8],
    ) -> Result<Answer, SharedError> {
        let facts = self.renewable(plan).await?;
        let kept = self.share_now(&facts).await?;
        let renewal = self.renewal_run(&facts, plan, kept.key.clone()).await?;
        let _turn = self.0.turns.costly()?;
        let (inner, caller, device, now_ms) = (self.0.clone(), caller.clone(), device.to_vec(), facts.now_ms);
        self.work(move || {
            renewal.judge(&device)?;
            if Message::decode(&device).map(|message| message.from()) != Ok(USER) {
                return Err(SharedError::Malformed { what: "the user's redealing" });
            }
            let runs = &inner.shared.dealings;
            if let Some(before) = runs.with(renewal.id(), |message| message.clone()) {
                return Ok(before.into());
            }
            let message = renewal.deal(&kept.share, |bytes| inner.signing.sign(bytes))?;
            let times = [now_ms, now_ms.saturating_add(DEALING_MS)];
            if runs.begin(&caller, *renewal.id(), message.clone(), times)? {
                return Ok(message.into());
            }
            // Somebody asked at the same time.
            let before = runs.with(renewal.id(), |message| message.clone());
            before.map(Answer::from).ok_or(SharedError::NoRun)
        })
        .await
    }

    /// Second step, at each keeper to come: keeps the new share beside the old one, confirms and acknowledges.
    pub(crate) async fn keep_renewed_key(
        &self,
        plan: &RenewalPlan,
        key: &[u8],
        messages: Vec<Vec<u8>>,
        expires_ms: u64,
    ) -> Result<Answer, SharedError> {
        let facts = self.renewable(plan).await?;
        in_time(expires_ms, facts.now_ms)?;
        let place = place_of(&plan.circle, &self.0.id)?;
        let key = handed_in(&facts, key)?;
        let renewal = self.renewal_run(&facts, plan, key).await?;
        let deals = facts.place_of(&self.0.id).is_ok_and(|own| plan.dealers.contains(&own));
        let _turn = self.0.turns.costly()?;
        let alone = self.0.writing.clone().lock_owned().await;
        let (inner, plan, chain_id) = (self.0.clone(), plan.clone(), self.0.ledger.chain_id());
        self.work(move || {
            let _alone = alone;
            let renewed = renewal.agree(&messages)?;
            let own = inner.shared.dealings.with(renewal.id(), |message| message.clone());
            if deals && own.is_none() {
                // After a stop we do not know what we have dealt.
                return Err(SharedError::NoRun);
            }
            let dealt = renewed.receive(place, own.as_ref(), &inner.sealing)?;
            let kept = KeptShare::of(&dealt, *renewal.id(), expires_ms, &inner.signing)?;
            keep_longer(&inner, &kept, facts.now_ms)?;
            let record = SharedRenewal {
                key_id: plan.key_id,
                share_version: dealt.key().share_version(),
                renewal: Kind::Renew,
                circle: plan.circle,
                device: plan.device,
                key_hash: dealt.key().hash(),
                expires_ms,
                acknowledgements: Vec::new(),
            };
            let acknowledgement = Some(acknowledge(&inner.signing, &chain_id, &record.record_hash(), place));
            Ok(Answer { message: kept.confirmation, acknowledgement })
        })
        .await
    }

    /// A key whose shares may be dealt anew, with the plan's device in force.
    async fn renewable(&self, plan: &RenewalPlan) -> Result<Facts, SharedError> {
        let facts = self.shared_key_now(&plan.key_id).await?;
        facts.require_held()?;
        self.require_open(&facts.shared.name.owner).await?;
        if plan.device == facts.device() { Ok(facts) } else { Err(SharedError::OtherDevice) }
    }

    async fn renewal_run(
        &self,
        facts: &Facts,
        plan: &RenewalPlan,
        key: SharedKey,
    ) -> Result<Renewal, SharedError> {
        let from = self.roster_now(facts).await?;
        let account = &facts.shared.name.owner;
        let to = self.roster(account, (&plan.circle, &plan.device), true).await?;
        Ok(Renewal::new(key, from, to, &plan.dealers, plan.attempt)?)
    }
}

/// The key that a caller hands in, if it is the one on the ledger.
pub(crate) fn handed_in(facts: &Facts, key: &[u8]) -> Result<SharedKey, SharedError> {
    let key = SharedKey::decode(key)?;
    if key.hash() == facts.shared.key_hash { Ok(key) } else { Err(SharedError::OtherKey) }
}

/// Refuses what can be recorded no more, and what the ledger will not take.
pub(crate) fn in_time(expires_ms: u64, now_ms: u64) -> Result<(), SharedError> {
    let latest_ms = now_ms.saturating_add(SHARED_LIFE_MAX_MS);
    if (now_ms..=latest_ms).contains(&expires_ms) {
        Ok(())
    } else {
        Err(SharedError::Expiry { now_ms, latest_ms })
    }
}
