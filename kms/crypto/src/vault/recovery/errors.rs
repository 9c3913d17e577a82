//! Why a recovery does not go on, and why one keeper's answer does not count.

use thiserror::Error;

use crate::hpke_box::BoxError;
use crate::signing::SignError;
use crate::vault::answers::Evidence;
use crate::vault::contents::ContentsError;
use crate::vault::group::GroupError;
use crate::vault::keys::VaultKeyError;
use crate::vault::oprf::OprfError;
use crate::vault::sharing::SharingError;

/// Why a recovery does not go on.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// The password is wrong: t keepers evaluated honestly and the vault's proof key is another.
    #[error("the password is wrong")]
    WrongPassword,
    /// The attempt is for other shares, another element or another reply key than this recovery's.
    #[error("the attempt on the ledger is not the one that was asked for")]
    OtherAttempt,
    /// Fewer keepers than needed have answered.
    #[error("{found} keepers have answered where {needed} are needed")]
    TooFew {
        /// How many are needed.
        needed: u8,
        /// How many have answered.
        found: usize,
    },
    /// The keys could not be derived.
    #[error(transparent)]
    Keys(#[from] VaultKeyError),
    /// The oblivious function refused.
    #[error(transparent)]
    Oprf(#[from] OprfError),
    /// The mask does not come together.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// A release held a share that is none.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// There is no reply key.
    #[error("the reply key could not be made")]
    ReplyKey(#[from] BoxError),
    /// The proof could not be signed.
    #[error("the proof could not be signed")]
    Proof(#[source] SignError),
    /// The contents do not open: in mode `self`, the export key is not the one of the sealing.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

/// Why one keeper's answer does not count. The recovery goes on with the others.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// The vault has no keeper of this index.
    #[error("the vault has no keeper {index}")]
    Stranger {
        /// The index.
        index: u8,
    },
    /// This keeper's answer counts already.
    #[error("keeper {index} has answered already")]
    Repeated {
        /// The keeper.
        index: u8,
    },
    /// Sealed for another attempt, keeper or version, or changed on its way: nobody can say by whom.
    #[error("the answer of keeper {index} does not open")]
    Unreadable {
        /// The keeper.
        index: u8,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Opened, but not an answer.
    #[error("the answer of keeper {index} is malformed")]
    Malformed {
        /// The keeper.
        index: u8,
    },
    /// Not signed by that keeper: nobody can say by whom it was made.
    #[error("the answer in the name of keeper {index} is not signed by it")]
    Unsigned {
        /// The keeper.
        index: u8,
    },
    /// Signed by the keeper and wrong: evidence that others can check.
    #[error("keeper {index} has signed a wrong answer")]
    Wrong {
        /// The keeper.
        index: u8,
        /// What shows it.
        evidence: Box<Evidence>,
    },
}
