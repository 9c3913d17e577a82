//! Why a share is not repaired, and whose fault it is.

use thiserror::Error;

use crate::hpke_box::BoxError;
use crate::vault::group::GroupError;
use crate::vault::share::Complaint;

/// Why a share is not repaired.
#[derive(Debug, Error)]
pub enum RepairError {
    /// Not exactly the threshold of helpers in ascending order, or the lost keeper among them.
    #[error("{found} helpers for keeper {lost} where {needed} others are needed, in ascending order")]
    Helpers {
        /// The keeper whose share is lost.
        lost: u8,
        /// How many helpers there must be.
        needed: u8,
        /// How many there are.
        found: usize,
    },
    /// A helper is no keeper, or stands twice.
    #[error(transparent)]
    Helper(#[from] GroupError),
    /// The keeper that lost its share has not asked for this.
    #[error("keeper {lost} has not asked for this repair")]
    NotAsked {
        /// The keeper.
        lost: u8,
    },
    /// A helper's own share does not fit the vault, or the one that came back does not.
    #[error("the share does not fit the vault")]
    Share(#[source] Complaint),
    /// Not signed by that helper for this repair, or not of its size: nobody can say by whom it was made.
    #[error("what came in the name of helper {helper} is not signed by it")]
    Unsigned {
        /// The helper's index.
        helper: u8,
    },
    /// The helper at hand has handed out something else, and gives no sum for it.
    #[error("the handout in the name of helper {helper} is not what it has handed out")]
    Foreign {
        /// The helper's index.
        helper: u8,
    },
    /// A helper's commitments are none.
    #[error("the commitments of helper {helper} are refused")]
    Commitment {
        /// The helper's index.
        helper: u8,
        /// Why.
        #[source]
        source: GroupError,
    },
    /// A piece was changed on its way: it is not the one that its helper signed.
    #[error("what helper {helper} sent is not what it signed")]
    Changed {
        /// The helper's index.
        helper: u8,
    },
    /// Signed by the helper and wrong: its commitments do not add up to its weighted share, or what it sealed is none or
    /// does not fit them.
    #[error("what helper {helper} signed is wrong")]
    Wrong {
        /// The helper's index.
        helper: u8,
        /// Why it does not open, if that is it.
        #[source]
        source: Option<BoxError>,
    },
    /// A message could not be sealed.
    #[error("a message could not be sealed to keeper {index}")]
    Seal {
        /// The receiver's index.
        index: u8,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

impl RepairError {
    /// The helper without whom it may go better. That is no blame: what came in its name may be another's work.
    pub const fn helper(&self) -> Option<u8> {
        match self {
            Self::Unsigned { helper }
            | Self::Foreign { helper }
            | Self::Commitment { helper, .. }
            | Self::Changed { helper }
            | Self::Wrong { helper, .. } => Some(*helper),
            _ => None,
        }
    }
}
