//! The steps of threshold ECDSA that multiply with shares, one at a time: whoever is caught at lying in one learns a bit of the
//! other's share if it may lie again, so it is banned for good before anything is answered.

use keyward_crypto::shared::{KeyShare, Message, Step};

use super::{
    error::SharedError,
    generate::{Answer, of_step},
    nonces::Waiting,
    permit::Disclosed,
    plan::SigningPlan,
    roster::Facts,
};
use crate::{
    error::KeeperError,
    keeper::{Inner, Keeper},
    room::too_few_bytes,
};

impl Keeper {
    /// Between the rounds: our answer to everybody's commitments, once the final intent allows the signature. Asked again, it
    /// is the same.
    pub(crate) async fn answer_commitments(
        &self,
        plan: &SigningPlan,
        disclosed: &Disclosed,
        messages: Vec<Vec<u8>>,
    ) -> Result<Answer, SharedError> {
        self.0.shared.commitments.require_begun(&plan.attempted())?;
        let messages = messages.as_slice();
        let work = |facts| self.answer_with(facts, (plan, disclosed), messages);
        self.with_shared_key(&plan.key_id, work).await
    }

    async fn answer_with(
        &self,
        facts: Facts,
        (plan, disclosed): (&SigningPlan, &Disclosed),
        messages: &[Vec<u8>],
    ) -> Result<Answer, SharedError> {
        if !facts.answers() {
            return Err(SharedError::Malformed { what: "signers with such a key answer nothing besides" });
        }
        self.permit(&facts, plan, disclosed).await?;
        let signing = self.signing(&facts, plan).await?;
        let (inner, attempted, now_ms) = (self.0.clone(), plan.attempted(), facts.now_ms);
        let messages = messages.to_vec();
        self.work_alone(move || {
            let (commitments, run) = (&inner.shared.commitments, signing.id());
            let package = signing.package(&messages)?;
            if let Some(before) = commitments.answered(&attempted, run) {
                return Ok(before.into());
            }
            multiply(&inner, &facts, |share| {
                let waiting = commitments.take(&attempted, (run, false), now_ms)?;
                let (waiting, message) = waiting.advance(|nonces, boot| {
                    let sign = |bytes: &[u8]| inner.signing.sign(bytes);
                    nonces.answer(share, boot, &package, &inner.sealing, sign)
                })?;
                commitments.put_back(attempted, waiting);
                Ok(message)
            })
        })
        .await
    }

    /// Last round: the signature share, from everybody's commitments and answers.
    pub(crate) async fn cosign_answered(
        &self,
        facts: Facts,
        plan: &SigningPlan,
        messages: &[Vec<u8>],
    ) -> Result<Answer, SharedError> {
        let signing = self.signing(&facts, plan).await?;
        let [commitments, answers] = [Step::Commitment, Step::Answer].map(|step| of_step(messages, step));
        let (inner, attempted, now_ms) = (self.0.clone(), plan.attempted(), facts.now_ms);
        self.work_alone(move || {
            // Whoever lies here is named, and costs us no nonces.
            let package = signing.package(&commitments)?;
            answers.iter().try_for_each(|answer| package.judge_answer(answer))?;
            multiply(&inner, &facts, |share| {
                let taken = (signing.id(), true);
                let Waiting { nonces, boot, .. } =
                    inner.shared.commitments.take(&attempted, taken, now_ms)?;
                let sign = |bytes: &[u8]| inner.signing.sign(bytes);
                Ok(nonces.sign(share, &boot, &package, &answers, &inner.sealing, sign)?)
            })
        })
        .await
    }

    /// Does what multiplies, once nobody else does. Who waits for that has no turn to work yet, and keeps nobody else from one.
    async fn work_alone(
        &self,
        work: impl FnOnce() -> Result<Answer, SharedError> + Send + 'static,
    ) -> Result<Answer, SharedError> {
        let alone = self.0.shared.multiplying.clone().lock_owned().await;
        self.work(move || {
            let _alone = alone;
            work()
        })
        .await
    }
}

/// Within [`Keeper::work_alone`]: does a step with our share as it is on disk, bans included.
fn multiply(
    inner: &Inner,
    facts: &Facts,
    step: impl FnOnce(&KeyShare) -> Result<Message, SharedError>,
) -> Result<Answer, SharedError> {
    if let Some(free_bytes) = too_few_bytes(inner) {
        // A ban could not be noted.
        return Err(KeeperError::NoDisk { free_bytes }.into());
    }
    let (store, place) = (&inner.shared.store, facts.share());
    let kept = store.load(&place, facts.now_ms)?.ok_or(SharedError::NoShare)?;
    let done = step(&kept.share);
    if let Err(SharedError::Run(error)) = &done
        && let Some(holder) = error.banned()
    {
        tracing::warn!(holder, %error, "a holder of a shared key is banned");
        store.ban(&place, holder)?;
    }
    done.map(Answer::from)
}
