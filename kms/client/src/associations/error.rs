//! Why an association cannot be read, is not consistent, or is not changed.

use keyward_ledger_core::address::AddressProofError;
use keyward_ledger_verify::Failure;
use thiserror::Error;

use crate::error::ClientError;
use crate::evidence::{EvidenceError, UNBELIEVED};
use crate::petition::PetitionError;

/// Why what a service shows or does about an association is not accepted.
#[derive(Debug, Error)]
pub enum AssociationError {
    /// Nothing can be verified.
    #[error("the client has no trust file: nothing that a service says of an association can be believed")]
    TrustMissing,
    /// The login is not the session's.
    #[error("the login is for another account than the session's")]
    OtherAccount,
    /// A proof does not hold, is too old, or is of something else. It may be a file's: no service is named.
    #[error("the proof of {what} does not hold")]
    Proof {
        /// Of what.
        what: &'static str,
        /// Why.
        #[source]
        source: Failure,
    },
    /// There is none.
    #[error("the ledger proves that there is no association with this id")]
    Unknown,
    /// More or fewer members are shown than stand there.
    #[error("{shown} members are shown, and {standing} stand in the association")]
    OtherMembers {
        /// How many are shown.
        shown: usize,
        /// How many there are.
        standing: usize,
    },
    /// The association changed while its members were shown.
    #[error("the association changed while its members were shown")]
    Torn,
    /// A member's record is of another association or version.
    #[error("the record of {address} is not that of this version: it stands {stands}")]
    NotOneVersion {
        /// The address.
        address: String,
        /// Where it stands.
        stands: String,
    },
    /// What an address signed does not verify.
    #[error("the proof of {address} does not verify")]
    Address {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: AddressProofError,
    },
    /// The petition is about something else, or for another ledger.
    #[error("the request is not one to be signed here: {why}")]
    Request {
        /// Why.
        why: &'static str,
    },
    /// Somebody else's petition, or a fingerprint heard wrongly.
    #[error("the request has another fingerprint: it is not the one that its maker read out")]
    Fingerprint,
    /// It cannot be signed.
    #[error(transparent)]
    Petition(#[from] PetitionError),
    /// Nor is anything else accepted that is shown of the ledger, or it is a refusal.
    #[error(transparent)]
    Evidence(EvidenceError),
    /// The service refused, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl From<EvidenceError> for AssociationError {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Proof { what, source } => Self::Proof { what, source },
            error => Self::Evidence(error),
        }
    }
}

impl AssociationError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::TrustMissing => "ASSOCIATION_TRUST_MISSING",
            Self::OtherAccount => "ASSOCIATION_OTHER_ACCOUNT",
            Self::Proof { .. } => "ASSOCIATION_UNPROVEN",
            Self::Evidence(error) => error.code("ASSOCIATION_UNPROVEN", "ASSOCIATION_SUBSTITUTED"),
            Self::Unknown => "ASSOCIATION_UNKNOWN",
            Self::OtherMembers { .. } => "ASSOCIATION_SUBSTITUTED",
            Self::Torn => "ASSOCIATION_TORN",
            Self::NotOneVersion { .. } => "ASSOCIATION_INCONSISTENT",
            Self::Address { .. } => "ADDRESS_UNPROVEN",
            Self::Request { .. } | Self::Petition(PetitionError::Malformed) => {
                "ASSOCIATION_REQUEST_MALFORMED"
            }
            Self::Fingerprint => "ASSOCIATION_FINGERPRINT_OTHER",
            Self::Petition(PetitionError::SignedBefore(_)) => "ASSOCIATION_SIGNED_BEFORE",
            Self::Petition(_) => return None,
            Self::Client(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::TrustMissing => "give the profile the ledger's trust file",
            Self::OtherAccount => "log in first (`keyward account login`)",
            Self::Evidence(error) => error.remedy("look at `keyward association show`, and begin again"),
            Self::Proof { .. } | Self::OtherMembers { .. } => UNBELIEVED,
            Self::Unknown => "ask a member for the association's id",
            Self::Torn => "ask again",
            Self::NotOneVersion { .. } | Self::Address { .. } => {
                "do not rely on the association, and tell the ledger's operators: an honest ledger writes no such thing"
            }
            Self::Request { .. } => "ask the person who made the request for it again",
            Self::Fingerprint => {
                "call the person who made it, and have the fingerprint read out again; if it still differs, somebody else made this request: do not sign it"
            }
            Self::Petition(PetitionError::Malformed) => "ask the person who made the request for it again",
            Self::Petition(PetitionError::SignedBefore(_)) => "pass it on to the next one, or hand it in",
            Self::Petition(_) => "try again",
            Self::Client(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Client(error) if error.unreachable())
    }
}
