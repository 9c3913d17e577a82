//! Reading: records, blocks and state with proof, and the validators' own words.

use std::sync::Arc;

use bytes::Bytes;
use keyward_ledger_core::{
    block::{Block, SignedHeader},
    certificate::ValidatorSet,
    hash::Hash,
    receipt::StateReceipt,
    state::{StateProof, layout},
};
use keyward_proto::ledger::{
    self as proto, GetBlockRequest, GetRecordRequest, GetRecordResponse, GetStateRequest, GetStateResponse,
    RecordId, ScrubRequest, StatusRequest, get_record_request::By, ledger_client::LedgerClient,
};
use tokio_stream::Stream;
use tonic::{Status, transport::Channel};

use crate::{
    CertifiedHeader, Client, ClientError, ProofError, Recorded, describe,
    error::{may_ask_another, refused},
    following, in_time,
    proof::{Proven, hashes, leaf, malformed, prove_leaves},
};

pub(crate) type Rpc = LedgerClient<Channel>;

/// Blocks that an honest validator may lag behind what this client has seen.
pub const LAG_MAX: u64 = 64;

/// A block that is proven to be final, with its proven outcomes.
#[derive(Debug)]
pub struct VerifiedBlock {
    /// The block.
    pub block: Block,
    /// Its records, in the order of the log.
    pub records: Vec<Recorded>,
}

/// What stands under a state key.
#[derive(Debug)]
pub struct VerifiedState {
    /// The value, or `None` for proven absence.
    pub value: Option<Vec<u8>>,
    /// The height for which it holds.
    pub height: u64,
    /// The time of that block, in milliseconds since 1970.
    pub time_ms: u64,
    /// The state receipt's exact bytes.
    pub receipt: Vec<u8>,
}

impl Client {
    /// What the first validator that answers says of itself. Not proven.
    pub async fn status(&self) -> Result<crate::Status, ClientError> {
        self.ask(|mut rpc| async move { rpc.status(StatusRequest {}).await }, Ok).await
    }

    /// What each validator says of itself, with its address. Not proven.
    pub async fn statuses(&self) -> Vec<(String, Result<crate::Status, String>)> {
        let mut answers = Vec::new();
        for node in &self.0.nodes {
            let mut rpc = node.rpc.clone();
            let answer = in_time(self.0.deadline, node, rpc.status(StatusRequest {})).await;
            answers.push((node.address.clone(), answer));
        }
        answers
    }

    /// Asks every validator to read all that it stores again now. What it finds, its status says.
    pub async fn scrub(&self) -> Vec<(String, Result<(), String>)> {
        let mut answers = Vec::new();
        for node in &self.0.nodes {
            let mut rpc = node.rpc.clone();
            let answer = in_time(self.0.deadline, node, rpc.scrub(ScrubRequest {})).await;
            answers.push((node.address.clone(), answer.map(drop)));
        }
        answers
    }

    /// A record by its index in the log.
    pub async fn record(&self, leaf_index: u64) -> Result<Recorded, ClientError> {
        let found = |recorded: &Recorded| recorded.leaf_index == leaf_index;
        self.get_record(By::LeafIndex(leaf_index), found).await
    }

    /// A record by who submitted it.
    pub async fn record_by_id(
        &self,
        submitter: [u8; 32],
        sequence: u64,
        index: u32,
    ) -> Result<Recorded, ClientError> {
        let id = RecordId { submitter: Bytes::copy_from_slice(&submitter), sequence, index };
        let found = |recorded: &Recorded| {
            let record = recorded.record();
            (record.submitter, record.sequence, record.index) == (submitter, sequence, index)
        };
        self.get_record(By::Id(id), found).await
    }

    async fn get_record(&self, by: By, is_it: impl Fn(&Recorded) -> bool) -> Result<Recorded, ClientError> {
        let request = &GetRecordRequest { by: Some(by) };
        let check = |answer| match self.proven_record(answer) {
            Ok(recorded) if !is_it(&recorded) => Err(ProofError::Other { part: "record" }),
            checked => checked,
        };
        self.ask(|mut rpc| async move { rpc.get_record(request.clone()).await }, check).await
    }

