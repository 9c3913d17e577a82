//! A submitter that is not heard says so: when the ledger makes block after block without its batch, it signs a complaint
//! and gives it to every validator, since one that passes over the batch passes over the complaint too. Enough of them end
//! the fast regime.

use std::time::Duration;

use bytes::Bytes;
use keyward_ledger_core::{
    batch::SignedBatch,
    contracts::regime::complaint_message,
    ed25519::SigningKey,
    entry::{Complaint, ComplaintKind, Entry},
    genesis::Role,
    state::layout::{BatchState, SubmitterState, batch_key, submitter_key},
};
use keyward_proto::ledger::{SubmitRequest, SubmitResponse};
use tokio::task::JoinSet;

use crate::{Client, ClientError, in_time, proof::malformed};

/// Blocks that are made final without a batch, after it was not final in time, before its submitter complains: a leader
/// that serves submitters in turn has taken it by then, also under load.
pub const UNHEARD_BLOCKS: u64 = 16;
/// Time between two looks at the ledger.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1_000 });
/// Looks without an answer, after which the validators are unreachable rather than deaf.
const SILENT_LOOKS_MAX: u32 = 10;

/// A batch that was not final in time.
#[derive(Clone, Debug)]
pub(crate) struct Late(pub(crate) SignedBatch);

impl Late {
    /// Waits until it is proven that the ledger goes on without the batch, though validators take it in, and gives the
    /// height; `None` if nobody takes it in, it is recorded, can no longer be, or its submitter has nothing to complain of.
    pub(crate) async fn passed_over(self, client: Client) -> Option<(Self, u64)> {
        let (mut first, mut looks, mut silent) = (0, 0, 0);
        for turn in 0.. {
            if silent >= SILENT_LOOKS_MAX {
                break;
            }
            // Handed in again each time: a validator that was started again has forgotten what waited.
            let takers = client.spread(&self.0).await;
            // Each asked in turn: one alone may show an old state again and again.
            match self.proven(&client, turn).await {
                Ok(None) => return None,
                Ok(Some(height)) if takers > client.liars_max() => {
                    (looks, silent) = (looks + 1, 0);
                    // Blocks count from the newest that is shown to one look more than validators may lie.
                    if looks <= client.liars_max() + 1 {
                        first = client.height();
                    } else if height >= first + UNHEARD_BLOCKS {
                        return Some((self, height));
                    }
                }
                // Where every pool is full, the ledger has too much to do, and is not deaf.
                Ok(Some(_)) => (looks, silent) = (0, silent + 1),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "no word of a late batch");
                    silent += 1;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    /// The height at which the batch was not recorded yet, though it still may be, asked of one validator first.
    async fn proven(&self, client: &Client, turn: usize) -> Result<Option<u64>, ClientError> {
        let (author, sequence) = (self.0.submitter(), self.0.sequence());
        let submitter = client.state_from(turn, &submitter_key(author)).await?.value;
        let submitter = submitter.map(|value| SubmitterState::decode(&value)).transpose();
        // Validators have complaints of their own.
        let submits = |state: SubmitterState| state.role != Role::Member && state.block_entries_max > 0;
        if !submitter.map_err(malformed("submitter state"))?.is_some_and(submits) {
            return Ok(None);
        }
        let slot = client.state_from(turn, &batch_key(author, sequence)).await?;
        let taken = slot.value.map(|value| BatchState::decode(&value)).transpose();
        let taken = taken.map_err(malformed("batch state"))?.is_some_and(|slot| slot.sequence >= sequence);
        Ok((!taken && slot.height < self.0.not_after()).then_some(slot.height))
    }

    /// What the submitter signs about the batch at a height.
    pub(crate) fn complaint(&self, client: &Client, key: &SigningKey, height: u64) -> Entry {
        let mut complaint = Complaint {
            kind: ComplaintKind::Unheard,
            author: *self.0.submitter(),
            epoch: client.epoch_of(height + 1),
            number: self.0.sequence(),
            hash: *self.0.digest(),
            signature: [0; 64],
        };
        complaint.signature = key.sign(&complaint_message(&client.chain_id(), &complaint));
        Entry::Complaint(complaint)
    }
}

impl Client {
    /// The epoch of a height.
    pub(crate) fn epoch_of(&self, height: u64) -> u64 {
        height.checked_div(self.genesis().document().epoch_length).unwrap_or(0)
    }

    /// Gives a batch to every validator and waits for none to make it final. Gives how many say that they took it.
    pub async fn spread(&self, batch: &SignedBatch) -> usize {
        let mut calls = JoinSet::new();
        for node in self.0.nodes.clone() {
            let request = SubmitRequest { batch: Bytes::copy_from_slice(batch.bytes()), wait: false };
            let deadline = self.0.deadline;
            calls.spawn(async move {
                let mut rpc = node.rpc.clone();
                in_time(deadline, &node, rpc.submit(request)).await
            });
        }
        let took = |answer: &Result<SubmitResponse, String>| {
            answer.as_ref().is_ok_and(|answer| answer.batch_digest == batch.digest()[..])
        };
        calls.join_all().await.iter().filter(|answer| took(answer)).count()
    }
}

#[cfg(test)]
mod tests;
