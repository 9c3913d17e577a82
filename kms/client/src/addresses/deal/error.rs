//! Why closed epochs are not dealt. Nothing is erased on this device then.

use keyward_crypto::viewing::DealingError;
use thiserror::Error;

use crate::addresses::AddressesError;
use crate::device::DeviceError;
use crate::error::ClientError;
use crate::vault::{SealError, VaultError};

/// Why closed epochs are not dealt.
#[derive(Debug, Error)]
pub enum DealError {
    /// The ends of some epochs are not on the ledger yet: without their leaves nobody could put them there.
    #[error("the end of {} of these epochs is not recorded yet, first of {}", .epochs.len(), .epochs.first().copied().unwrap_or_default())]
    Unclosed {
        /// Which.
        epochs: Vec<u32>,
    },
    /// Payments were found there that are known to be some, and were not used.
    #[error(
        "`{count}` payments that were found in epochs up to {last} are not used yet, and cannot be afterwards"
    )]
    Unspent {
        /// How many.
        count: usize,
        /// The last epoch of the run.
        last: u32,
    },
    /// The keepers cannot be those that were wanted.
    #[error("the keepers cannot be these")]
    Choice(#[source] Box<SealError>),
    /// Some keepers did not acknowledge their shares.
    #[error("{} of the keepers did not take their shares: {}", .silent.len(), .silent.join(", "))]
    NotAcknowledged {
        /// The names of those who did not.
        silent: Vec<String>,
        /// The names of those who did.
        willing: Vec<String>,
        /// How many are needed.
        threshold: u8,
    },
    /// The shares could not be made.
    #[error("the epochs could not be dealt")]
    Dealing(#[from] DealingError),
    /// What the service shows of keepers is not accepted.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What the service shows of addresses is not accepted, or the entry was not recorded.
    #[error(transparent)]
    Addresses(#[from] AddressesError),
    /// This device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl From<SealError> for DealError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Vault(error) => Self::Vault(error),
            error => Self::Choice(Box::new(error)),
        }
    }
}

impl From<ClientError> for DealError {
    fn from(error: ClientError) -> Self {
        Self::Addresses(error.into())
    }
}

impl DealError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::Unclosed { .. } => "EPOCH_UNCLOSED",
            Self::Unspent { .. } => "PAYMENTS_UNUSED",
            Self::Choice(_) => "VIEWING_KEEPERS",
            Self::NotAcknowledged { .. } => "VIEWING_NOT_ACKNOWLEDGED",
            Self::Dealing(_) | Self::Device(_) => return None,
            Self::Vault(error) => return error.code(),
            Self::Addresses(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unclosed { .. } => "close them first (`keyward address close`)",
            Self::Unspent { .. } => {
                "until then this epoch and all after it stay closed to grants. Spend what lies on them (`keyward sign --address`), which loses nothing; or give them up, and nobody ever spends what lies there: one by one (`keyward address scan --give-up`), or all (`--abandon`)"
            }
            Self::Choice(_) => {
                "look at `keyward ledger state keepers`, and name other keepers (`--keepers`) or a lower threshold (`--threshold`)"
            }
            Self::NotAcknowledged { .. } => {
                "try again when they run, or name those that do (`--keepers`); nothing was dealt or erased"
            }
            Self::Dealing(_) | Self::Device(_) => "try again",
            Self::Vault(error) => return error.remedy(),
            Self::Addresses(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        match self {
            Self::Vault(error) => error.unreachable(),
            Self::Addresses(error) => error.unreachable(),
            _ => false,
        }
    }
}
