//! Why a run does not go on, and whose fault it is.

use keyward_domain::scheme::SignatureError;
use thiserror::Error;

use super::facts::SharedKeyError;
use super::message::{MessageError, Step};
use super::share::ShareError;
use super::suite::LibraryError;
use crate::hpke_box::BoxError;

/// What a holder signed and must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Lie {
    /// Its message does not have the form of its step.
    #[error("a message without the form of its step")]
    Malformed,
    /// A commitment that is none, or a proof of knowledge that does not hold.
    #[error("a commitment or proof of knowledge that does not hold")]
    Opening,
    /// A commitment to a nonce that is none.
    #[error("a commitment to a nonce that is none")]
    Nonce,
    /// A piece that does not open, or does not fit the commitments. The receiver alone sees it.
    #[error("a piece that does not fit its commitments")]
    Piece,
    /// A dealing of something else than its share.
    #[error("a dealing of another secret than its share")]
    Constant,
    /// Summands that do not add up to its part of the lost share.
    #[error("summands that do not add up to its part of the lost share")]
    Summands,
    /// A sum of other summands than it was given. The receiver alone sees it.
    #[error("a sum of other summands than it was given")]
    Sum,
    /// A signature share that is wrong.
    #[error("a wrong signature share")]
    SignatureShare,
    /// Proofs or oblivious transfers of an agreement that do not hold. The receiver alone sees it.
    #[error("an agreement that does not hold")]
    Agreement,
    /// A part of a commitment or an answer of another attempt, or against what it was committed to. The receiver alone sees it.
    #[error("a part of a signature that does not fit what was committed to")]
    Part,
    /// A product that does not hold: going on with the liar would lay bare the share. The receiver alone sees it.
    #[error("a product that does not hold")]
    Product,
}

impl Lie {
    /// Whether the evidence convinces everybody, or only the one that a piece was sealed to.
    pub const fn is_public(self) -> bool {
        !matches!(self, Self::Piece | Self::Sum | Self::Agreement | Self::Part | Self::Product)
    }
}

