//! Who did not do its part in an attempt, and with whom a share is never used again.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use keyward_crypto::shared::RunError;
use keyward_proto::custody::{SharedFault as ToldFault, SharedFaults};

use super::error::{SharedError, SharedFault, SharedFaultCause, named};
use super::sign::{Attempt, SharedSigner};
use crate::error::ClientError;
use crate::sign::Signature;

/// Why an attempt did not go to its end.
pub(super) enum Halt {
    /// It was finished before.
    Done(Box<Signature>),
    /// These did not do their part; nobody, where a signature was spoilt and that names nobody.
    Faults(Vec<SharedFault>),
    /// No other attempt helps.
    Refused(Box<SharedError>),
}

impl<E: Into<SharedError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Refused(Box::new(error.into()))
    }
}

impl SharedSigner {
    /// With whom the share is not used any more: as the device says, whoever noted it, and as this signer knows by itself.
    pub(super) fn banned(&self) -> Result<BTreeSet<u8>, SharedError> {
        let mut banned = self.banned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.status.key.scheme().answers() {
            let state = &self.status.state;
            banned.extend(self.device.banned(&state.name.name, state.share_version)?);
        }
        Ok(banned)
    }

    /// Refuses where somebody was banned since the attempt was begun.
    pub(super) fn must_not_be_banned(&self, attempt: &Attempt) -> Result<(), SharedError> {
        let banned = self.banned()?;
        let keepers: Vec<String> = attempt
            .signers
            .iter()
            .filter(|place| banned.contains(place))
            .map(|place| self.status.keeper_name(*place))
            .collect();
        if keepers.is_empty() { Ok(()) } else { Err(SharedError::Banned { keepers }) }
    }

    fn ban(&self, place: u8) -> Result<(), SharedError> {
        self.banned.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
        let state = &self.status.state;
        Ok(self.device.ban(&state.name.name, state.share_version, place)?)
    }

    /// What the service says of keepers: believed so far that they are left out of the next attempt. With threshold ECDSA it may
    /// be that nobody can be named: then others take their turn.
    pub(super) fn told(&self, attempt: &Attempt, faults: SharedFaults) -> Halt {
        if faults.faults.is_empty() && self.status.key.scheme().answers() {
            return Halt::Faults(Vec::new());
        }
        let named: Vec<_> =
            faults.faults.into_iter().filter_map(|fault| self.told_one(attempt, fault)).collect();
        if named.is_empty() {
            return ClientError::Answer { what: "faults of nobody that signs" }.into();
        }
        Halt::Faults(named)
    }

    fn told_one(&self, attempt: &Attempt, fault: ToldFault) -> Option<SharedFault> {
        let place = u8::try_from(fault.place).ok().filter(|place| attempt.signers.contains(place))?;
        let cause = SharedFaultCause::Told { code: fault.code, message: fault.message };
        Some(SharedFault { place, keeper: self.status.keeper_name(place), cause })
    }

    /// Whose message does not hold. A ban is noted before anything else happens.
    pub(super) fn blamed(&self, attempt: &Attempt, error: RunError) -> Halt {
        if let Some(place) = error.banned()
            && let Err(error) = self.ban(place)
        {
            return error.into();
        }
        match named(&error).filter(|place| attempt.signers.contains(place)) {
            Some(place) => {
                let keeper = self.status.keeper_name(place);
                Halt::Faults(vec![SharedFault { place, keeper, cause: error.into() }])
            }
            None => error.into(),
        }
    }
}
