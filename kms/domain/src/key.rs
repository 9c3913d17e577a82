//! A key's life cycle: pending -> active -> frozen <-> active, superseded by its next version, scheduled for
//! destruction, destroyed.

use crate::code::{Code, Coded};

pub use keyward_ledger_core::contracts::keys::{DESTRUCTION_WAIT_MAX_MS, DESTRUCTION_WAIT_MIN_MS};
pub use keyward_ledger_core::entry::Mode;

/// Where a key stands. Each change is taken only after its entry is final and accepted on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Known here, its binding not yet final on the ledger.
    Pending,
    /// Signs.
    Active,
    /// Signs nothing until it is unfrozen.
    Frozen {
        /// When it was frozen, in Unix milliseconds.
        since_ms: u64,
    },
    /// A newer version signs in its place; what it signed verifies.
    Superseded {
        /// When the newer version took over, in Unix milliseconds.
        since_ms: u64,
    },
    /// Signs nothing, and is destroyed when its waiting period is over, unless that is cancelled.
    Scheduled {
        /// When it may be destroyed, in Unix milliseconds.
        destroy_after_ms: u64,
    },
    /// Gone for good; what it signed verifies.
    Destroyed {
        /// When it was destroyed, in Unix milliseconds.
        since_ms: u64,
    },
}

/// A change that a key's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Its binding is not final yet.
    #[error("the key is not yet recorded on the ledger")]
    Pending,
    /// It is active already.
    #[error("the key is active already")]
    Active,
    /// It is not frozen.
    #[error("the key is not frozen")]
    NotFrozen,
    /// It is frozen.
    #[error("the key is frozen")]
    Frozen {
        /// When it was frozen, in Unix milliseconds.
        since_ms: u64,
    },
    /// A newer version took over.
    #[error("a newer version of the key took over")]
    Superseded {
        /// When it took over, in Unix milliseconds.
        since_ms: u64,
    },
    /// It is scheduled for destruction.
    #[error("the key is scheduled for destruction")]
    Scheduled {
        /// When it may be destroyed, in Unix milliseconds.
        destroy_after_ms: u64,
    },
    /// It is not scheduled for destruction.
    #[error("the key is not scheduled for destruction")]
    NotScheduled,
    /// Its waiting period is not over.
    #[error("the key's waiting period is not over before `{destroy_after_ms}` ms")]
    Early {
        /// When it may be destroyed, in Unix milliseconds.
        destroy_after_ms: u64,
    },
    /// It is destroyed.
    #[error("the key is destroyed")]
    Destroyed {
        /// When it was destroyed, in Unix milliseconds.
        since_ms: u64,
    },
}

impl Coded for StateError {
    fn code(&self) -> Code {
        match self {
            Self::Pending => Code::KeyPending,
            Self::Active => Code::KeyAlreadyBound,
            Self::NotFrozen => Code::KeyNotFrozen,
            Self::Frozen { .. } => Code::KeyFrozen,
            Self::Superseded { .. } => Code::KeySuperseded,
            Self::Scheduled { .. } => Code::KeyScheduled,
            Self::NotScheduled => Code::KeyNotScheduled,
            Self::Early { .. } => Code::DestructionEarly,
            Self::Destroyed { .. } => Code::KeyDestroyed,
        }
    }
}

impl KeyState {
    /// The binding is final and accepted.
    pub const fn activate(self) -> Result<Self, StateError> {
        match self {
            Self::Pending => Ok(Self::Active),
            other => Err(other.in_the_way()),
        }
    }

    /// Stops the key.
    pub const fn freeze(self, now_ms: u64) -> Result<Self, StateError> {
        match self {
            Self::Active => Ok(Self::Frozen { since_ms: now_ms }),
            other => Err(other.in_the_way()),
        }
    }

    /// Lets the key sign again.
    pub const fn unfreeze(self) -> Result<Self, StateError> {
        match self {
            Self::Frozen { .. } => Ok(Self::Active),
            Self::Active => Err(StateError::NotFrozen),
            other => Err(other.in_the_way()),
        }
    }

    /// A newer version takes over.
    pub const fn supersede(self, now_ms: u64) -> Result<Self, StateError> {
        match self {
            Self::Active | Self::Frozen { .. } => Ok(Self::Superseded { since_ms: now_ms }),
            other => Err(other.in_the_way()),
        }
    }

    /// Starts the waiting period before destruction.
    pub const fn schedule(self, destroy_after_ms: u64) -> Result<Self, StateError> {
        match self {
            Self::Active | Self::Frozen { .. } | Self::Superseded { .. } => {
                Ok(Self::Scheduled { destroy_after_ms })
            }
            other => Err(other.in_the_way()),
        }
    }

    /// Ends the waiting period without destruction: the key is frozen, or superseded if it has a successor.
    pub const fn cancel(self, has_successor: bool, now_ms: u64) -> Result<Self, StateError> {
        match self {
            Self::Scheduled { .. } if has_successor => Ok(Self::Superseded { since_ms: now_ms }),
            Self::Scheduled { .. } => Ok(Self::Frozen { since_ms: now_ms }),
            Self::Pending | Self::Destroyed { .. } => Err(self.in_the_way()),
            Self::Active | Self::Frozen { .. } | Self::Superseded { .. } => Err(StateError::NotScheduled),
        }
    }