    fn proven_record(&self, answer: GetRecordResponse) -> Result<Recorded, ProofError> {
        let header = self.0.checker.anchor(answer.anchor)?;
        let found = answer.record.ok_or(ProofError::Missing { part: "record" })?;
        let path = hashes("inclusion proof", &found.path)?;
        let leaf = found.leaf.to_vec();
        let record = header.block.record(&leaf, found.leaf_index, &path)?;
        self.saw(&header);
        Ok(Recorded::new(Proven { record, leaf, leaf_index: found.leaf_index, path }, header))
    }

    /// A block by its height, from 1.
    pub async fn block(&self, height: u64) -> Result<VerifiedBlock, ClientError> {
        let check = |answer: proto::Block| {
            let anchor = self.0.checker.anchor(answer.anchor.clone())?;
            self.proven_block(answer, height, &anchor)
        };
        self.ask(|mut rpc| async move { rpc.get_block(GetBlockRequest { height }).await }, check).await
    }

    pub(crate) fn proven_block(
        &self,
        answer: proto::Block,
        height: u64,
        anchor: &Arc<CertifiedHeader>,
    ) -> Result<VerifiedBlock, ProofError> {
        self.saw(anchor);
        let block = Block::decode(&answer.block).map_err(|error| {
            tracing::warn!(%error, "a validator sent bytes that are not a block");
            ProofError::Other { part: "block" }
        })?;
        if block.header().height != height {
            return Err(ProofError::Other { part: "height" });
        }
        descends(anchor, &answer.descendants, block.digest())?;
        let leaves = leaves(&block, &answer.outcomes)?;
        let records = if leaves.is_empty() {
            Vec::new()
        } else {
            prove_leaves(anchor, leaves, answer.first_leaf, &answer.range_proof)?
        };
        let records = records.into_iter().map(|proven| Recorded::new(proven, anchor.clone())).collect();
        Ok(VerifiedBlock { block, records })
    }

    /// Finalized blocks from a height on, each verified, without a gap and without a repeat. A validator that hangs up,
    /// says nothing or is not believed is left for the next; the stream ends with an error when none sends the next block.
    pub async fn follow(
        &self,
        from_height: u64,
    ) -> Result<impl Stream<Item = Result<VerifiedBlock, ClientError>> + use<>, ClientError> {
        following::blocks(self, from_height, |client, height, answer| {
            let anchor = client.0.checker.anchor(answer.anchor.clone())?;
            client.proven_block(answer, height, &anchor)
        })
        .await
    }

    /// What stands under a state key, or proof that nothing does. An answer that is far older than what this
    /// client has seen proven is not believed.
    pub async fn state(&self, key: &[u8]) -> Result<VerifiedState, ClientError> {
        self.state_from(self.preferred(), key).await
    }

    /// The same, asked of one validator first.
    pub(crate) async fn state_from(&self, first: usize, key: &[u8]) -> Result<VerifiedState, ClientError> {
        let request = &GetStateRequest { key: Bytes::copy_from_slice(key) };
        let call = |mut rpc: LedgerClient<Channel>| async move { rpc.get_state(request.clone()).await };
        self.ask_from(first, call, |answer| self.proven_state(key, answer)).await.map(|(state, _)| state)
    }

    fn proven_state(&self, key: &[u8], answer: GetStateResponse) -> Result<VerifiedState, ProofError> {
        let header = self.0.checker.anchor(answer.anchor)?;
        let (height, time_ms) = (header.block.header().height, header.block.header().time_ms);
        if height + LAG_MAX < self.height() {
            return Err(ProofError::Stale { height, seen: self.height() });
        }
        let proof = StateProof::decode(&answer.proof).map_err(malformed("state proof"))?;
        let value = header.block.state(key, &proof)?.map(<[u8]>::to_vec);
        self.saw(&header);
        let receipt = StateReceipt { key: key.to_vec(), proof, certified: header.certified.clone() }.encode();
        Ok(VerifiedState { value, height, time_ms, receipt })
    }

