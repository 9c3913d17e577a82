//! Clients: each hands in batches one after another, tries another node without an answer, verifies every answer,
//! and reads what it may.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::{Batch, SignedBatch},
    block::SignedHeader,
    certificate::{Certificate, ValidatorSet},
    ed25519::SigningKey,
    entry::Entry,
    hash::Hash,
    log::{leaf_hash, verify_range},
    outcome::Outcome,
    record::Record as LedgerRecord,
    state::StateProof,
};
use keyward_ledger_simulation::{Dice, Runtime, Task};
use keyward_proto::ledger::{self as proto, ledger_server::Ledger as _};
use tokio::sync::oneshot;
use tonic::Request;

use crate::CODE_TRAILER;

use super::{
    history::{Acknowledged, Got, key_of},
    member::{Live, Member, Record, lock},
};

/// How long a client waits for a node.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a client is told that another batch has its sequence before it believes it.
const CONFLICTS_MAX: u64 = 6;
/// How often a client asks for an account until somebody is as far as it is itself.
const READS_MAX: u64 = 12;
/// Accounts that all clients open and close against each other.
const ACCOUNTS: u64 = 12;

pub(super) struct Client {
    pub(super) key: SigningKey,
    pub(super) members: Vec<Arc<Member>>,
    pub(super) set: Arc<ValidatorSet>,
    pub(super) chain_id: Hash,
    pub(super) dice: Dice,
    pub(super) record: Record,
    pub(super) runtime: Runtime,
    /// The newest batch that is final: when it was handed in, and its height.
    pub(super) latest: Option<(Duration, u64)>,
}

fn account(number: u64) -> Hash {
    let mut account = [0xac; 32];
    account[..8].copy_from_slice(&number.to_be_bytes());
    account
}

