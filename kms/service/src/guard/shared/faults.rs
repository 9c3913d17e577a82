//! Whose fault it is that nothing is signed in an attempt, as the person's side is told.

use bytes::Bytes;
use keyward_crypto::shared::RunError;
use keyward_domain::Code;
use keyward_store::Id;

use crate::{failure::Failure, shared::facts::Facts};

/// A keeper that was silent, or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Among the key's holders.
    pub(crate) place: u8,
    pub(crate) keeper: Id,
    /// A stable code.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// What it signed and must not have.
    pub(crate) evidence: Vec<Bytes>,
}

impl Fault {
    /// It did not answer, or with no answer of this step.
    pub(super) fn of_failure(facts: &Facts, place: u8, failure: &Failure) -> Self {
        tracing::warn!(place, %failure, "a keeper of a shared key did not sign");
        Self::new(facts, place, failure.code.name(), failure.message.clone(), Vec::new())
    }

    /// What it answered is wrong.
    pub(super) fn of_run(facts: &Facts, place: u8, error: &RunError) -> Self {
        let evidence = match error {
            RunError::Lied { evidence, .. } => evidence.clone(),
            RunError::Equivocated { evidence, .. } => evidence.to_vec(),
            _ => Vec::new(),
        };
        let evidence: Vec<Bytes> = evidence.into_iter().map(Bytes::from).collect();
        tracing::warn!(place, %error, "a keeper of a shared key answered wrongly");
        Self::new(facts, place, error.code(), error.to_string(), evidence)
    }

    /// It answered in the name of another holder.
    pub(super) fn other_sender(facts: &Facts, place: u8) -> Self {
        let message = "the keeper's answer is no message of its own".to_owned();
        Self::new(facts, place, Code::KeeperAnswer.name(), message, Vec::new())
    }

    fn new(facts: &Facts, place: u8, code: &'static str, message: String, evidence: Vec<Bytes>) -> Self {
        let keeper = facts.keeper(place).map(keyward_ledger_core::keeper::Keeper::id).unwrap_or_default();
        Self { place, keeper, code, message, evidence }
    }
}

/// The holder that a run broke off at, if it is one alone.
pub(super) fn place_of(error: &RunError) -> Option<u8> {
    match error {
        RunError::NotAHolder { place }
        | RunError::Unsigned { place }
        | RunError::OtherRun { place }
        | RunError::OtherStep { place, .. }
        | RunError::Unexpected { place }
        | RunError::Equivocated { place, .. }
        | RunError::Restarted { place }
        | RunError::Lied { place, .. }
        | RunError::Diverged { place } => Some(*place),
        RunError::Missing { places } => places.first().copied(),
        _ => None,
    }
}

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(super) enum Broken {
    /// These keepers failed in it.
    Faults(Vec<Fault>),
    /// The device's own message is wrong.
    Device(RunError),
}

/// A message of the device that is not one of the attempt.
pub(super) fn device_refused() -> Failure {
    let message = "the device's message is not one of this attempt at this intent";
    Failure::new(Code::SharedDeviceRefused, message)
}

/// What the device signed, and is wrong.
pub(super) fn device_wrong(error: RunError) -> Failure {
    Failure { cause: Some(error.into()), ..device_refused() }
}
