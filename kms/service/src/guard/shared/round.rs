//! One attempt at a signature: its signers are asked together. Where their answers make nothing together, each is judged by
//! itself, so that whoever is silent or wrong is named.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use keyward_crypto::shared::{Message, Package, RunError, Signing, SigningPlan, Step, USER};
use keyward_domain::Code;
use keyward_proto::custody::{AnswerRequest, CoSignRequest, CommitRequest};
use keyward_store::Id;

use super::{
    Fault,
    faults::{Broken, device_refused, place_of},
    wanted::{Wanted, check_device, tweak_of},
};
use crate::{
    custody::Custody,
    failure::Failure,
    ports::{CoSigned, ToCoSigner},
    shared::facts::Facts,
};

/// A signing that waits for its device.
pub(crate) struct Task {
    pub(super) wanted: Wanted,
    pub(super) facts: Arc<Facts>,
    pub(super) round: Round,
}

/// An attempt at it.
pub(super) struct Round {
    pub(super) attempt: u32,
    /// The device's commitment.
    pub(super) device: Bytes,
    /// None once somebody failed in it: nothing is signed in it any more.
    pub(super) ready: Option<Ready>,
    /// What everybody has answered to the commitments, where the scheme has it.
    pub(super) answered: Option<Answered>,
}

/// Everybody's answers.
pub(super) struct Answered {
    pub(super) device: Bytes,
    /// The keepers', in the order of the signers.
    pub(super) answers: Vec<Bytes>,
}

/// Everybody's commitments.
pub(super) struct Ready {
    /// Names the attempt.
    pub(super) run: Id,
    /// The keepers', in the order of the signers.
    pub(super) commitments: Vec<Bytes>,
    pub(super) package: Package,
}

impl Round {
    pub(super) const fn new(attempt: u32, device: Bytes, ready: Option<Ready>) -> Self {
        Self { attempt, device, ready, answered: None }
    }

    /// What is kept of it: what everybody sent, commitments twice; nothing once somebody failed.
    pub(super) fn bytes(&self) -> usize {
        let Some(ready) = &self.ready else { return 0 };
        let of = |messages: &[Bytes]| messages.iter().map(Bytes::len).sum::<usize>();
        let committed = self.device.len().saturating_add(of(&ready.commitments));
        let answered = self.answered.as_ref();
        let answered = answered.map_or(0, |all| all.device.len().saturating_add(of(&all.answers)));
        committed.saturating_mul(2).saturating_add(answered)
    }

    /// All that was said in it so far.
    fn said(&self, ready: &Ready) -> Vec<Bytes> {
        let answered = self.answered.iter().flat_map(|all| std::iter::once(&all.device).chain(&all.answers));
        std::iter::once(&self.device).chain(&ready.commitments).chain(answered).cloned().collect()
    }
}

/// The attempt, for its holders as they are now; refused unless its device has begun it.
pub(super) fn attempt(
    wanted: &Wanted,
    facts: &Facts,
    (attempt, device): (u32, &Bytes),
    now_ms: u64,
) -> Result<Signing, Failure> {
    let plan = SigningPlan {
        intent: wanted.intent.id,
        attempt,
        keepers: wanted.intent.signers.clone(),
        message: wanted.message.to_vec(),
        tweak: tweak_of(&wanted.intent.tweak),
    };
    let signing =
        Signing::new(facts.key.clone(), facts.roster(now_ms)?, plan).map_err(|error| match &error {
            RunError::Keepers { .. } => {
                Failure::because(Code::SharedSigners, "the signers are not those that it takes", error)
            }
            RunError::Tweak => Failure::because(Code::SharedTweak, "the scheme knows no tweak", error),
            RunError::Digest { .. } => {
                Failure::because(Code::DigestLength, "the key signs a digest of 32 bytes", error)
            }
            _ => Failure::because(Code::SharedRequestMalformed, "there is no such attempt", error),
        })?;
    check_device(device, facts.key.scheme())?;
    device_says(device, signing.id(), Step::Commitment)?;
    Ok(signing)
}

/// Refuses what is no message of the device for this step: what costs nothing to see. Its signature is checked with all others.
pub(super) fn device_says(message: &[u8], run: &Id, step: Step) -> Result<(), Failure> {
    let says = |found: &Message| (found.from(), found.step()) == (USER, step) && found.run() == run;
    if Message::decode(message).as_ref().is_ok_and(says) { Ok(()) } else { Err(device_refused()) }
}

impl Custody {
    /// Asks every signer for its commitment.
    pub(super) async fn commitments(
        &self,
        (wanted, facts): (&Wanted, &Facts),
        signing: &Signing,
        (attempt, device): (u32, &Bytes),
    ) -> Result<Ready, Broken> {
        let request = CommitRequest { plan: Some(wanted.plan(attempt)), device: device.clone() };
        let answers = self.ask_signers(wanted, facts, &ToCoSigner::Commit(request)).await;
        let judge = |message: &[u8]| signing.judge(message).map(drop);
        let together = |messages: &[Bytes]| signing.package(&all_with(device, messages));
        let (commitments, package) = judged((wanted, facts), (device, answers), together, judge)?;
        Ok(Ready { run: *signing.id(), commitments, package })
    }

