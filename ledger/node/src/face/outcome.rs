//! What became of a batch: asked once, or watched until it is settled. Only what is final or expired is proven.

use std::sync::Arc;

use bytes::Bytes;
use keyward_ledger_core::{block::Block, execute::Submission, hash::Hash, state::layout};
use keyward_proto::ledger::{
    BatchExpired, BatchPending, BatchUnknown, OutcomeRequest, OutcomeResponse, outcome_response::State,
};
use tokio::sync::mpsc;
use tonic::Status;

use super::{Face, failed, streams::Slot};
use crate::{
    refusal::Refusal,
    shared::{Anchor, Placed, Settled, View},
};

/// Which batch is meant. Submitter and sequence say where to look, the digest what must stand there.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchName {
    digest: Hash,
    submitter: [u8; 32],
    sequence: u64,
    not_after: u64,
}

impl BatchName {
    pub(super) fn parse(request: &OutcomeRequest) -> Result<Self, Status> {
        let field = |what: &str, bytes: &[u8]| {
            <[u8; 32]>::try_from(bytes)
                .map_err(|error| Refusal::RequestMalformed.status(format!("a {what} has 32 bytes: {error}")))
        };
        Ok(Self {
            digest: field("batch digest", &request.batch_digest)?,
            submitter: field("submitter", &request.submitter)?,
            sequence: request.sequence,
            not_after: request.not_after,
        })
    }
}

impl Face {
    /// Where the batch stands now.
    pub(super) async fn outcome_of(&self, name: &BatchName) -> Result<OutcomeResponse, Status> {
        loop {
            let view = self.shared.view();
            let answer = self.outcome_in(name, &view).await?;
            // It may have left the pool for a block that this view does not know yet.
            let is_unknown = matches!(answer.state, Some(State::Unknown(_)));
            if !is_unknown || self.shared.view().ledger.height() == view.ledger.height() {
                return Ok(answer);
            }
        }
    }

    async fn outcome_in(&self, name: &BatchName, view: &View) -> Result<OutcomeResponse, Status> {
        let state = match self.place_of(name, view).await? {
            Some(placed) => match view.anchor.as_ref().filter(|anchor| anchor.height() >= placed.height) {
                Some(anchor) => State::Final(self.proven(&placed, anchor)?),
                None => State::Pending(BatchPending {}),
            },
            None => self.without_place(name, view),
        };
        Ok(answer(name, view.ledger.height(), state))
    }

    /// The batch's place, if its sequence was used up; refused when another batch did.
    async fn place_of(&self, name: &BatchName, view: &View) -> Result<Option<Placed>, Status> {
        let index = &self.shared.index;
        let first = index.sequences.first_leaf(&name.submitter, name.sequence);
        let first = first.map_err(|error| failed(&error))?;
        let Some(first_leaf) = first.filter(|leaf| *leaf < view.ledger.log().size()) else {
            return self.not_below_floor(name, view).map(|()| None);
        };
        let height =
            index.height_of_leaf(first_leaf, view.ledger.height()).map_err(|error| failed(&error))?;
        let lost = || Refusal::StoreFailed.status("the batch's place does not check; ask another validator");
        let height = height.ok_or_else(lost)?;
        let (bytes, outcomes, block_leaf) = self.stored(height).await?;
        let block = Block::decode(&bytes).map_err(|error| failed(&error))?;
        let is_it =
            |submitter: &[u8; 32], sequence| *submitter == name.submitter && sequence == name.sequence;
        let batch = block.batches.iter().find(|batch| is_it(batch.submitter(), batch.sequence()));
        let batch = batch.ok_or_else(lost)?;
        if *batch.digest() != name.digest {
            return Err(Refusal::SequenceConflict.status("another batch was recorded under this sequence"));
        }
        let start = first_leaf.checked_sub(block_leaf).and_then(|start| u32::try_from(start).ok());
        let start = start.ok_or_else(lost)?;
        let count = u32::try_from(batch.entry_count()).unwrap_or(u32::MAX);
        let outcomes: Vec<_> =
            (start..start.saturating_add(count)).filter_map(|i| outcomes.outcome(i)).collect();
        if outcomes.len() != batch.entry_count() {
            return Err(lost());
        }
        Ok(Some(Placed { height, time_ms: block.header().time_ms, first_leaf, outcomes }))
    }

