//! One kind of failure for every use case: a stable code, a sentence for the caller, and the cause for our log.

use std::{error::Error, fmt};

use keyward_domain::{Code, Coded};
use keyward_store::StoreError;

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// What the caller is told; never a secret, never another tenant's business.
    pub(crate) message: String,
    /// How long to wait before the same request is tried again, where that is known better than from the code.
    pub(crate) wait_ms: Option<u64>,
    /// What only our log is told.
    pub(crate) cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure that the caller caused or can do something about.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), wait_ms: None, cause: None }
    }

    /// A decision of the domain: its own sentence is for the caller.
    pub(crate) fn of<E: Coded + Error + Send + Sync + 'static>(error: E) -> Self {
        Self { code: error.code(), message: error.to_string(), wait_ms: None, cause: Some(Box::new(error)) }
    }

    /// The same, with a cause that stays here.
    pub(crate) fn because(
        code: Code,
        message: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { code, message: message.into(), wait_ms: None, cause: Some(cause.into()) }
    }

    /// Something of ours failed: the caller learns nothing of it.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::because(Code::Internal, "the service failed", cause)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::AccountExists => Self::new(Code::AccountExists, "an account with that name exists"),
            StoreError::AliasTaken => Self::new(Code::AliasTaken, "the account has a key under that alias"),
            StoreError::KeyExists => Self::new(Code::KeyAlreadyBound, "the key is bound already"),
            // Somebody else was faster between our look and our write.
            StoreError::Missing { what: "labels" } => {
                Self::because(Code::ServiceBusy, "the key is being changed", error)
            }
            // Ids that are made here are random; holders of shared keys choose theirs.
            StoreError::Missing { what: "new intent" } => {
                let message = "an intent of this id was begun before: choose another id at random";
                Self::because(Code::SharedRequestMalformed, message, error)
            }
            StoreError::Missing { what: "open account" } => {
                Self::because(Code::AccountClosed, "the account is not open", error)
            }
            StoreError::Missing { what: "account without addresses" } => {
                Self::because(Code::AddressesChosen, "the account has chosen addresses before", error)
            }
            StoreError::Missing { what: "chosen addresses" } => {
                Self::because(Code::AddressesUnknown, "the account has no addresses", error)
            }
            StoreError::Missing { what: "free address" } => {
                Self::because(Code::AddressUsed, "the address is used, or may be", error)
            }
            StoreError::Missing { what: "open address epoch" } => {
                Self::because(Code::EpochClosed, "the epoch of the account's addresses is closed", error)
            }
            StoreError::Missing { what: "address epoch of this leaf" } => {
                let message = "the viewing leaf or spending point is not the one of before in this epoch";
                Self::because(Code::AddressOther, message, error)
            }
            StoreError::Missing { what: "room for an approval" } => Self::because(
                Code::ApprovalsMax,
                "the account asks for as many approvals at once as it may",
                error,
            ),
            StoreError::Unavailable { .. } => {
                Self::because(Code::StoreUnavailable, "the database cannot be reached now", error)
            }
            StoreError::Full { .. } => {
                Self::because(Code::StorageFull, "the database's disk is full: nothing was changed", error)
            }
            StoreError::Busy => Self::new(Code::ServiceBusy, "too many writes wait"),
            other => Self::internal(other),
        }
    }
}

/// The causes, joined by `: `.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
