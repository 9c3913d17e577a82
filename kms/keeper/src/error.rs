//! Why a keeper refuses, with a stable code for each reason.

use keyward_crypto::vault;
use keyward_domain::{Code, Coded};
use thiserror::Error;

use crate::{circle::CircleError, ledger::LedgerError, shares::SharesError};

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
    /// Too many shares wait for their sealing.
    #[error("{waiting} shares wait for their sealing already")]
    Full {
        /// How many.
        waiting: usize,
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
    /// Shares were not dealt anew.
    #[error("the shares are not dealt anew")]
    Renewal(#[from] vault::RenewalError),
    /// A share was not repaired.
    #[error("the share is not repaired")]
    Repair(#[from] vault::RepairError),
    /// Another keeper gave no answer.
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
    /// A part of this program broke.
    #[error("the keeper failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Coded for KeeperError {
    fn code(&self) -> Code {
        match self {
            Self::Malformed { .. } => Code::VaultRequestMalformed,
            Self::Version { .. } | Self::Stale => Code::VaultVersionStale,
            Self::Destroyed => Code::VaultDestroyed,
            Self::Keeper { .. } => Code::VaultKeeperUnknown,
            Self::Share(_) | Self::Renewal(_) | Self::Repair(_) => Code::VaultShareRefused,
            Self::Stranger | Self::NotDue => Code::VaultWordRefused,
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
            Self::Vault(_) | Self::Circle(_) | Self::Shares(_) | Self::Internal(_) => Code::Internal,
        }
    }
}