    /// A batch from before this node's first block has no place here, though it has one.
    fn not_below_floor(&self, name: &BatchName, view: &View) -> Result<(), Status> {
        if self.shared.floor_height() == 0 {
            return Ok(());
        }
        let known = view.ledger.submission(&name.submitter, name.sequence, &name.digest);
        match known.map_err(|error| failed(&error))? {
            Submission::Recorded(_) => Err(self.below_floor("the batch")),
            Submission::Conflict => {
                Err(Refusal::SequenceConflict.status("another batch was recorded under this sequence"))
            }
            Submission::TooOld { .. } => Err(self.below_floor("a sequence that old")),
            Submission::New | Submission::TooFarAhead { .. } | Submission::Stranger => Ok(()),
        }
    }

    fn without_place(&self, name: &BatchName, view: &View) -> State {
        if name.not_after <= view.ledger.height() {
            let certified = view.anchor.as_ref().filter(|anchor| anchor.height() >= name.not_after);
            return certified
                .map_or(State::Pending(BatchPending {}), |anchor| State::Expired(expired(name, anchor)));
        }
        let waits = self.shared.pool().waits(&name.submitter, name.sequence, &name.digest);
        if waits { State::Pending(BatchPending {}) } else { State::Unknown(BatchUnknown {}) }
    }

    /// Says where the batch stands now and, once, how it ended. Ends then, or when the caller hangs up.
    pub(super) async fn watch(
        self,
        name: BatchName,
        sender: mpsc::Sender<Result<OutcomeResponse, Status>>,
        _slot: Slot,
    ) {
        // Waits before it looks, so that finality in between is not missed.
        let mut settled = self.shared.waiters().wait(name.digest, name.not_after);
        let now = self.outcome_of(&name).await;
        let ended = !matches!(&now, Ok(answer) if !is_settled(answer));
        if sender.send(now).await.is_err() || ended {
            return;
        }
        let mut stopping = self.stopping.clone();
        let settled = tokio::select! {
            settled = &mut settled => settled.ok(),
            () = sender.closed() => return,
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        let last = match settled {
            Some(Settled::Final(placed, anchor)) => {
                self.proven(&placed, &anchor).map(|fin| answer(&name, anchor.height(), State::Final(fin)))
            }
            // Its last height is final; the certificate that proves it may be one block away.
            Some(Settled::Expired) => self.expired_for_sure(&name).await,
            None => Err(Refusal::Stopping.status("the validator stops; ask another")),
        };
        let _gone = sender.send(last).await;
    }

    async fn expired_for_sure(&self, name: &BatchName) -> Result<OutcomeResponse, Status> {
        let (mut views, mut stopping) = (self.shared.view.subscribe(), self.stopping.clone());
        let covered =
            |view: &Arc<View>| view.anchor.as_ref().is_some_and(|anchor| anchor.height() >= name.not_after);
        let is_covered = async {
            let _closed = views.wait_for(covered).await.is_err();
        };
        let is_stopping = async {
            let _closed = stopping.wait_for(|stopping| *stopping).await.is_err();
        };
        tokio::select! {
            () = is_covered => {}
            () = is_stopping => {}
        }
        self.outcome_of(name).await
    }
}

fn is_settled(answer: &OutcomeResponse) -> bool {
    matches!(answer.state, Some(State::Final(_) | State::Expired(_)))
}

fn answer(name: &BatchName, height: u64, state: State) -> OutcomeResponse {
    OutcomeResponse { batch_digest: Bytes::copy_from_slice(&name.digest), height, state: Some(state) }
}

/// The submitter's window after the last height, in which the batch does not stand.
fn expired(name: &BatchName, anchor: &Anchor) -> BatchExpired {
    let key = layout::batch_key(&name.submitter, name.sequence);
    BatchExpired {
        state_proof: anchor.ledger.state().prove(&key).encode().into(),
        anchor: Some(anchor.to_proto()),
    }
}
