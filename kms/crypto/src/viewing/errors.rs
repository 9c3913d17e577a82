//! What is refused of dealings, shares and parts.

use thiserror::Error;

use crate::hpke_box::BoxError;
use crate::unlinkable::AddressError;
use crate::vault::SharingError;

/// Why nothing is dealt, or bytes are no dealing.
#[derive(Debug, Error)]
pub enum DealingError {
    /// Not the bytes of a dealing.
    #[error("{len} bytes are no dealing of address epochs")]
    Malformed {
        /// Their count.
        len: usize,
    },
    /// Of another version.
    #[error("a dealing of version {version} is not known")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A keeper that stands twice, or not in the order of the ids.
    #[error("the keepers do not stand in ascending order of their ids, each once")]
    Keepers,
    /// There are no epochs to deal.
    #[error("the range of address epochs is empty")]
    Empty,
    /// The threshold or a commitment is refused.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// The cover could not be sealed.
    #[error("the viewing cover could not be sealed")]
    Cover(#[source] AddressError),
    /// A share could not be sealed to a keeper.
    #[error("the share of keeper {index} could not be sealed")]
    Keeper {
        /// The keeper's index, from 1.
        index: u8,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

/// Why a keeper takes no share, or gives none.
#[derive(Debug, Error)]
pub enum ViewingShareError {
    /// The dealing does not name this keeper.
    #[error("the dealing does not name this keeper")]
    NotAKeeper,
    /// Sealed to another key or for another dealing, or changed.
    #[error("the sealed viewing share does not open")]
    Unreadable(#[source] BoxError),
    /// Not the encoding of a share.
    #[error("the viewing share is malformed")]
    Malformed,
    /// It does not fit the commitments.
    #[error("the viewing share does not fit the commitments of its dealing")]
    Wrong,
    /// The dealing's own threshold or commitments are refused.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// The opening is of another dealing or ledger.
    #[error("the opening is of another dealing than this share")]
    OtherDealing,
    /// The part could not be sealed to the grantee.
    #[error("the part could not be sealed to the grantee's key")]
    Seal(#[from] BoxError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

/// Why one keeper's part does not count. The grantee goes on with the others.
#[derive(Debug, Error)]
pub enum PartError {
    /// The dealing has no such keeper.
    #[error("the dealing names no such keeper")]
    NotAKeeper,
    /// This keeper's part counts already.
    #[error("keeper {index} has given its part already")]
    Twice {
        /// The keeper's index, from 1.
        index: u8,
    },
    /// Sealed for another opening or grantee, or changed on its way: nobody can say by whom.
    #[error("the part of keeper {index} does not open")]
    Unreadable {
        /// The keeper's index, from 1.
        index: u8,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Opened, and not a part.
    #[error("the part of keeper {index} is malformed")]
    Malformed {
        /// The keeper's index, from 1.
        index: u8,
    },
    /// Not signed by that keeper: nobody can say by whom it was made.
    #[error("the part in the name of keeper {index} is not signed by it")]
    NotSigned {
        /// The keeper's index, from 1.
        index: u8,
    },
    /// Signed by the keeper for this very opening, and not the share that it acknowledged: the keeper lies.
    #[error("keeper {index} has signed a part that does not fit the dealing's commitments")]
    Wrong {
        /// The keeper's index, from 1.
        index: u8,
    },
}

/// Why the parts open nothing.
#[derive(Debug, Error)]
pub enum GatheringError {
    /// The keepers, or the opening, are not the dealing's.
    #[error("the keepers or the opening are not the dealing's")]
    OtherDealing,
    /// The dealing's threshold or commitments are refused, or the parts do not come together.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// Fewer keepers than needed have given their parts.
    #[error("{found} keepers have given their parts where {needed} are needed")]
    TooFew {
        /// How many are needed.
        needed: u8,
        /// How many parts there are.
        found: usize,
    },
    /// Right parts open nothing: whoever dealt has sealed something else, or nothing.
    #[error(
        "the keepers' parts are right, and what was dealt does not open: the account dealt no cover of these epochs"
    )]
    Dealt(#[source] AddressError),
}
