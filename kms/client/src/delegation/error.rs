//! Why delegations cannot be read, or an entry about them is not recorded.

use keyward_crypto::{OpaqueError, SignError};
use thiserror::Error;

use crate::error::ClientError;
use crate::evidence::EvidenceError;

/// Why what a service shows or does about delegates is not accepted.
#[derive(Debug, Error)]
pub enum DelegationError {
    /// Nothing can be verified.
    #[error("the client has no trust file: nothing that a service says of delegates can be believed")]
    TrustMissing,
    /// Delegations belong to accounts.
    #[error("nobody is logged in, and delegations belong to accounts")]
    AccountMissing,
    /// The login is not the session's.
    #[error("the login is for another account than the session's")]
    OtherAccount,
    /// What the service shows of the ledger is not accepted, or is a refusal.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// There is none of this name.
    #[error("the account has no delegation of this name, or none that names you")]
    Unknown,
    /// No recovery is open under the delegation.
    #[error("no recovery is open under the delegation")]
    NoRecovery,
    /// A request is none, or one of another ledger, or was changed.
    #[error("the request is not one to be signed: {why}")]
    Request {
        /// Why.
        why: &'static str,
    },
    /// Somebody else's request, or a fingerprint heard wrongly.
    #[error("the request has another fingerprint: it is not the one that its maker read out")]
    Fingerprint,
    /// The recovery that is open is not the one of the request.
    #[error("the recovery that is open was opened with another request")]
    OtherRecovery,
    /// It is signed already.
    #[error("this account has signed the request before")]
    SignedBefore,
    /// The account's word could not be given.
    #[error("the entry could not be signed")]
    Sign(#[source] SignError),
    /// The new login could not be made.
    #[error("the new login could not be made")]
    Login(#[source] OpaqueError),
    /// The service refused, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

const LOOK: &str =
    "look at `keyward delegate list` (with `--of ACCOUNT` where you are a delegate), and begin again";

impl DelegationError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::TrustMissing => "DELEGATION_TRUST_MISSING",
            Self::AccountMissing => "SESSION_REQUIRED",
            Self::OtherAccount => "DELEGATION_OTHER_ACCOUNT",
            Self::Evidence(error) => error.code("DELEGATION_UNPROVEN", "DELEGATION_SUBSTITUTED"),
            Self::Unknown => "DELEGATION_NOT_IN_FORCE",
            Self::NoRecovery => "CASE_UNKNOWN",
            Self::Request { .. } => "DELEGATION_REQUEST_MALFORMED",
            Self::Fingerprint => "DELEGATION_FINGERPRINT_OTHER",
            Self::OtherRecovery => "CASE_PAYLOAD",
            Self::SignedBefore => "DELEGATION_SIGNED_BEFORE",
            Self::Sign(_) | Self::Login(_) => return None,
            Self::Client(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::TrustMissing => "give the profile the ledger's trust file",
            Self::AccountMissing | Self::OtherAccount => "log in first (`keyward account login`)",
            Self::Unknown | Self::NoRecovery => LOOK,
            Self::Evidence(error) => error.remedy(LOOK),
            Self::Fingerprint => {
                "call the person who made it, and have the fingerprint read out again; if it still differs, somebody else made this request: do not sign it"
            }
            Self::OtherRecovery => {
                "find the request that it was opened with; if nobody of you opened it, have the owner veto it"
            }
            Self::Request { .. } => "ask the person who made the request for it again",
            Self::SignedBefore => "pass it on to the next delegate, or hand it in (`keyward delegate send`)",
            Self::Sign(_) | Self::Login(_) => "try again",
            Self::Client(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Client(error) if error.unreachable())
    }
}
