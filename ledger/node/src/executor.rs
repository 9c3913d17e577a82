//! Executes blocks on one thread: proposals, votes and what is final, each on the ledger of its parent.
//!
//! Every unfinalised block has its own ledger here; only finalized blocks have effects. A finalized block
//! that execution does not agree with ends the process: a node must stop rather than diverge.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::BATCH_BYTES_MAX,
    block::{Block, SignedHeader},
    certificate::{Certificate, Signer},
    ed25519::SigningKey,
    execute::{BlockLimits, Executed, Ledger},
    hash::Hash,
};
use keyward_ledger_engine as engine;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use crate::{
    DISK_REMEDY,
    alarms::{Alarm, Code},
    machine::Machine,
    pool::Verdict,
    repair,
    shared::{Anchor, Placed, Settled, Shared, View},
    snapshot::{self, Snapshot},
};

/// The process's exit code when execution and the finalized chain disagree.
pub const EXIT_CODE_DIVERGED: i32 = 71;
/// Unfinalised blocks that are kept executed.
const PENDING_MAX: usize = 256;
/// Finalized ledgers that are kept, to anchor a certificate that comes late.
const RECENT_MAX: usize = 64;
/// Records between snapshots.
const SNAPSHOT_RECORDS: u64 = 200_000;
/// Bytes of batches in one proposal: above the longest batch, and what validators pass on within milliseconds.
const PROPOSAL_BYTES: usize = 2 << 20;
const _: () = assert!(PROPOSAL_BYTES > BATCH_BYTES_MAX + 4, "every batch must fit into a proposal");

/// Blocks between two looks for batches in the pool that can never enter a block any more.
const POOL_SWEEP_BLOCKS: u64 = 16;

/// What the executor is asked for.
pub(crate) enum Job {
    Propose {
        parent: engine::Block,
        ancestors: Vec<engine::Block>,
        reply: oneshot::Sender<Answer<Option<Proposed>>>,
    },
    Verify {
        parent: engine::Block,
        block: engine::Block,
        ancestors: Vec<engine::Block>,
        reply: oneshot::Sender<Answer<bool>>,
    },
    Finalized {
        block: engine::Block,
        reply: oneshot::Sender<()>,
    },
    Certificate {
        height: u64,
        certificate: engine::Certificate,
    },
    Stop,
}

/// A block to propose.
pub(crate) struct Proposed {
    pub(crate) bytes: Bytes,
    pub(crate) entries: usize,
}

/// An answer, or the wish for the blocks between the parent and the finalized ones.
pub(crate) enum Answer<T> {
    Done(T),
    AncestorsNeeded,
}

/// An executed block that is not final.
struct Pending {
    signed_header: SignedHeader,
    executed: Executed,
}

pub(crate) struct Executor {
    shared: Arc<Shared>,
    key: SigningKey,
    machine: Machine,
    snapshots: PathBuf,
    epoch_length: u64,
    ledger: Ledger,
    pending: BTreeMap<Hash, Pending>,
    recent: BTreeMap<u64, (SignedHeader, Ledger)>,
    anchor: Option<Arc<Anchor>>,
    /// Certificates over blocks that are not executed as final yet.
    certificates: BTreeMap<u64, Certificate>,
    /// Batches that are final and wait for a certified header above them.
    settled: Vec<(Hash, Placed)>,
    snapshot_height: u64,
    snapshot_records: u64,
}

impl Executor {
    /// Starts after a snapshot or genesis and executes the finalized blocks that follow it in the store.
    pub(crate) fn recover(
        shared: Arc<Shared>,
        key: SigningKey,
        machine: Machine,
        snapshots: PathBuf,
        start: Snapshot,
    ) -> Result<Self, RecoverError> {
        let began = machine.timer.now();
        let (from, records) = (start.ledger.height(), start.ledger.log().size());
        let epoch_length = shared.genesis.document().epoch_length;
        let mut executor = Self {
            shared,
            key,
            machine,
            snapshots,
            epoch_length,
            ledger: start.ledger.clone(),
            pending: BTreeMap::new(),
            recent: BTreeMap::from([(from, (start.signed_header, start.ledger))]),
            anchor: None,
            certificates: BTreeMap::new(),
            settled: Vec::new(),
            snapshot_height: from,
            snapshot_records: records,
        };
        executor.replay()?;
        executor.anchor_from_store()?;
        executor.publish();
        let (height, records) = (executor.ledger.height(), executor.ledger.log().size());
        info!(
            height,
            records,
            replayed = height - from,
            ms = executor.machine.timer.now().saturating_sub(began).as_millis(),
            "ledger recovered"
        );
        Ok(executor)
    }

