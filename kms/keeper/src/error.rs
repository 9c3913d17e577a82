//! Why a keeper refuses, with a stable code for each reason.

use keyward_crypto::vault;
use keyward_domain::{Code, Coded};
use keyward_ledger_core::hash::Hash;
use thiserror::Error;

use crate::{circle::CircleError, ledger::LedgerError, shared::SharedError, shares::SharesError};

/// Why a keeper did not do what it was asked. A refusal changes nothing.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// The request does not decode, or says what no honest caller says.
    #[error("the request is malformed: {what}")]
    Malformed {
        /// The part.
        what: &'static str,
    },
    /// The sealing is for another version than the vault's next.
    #[error("the vault's next version is {next}, not {found}")]
    Version {
        /// The vault's next version.
        next: u32,
        /// The one in the sealing.
        found: u32,
    },
    /// The sealing or dealing says no moment up to which it may be recorded, or one that is past or too far ahead.
    #[error(
        "the sealing or dealing must end between `{now_ms}` and `{latest_ms}`, in Unix milliseconds of ledger time"
    )]
    Expiry {
        /// The ledger's time.
        now_ms: u64,
        /// The latest end.
        latest_ms: u64,
    },
    /// The vault has ended.
    #[error("the vault was destroyed")]
    Destroyed,
    /// One of the vault's keepers is none on the ledger, or we are known there under other keys.
    #[error("keeper {index} of the vault is not known on the ledger as it is here")]
    Keeper {
        /// Its place in the vault, from 1.
        index: u8,
    },
    /// The share does not fit the sealing.
    #[error("the share is refused")]
    Share(#[source] vault::Complaint),
    /// The account is not open, or its present credential has not signed for the sealing.
    #[error("the account is not open, or its present credential has not signed for this sealing")]
    Unsigned,
    /// As many shares wait, or are kept, as there may be.
    #[error("there is no room for another share: {held} are held already")]
    Full {
        /// How many.
        held: usize,
    },
    /// The disk is nearly full.
    #[error("only {free_bytes} bytes are free on the keeper's disk")]
    NoDisk {
        /// How many bytes are free.
        free_bytes: u64,
    },
    /// Too much is under way.
    #[error("too many shares are taken or shown at once")]
    Busy,
    /// The record is no granted attempt, or not one that we may still answer.
    #[error("record {leaf_index} is no attempt that may be answered: {why}")]
    NotGranted {
        /// The record's place in the log.
        leaf_index: u64,
        /// What it is instead.
        why: &'static str,
    },
    /// The record does not show that the attempt succeeded.
    #[error("record {leaf_index} does not show that the attempt succeeded")]
    NotOpened {
        /// The record's place in the log.
        leaf_index: u64,
    },
    /// The vault was sealed again, or its shares were dealt anew, since.
    #[error("the vault has other shares by now")]
    Stale,
    /// We hold no share of it.
    #[error("no share of this vault is held here")]
    NoShare,
    /// A word that no keeper of the vault has signed for us now.
    #[error("no keeper of the vault has said this to us now")]
    Stranger,
    /// The shares are too young to be dealt anew, or we deal with nobody.
    #[error("it is not time to deal these shares anew")]
    NotDue,
    /// Others are to hold the shares than the ledger's state says.
    #[error("the ledger's keepers are not those who are to hold these shares")]
    Successors,
    /// Too few holders of a vault are keepers still: its owner alone can help, by sealing anew.
    #[error("{found} holders of the vault are keepers of the ledger still, and {needed} are needed")]
    TooFew {
        /// How many are needed.
        needed: u8,
        /// How many there are.
        found: usize,
    },
    /// Another keeper does not do its part.
    #[error("keeper `{name}` does not do its part")]
    Failing {
        /// Its id.
        id: Hash,
        /// Its name.
        name: String,
        /// What it did.
        #[source]
        source: Box<KeeperError>,
    },
    /// Not every keeper has promised to acknowledge the new shares.
    #[error("keeper {index} has not promised to acknowledge the new shares")]
    NotPromised {
        /// Its index among those who are to hold them.
        index: u8,
    },
    /// What another keeper was asked for is not what it gave.
    #[error("what it gave is no {what}")]
    Wrong {
        /// What was asked for.
        what: &'static str,
    },
    /// The ledger did not take new shares.
    #[error("the ledger does not take the new shares: {outcome}")]
    NotTaken {
        /// What it said.
        outcome: &'static str,
    },
    /// Shares were not dealt anew.
    #[error("the shares are not dealt anew")]
    Renewal(#[from] vault::RenewalError),
    /// A share was not repaired.
    #[error("the share is not repaired")]
    Repair(#[from] vault::RepairError),
    /// Another keeper gave no answer, or refused.
    #[error(transparent)]
    Circle(#[from] CircleError),
    /// The vault's side of the answer refused.
    #[error(transparent)]
    Vault(#[from] vault::KeeperError),
    /// The ledger did not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The shares cannot be read or written.
    #[error("the shares cannot be read or written")]
    Shares(#[from] SharesError),
    /// A word about a shared key was not answered.
    #[error(transparent)]
    Shared(Box<SharedError>),
    /// A part of this program broke.
    #[error("the keeper failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<SharedError> for KeeperError {
    fn from(error: SharedError) -> Self {
        match error {
            SharedError::Other(error) => error,
            error => Self::Shared(Box::new(error)),
        }
    }
}

impl Coded for KeeperError {
    fn code(&self) -> Code {
        match self {
            Self::Malformed { .. } => Code::VaultRequestMalformed,
            Self::Version { .. } | Self::Stale => Code::VaultVersionStale,
            Self::Expiry { .. } => Code::AuthorSignatureExpired,
            Self::Destroyed => Code::VaultDestroyed,
            Self::Keeper { .. } => Code::VaultKeeperUnknown,
            Self::Share(_) | Self::Renewal(_) | Self::Repair(_) => Code::VaultShareRefused,
            Self::Stranger | Self::NotDue | Self::Successors | Self::NotPromised { .. } => {
                Code::VaultWordRefused
            }
            Self::Unsigned => Code::VaultDepositUnsigned,
            Self::Full { .. } | Self::NoDisk { .. } | Self::Busy => Code::ServiceBusy,
            Self::NotGranted { .. } | Self::Ledger(LedgerError::NoRecord { .. }) => Code::VaultNotGranted,
            Self::NotOpened { .. } => Code::VaultNotOpened,
            Self::NoShare => Code::VaultShareMissing,
            Self::Vault(vault::KeeperError::OtherElement | vault::KeeperError::Oprf(_)) => {
                Code::VaultElementOther
            }
            Self::Vault(vault::KeeperError::Unproven) => Code::VaultNotOpened,
            Self::Vault(vault::KeeperError::OtherShares) => Code::VaultVersionStale,
            Self::Ledger(LedgerError::Unavailable(_) | LedgerError::Behind { .. }) => Code::LedgerUnavailable,
            Self::Shared(error) => error.code(),
            Self::Vault(_)
            | Self::Circle(_)
            | Self::Failing { .. }
            | Self::TooFew { .. }
            | Self::Wrong { .. }
            | Self::NotTaken { .. }
            | Self::Shares(_)
            | Self::Internal(_) => Code::Internal,
        }
    }
}
