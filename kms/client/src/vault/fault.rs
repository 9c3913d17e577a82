//! What was wrong with one keeper, or with the way to it.

use keyward_crypto::vault::{AnswerError, DrillError, Evidence};
use thiserror::Error;

use crate::error::ClientError;

/// A keeper that did not do its part. Whoever carried the bytes may be to blame as well: only [`Fault::evidence`] tells.
#[derive(Debug)]
pub struct Fault {
    /// Its index in the vault, from 1.
    pub index: u8,
    /// Its name on the ledger.
    pub keeper: String,
    /// What was wrong.
    pub cause: FaultCause,
}

/// What was wrong.
#[derive(Debug, Error)]
pub enum FaultCause {
    /// It refused, or did not answer.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// Its answer does not count.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It did not show that it holds its share.
    #[error(transparent)]
    Drill(#[from] DrillError),
    /// What came back to a drill has not the form of an answer.
    #[error("the answer to the drill is malformed")]
    DrillMalformed,
    /// What came back as its acknowledgement is not signed by it, or is of something else.
    #[error("the acknowledgement is not the keeper's, of this share")]
    Acknowledgement,
    /// It had not answered when it was no longer waited for.
    #[error("there was no answer in time")]
    Silent,
    /// Asking it broke off on this side.
    #[error("asking it broke off")]
    Lost(#[source] tokio::task::JoinError),
}

impl Fault {
    /// What convicts the keeper before others: an answer that it has signed and that is wrong.
    pub fn evidence(&self) -> Option<&Evidence> {
        match &self.cause {
            FaultCause::Answer(AnswerError::Wrong { evidence, .. }) => Some(evidence),
            _ => None,
        }
    }
}