    fn replay(&mut self) -> Result<(), RecoverError> {
        loop {
            let height = self.ledger.height() + 1;
            // A damaged block counts as missing: the engine fetches it from the others.
            let Some(bytes) = repair::stored(&self.shared, height) else { return Ok(()) };
            let block = Block::decode(&bytes).map_err(|source| RecoverError::Block { height, source })?;
            let executed =
                self.ledger.replay(&block).map_err(|source| RecoverError::Refused { height, source })?;
            self.take_effect(block.signed_header, executed)?;
        }
    }

    fn anchor_from_store(&mut self) -> Result<(), RecoverError> {
        for height in self.recent.keys().copied().rev().collect::<Vec<_>>() {
            if let Some(certificate) = self.shared.blocks.certificate(height)? {
                self.certificates.insert(height, convert(certificate));
                self.advance_anchor();
                break;
            }
        }
        Ok(())
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            if !self.work(job) {
                break;
            }
        }
        if let Some(anchor) = self.anchor.clone()
            && anchor.height() > self.snapshot_height
        {
            self.write_snapshot(&anchor).map(JoinHandle::join);
        }
    }

    /// Does one job; `false` when it was told to stop.
    pub(crate) fn work(&mut self, job: Job) -> bool {
        match job {
            Job::Propose { parent, ancestors, reply } => {
                let _gone = reply.send(self.propose(&parent, &ancestors));
            }
            Job::Verify { parent, block, ancestors, reply } => {
                let _gone = reply.send(self.verify(&parent, &block, &ancestors));
            }
            Job::Finalized { block, reply } => {
                self.finalize(&block);
                let _gone = reply.send(());
            }
            Job::Certificate { height, certificate } => {
                self.certificates.insert(height, convert(certificate));
                self.advance_anchor();
            }
            Job::Stop => return false,
        }
        true
    }

    fn propose(&mut self, parent: &engine::Block, ancestors: &[engine::Block]) -> Answer<Option<Proposed>> {
        let Some(ledger) = self.ledger_at(parent, ancestors) else { return Answer::AncestorsNeeded };
        let candidates = self.shared.pool().select(PROPOSAL_BYTES, |batch| match ledger.check_batch(batch) {
            Ok(()) => Verdict::Take,
            Err(_not_now) => Verdict::Leave,
        });
        match ledger.propose((self.machine.clock)(), &candidates, &BlockLimits::default(), &self.key) {
            Ok(proposal) => {
                let bytes = Bytes::from(proposal.block.encode());
                let entries = proposal.executed.leaf_hashes.len();
                self.remember(proposal.block.signed_header, proposal.executed);
                Answer::Done(Some(Proposed { bytes, entries }))
            }
            Err(broken) => stop(&broken),
        }
    }

    fn verify(
        &mut self,
        parent: &engine::Block,
        block: &engine::Block,
        ancestors: &[engine::Block],
    ) -> Answer<bool> {
        if self.pending.contains_key(&block.digest) || *self.ledger.tip() == block.digest {
            return Answer::Done(true);
        }
        let Some(ledger) = self.ledger_at(parent, ancestors) else { return Answer::AncestorsNeeded };
        match self.check(&ledger, block) {
            Ok((signed_header, executed)) => {
                self.remember(signed_header, executed);
                Answer::Done(true)
            }
            Err(reason) => {
                warn!(height = block.height, %reason, "a proposal is refused");
                Answer::Done(false)
            }
        }
    }

    fn check(&self, ledger: &Ledger, block: &engine::Block) -> Result<(SignedHeader, Executed), String> {
        let block = Block::decode(&block.bytes).map_err(|error| chain(&error))?;
        ledger.check_clock(block.header(), (self.machine.clock)()).map_err(|error| chain(&error))?;
        let batches = {
            let pool = self.shared.pool();
            let known: Vec<bool> = block.batches.iter().map(|batch| pool.holds(batch.id())).collect();
            drop(pool);
            let mut known = known.into_iter();
            block.verify_batches(|_| known.next().unwrap_or(false)).map_err(|error| chain(&error))?
        };
        match ledger.validate(&block, &batches) {
            Ok(executed) => Ok((block.signed_header, executed)),
            Err(keyward_ledger_core::execute::BlockRefusal::StateBroken(broken)) => stop(&broken),
            Err(refusal) => Err(chain(&refusal)),
        }
    }

    /// The ledger after `block`, executing the unfinalised blocks below it where they are not yet.
    fn ledger_at(&mut self, block: &engine::Block, ancestors: &[engine::Block]) -> Option<Ledger> {
        if let Some(ledger) = self.known_ledger(&block.digest) {
            return Some(ledger);
        }
        let mut missing = vec![block];
        let mut ledger = None;
        for ancestor in ancestors {
            ledger = self.known_ledger(&ancestor.digest);
            if ledger.is_some() {
                break;
            }
            missing.push(ancestor);
        }
        let mut ledger = ledger?;
        for block in missing.into_iter().rev() {
            // Ancestors are certified: a quorum verified them, but an overlay is only made of what executes.
            let decoded = Block::decode(&block.bytes).ok()?;
            let batches = decoded.verify_batches(|_| false).ok()?;
            let executed = ledger.validate(&decoded, &batches).ok()?;
            ledger = executed.ledger.clone();
            self.remember(decoded.signed_header, executed);
        }
        Some(ledger)
    }

    fn known_ledger(&self, digest: &Hash) -> Option<Ledger> {
        if self.ledger.tip() == digest {
            return Some(self.ledger.clone());
        }
        self.pending.get(digest).map(|pending| pending.executed.ledger.clone())
    }

    fn remember(&mut self, signed_header: SignedHeader, executed: Executed) {
        if self.pending.len() >= PENDING_MAX {
            let lowest = self
                .pending
                .iter()
                .min_by_key(|(_, p)| p.executed.ledger.height())
                .map(|(digest, _)| *digest);
            lowest.map(|digest| self.pending.remove(&digest));
        }
        self.shared.in_flight().extend(executed.batches.iter().map(|result| *result.batch.id()));
        self.pending.insert(*executed.ledger.tip(), Pending { signed_header, executed });
    }

    fn finalize(&mut self, block: &engine::Block) {
        if block.height <= self.ledger.height() {
            return;
        }
        let (signed_header, executed) = match self.pending.remove(&block.digest) {
            Some(pending) => (pending.signed_header, pending.executed),
            None => match Block::decode(&block.bytes).map_err(|error| chain(&error)).and_then(|decoded| {
                let executed = self.ledger.replay(&decoded).map_err(|error| chain(&error))?;
                Ok((decoded.signed_header, executed))
            }) {
                Ok(executed) => executed,
                Err(reason) => stop(&io::Error::other(format!("finalized block {}: {reason}", block.height))),
            },
        };
        let batches: Vec<_> = executed.batches.iter().map(|result| result.batch.clone()).collect();
        let placed: Vec<_> = executed
            .batches
            .iter()
            .map(|result| Placed {
                height: executed.ledger.height(),
                time_ms: executed.ledger.time_ms(),
                first_leaf: result.first_leaf,
                outcomes: result.outcomes.clone(),
            })
            .collect();
        if let Err(error) = self.take_effect(signed_header, executed) {
            give_up(&error);
        }
        self.forget_below();
        // Published first: whoever starts to wait after the look at the waiters below finds the batch here.
        self.publish();
        self.leave_pool(&batches, placed);
        self.advance_anchor();
    }

    /// Writes the derived files and moves the ledger on. Blocks are durable already, so a crash in between
    /// executes this block again.
    fn take_effect(&mut self, signed_header: SignedHeader, executed: Executed) -> Result<(), io::Error> {
        let index = &self.shared.index;
        let height = executed.ledger.height();
        index.write(height, self.ledger.log(), &executed.leaf_hashes, &executed.outcomes().encode())?;
        for result in &executed.batches {
            index.sequences.write(result.batch.submitter(), result.batch.sequence(), result.first_leaf)?;
        }
        let (time_ms, ids) = (executed.ledger.time_ms(), executed.leaf_hashes);
        self.shared.lookup.hand_over(height, time_ms, executed.batches, ids);
        self.ledger = executed.ledger;
        self.recent.insert(height, (signed_header, self.ledger.clone()));
        while self.recent.len() > RECENT_MAX {
            self.recent.pop_first();
        }
        Ok(())
    }

    fn forget_below(&mut self) {
        let height = self.ledger.height();
        self.pending.retain(|_, pending| pending.executed.ledger.height() > height);
        let ids =
            self.pending.values().flat_map(|p| p.executed.batches.iter().map(|result| *result.batch.id()));
        *self.shared.in_flight() = ids.collect();
    }

    fn leave_pool(&mut self, batches: &[keyward_ledger_core::batch::SignedBatch], placed: Vec<Placed>) {
        let height = self.ledger.height();
        let expired = {
            let mut pool = self.shared.pool();
            for batch in batches {
                pool.remove(batch.submitter(), batch.sequence());
            }
            if height.is_multiple_of(POOL_SWEEP_BLOCKS) {
                // A batch that came in while its block became final.
                pool.retain(|batch| {
                    self.ledger.check_batch(batch).map_or_else(|refusal| refusal.may_pass_later(), |()| true)
                });
            }
            pool.expire(height)
        };
        if !expired.is_empty() {
            debug!(count = expired.len(), height, "batches expired in the pool");
        }
        let mut waiters = self.shared.waiters();
        for (batch, placed) in batches.iter().zip(placed) {
            if waiters.is_awaited(batch.digest()) {
                self.settled.push((*batch.digest(), placed));
            }
        }
        waiters.expire(height, |digest| self.settled.iter().any(|(settled, _)| settled == digest));
    }

    /// Anchors at the highest certificate over a finalized block, and answers those who waited for it.
    fn advance_anchor(&mut self) {
        let height = self.ledger.height();
        let later = self.certificates.split_off(&(height + 1));
        let found = std::mem::replace(&mut self.certificates, later).pop_last();
        let Some((height, certificate)) = found else { return };
        if self.anchor.as_ref().is_some_and(|anchor| anchor.height() >= height) {
            return;
        }
        let Some((header, ledger)) = self.recent.get(&height) else { return };
        if certificate.block_digest != *ledger.tip() {
            stop(&io::Error::other(format!("the certificate at height {height} is over another block")));
        }
        let set_hash = &header.header.set_hash;
        let links = match self.shared.links.below(height, set_hash, ledger, &self.shared.blocks) {
            Ok(links) => links,
            Err(error) => {
                warn!(
                    error = chain(&error),
                    height,
                    "alarm: a change of the validators cannot be shown; nothing newer is served with proof"
                );
                return;
            }
        };
        let anchor = Anchor { header: header.clone(), certificate, ledger: ledger.clone(), links };
        let anchor = Arc::new(anchor);
        self.anchor = Some(anchor.clone());
        // Published first: whoever is answered below finds here what the answer says.
        self.publish();
        self.settle(&anchor);
        self.snapshot_when_due(&anchor);
    }

    fn settle(&mut self, anchor: &Arc<Anchor>) {
        if self.settled.is_empty() {
            return;
        }
        let height = anchor.height();
        let (now, later) =
            std::mem::take(&mut self.settled).into_iter().partition(|(_, placed)| placed.height <= height);
        self.settled = later;
        let now: Vec<(Hash, Placed)> = now;
        let mut waiters = self.shared.waiters();
        for (digest, placed) in now {
            waiters.settle(&digest, &Settled::Final(placed, anchor.clone()));
        }
    }

    fn snapshot_when_due(&mut self, anchor: &Anchor) {
        let (height, records) = (anchor.height(), anchor.header.header.log_size);
        let every = self.shared.snapshot_blocks;
        let (blocks, records) =
            (height.saturating_sub(self.snapshot_height), records.saturating_sub(self.snapshot_records));
        // At the end of an epoch one serves others too, so those are preferred: somewhat earlier, or somewhat later.
        let (blocks_due, records_due) = match snapshot::ends_epoch(height, self.epoch_length) {
            true => (every / 2, SNAPSHOT_RECORDS / 2),
            false => (every + every / 2, SNAPSHOT_RECORDS + SNAPSHOT_RECORDS / 2),
        };
        let wanted = self.shared.snapshot_wanted.swap(false, Ordering::Relaxed);
        if wanted || blocks >= blocks_due.max(1) || records >= records_due {
            self.write_snapshot(anchor);
        }
    }

    fn write_snapshot(&mut self, anchor: &Anchor) -> Option<JoinHandle<()>> {
        let snapshot = Snapshot { signed_header: anchor.header.clone(), ledger: anchor.ledger.clone() };
        (self.snapshot_height, self.snapshot_records) =
            (snapshot.ledger.height(), snapshot.ledger.log().size());
        let (shared, dir, length) = (self.shared.clone(), self.snapshots.clone(), self.epoch_length);
        // The ledger is persistent, so it can be written while execution goes on. Derived files first.
        let write = move || {
            if let Err(error) = shared.index.sync().and_then(|()| snapshot::write(&dir, &snapshot, length)) {
                let text = format!("a snapshot cannot be written, so a start executes more blocks: {error}");
                shared.alarms.raise(Alarm::new(Code::DiskFailed, text));
            }
        };
        let begun = (self.machine.begin)(Box::new(write));
        begun.inspect_err(|error| warn!(%error, "alarm: no thread for a snapshot")).ok().flatten()
    }

    fn publish(&self) {
        self.shared
            .view
            .send_replace(Arc::new(View { ledger: self.ledger.clone(), anchor: self.anchor.clone() }));
    }
}

