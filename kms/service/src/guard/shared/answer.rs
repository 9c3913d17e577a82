//! Between the two steps, of threshold ECDSA: the signers' answers to everybody's commitments.

use keyward_crypto::shared::Step;
use keyward_domain::Code;

use super::{
    Faults, FinishShared, GoOnShared, Task,
    again::signed_again,
    faults::{Broken, device_wrong},
    finish::ready,
    round::{Answered, device_says},
    wanted::check_device,
};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::waiting::{Found, Waiting, unknown},
    shared::malformed,
};

impl Custody {
    /// Takes the device's answer and asks the signers for theirs. Run it in a task of its own.
    pub(crate) async fn answer_shared(
        &self,
        caller: &Caller,
        asked: &FinishShared,
    ) -> Result<GoOnShared, Failure> {
        let _permit = self.permit()?;
        let account = caller.own_account()?;
        let waiting = self.begun_shared.of(&asked.intent, account).ok_or_else(unknown)?;
        let mut fate = waiting.fate.lock().await;
        match waiting.found(&mut fate, (caller, self.clock.now_ms()))? {
            Found::Open(task) => self.answer_open(caller, &waiting, task, asked).await,
            Found::Released { signature, receipt } => {
                signed_again(&waiting, signature, receipt).map(GoOnShared::Signed)
            }
        }
    }

    async fn answer_open(
        &self,
        caller: &Caller,
        waiting: &Waiting<Task>,
        task: &mut Task,
        asked: &FinishShared,
    ) -> Result<GoOnShared, Failure> {
        let scheme = task.facts.key.scheme();
        if !scheme.answers() {
            return Err(malformed("signers with such a key answer nothing besides: finish it"));
        }
        let ready = ready(task, asked.attempt)?;
        match &task.round.answered {
            Some(before) if before.device == asked.device => {
                return Ok(GoOnShared::Answered(before.answers.clone()));
            }
            Some(_) => {
                let message = "this attempt was answered before, and otherwise";
                return Err(Failure::new(Code::SharedAttemptStale, message));
            }
            None => {}
        }
        check_device(&asked.device, scheme)?;
        device_says(&asked.device, &ready.run, Step::Answer)?;
        let policy = self.decide_again(caller, waiting, task).await?;
        let given = (&asked.device, waiting.record.leaf_index(), policy.as_str());
        match self.answers(task, ready, given).await {
            Ok(answers) => {
                let device = asked.device.clone();
                task.round.answered = Some(Answered { device, answers: answers.clone() });
                waiting.holds(task.bytes());
                Ok(GoOnShared::Answered(answers))
            }
            Err(broken) => {
                // What was committed to is used up: nothing of this attempt is of use any more.
                task.round.ready = None;
                waiting.holds(task.bytes());
                self.shared_book.forget(&waiting.key.row.key_id);
                match broken {
                    Broken::Faults(faults) => {
                        Ok(GoOnShared::Faults(Faults { faults, expires_ms: waiting.expires_ms }))
                    }
                    Broken::Device(error) => Err(device_wrong(error)),
                }
            }
        }
    }
}
