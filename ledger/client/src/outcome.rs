//! Handing in without waiting, and asking later what became of a batch. Asking and handing in again change nothing.

use bytes::Bytes;
use keyward_ledger_core::{
    batch::SignedBatch,
    state::{StateProof, layout},
};
use keyward_proto::ledger::{self as proto, OutcomeRequest, SubmitRequest, outcome_response::State};

use crate::{
    Client, ClientError, ProofError, Recorded,
    proof::{self, malformed},
};

/// Where a batch stands.
#[derive(Debug)]
pub enum Progress {
    /// It waits for a block. A validator's word, not proven.
    Pending,
    /// It is final: its records, proven, in order.
    Final(Vec<Recorded>),
    /// Its last height has passed without it: handing it in again is in vain.
    Expired {
        /// Whether the state after that height proves it. Once the submitter is 1,024 sequences further, only the
        /// validator's word is left.
        proven: bool,
    },
    /// The validator that was asked never saw it. Not proven; hand it in again.
    Unknown,
}

impl Progress {
    /// Whether it stays as it is.
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Final(_) | Self::Expired { .. })
    }
}

impl Client {
    /// Hands a batch in and does not wait: `Pending`, or `Final` when it was recorded before. Doing it again is safe.
    pub async fn hand_in(&self, batch: &SignedBatch) -> Result<Progress, ClientError> {
        let request = &SubmitRequest { batch: Bytes::copy_from_slice(batch.bytes()), wait: false };
        let check = |answer: proto::SubmitResponse| match answer.r#final {
            _ if answer.batch_digest != batch.digest()[..] => Err(ProofError::Other { part: "batch" }),
            Some(fin) => self.proven_batch(batch, fin),
            None => Ok(Progress::Pending),
        };
        self.ask(|mut rpc| async move { rpc.submit(request.clone()).await }, check).await
    }

    /// What became of a batch, as the first validator says that answers.
    pub async fn outcome(&self, batch: &SignedBatch) -> Result<Progress, ClientError> {
        let request = &name_of(batch);
        let check = |answer| self.progress(batch, answer);
        self.ask(|mut rpc| async move { rpc.outcome(request.clone()).await }, check).await
    }

    pub(crate) fn progress(
        &self,
        batch: &SignedBatch,
        answer: proto::OutcomeResponse,
    ) -> Result<Progress, ProofError> {
        if answer.batch_digest != batch.digest()[..] {
            return Err(ProofError::Other { part: "batch" });
        }
        match answer.state.ok_or(ProofError::Missing { part: "state" })? {
            State::Pending(_) => Ok(Progress::Pending),
            State::Unknown(_) => Ok(Progress::Unknown),
            State::Final(fin) => self.proven_batch(batch, fin),
            State::Expired(expired) => self.proven_expired(batch, expired),
        }
    }

    fn proven_batch(&self, batch: &SignedBatch, fin: proto::BatchFinal) -> Result<Progress, ProofError> {
        let (header, proven) = proof::batch_records(&self.0.checker, batch, fin)?;
        self.saw(&header);
        Ok(Progress::Final(proven.into_iter().map(|proven| Recorded::new(proven, header.clone())).collect()))
    }

    /// A batch that its submitter's window does not hold after its last height was never recorded, unless a later one
    /// took its place there.
    fn proven_expired(
        &self,
        batch: &SignedBatch,
        expired: proto::BatchExpired,
    ) -> Result<Progress, ProofError> {
        let header = self.0.checker.anchor(expired.anchor)?;
        if header.block.header().height < batch.not_after() {
            return Err(ProofError::Other { part: "height" });
        }
        let state_proof = StateProof::decode(&expired.state_proof).map_err(malformed("state proof"))?;
        let key = layout::batch_key(batch.submitter(), batch.sequence());
        let value = header.block.state(&key, &state_proof)?;
        let held = value.map(layout::BatchState::decode).transpose().map_err(malformed("batch state"))?;
        self.saw(&header);
        match held {
            Some(held) if held.sequence == batch.sequence() && held.digest == *batch.digest() => {
                Err(ProofError::Other { part: "outcome" })
            }
            Some(held) if held.sequence > batch.sequence() => Ok(Progress::Expired { proven: false }),
            Some(_) | None => Ok(Progress::Expired { proven: true }),
        }
    }
}

/// A batch, as validators are asked about it.
pub(crate) fn name_of(batch: &SignedBatch) -> OutcomeRequest {
    OutcomeRequest {
        batch_digest: Bytes::copy_from_slice(batch.digest()),
        submitter: Bytes::copy_from_slice(batch.submitter()),
        sequence: batch.sequence(),
        not_after: batch.not_after(),
    }
}
