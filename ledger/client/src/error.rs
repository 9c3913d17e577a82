//! What can go wrong between a client and the validators.

use std::sync::Arc;

use keyward_ledger_core::{batch::BatchError, genesis::GenesisError};
use keyward_ledger_verify::Failure;
use thiserror::Error;
use tonic::Status;

use crate::{connection::ConnectionError, proof::ProofError};

/// Trailer that carries a validator's stable code.
const CODE_TRAILER: &str = "keyward-code";

/// Why a question was not answered.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The channels cannot be set up.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// No validator answered.
    #[error("no validator can be reached: {reasons}")]
    Unreachable {
        /// What each said, with its address.
        reasons: String,
    },
    /// A validator refused.
    #[error("a validator refuses: {message}")]
    Refused {
        /// Its stable code.
        code: String,
        /// What it said.
        message: String,
    },
    /// The validators serve another ledger than the trust file names.
    #[error("the validators serve another ledger than the trust file names")]
    OtherLedger(#[source] Failure),
    /// The genesis document is malformed.
    #[error("the validators' genesis document is refused")]
    Genesis(#[source] GenesisError),
    /// An answer does not verify.
    #[error("an answer of the validators is not believed")]
    Unproven(#[from] ProofError),
}

/// Why an entry is not known to be recorded.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Time ran out without finality: no quorum, or no validator reached. Nothing is known to be recorded.
    #[error(
        "the ledger did not make the batch final in time; until height {may_become_final_until} it still may: {reason}"
    )]
    Unavailable {
        /// The batch's last height.
        may_become_final_until: u64,
        /// What the validators said last.
        reason: String,
    },
    /// The validators refuse the batch as such.
    #[error("the ledger refuses the batch with `{code}`: {message}")]
    Refused {
        /// The stable code.
        code: String,
        /// What was said.
        message: String,
    },
    /// The batch could not be made.
    #[error("the batch cannot be made")]
    Batch {
        /// The cause.
        #[source]
        source: BatchError,
    },
    /// The system gives no randomness, without which the entries would stand in the order in which they came.
    #[error("the batch cannot be mixed")]
    Randomness {
        /// The cause.
        #[source]
        source: getrandom::Error,
    },
    /// A validator answered with what does not verify, and no other answered better.
    #[error("the validators' answer is not believed")]
    Unproven {
        /// The cause.
        #[source]
        source: ProofError,
    },
    /// The committer has ended.
    #[error("the committer has ended")]
    Stopped,
    /// What happened to the batch that carried the entry.
    #[error(transparent)]
    Shared(Arc<CommitError>),
}

impl CommitError {
    /// The error itself, not the shared one around it.
    pub fn root(&self) -> &Self {
        match self {
            Self::Shared(shared) => shared.root(),
            other => other,
        }
    }

    /// Whether the same request may succeed later.
    pub fn may_retry(&self) -> bool {
        matches!(self.root(), Self::Unavailable { .. } | Self::Unproven { .. } | Self::Stopped)
    }

    /// Whether the batch's sequence belongs to another batch, so that this one is not recorded under it.
    pub(crate) fn is_sequence_taken(&self) -> bool {
        matches!(self.root(), Self::Refused { code, .. } if code == "SEQUENCE_CONFLICT" || code == "SEQUENCE_TOO_OLD")
    }
}

/// A validator's stable code, or the canonical status when it gave none.
pub(crate) fn code_of(status: &Status) -> String {
    let code = status.metadata().get(CODE_TRAILER).and_then(|code| code.to_str().ok());
    code.map_or_else(|| format!("{:?}", status.code()), str::to_owned)
}

/// A validator's refusal.
pub(crate) fn refused(status: &Status) -> ClientError {
    ClientError::Refused { code: code_of(status), message: status.message().to_owned() }
}

/// Whether another validator may answer better.
pub(crate) fn may_ask_another(status: &Status) -> bool {
    use tonic::Code;
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Internal
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}
