//! The second step: the signers' shares and the device's become the signature, whose release is queued before it leaves.

use keyward_crypto::shared::Step;
use keyward_domain::Code;
use keyward_store::Id;

use super::{
    EndShared, Faults, FinishShared, SignedShared, Task,
    again::{output_key, signed_again},
    faults::{Broken, device_wrong},
    round::{Ready, device_says},
    wanted::check_device,
};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{
        Passage, Signed,
        waiting::{ANSWER_MS, Fate, Found, Waiting, unknown},
    },
};

impl Custody {
    /// Takes the device's share, asks the signers for theirs, and queues the release. Run it in a task of its own.
    pub(crate) async fn finish_shared(
        &self,
        caller: &Caller,
        asked: &FinishShared,
    ) -> Result<EndShared, Failure> {
        let _permit = self.permit()?;
        let account = caller.own_account()?;
        // Another account's is unknown too: ids tell nothing.
        let waiting = self.begun_shared.of(&asked.intent, account).ok_or_else(unknown)?;
        let mut fate = waiting.fate.lock().await;
        let now_ms = self.clock.now_ms();
        let task = match waiting.found(&mut fate, (caller, now_ms))? {
            Found::Open(task) => task,
            Found::Released { signature, receipt } => {
                return signed_again(&waiting, signature, receipt).map(EndShared::Signed);
            }
        };
        let policy = self.decide_again(caller, &waiting, task).await?;
        let ready = ready(task, asked.attempt)?;
        if task.facts.key.scheme().answers() && task.round.answered.is_none() {
            return Err(Failure::new(Code::SharedAttemptStale, "nobody has answered in this attempt yet"));
        }
        check_device(&asked.device, task.facts.key.scheme())?;
        device_says(&asked.device, &ready.run, Step::Share)?;
        let given = (&asked.device, waiting.record.leaf_index(), policy.as_str());
        let signature = match self.shares(task, ready, given).await {
            Ok(signature) => signature,
            Err(broken) => {
                // Nonces are used up: nothing of this attempt is of use any more.
                task.round.ready = None;
                waiting.holds(task.bytes());
                self.shared_book.forget(&waiting.key.row.key_id);
                return match broken {
                    Broken::Faults(faults) => {
                        Ok(EndShared::Faults(Faults { faults, expires_ms: waiting.expires_ms }))
                    }
                    Broken::Device(error) => Err(device_wrong(error)),
                };
            }
        };
        let output_key = output_key(&task.facts.key, &task.wanted.intent.tweak)?;
        match self.release_shared(caller, (&waiting, task), signature).await {
            Ok(signed) => {
                let (signature, receipt) = (signed.signature.clone(), signed.receipt.clone());
                waiting.end(
                    &mut fate,
                    Fate::Released { signature, receipt },
                    now_ms.saturating_add(ANSWER_MS),
                );
                Ok(EndShared::Signed(SignedShared { signed, output_key }))
            }
            Err(failure) => {
                waiting.end(&mut fate, Fate::Ended, now_ms);
                self.give_up(&self.begun_shared, &waiting).await;
                Err(failure)
            }
        }
    }

    /// The decision is as old as the beginning: the key may have been frozen since, the policies changed, or somebody have
    /// approved under another account just before the case was used up.
    pub(super) async fn decide_again(
        &self,
        caller: &Caller,
        waiting: &Waiting<Task>,
        task: &Task,
    ) -> Result<String, Failure> {
        self.key_now(waiting).await?.check_use()?;
        let payload_hash: Id = waiting.intent.payload_hash;
        let meaning = task.wanted.meaning(&payload_hash)?;
        Ok(self.decide_for(caller, &task.facts, &task.wanted, &meaning).await?.0)
    }

    async fn release_shared(
        &self,
        caller: &Caller,
        (waiting, task): (&Waiting<Task>, &Task),
        signature: Vec<u8>,
    ) -> Result<Signed, Failure> {
        let (key, intent, name) = (waiting.key.clone(), waiting.intent.clone(), waiting.name.clone());
        let payload = task.wanted.signed(key.public_key.scheme())?;
        let passage = Passage { key, payload, intent, name, caller, word: &[], before: Vec::new() };
        self.release(&passage, waiting.record.as_ref(), signature).await
    }
}

/// Everybody's commitments, if this attempt is the present one.
pub(super) fn ready(task: &Task, attempt: u32) -> Result<&Ready, Failure> {
    match &task.round.ready {
        Some(ready) if attempt == task.round.attempt => Ok(ready),
        _ => Err(Failure::new(Code::SharedAttemptStale, "this attempt is not the present one")),
    }
}