    /// The highest sequence of a submitter that the ledger knows; 0 before its first batch.
    pub async fn highest_sequence(&self, submitter: &[u8; 32]) -> Result<u64, ClientError> {
        let Some(value) = self.state(&layout::submitter_key(submitter)).await?.value else {
            // A validator submits with its own key, whether it did so before or not.
            let set = self.state(&layout::validators_key()).await?.value.unwrap_or_default();
            let set = ValidatorSet::decode(&set).map_err(malformed("validators"))?;
            if set.member(submitter).is_some() {
                return Ok(0);
            }
            let message = "this key is no submitter of the ledger; name it in genesis".to_owned();
            return Err(ClientError::Refused { code: "SUBMITTER_UNKNOWN".into(), message });
        };
        let state = layout::SubmitterState::decode(&value).map_err(malformed("submitter state"))?;
        Ok(state.highest)
    }

    /// Asks the validators in turn until one answers with what `check` believes.
    pub(crate) async fn ask<T, F, R>(
        &self,
        call: impl Fn(LedgerClient<Channel>) -> F,
        check: impl Fn(T) -> Result<R, ProofError>,
    ) -> Result<R, ClientError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        self.ask_from(self.preferred(), call, check).await.map(|(checked, _)| checked)
    }

    /// The same, beginning with one of them. Gives the one that answered too.
    pub(crate) async fn ask_from<T, F, R>(
        &self,
        first: usize,
        call: impl Fn(LedgerClient<Channel>) -> F,
        check: impl Fn(T) -> Result<R, ProofError>,
    ) -> Result<(R, usize), ClientError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let nodes: Vec<_> = self.nodes_from(first).map(|(index, node)| (index, node.clone())).collect();
        let (mut reasons, mut worst) = (Vec::new(), None);
        for (index, node) in &nodes {
            let answer = tokio::time::timeout(self.0.deadline, call(node.rpc.clone())).await;
            match answer.map(|answer| answer.map(|answer| check(answer.into_inner()))) {
                Ok(Ok(Ok(checked))) => {
                    self.prefer(*index);
                    return Ok((checked, *index));
                }
                Ok(Ok(Err(error))) => {
                    tracing::warn!(%error, node = node.address, "a validator's answer is not believed");
                    worst = Some(ClientError::Unproven(error));
                }
                Ok(Err(status)) if may_ask_another(&status) => reasons.push(describe(node, &status)),
                // A refusal carries no proof, and this validator may only lag behind: hear the others.
                Ok(Err(status)) => worst = worst.or(Some(refused(&status))),
                Err(_elapsed) => reasons.push(format!("{}: no answer in time", node.address)),
            }
        }
        Err(worst.unwrap_or(ClientError::Unreachable { reasons: reasons.join("; ") }))
    }
}

/// Whether the headers lead from a block up to the certified one, each naming the one below.
fn descends(anchor: &CertifiedHeader, descendants: &[Bytes], block: &Hash) -> Result<(), ProofError> {
    let mut below = *block;
    for bytes in descendants {
        let header = SignedHeader::decode(bytes).map_err(malformed("descendants"))?;
        if header.header.parent != below {
            return Err(ProofError::Other { part: "chain of headers" });
        }
        below = header.digest();
    }
    if below == *anchor.block.digest() { Ok(()) } else { Err(ProofError::Other { part: "chain of headers" }) }
}

/// The leaf data of a block's records.
fn leaves(block: &Block, outcomes: &[Bytes]) -> Result<Vec<Vec<u8>>, ProofError> {
    let mut outcomes = outcomes.iter();
    let mut leaves = Vec::new();
    for batch in &block.batches {
        for (index, entry) in (0..).zip(batch.entries()) {
            let outcome = outcomes.next().ok_or(ProofError::Missing { part: "outcomes" })?;
            let header = block.header();
            let place = (batch.submitter(), batch.sequence(), index);
            leaves.push(leaf(header.height, header.time_ms, place, entry, outcome)?);
        }
    }
    if outcomes.next().is_some() {
        return Err(ProofError::Other { part: "number of outcomes" });
    }
    Ok(leaves)
}