impl Client {
    /// Goes on until it is aborted.
    pub(super) fn start(mut self) -> Task {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            for sequence in 1.. {
                let batch = self.batch(sequence);
                if self.dice.once_in(12) {
                    let rival = self.batch(sequence);
                    self.hand_in_beside(rival).await;
                }
                self.submit(batch).await;
                if self.dice.once_in(3) {
                    self.read().await;
                }
                let pause = Duration::from_millis(self.dice.below(120));
                self.runtime.sleep(pause).await;
            }
        })
    }

    fn batch(&mut self, sequence: u64) -> SignedBatch {
        let count = 1 + self.dice.below(4);
        let entries = (0..count).map(|_| {
            let account = account(self.dice.below(ACCOUNTS));
            match self.dice.below(3) {
                0 => Entry::Note(self.dice.next().to_be_bytes().to_vec()),
                1 => Entry::CloseAccount { account },
                _ => Entry::OpenAccount { account },
            }
        });
        let entries = entries.map(|entry| entry.encode()).collect();
        Batch { chain_id: self.chain_id, sequence, not_after: u64::MAX, entries }.sign(&self.key).unwrap()
    }

    /// Hands a batch in somewhere; nobody waits for the answer.
    async fn hand_in_beside(&mut self, batch: SignedBatch) {
        let Some(Live { face, runtime, .. }) = self.anybody().await else { return };
        let request = proto::SubmitRequest { batch: Bytes::copy_from_slice(batch.bytes()), wait: true };
        runtime.spawn(async move { drop(face.submit(Request::new(request)).await) });
    }

    /// Hands a batch in until it is final, at one node after another, sometimes at two at once; or until it is clear
    /// that another one has its sequence.
    async fn submit(&mut self, batch: SignedBatch) {
        let invoked = self.runtime.now();
        let mut conflicts = 0;
        let request = proto::SubmitRequest { batch: Bytes::copy_from_slice(batch.bytes()), wait: true };
        loop {
            let Some(live) = self.anybody().await else { continue };
            if self.dice.once_in(4) {
                self.hand_in_beside(batch.clone()).await;
            }
            let (Live { face, runtime, .. }, request) = (live, request.clone());
            let answer = self.ask(&runtime, async move { face.submit(Request::new(request)).await }).await;
            if let Some(Err(refused)) = &answer
                && refused.metadata().get(CODE_TRAILER).is_some_and(|code| code == "SEQUENCE_CONFLICT")
            {
                conflicts += 1;
                if conflicts > CONFLICTS_MAX {
                    lock(&self.record).conflicts += 1;
                    return;
                }
            }
            let Some(Ok(answer)) = answer else {
                self.runtime.sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Some(fin) = answer.into_inner().r#final else { continue };
            let answered = self.runtime.now();
            match self.verified(&batch, fin) {
                Ok((height, first_leaf, outcomes)) => {
                    let batch = batch.clone();
                    let acknowledged =
                        Acknowledged { invoked, answered, batch, height, first_leaf, outcomes };
                    lock(&self.record).acknowledged.push(acknowledged);
                    self.latest = Some((invoked, height));
                    return;
                }
                Err(reason) => lock(&self.record).unproven.push(reason),
            }
        }
    }

    /// Reads an account at any node that holds the newest batch of this client. That batch and the read are one
    /// operation: everything that was answered before it began stands before it, so what is read is not old.
    async fn read(&mut self) {
        let Some((invoked, height)) = self.latest.take() else { return };
        let account = account(self.dice.below(ACCOUNTS));
        for _ in 0..READS_MAX {
            let Some(Live { face, runtime, .. }) = self.anybody().await else { continue };
            // Who may read is decided by a certificate, before this.
            let answer = self.ask(&runtime, async move { face.state(&key_of(&account)).await }).await;
            let answered = self.runtime.now();
            match answer.and_then(Result::ok).map(|answer| self.proven_state(&account, &answer)) {
                Some(Ok((at, value))) if at >= height => {
                    let got = Got { invoked, answered, account, height: at, value };
                    lock(&self.record).got.push(got);
                    return;
                }
                Some(Err(reason)) => lock(&self.record).unproven.push(reason),
                Some(Ok(_)) | None => self.runtime.sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// One of the nodes that run and have certified something since they started.
    async fn anybody(&mut self) -> Option<Live> {
        let live = self.members.iter().filter_map(|member| member.live());
        let live: Vec<Live> = live.filter(|live| live.shared.view().anchor.is_some()).collect();
        if live.is_empty() {
            self.runtime.sleep(Duration::from_millis(200)).await;
            return None;
        }
        Some(self.dice.one(&live))
    }

    /// Runs a call within the node, so that it ends with the node and holds nothing of it afterwards; `None`
    /// without an answer.
    async fn ask<T: Send + 'static>(
        &self,
        node: &Runtime,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let task = node.spawn(async move { drop(sender.send(call.await)) });
        let answer = tokio::select! {
            biased;
            answer = answer => answer.ok(),
            () = self.runtime.sleep(PATIENCE) => None,
        };
        task.abort();
        answer
    }

    fn certified(&self, anchor: Option<&proto::Anchor>) -> Result<SignedHeader, String> {
        let anchor = anchor.ok_or("no anchor")?;
        let header = SignedHeader::decode(&anchor.header).map_err(|error| error.to_string())?;
        let certificate = Certificate::decode(&anchor.certificate).map_err(|error| error.to_string())?;
        self.set.verify(&self.chain_id, &certificate).map_err(|error| error.to_string())?;
        if certificate.block_digest != header.digest() {
            return Err("the certificate is over another header".into());
        }
        Ok(header)
    }

    fn verified(
        &self,
        batch: &SignedBatch,
        fin: proto::BatchFinal,
    ) -> Result<(u64, u64, Vec<Outcome>), String> {
        let header = self.certified(fin.anchor.as_ref())?.header;
        let outcomes: Result<Vec<_>, _> = fin.outcomes.iter().map(|bytes| Outcome::decode(bytes)).collect();
        let outcomes = outcomes.map_err(|error| error.to_string())?;
        if outcomes.len() != batch.entry_count() {
            return Err("not one outcome for each entry".into());
        }
        let leaves = (0..).zip(batch.entries()).zip(&outcomes).map(|((index, entry), outcome)| {
            let record = LedgerRecord {
                height: fin.height,
                time_ms: fin.time_ms,
                submitter: *batch.submitter(),
                sequence: batch.sequence(),
                index,
                entry: entry.to_vec(),
                outcome: outcome.clone(),
            };
            leaf_hash(&record.encode())
        });
        let leaves: Vec<Hash> = leaves.collect();
        let proof: Result<Vec<Hash>, _> = fin.range_proof.iter().map(|hash| hash[..].try_into()).collect();
        let proof = proof.map_err(|_| "a hash has another length")?;
        verify_range(&leaves, fin.first_leaf, header.log_size, &proof, &header.log_root)
            .map_err(|error| error.to_string())?;
        Ok((fin.height, fin.first_leaf, outcomes))
    }

    fn proven_state(
        &self,
        account: &Hash,
        answer: &proto::GetStateResponse,
    ) -> Result<(u64, Option<Vec<u8>>), String> {
        let header = self.certified(answer.anchor.as_ref())?.header;
        let proof = StateProof::decode(&answer.proof).map_err(|error| error.to_string())?;
        let value = proof.verify(&key_of(account), &header.state_root).map_err(|error| error.to_string())?;
        if value != answer.value.as_deref() {
            return Err("the value is not the proven one".into());
        }
        Ok((header.height, value.map(<[u8]>::to_vec)))
    }
}
