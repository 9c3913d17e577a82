//! Signing: a commitment for an attempt that the device has begun, and a signature share for a final intent that allows it.

use keyward_crypto::shared::{Signing, SigningPlan as Plan, USER};

use super::{
    error::SharedError,
    generate::Answer,
    nonces::{Attempted, Waiting},
    permit::Disclosed,
    plan::SigningPlan,
    roster::Facts,
};
use crate::{callers::Caller, keeper::Keeper};

impl SigningPlan {
    /// What nonces are bound to.
    pub(crate) const fn attempted(&self) -> Attempted {
        Attempted { key_id: self.key_id, intent: self.intent, attempt: self.attempt }
    }
}

impl Keeper {
    /// First round. The intent need not be final yet; the device's own commitment of this run shows that the user wants it.
    pub(crate) async fn commit(
        &self,
        caller: &Caller,
        plan: &SigningPlan,
        device: &[u8],
    ) -> Result<Answer, SharedError> {
        self.with_shared_key(&plan.key_id, |facts| self.commit_with(facts, (caller, plan), device)).await
    }

    async fn commit_with(
        &self,
        facts: Facts,
        (caller, plan): (&Caller, &SigningPlan),
        device: &[u8],
    ) -> Result<Answer, SharedError> {
        facts.require_active()?;
        let own = facts.place_of(&self.0.id)?;
        if !plan.signers.contains(&own) {
            return Err(SharedError::NoPlace);
        }
        let signing = self.signing(&facts, plan).await?;
        let (inner, caller, attempted) = (self.0.clone(), caller.clone(), plan.attempted());
        let (device, share, now_ms) = (device.to_vec(), facts.share(), facts.now_ms);
        self.work(move || {
            let device = signing.judge(&device)?;
            if device.from() != USER {
                return Err(SharedError::Malformed { what: "the device's commitment" });
            }
            // Only now: a long share is read from the disk each time.
            let kept = inner.shared.store.load(&share, now_ms)?.filter(|kept| kept.share.place() == own);
            let kept = kept.ok_or(SharedError::NoShare)?;
            let sign = |bytes: &[u8]| inner.signing.sign(bytes);
            let who = (&caller, attempted);
            Ok(inner.shared.commitments.commit(who, (&signing, device), &kept, now_ms, sign)?.into())
        })
        .await
    }

    /// Second round: the signature share. The nonces are gone before it leaves, and whatever else becomes of it.
    pub(crate) async fn cosign(
        &self,
        plan: &SigningPlan,
        disclosed: &Disclosed,
        messages: Vec<Vec<u8>>,
    ) -> Result<Answer, SharedError> {
        // A stranger costs us no question to the ledger, and nobody waits for one.
        self.0.shared.commitments.require_begun(&plan.attempted())?;
        let messages = messages.as_slice();
        let work = |facts| self.cosign_with(facts, (plan, disclosed), messages);
        self.with_shared_key(&plan.key_id, work).await
    }

    async fn cosign_with(
        &self,
        facts: Facts,
        (plan, disclosed): (&SigningPlan, &Disclosed),
        messages: &[Vec<u8>],
    ) -> Result<Answer, SharedError> {
        self.permit(&facts, plan, disclosed).await?;
        if facts.answers() {
            return self.cosign_answered(facts, plan, messages).await;
        }
        let kept = self.share_now(&facts).await?;
        let signing = self.signing(&facts, plan).await?;
        let (inner, attempted, now_ms) = (self.0.clone(), plan.attempted(), facts.now_ms);
        let messages = messages.to_vec();
        self.work(move || {
            // Whoever lies here is named, and costs us no nonces.
            let judged = inner.shared.commitments.judged(&attempted).ok_or(SharedError::Spent)?;
            let package = signing.package_with(&judged.each_ref(), &messages)?;
            let taken = inner.shared.commitments.take(&attempted, (signing.id(), false), now_ms)?;
            let Waiting { nonces, boot, .. } = taken;
            let sign = |bytes: &[u8]| inner.signing.sign(bytes);
            Ok(nonces.sign(&kept.share, &boot, &package, &[], &inner.sealing, sign)?.into())
        })
        .await
    }

    /// The run of a plan, between the holders as they are now.
    pub(crate) async fn signing(&self, facts: &Facts, plan: &SigningPlan) -> Result<Signing, SharedError> {
        let roster = self.roster_now(facts).await?;
        let key = match self.0.shared.store.key_before(&facts.share(), facts.now_ms) {
            Some(key) => key,
            None => self.share_now(facts).await?.key.clone(),
        };
        let plan = Plan {
            intent: plan.intent,
            attempt: plan.attempt,
            keepers: plan.signers.clone(),
            message: plan.message.clone(),
            tweak: plan.tweak,
        };
        Ok(Signing::new(key, roster, plan)?)
    }
}