    /// Destroys the key, once its waiting period is over.
    pub const fn destroy(self, now_ms: u64) -> Result<Self, StateError> {
        match self {
            Self::Scheduled { destroy_after_ms } if now_ms < destroy_after_ms => {
                Err(StateError::Early { destroy_after_ms })
            }
            Self::Scheduled { .. } => Ok(Self::Destroyed { since_ms: now_ms }),
            Self::Pending | Self::Destroyed { .. } => Err(self.in_the_way()),
            Self::Active | Self::Frozen { .. } | Self::Superseded { .. } => Err(StateError::NotScheduled),
        }
    }

    /// Whether the key may sign now.
    pub const fn check_use(&self) -> Result<(), StateError> {
        match *self {
            Self::Active => Ok(()),
            other => Err(other.in_the_way()),
        }
    }

    /// What a state says to whoever asks for something that it does not allow.
    const fn in_the_way(self) -> StateError {
        match self {
            Self::Pending => StateError::Pending,
            Self::Active => StateError::Active,
            Self::Frozen { since_ms } => StateError::Frozen { since_ms },
            Self::Superseded { since_ms } => StateError::Superseded { since_ms },
            Self::Scheduled { destroy_after_ms } => StateError::Scheduled { destroy_after_ms },
            Self::Destroyed { since_ms } => StateError::Destroyed { since_ms },
        }
    }

    /// The word in answers and tables: `pending`, `active`, `frozen`, `superseded`, `scheduled` or `destroyed`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Frozen { .. } => "frozen",
            Self::Superseded { .. } => "superseded",
            Self::Scheduled { .. } => "scheduled",
            Self::Destroyed { .. } => "destroyed",
        }
    }

    /// The moment that belongs to the state, in Unix milliseconds: since when it is frozen, superseded or destroyed,
    /// or when it may be destroyed; 0 for pending and active keys.
    pub const fn moment_ms(&self) -> u64 {
        match *self {
            Self::Pending | Self::Active => 0,
            Self::Frozen { since_ms } | Self::Superseded { since_ms } | Self::Destroyed { since_ms } => {
                since_ms
            }
            Self::Scheduled { destroy_after_ms } => destroy_after_ms,
        }
    }

    /// Reads a stored state: its word and its moment.
    pub fn from_parts(name: &str, moment_ms: u64) -> Option<Self> {
        match name {
            "pending" => Some(Self::Pending),
            "active" => Some(Self::Active),
            "frozen" => Some(Self::Frozen { since_ms: moment_ms }),
            "superseded" => Some(Self::Superseded { since_ms: moment_ms }),
            "scheduled" => Some(Self::Scheduled { destroy_after_ms: moment_ms }),
            "destroyed" => Some(Self::Destroyed { since_ms: moment_ms }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const ALL: [KeyState; 6] = [
        KeyState::Pending,
        KeyState::Active,
        KeyState::Frozen { since_ms: 3 },
        KeyState::Superseded { since_ms: 3 },
        KeyState::Scheduled { destroy_after_ms: 3 },
        KeyState::Destroyed { since_ms: 3 },
    ];

    /// The word of the next state, or the code of the refusal, from each state in turn.
    fn table(step: impl Fn(KeyState) -> Result<KeyState, StateError>) -> [&'static str; 6] {
        ALL.map(|state| match step(state) {
            Ok(next) => next.name(),
            Err(error) => error.code().name(),
        })
    }

    #[test]
    fn only_an_active_key_signs() {
        let verdicts = table(|state| state.check_use().map(|()| state));
        let refusals =
            ["KEY_PENDING", "active", "KEY_FROZEN", "KEY_SUPERSEDED", "KEY_SCHEDULED", "KEY_DESTROYED"];
        assert_eq!(verdicts, refusals);
    }

    #[test]
    fn the_life_cycle_has_no_other_edges() {
        let [pending, bound, frozen] = ["KEY_PENDING", "KEY_ALREADY_BOUND", "KEY_FROZEN"];
        let [superseded, scheduled, gone] = ["KEY_SUPERSEDED", "KEY_SCHEDULED", "KEY_DESTROYED"];
        let [not_frozen, not_scheduled] = ["KEY_NOT_FROZEN", "KEY_NOT_SCHEDULED"];
        assert_eq!(table(KeyState::activate), ["active", bound, frozen, superseded, scheduled, gone]);
        assert_eq!(table(|s| s.freeze(9)), [pending, "frozen", frozen, superseded, scheduled, gone]);
        assert_eq!(table(KeyState::unfreeze), [pending, not_frozen, "active", superseded, scheduled, gone]);
        assert_eq!(
            table(|s| s.supersede(9)),
            [pending, "superseded", "superseded", superseded, scheduled, gone]
        );
        assert_eq!(
            table(|s| s.schedule(9)),
            [pending, "scheduled", "scheduled", "scheduled", scheduled, gone]
        );
        let not = not_scheduled;
        assert_eq!(table(|s| s.cancel(false, 9)), [pending, not, not, not, "frozen", gone]);
        assert_eq!(table(|s| s.cancel(true, 9)), [pending, not, not, not, "superseded", gone]);
        assert_eq!(table(|s| s.destroy(3)), [pending, not, not, not, "destroyed", gone]);
        assert_eq!(table(|s| s.destroy(2)), [pending, not, not, not, "DESTRUCTION_EARLY", gone]);
    }

    #[test]
    fn states_and_modes_survive_storage() {
        for state in ALL {
            assert_eq!(KeyState::from_parts(state.name(), state.moment_ms()), Some(state));
        }
        assert_eq!(KeyState::from_parts("unborn", 3), None);
        for mode in Mode::ALL {
            assert_eq!(Mode::from_code(mode.code()), Some(mode));
            assert_eq!(Mode::from_name(mode.name()), Some(mode));
        }
        assert_eq!(Mode::from_code(0), None);
    }
}