/// Why a run does not go on. Places are those of [`super::Holders`]: 0 is the user, keepers follow.
#[derive(Debug, Error)]
pub enum RunError {
    /// Not a message at all: nobody can say by whom it was made.
    #[error("the message is refused")]
    Message(#[from] MessageError),
    /// In the name of a holder that there is not.
    #[error("there is no holder {place}")]
    NotAHolder {
        /// The place.
        place: u8,
    },
    /// Not signed by the one in whose name it speaks: whoever carried it may have made it.
    #[error("the message in the name of holder {place} is not signed by it")]
    Unsigned {
        /// The place.
        place: u8,
    },
    /// Signed by the holder, for another run: the holder or whoever carried it replays.
    #[error("the message of holder {place} belongs to another run")]
    OtherRun {
        /// The place.
        place: u8,
    },
    /// Signed by the holder, for another step of this run.
    #[error("the message of holder {place} belongs to another step ({found:?})")]
    OtherStep {
        /// The place.
        place: u8,
        /// The step that it belongs to.
        found: Step,
    },
    /// The holder takes no part in this step.
    #[error("holder {place} takes no part in this step")]
    Unexpected {
        /// The place.
        place: u8,
    },
    /// The holder signed two messages for one step.
    #[error("holder {place} signed two messages for one step")]
    Equivocated {
        /// The place.
        place: u8,
        /// Both messages.
        evidence: [Vec<u8>; 2],
    },
    /// The holder signed commitments before and after a restart: it needs a fresh attempt, and nobody lied.
    #[error("holder {place} has restarted in this attempt: a fresh one is needed")]
    Restarted {
        /// The place.
        place: u8,
    },
    /// Holders that have not answered.
    #[error("nothing from holders {places:?}")]
    Missing {
        /// The places.
        places: Vec<u8>,
    },
    /// The holder signed what it must not.
    #[error("holder {place} signed {lie}")]
    Lied {
        /// The place.
        place: u8,
        /// What.
        lie: Lie,
        /// The signed messages that show it.
        evidence: Vec<Vec<u8>>,
        /// What the signing library said.
        #[source]
        source: Option<LibraryError>,
    },
    /// The holder answers other messages than these: somebody signed two, or whoever carried them kept some back.
    #[error("holder {place} answers other messages than these: compare them, whoever signed two is to blame")]
    Diverged {
        /// The place.
        place: u8,
    },
    /// A message in the own name is not what was made here.
    #[error("the message in the own name ({place}) is not what was made here")]
    Foreign {
        /// The own place.
        place: u8,
    },
    /// The roster of the run is of other holders than the key's, or of another user or other keys than the holders to come.
    #[error("the roster is of other holders, or holders have other keys in it than where they stand besides")]
    OtherHolders,
    /// Not the user and exactly the threshold of keepers, ascending.
    #[error("there must be exactly {needed} keepers, ascending, of those that hold a share")]
    Keepers {
        /// The threshold.
        needed: u8,
    },
    /// The holder at hand takes no part in this run.
    #[error("holder {place} takes no part in this run")]
    NotAPart {
        /// The place.
        place: u8,
    },
    /// What is to be signed does not fit the scheme.
    #[error("the key signs a digest of 32 bytes, not {found} bytes")]
    Digest {
        /// The length.
        found: usize,
    },
    /// Longer than a message may be.
    #[error("a message of {found} bytes is too long")]
    TooLong {
        /// The length.
        found: usize,
    },
    /// The scheme knows no tweak.
    #[error("the scheme knows no tweak")]
    Tweak,
    /// More keepers than keys of the scheme have.
    #[error("keys of this scheme have at most {keepers_max} keepers")]
    TooManyKeepers {
        /// The most.
        keepers_max: u8,
    },
    /// The scheme has no such step.
    #[error("the scheme has no step {step:?}")]
    NoStep {
        /// The step.
        step: Step,
    },
    /// What this step takes was used up by an earlier try: a fresh attempt is needed.
    #[error("the state of holder {place} is used up: a fresh attempt is needed")]
    Spent {
        /// The own place.
        place: u8,
    },
    /// The holder once lied in a way that would lay bare the share if anything were computed with it again.
    #[error("holder {place} is banned by this share, for a product that did not hold")]
    Banned {
        /// The place.
        place: u8,
    },
    /// The share is what a vault keeps: enough to make shares anew, not to sign.
    #[error("the share has its values alone and cannot sign")]
    Stateless,
    /// Shares of an experimental scheme are not dealt anew.
    #[error("shares of an experimental key are neither refreshed, nor repaired, nor renewed: make a new key")]
    Experimental,
    /// The shares make no signature: a signer lied, and nobody can say which.
    #[error("the shares make no signature: a signer lied, and the scheme cannot tell which one")]
    Spoilt,
    /// The versions are used up.
    #[error("there is no share version after this one")]
    Versions,
    /// The own share does not fit the key.
    #[error("the share does not fit the key")]
    Share(#[from] ShareError),
    /// The outcome is no shared key.
    #[error("what came out is no shared key")]
    Key(#[from] SharedKeyError),
    /// A piece could not be sealed to a holder.
    #[error("the piece for holder {place} could not be sealed")]
    Seal {
        /// The place.
        place: u8,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The library refused what was made here, or all together without naming anybody.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The finished signature does not verify by the ledger's rule.
    #[error("the finished signature does not verify")]
    Signature(#[from] SignatureError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

impl RunError {
    pub(crate) const fn lied(place: u8, lie: Lie, evidence: Vec<Vec<u8>>) -> Self {
        Self::Lied { place, lie, evidence, source: None }
    }

    pub(crate) const fn caught(place: u8, lie: Lie, evidence: Vec<Vec<u8>>, source: LibraryError) -> Self {
        Self::Lied { place, lie, evidence, source: Some(source) }
    }

    /// The place of a holder with whom this share must never compute again: to be kept with the share ([`super::KeyShare::ban`])
    /// before anything is answered.
    pub const fn banned(&self) -> Option<u8> {
        match self {
            Self::Lied { place, lie: Lie::Product, .. } => Some(*place),
            _ => None,
        }
    }

    /// The place of a holder that has certainly lied, with a signed message to show for it.
    pub const fn liar(&self) -> Option<u8> {
        match self {
            Self::Equivocated { place, .. } | Self::Lied { place, .. } => Some(*place),
            _ => None,
        }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Message(_) => "SHARED_MESSAGE_MALFORMED",
            Self::NotAHolder { .. } => "SHARED_NOT_A_HOLDER",
            Self::Unsigned { .. } => "SHARED_MESSAGE_UNSIGNED",
            Self::OtherRun { .. } => "SHARED_OTHER_RUN",
            Self::OtherStep { .. } => "SHARED_OTHER_STEP",
            Self::Unexpected { .. } => "SHARED_UNEXPECTED",
            Self::Equivocated { .. } => "SHARED_EQUIVOCATED",
            Self::Restarted { .. } => "SHARED_RESTARTED",
            Self::Missing { .. } => "SHARED_MISSING",
            Self::Lied { .. } => "SHARED_LIED",
            Self::Diverged { .. } => "SHARED_DIVERGED",
            Self::Foreign { .. } => "SHARED_FOREIGN",
            Self::OtherHolders => "SHARED_OTHER_HOLDERS",
            Self::Keepers { .. } => "SHARED_KEEPERS",
            Self::NotAPart { .. } => "SHARED_NOT_A_PART",
            Self::Digest { .. } => "SHARED_DIGEST",
            Self::TooLong { .. } => "SHARED_TOO_LONG",
            Self::Tweak => "SHARED_TWEAK",
            Self::TooManyKeepers { .. } => "SHARED_TOO_MANY_KEEPERS",
            Self::NoStep { .. } => "SHARED_NO_STEP",
            Self::Spent { .. } => "SHARED_SPENT",
            Self::Banned { .. } => "SHARED_BANNED",
            Self::Stateless => "SHARED_STATELESS",
            Self::Experimental => "SHARED_EXPERIMENTAL",
            Self::Spoilt => "SHARED_SPOILT",
            Self::Versions => "SHARED_VERSIONS",
            Self::Share(_) => "SHARED_SHARE_WRONG",
            Self::Key(_) => "SHARED_KEY_WRONG",
            Self::Seal { .. } => "SHARED_SEAL",
            Self::Library(_) => "SHARED_LIBRARY",
            Self::Signature(_) => "SHARED_SIGNATURE",
            Self::Randomness(_) => "SHARED_RANDOMNESS",
        }
    }
}
