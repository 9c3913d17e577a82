//! Why shares are not dealt anew, and whose fault it is.

use thiserror::Error;

use crate::hpke_box::BoxError;
use crate::vault::facts::FactsError;
use crate::vault::group::GroupError;
use crate::vault::share::Complaint;
use crate::vault::sharing::SharingError;

/// Why shares are not dealt anew.
#[derive(Debug, Error)]
pub enum RenewalError {
    /// The threshold or the new commitments are refused.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// The new shares do not make a vault.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// A dealer is no keeper, or stands twice, or not in ascending order.
    #[error(transparent)]
    Dealer(#[from] GroupError),
    /// The handouts or pieces are not those of the dealers.
    #[error("{found} dealers where {needed} are needed, in ascending order")]
    Dealers {
        /// How many there must be.
        needed: u8,
        /// How many there are.
        found: usize,
    },
    /// The versions are used up.
    #[error("there is no share version after this one")]
    Versions,
    /// The keeper at hand deals nothing here.
    #[error("keeper {index} is no dealer of this renewal")]
    NotADealer {
        /// The keeper.
        index: u8,
    },
    /// The keeper's own share does not fit the vault, or the new one does not fit the new commitments.
    #[error("the share does not fit the vault")]
    Share(#[source] Complaint),
    /// Not signed by that dealer for this renewal, or not of its size: nobody can say by whom it was made.
    #[error("the handout in the name of dealer {dealer} is not signed by it")]
    Unsigned {
        /// The dealer's index.
        dealer: u8,
    },
    /// Signed by the dealer, and a commitment is none: everybody sees it.
    #[error("the commitments of dealer {dealer} are refused")]
    Commitments {
        /// The dealer's index.
        dealer: u8,
        /// Why.
        #[source]
        source: SharingError,
    },
    /// Signed by the dealer, and of another secret than its share: everybody sees it.
    #[error("dealer {dealer} deals another secret than its share")]
    Constant {
        /// The dealer's index.
        dealer: u8,
    },
    /// The keeper at hand has dealt something else.
    #[error("the handout in the name of dealer {dealer} is not what it has dealt")]
    Foreign {
        /// The keeper's index.
        dealer: u8,
    },
    /// A piece was changed on its way: it is not the one that its dealer signed.
    #[error("the piece of dealer {dealer} is not the one that it signed")]
    Changed {
        /// The dealer's index.
        dealer: u8,
    },
    /// The piece that the dealer signed is none, or does not fit its commitments: the receiver alone sees it.
    #[error("the piece that dealer {dealer} signed is wrong")]
    Piece {
        /// The dealer's index.
        dealer: u8,
        /// Why it does not open, if that is it.
        #[source]
        source: Option<BoxError>,
    },
    /// A piece could not be sealed to a receiver.
    #[error("the piece for keeper {index} could not be sealed")]
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

impl RenewalError {
    /// The dealer without whom it may go better. That is no blame: what came in its name may be another's work.
    pub const fn dealer(&self) -> Option<u8> {
        match self {
            Self::Unsigned { dealer }
            | Self::Commitments { dealer, .. }
            | Self::Constant { dealer }
            | Self::Foreign { dealer }
            | Self::Changed { dealer }
            | Self::Piece { dealer, .. } => Some(*dealer),
            _ => None,
        }
    }
}
