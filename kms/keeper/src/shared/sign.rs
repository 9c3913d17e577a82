//! Signing: a commitment for an attempt that the device has begun, and a signature share for a final intent that allows it.

use keyward_crypto::shared::{Message, Signing, SigningPlan as Plan, USER};

use super::{
    error::SharedError, generate::Answer, nonces::Attempted, permit::Disclosed, plan::SigningPlan,
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
        let facts = self.shared_key(&plan.key_id).await?;
        facts.require_active()?;
        let own = facts.place_of(&self.0.id)?;
        if !plan.signers.contains(&own) {
            return Err(SharedError::NoPlace);
        }
        let kept = self.share_now(&facts).await?;
        let signing = self.signing(&facts, plan).await?;
        let (inner, caller, attempted) = (self.0.clone(), caller.clone(), plan.attempted());
        let (device, now_ms) = (device.to_vec(), facts.now_ms);
        self.work(move || {
            signing.judge(&device)?;
            if Message::decode(&device).map(|message| message.from()) != Ok(USER) {
                return Err(SharedError::Malformed { what: "the device's commitment" });
            }
            let sign = |bytes: &[u8]| inner.signing.sign(bytes);
            let who = (&caller, attempted);
            Ok(inner.shared.commitments.commit(who, &signing, &kept.share, now_ms, sign)?.into())
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
        let facts = self.shared_key(&plan.key_id).await?;
        self.permit(&facts, plan, disclosed).await?;
        let kept = self.share_now(&facts).await?;
        let signing = self.signing(&facts, plan).await?;
        let (inner, attempted, now_ms) = (self.0.clone(), plan.attempted(), facts.now_ms);
        self.work(move || {
            // Whoever lies here is named, and costs us no nonces.
            let package = signing.package(&messages)?;
            let (nonces, boot) = inner.shared.commitments.take(&attempted, signing.id(), now_ms)?;
            let sign = |bytes: &[u8]| inner.signing.sign(bytes);
            Ok(nonces.sign(&kept.share, &boot, &package, sign)?.into())
        })
        .await
    }

    /// The run of a plan, between the holders as they are now.
    async fn signing(&self, facts: &Facts, plan: &SigningPlan) -> Result<Signing, SharedError> {
        let roster = self.roster_now(facts).await?;
        let key = self.share_now(facts).await?.key.clone();
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