/// Why the ledger could not be recovered from its files.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A derived file failed.
    #[error("a derived file of the ledger failed")]
    Io(#[from] io::Error),
    /// The block store failed.
    #[error("the block store failed")]
    Store(#[from] engine::StoreError),
    /// A stored block does not read.
    #[error("the stored block at height `{height}` does not read")]
    Block {
        /// The height.
        height: u64,
        /// The cause.
        #[source]
        source: keyward_ledger_core::block::BlockError,
    },
    /// A stored block does not follow from the ones before it.
    #[error("the stored block at height `{height}` does not follow from the ones before it")]
    Refused {
        /// The height.
        height: u64,
        /// The cause.
        #[source]
        source: keyward_ledger_core::execute::BlockRefusal,
    },
}

pub(crate) fn convert(certificate: engine::Certificate) -> Certificate {
    let signers =
        certificate.signers.into_iter().map(|(index, signature)| Signer { index, signature }).collect();
    Certificate {
        epoch: certificate.epoch,
        view: certificate.view,
        parent_view: certificate.parent_view,
        block_digest: certificate.digest,
        signers,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A disk that takes no writes, as a panic carries it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskGaveUp;

/// Derived files cannot be written: the blocks are durable, and executed again at the next start.
fn give_up(error: &io::Error) -> ! {
    let error = chain(error);
    error!(
        error,
        "alarm: the disk does not take what is written; this node has stopped voting and ends: {DISK_REMEDY}"
    );
    std::panic::resume_unwind(Box::new(DiskGaveUp))
}

/// A broken invariant, as a panic carries it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Diverged;

/// A broken invariant: nothing that this node says from now on could be trusted. It unwinds to
/// [`guard`](crate::guard), which ends the process; a simulation ends the node.
pub(crate) fn stop(error: &dyn std::error::Error) -> ! {
    error!(error = chain(error), "alarm: the ledger's invariants do not hold; the node ends");
    std::panic::resume_unwind(Box::new(Diverged))
}
