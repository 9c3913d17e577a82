//! Taking a batch in: check it, wait for it, answer with the place of its records and their proof.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::{BatchError, SignedBatch, UnverifiedBatch},
    execute::BatchRefusal,
    log::prove_range,
    state::layout::BatchState,
};
use keyward_proto::ledger::{BatchFinal, SubmitRequest, SubmitResponse};
use tonic::Status;

use super::{Face, failed, hashes};
use crate::{
    pool::PoolError,
    refusal::Refusal,
    shared::{Anchor, Placed, Settled, Shared},
};

/// How long a call waits for finality. The batch may still become final later, until its last height.
const WAIT_MAX: Duration = Duration::from_secs(20);

impl Face {
    pub(super) async fn submit_batch(&self, request: SubmitRequest) -> Result<SubmitResponse, Status> {
        let batch = verified(&request.batch)?;
        let batch_digest = Bytes::copy_from_slice(batch.digest());
        // Wait before handing in, so that finality in between is not missed.
        let mut settled = self.shared.waiters().wait(*batch.digest(), batch.not_after());
        match take_in(&self.shared, &batch) {
            Ok(Taken::New) => self.engine.gossip(Bytes::copy_from_slice(batch.bytes())),
            Ok(Taken::Waiting) => {}
            Ok(Taken::Recorded(original)) => {
                let fin = self.recorded(&original).await?;
                return Ok(SubmitResponse { batch_digest, r#final: Some(fin) });
            }
            Err(status) => return Err(status),
        }
        if !request.wait {
            return Ok(SubmitResponse { batch_digest, r#final: None });
        }
        let mut stopping = self.stopping.clone();
        tokio::select! {
            // A simulation repeats the order.
            biased;
            settled = &mut settled => match settled {
                Ok(Settled::Final(placed, anchor)) => {
                    let fin = self.proven(&placed, &anchor)?;
                    Ok(SubmitResponse { batch_digest, r#final: Some(fin) })
                }
                Ok(Settled::Expired) => Err(Refusal::BatchExpired.status("the batch's last height has passed; it is not recorded")),
                Err(_dropped) => Err(Refusal::Stopping.status("the validator stops")),
            },
            () = self.shared.timer.sleep(WAIT_MAX) => {
                let last = batch.not_after();
                Err(Refusal::NotFinal.status(format!("the batch is not final yet; it may become final up to height {last}")))
            }
            _ = stopping.wait_for(|stopping| *stopping) => Err(Refusal::Stopping.status("the validator stops; ask another")),
        }
    }

    /// The original place of a batch that was handed in before, once a certified header covers it.
    async fn recorded(&self, original: &BatchState) -> Result<BatchFinal, Status> {
        let mut views = self.shared.view.subscribe();
        let covered = views
            .wait_for(|view| view.anchor.as_ref().is_some_and(|anchor| anchor.height() >= original.height));
        let late = || Refusal::NotFinal.status("the batch is final but not certified yet; try again");
        let view = self.shared.timer.within(WAIT_MAX, covered).await.ok_or_else(late)?;
        let anchor = view.map_err(|_closed| late())?.anchor.clone().ok_or_else(late)?;
        let (bytes, outcomes, first_leaf) = self.stored(original.height).await?;
        let block = keyward_ledger_core::block::Block::decode(&bytes).map_err(|error| failed(&error))?;
        let start = u32::try_from(original.first_leaf - first_leaf).unwrap_or(u32::MAX);
        let outcomes =
            (start..start.saturating_add(original.count)).filter_map(|i| outcomes.outcome(i)).collect();
        let time_ms = block.header().time_ms;
        let placed = Placed { height: original.height, time_ms, first_leaf: original.first_leaf, outcomes };
        self.proven(&placed, &anchor)
    }

    pub(super) fn proven(&self, placed: &Placed, anchor: &Arc<Anchor>) -> Result<BatchFinal, Status> {
        let leaves = placed.first_leaf..placed.first_leaf + placed.outcomes.len() as u64;
        let range_proof = prove_range(&self.shared.index, leaves, anchor.ledger.log().size())
            .map_err(|error| failed(&error))?;
        Ok(BatchFinal {
            height: placed.height,
            time_ms: placed.time_ms,
            first_leaf: placed.first_leaf,
            outcomes: placed.outcomes.iter().map(|outcome| outcome.encode().into()).collect(),
            range_proof: hashes(range_proof),
            anchor: Some(anchor.to_proto()),
        })
    }
}

/// Decodes a batch and verifies who signed it.
fn verified(bytes: &[u8]) -> Result<SignedBatch, Status> {
    let batch = UnverifiedBatch::decode(bytes)
        .map_err(|error| Refusal::BatchMalformed.status(format!("the batch is malformed: {error}")))?;
    batch.verify().map_err(|error| match error {
        BatchError::Malformed(error) => {
            Refusal::BatchMalformed.status(format!("the batch is malformed: {error}"))
        }
        BatchError::Signature(error) => {
            Refusal::BatchSignature.status(format!("the batch's signature is refused: {error}"))
        }
    })
}

/// What became of a batch that was handed in.
pub(crate) enum Taken {
    New,
    Waiting,
    Recorded(BatchState),
}

/// Checks a verified batch against the newest ledger and puts it into the pool.
pub(crate) fn take_in(shared: &Shared, batch: &SignedBatch) -> Result<Taken, Status> {
    match shared.view().ledger.check_batch(batch) {
        Ok(()) => {}
        Err(BatchRefusal::Replayed { original, .. }) => return Ok(Taken::Recorded(original)),
        Err(refusal) => return Err(refused(&refusal)),
    }
    let taken = shared.pool().insert(batch.clone());
    match taken {
        Ok(true) => {
            shared.arrived.notify_waiters();
            Ok(Taken::New)
        }
        Ok(false) => Ok(Taken::Waiting),
        Err(PoolError::SequenceTaken) => {
            Err(Refusal::SequenceConflict.status("another batch with this sequence waits here"))
        }
        Err(error) => Err(Refusal::PoolFull.status(format!("{error}; try again later"))),
    }
}

fn refused(refusal: &BatchRefusal) -> Status {
    let kind = match refusal {
        BatchRefusal::WrongChain => Refusal::WrongChain,
        BatchRefusal::Expired { .. } => Refusal::BatchExpired,
        BatchRefusal::SubmitterUnknown { .. } => Refusal::SubmitterUnknown,
        BatchRefusal::SequenceConflict { .. } => Refusal::SequenceConflict,
        BatchRefusal::SequenceTooOld { .. } => Refusal::SequenceTooOld,
        BatchRefusal::SequenceTooFarAhead { .. } => Refusal::SequenceTooFar,
        BatchRefusal::StateBroken(_) => Refusal::StoreFailed,
        BatchRefusal::Replayed { .. }
        | BatchRefusal::SubmitterLimit { .. }
        | BatchRefusal::BlockFull { .. } => Refusal::BatchRefused,
    };
    kind.status(refusal.to_string())
}
