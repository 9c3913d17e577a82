//! A key's life cycle: pending -> active -> frozen <-> active.

use crate::code::{Code, Coded};

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
}

/// Why a key cannot be made active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is already `{state}`")]
pub struct ActivateError {
    /// The state it is in.
    pub state: &'static str,
}

/// Why a key cannot be frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FreezeError {
    /// Its binding is not final yet.
    #[error("the key is not yet recorded on the ledger")]
    Pending,
    /// It is frozen already.
    #[error("the key is frozen already")]
    Frozen {
        /// When it was frozen, in Unix milliseconds.
        since_ms: u64,
    },
}

/// Why a key cannot be unfrozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfreezeError {
    /// Its binding is not final yet.
    #[error("the key is not yet recorded on the ledger")]
    Pending,
    /// It is not frozen.
    #[error("the key is not frozen")]
    Active,
}

/// Why a key may not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UseError {
    /// Its binding is not final yet.
    #[error("the key is not yet recorded on the ledger")]
    Pending,
    /// It is frozen.
    #[error("the key is frozen")]
    Frozen {
        /// When it was frozen, in Unix milliseconds.
        since_ms: u64,
    },
}

impl Coded for ActivateError {
    fn code(&self) -> Code {
        Code::KeyAlreadyBound
    }
}

impl Coded for FreezeError {
    fn code(&self) -> Code {
        match self {
            Self::Pending => Code::KeyPending,
            Self::Frozen { .. } => Code::KeyFrozen,
        }
    }
}

impl Coded for UnfreezeError {
    fn code(&self) -> Code {
        match self {
            Self::Pending => Code::KeyPending,
            Self::Active => Code::KeyNotFrozen,
        }
    }
}

impl Coded for UseError {
    fn code(&self) -> Code {
        match self {
            Self::Pending => Code::KeyPending,
            Self::Frozen { .. } => Code::KeyFrozen,
        }
    }
}

impl KeyState {
    /// The binding is final and accepted.
    pub fn activate(self) -> Result<Self, ActivateError> {
        match self {
            Self::Pending => Ok(Self::Active),
            Self::Active | Self::Frozen { .. } => Err(ActivateError { state: self.name() }),
        }
    }

    /// Stops the key.
    pub fn freeze(self, now_ms: u64) -> Result<Self, FreezeError> {
        match self {
            Self::Active => Ok(Self::Frozen { since_ms: now_ms }),
            Self::Pending => Err(FreezeError::Pending),
            Self::Frozen { since_ms } => Err(FreezeError::Frozen { since_ms }),
        }
    }

    /// Lets the key sign again.
    pub fn unfreeze(self) -> Result<Self, UnfreezeError> {
        match self {
            Self::Frozen { .. } => Ok(Self::Active),
            Self::Pending => Err(UnfreezeError::Pending),
            Self::Active => Err(UnfreezeError::Active),
        }
    }

    /// Whether the key may sign now.
    pub const fn check_use(&self) -> Result<(), UseError> {
        match *self {
            Self::Active => Ok(()),
            Self::Pending => Err(UseError::Pending),
            Self::Frozen { since_ms } => Err(UseError::Frozen { since_ms }),
        }
    }

    /// The word in answers and tables: `pending`, `active` or `frozen`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Frozen { .. } => "frozen",
        }
    }

    /// Reads a stored state; `since_ms` counts only for `frozen`.
    pub fn from_parts(name: &str, since_ms: u64) -> Option<Self> {
        match name {
            "pending" => Some(Self::Pending),
            "active" => Some(Self::Active),
            "frozen" => Some(Self::Frozen { since_ms }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const FROZEN: KeyState = KeyState::Frozen { since_ms: 3 };

    #[test]
    fn only_an_active_key_signs() {
        assert_eq!(KeyState::Active.check_use(), Ok(()));
        assert_eq!(KeyState::Pending.check_use(), Err(UseError::Pending));
        assert_eq!(FROZEN.check_use(), Err(UseError::Frozen { since_ms: 3 }));
        assert_eq!(FROZEN.check_use().unwrap_err().code(), Code::KeyFrozen);
    }

    #[test]
    fn the_life_cycle_has_no_other_edges() {
        assert_eq!(KeyState::Pending.activate(), Ok(KeyState::Active));
        assert!(KeyState::Active.activate().is_err() && FROZEN.activate().is_err());
        assert_eq!(KeyState::Active.freeze(9), Ok(KeyState::Frozen { since_ms: 9 }));
        assert_eq!(KeyState::Pending.freeze(9), Err(FreezeError::Pending));
        assert_eq!(FROZEN.freeze(9), Err(FreezeError::Frozen { since_ms: 3 }));
        assert_eq!(FROZEN.unfreeze(), Ok(KeyState::Active));
        assert_eq!(KeyState::Active.unfreeze(), Err(UnfreezeError::Active));
        assert_eq!(KeyState::Pending.unfreeze(), Err(UnfreezeError::Pending));
    }

    #[test]
    fn states_and_modes_survive_storage() {
        for state in [KeyState::Pending, KeyState::Active, FROZEN] {
            assert_eq!(KeyState::from_parts(state.name(), 3), Some(state));
        }
        for mode in [Mode::Linked, Mode::Hosted] {
            assert_eq!(Mode::from_code(mode.code()), Some(mode));
            assert_eq!(Mode::from_name(mode.name()), Some(mode));
        }
        assert_eq!(Mode::from_code(0), None);
    }
}