    /// Asks every signer for its share of the signature. It is verified; whoever gave a wrong share is named.
    pub(super) async fn shares(
        &self,
        task: &Task,
        ready: &Ready,
        (device, leaf_index, policy): (&Bytes, u64, &str),
    ) -> Result<Vec<u8>, Broken> {
        let Task { wanted, facts, round, .. } = task;
        let messages = round.said(ready);
        let request = CoSignRequest {
            plan: Some(wanted.plan(round.attempt)),
            leaf_index,
            payload: Some(wanted.payload.clone()),
            messages,
            policy: Bytes::copy_from_slice(policy.as_bytes()),
        };
        let answers = self.ask_signers(wanted, facts, &ToCoSigner::CoSign(request)).await;
        let judge = |message: &[u8]| ready.package.judge(message);
        let together = |shares: &[Bytes]| ready.package.signature(&all_with(device, shares));
        judged((wanted, facts), (device, answers), together, judge).map(|(_shares, signature)| signature)
    }

    /// Asks every signer for its answer to everybody's commitments. What is in it is for others to judge, to whom it is sealed.
    pub(super) async fn answers(
        &self,
        task: &Task,
        ready: &Ready,
        (device, leaf_index, policy): (&Bytes, u64, &str),
    ) -> Result<Vec<Bytes>, Broken> {
        let Task { wanted, facts, round } = task;
        let request = AnswerRequest {
            plan: Some(wanted.plan(round.attempt)),
            leaf_index,
            payload: Some(wanted.payload.clone()),
            messages: round.said(ready),
            policy: Bytes::copy_from_slice(policy.as_bytes()),
        };
        let answers = self.ask_signers(wanted, facts, &ToCoSigner::Answer(request)).await;
        let judge = |message: &[u8]| ready.package.judge_answer(message);
        let together = |answers: &[Bytes]| answers.iter().try_for_each(|answer| judge(answer));
        judged((wanted, facts), (device, answers), together, judge).map(|(answers, ())| answers)
    }

    async fn ask_signers(
        &self,
        wanted: &Wanted,
        facts: &Facts,
        what: &ToCoSigner,
    ) -> Vec<(u8, Result<Bytes, Failure>)> {
        let asked = wanted.intent.signers.iter().map(|place| async {
            let answer = match facts.keeper(*place) {
                Some(keeper) => self.ask_co_signer(keeper, what.clone()).await,
                None => Err(Failure::new(Code::SharedSigners, "the key has no keeper at this place")),
            };
            let message = answer.and_then(|answer| match answer {
                CoSigned::Round(round) => Ok(round.message),
                CoSigned::Share(_) => {
                    Err(Failure::new(Code::KeeperAnswer, "the keeper answered something else"))
                }
            });
            (*place, message)
        });
        join_all(asked).await
    }
}

/// What each signer answered, by place.
type Answers = Vec<(u8, Result<Bytes, Failure>)>;

/// What all answers make together; where they make nothing, each is judged by itself, the device's first: signers refuse what
/// is wrong with it, and are not to blame.
fn judged<T>(
    (wanted, facts): (&Wanted, &Facts),
    (device, answers): (&Bytes, Answers),
    together: impl Fn(&[Bytes]) -> Result<T, RunError>,
    judge: impl Fn(&[u8]) -> Result<(), RunError>,
) -> Result<(Vec<Bytes>, T), Broken> {
    let (mut messages, mut faults) = (Vec::new(), Vec::new());
    for (place, answer) in answers {
        match answer {
            Ok(message) if is_from(&message, place) => messages.push((place, message)),
            Ok(_) => faults.push(Fault::other_sender(facts, place)),
            Err(failure) => faults.push(Fault::of_failure(facts, place, &failure)),
        }
    }
    let mut error = None;
    if faults.is_empty() {
        let all: Vec<Bytes> = messages.iter().map(|(_, message)| message.clone()).collect();
        match together(&all) {
            Ok(made) => return Ok((all, made)),
            Err(cause) => error = Some(cause),
        }
    }
    if let Err(error) = judge(device) {
        return Err(Broken::Device(error));
    }
    for (place, message) in &messages {
        if let Err(error) = judge(message) {
            faults.push(Fault::of_run(facts, *place, &error));
        }
    }
    match error {
        // All are well formed, and who has spoilt the signature nobody can say.
        Some(RunError::Spoilt) if faults.is_empty() => Err(Broken::Faults(faults)),
        Some(error) if faults.is_empty() => Err(Broken::Faults(vec![named(facts, wanted, &error)])),
        _ => Err(Broken::Faults(faults)),
    }
}

fn is_from(message: &[u8], place: u8) -> bool {
    Message::decode(message).is_ok_and(|message| message.from() == place)
}

/// One by one they are right, and together they are not: of a signer that is not named the first one stands for all.
fn named(facts: &Facts, wanted: &Wanted, error: &RunError) -> Fault {
    let signers = &wanted.intent.signers;
    let place = place_of(error).filter(|place| signers.contains(place));
    Fault::of_run(facts, place.or(signers.first().copied()).unwrap_or_default(), error)
}

fn all_with(device: &Bytes, messages: &[Bytes]) -> Vec<Vec<u8>> {
    std::iter::once(device).chain(messages).map(|message| message.to_vec()).collect()
}
