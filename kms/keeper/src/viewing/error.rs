//! Why a keeper does not do its part in closed address epochs, with a stable code for each reason.

use keyward_crypto::viewing::ViewingShareError;
use keyward_domain::{Code, Coded};
use keyward_ledger_core::codec::DecodeError;
use thiserror::Error;

use crate::{
    desk::Refusal, error::KeeperError, keeper::unreadable, ledger::LedgerError, shares::SharesError,
};

/// Why a keeper did not do its part in closed address epochs. A refusal gives nothing away and changes nothing.
#[derive(Debug, Error)]
pub enum ViewingError {
    /// The request does not decode, or says what no honest caller says.
    #[error("the request is malformed: {what}")]
    Malformed {
        /// The part.
        what: &'static str,
    },
    /// The account is not open, or its present credential has not signed for the dealing.
    #[error("the account is not open, or its present credential has not signed for this dealing")]
    Unsigned,
    /// The account's address root lies not on its own side.
    #[error("the account has no address root of its own")]
    NotOwn,
    /// Some of the epochs are not over.
    #[error("epoch {last} is not over yet")]
    UnderWay {
        /// The last of the dealing.
        last: u32,
    },
    /// The dealing does not follow on what is dealt.
    #[error("the dealing begins with epoch {found}, and the next to be dealt is {next}")]
    Gap {
        /// The first epoch that is not dealt.
        next: u32,
        /// The first one of the dealing.
        found: u32,
    },
    /// One of the dealing's keepers is none on the ledger, or we are known there under other keys.
    #[error("keeper {index} of the dealing is not known on the ledger as it is here")]
    Keeper {
        /// Its place, from 1.
        index: u8,
    },
    /// The share does not fit the dealing.
    #[error("the share is refused")]
    Share(#[source] ViewingShareError),
    /// The record opens nothing that we may answer for.
    #[error("record {leaf_index} does not open these epochs: {why}")]
    NotOpened {
        /// Its place in the log.
        leaf_index: u64,
        /// What it is instead.
        why: &'static str,
    },
    /// The grant was revoked, or is not issued.
    #[error("the grant is not in force")]
    Revoked,
    /// The grant's time is over.
    #[error("the grant has expired")]
    Expired,
    /// The account is closed, and what it did is not kept any more, or these epochs came after.
    #[error("the account is closed, and nothing of these epochs is opened any more")]
    Closed,
    /// We hold no share of it.
    #[error("no share of these epochs is held here")]
    NoShare,
    /// The part could not be sealed to the grantee.
    #[error("the part could not be sealed")]
    Answer(#[source] ViewingShareError),
    /// As of vaults: the ledger, the disk, room.
    #[error(transparent)]
    Other(#[from] KeeperError),
}

impl From<LedgerError> for ViewingError {
    fn from(error: LedgerError) -> Self {
        Self::Other(error.into())
    }
}

impl From<SharesError> for ViewingError {
    fn from(error: SharesError) -> Self {
        Self::Other(error.into())
    }
}

impl From<DecodeError> for ViewingError {
    fn from(error: DecodeError) -> Self {
        Self::Other(unreadable(error))
    }
}

impl Coded for ViewingError {
    fn code(&self) -> Code {
        match self {
            Self::Malformed { .. } => Code::ViewingRequestMalformed,
            Self::Unsigned => Code::ViewingDepositUnsigned,
            Self::NotOwn => Code::AddressesUnknown,
            Self::UnderWay { .. } => Code::EpochUnderWay,
            Self::Gap { .. } => Code::DealingGap,
            Self::Keeper { .. } => Code::ViewingKeeperUnknown,
            Self::Share(_) => Code::ViewingShareRefused,
            Self::NotOpened { .. } | Self::Other(KeeperError::Ledger(LedgerError::NoRecord { .. })) => {
                Code::ViewingNotOpened
            }
            Self::Revoked => Code::GrantState,
            Self::Expired => Code::GrantExpired,
            Self::Closed => Code::AccountClosed,
            Self::NoShare => Code::ViewingShareMissing,
            Self::Answer(_) => Code::Internal,
            Self::Other(error) => error.code(),
        }
    }
}

impl Refusal for ViewingError {}
