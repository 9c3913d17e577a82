//! Checking a run of blocks: digest chain, certificates, signatures, execution, outcomes and log, in this order.
//!
//! The first thing that does not hold ends the check, with its height. Blocks from the first on are also executed;
//! a run that begins later has no state to execute on, and its records are proven by the log alone.

use keyward_ledger_core::batch::BatchError;
use keyward_ledger_core::block::{Block, BlockError, Header};
use keyward_ledger_core::certificate::ValidatorSet;
use keyward_ledger_core::execute::{BlockRefusal, Ledger};
use keyward_ledger_core::export::ProvenBlock;
use keyward_ledger_core::genesis::Genesis;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{ProofError, leaf_hash, verify_range};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::receipt::SetLink;
use keyward_ledger_core::record::Record;
use keyward_ledger_core::trust::{Checkpoint, Trust};
use thiserror::Error;

use crate::failure::Failure;
use crate::tracker::{Anchor, CertifiedBlock, SetTracker};

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Everything but execution: what a reader needs who did not begin at genesis.
    Proofs,
    /// Execution too. Needs the blocks from the first on.
    Execution,
}

/// Why a block does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HistoryFailure {
    /// The bytes are not a block.
    #[error("the block does not read")]
    Block(#[from] BlockError),
    /// Another height than the next one.
    #[error("another block stands here, that of height {found}")]
    Height {
        /// The height in its header.
        found: u64,
    },
    /// It does not name the block before it.
    #[error("the block does not follow the one before it")]
    Parent,
    /// The headers above it do not lead to the certified one.
    #[error("the headers above the block do not lead to the certified one")]
    Descendants,
    /// No quorum certified it.
    #[error("the block is not certified")]
    Certificate(#[source] Failure),
    /// The block at the pinned height is another one.
    #[error("the block is not the one that the trust file pins")]
    Checkpoint,
    /// A batch is not signed by its submitter.
    #[error("a batch in the block is not signed by its submitter")]
    Batch(#[source] BatchError),
    /// Executing it gives something else.
    #[error("executing the block gives something else than it says")]
    Execution(#[from] BlockRefusal),
    /// It does not go on where the log ended.
    #[error("the block's records do not begin where the log ended")]
    LogPlace,
    /// The outcomes are not one for each entry.
    #[error("the block has {entries} entries and {outcomes} outcomes")]
    OutcomeCount {
        /// Entries in its batches.
        entries: usize,
        /// Outcomes beside it.
        outcomes: usize,
    },
    /// An outcome is not what execution gives.
    #[error("the outcome of the block's record {index} is not what execution gives")]
    Outcome {
        /// The record's place in the block.
        index: usize,
    },
    /// The records are not in the certified log.
    #[error("the block's records are not in the certified log")]
    Log(#[source] ProofError),
}

impl HistoryFailure {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Block(_) => "BLOCK_MALFORMED",
            Self::Height { .. } => "HEIGHT_MISMATCH",
            Self::Parent => "PARENT_MISMATCH",
            Self::Descendants => "DESCENDANTS_INVALID",
            Self::Certificate(failure) => failure.code(),
            Self::Checkpoint => "CHECKPOINT_MISMATCH",
            Self::Batch(_) => "BATCH_SIGNATURE_INVALID",
            Self::Execution(_) => "EXECUTION_MISMATCH",
            Self::LogPlace | Self::Log(_) => "INCLUSION_INVALID",
            Self::OutcomeCount { .. } | Self::Outcome { .. } => "OUTCOME_MISMATCH",
        }
    }
}

/// The first thing that does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("height {height}")]
pub struct Broken {
    /// The height that was checked.
    pub height: u64,
    /// Why.
    #[source]
    pub cause: HistoryFailure,
}

/// A block that holds.
#[derive(Debug)]
pub struct Held {
    /// The block.
    pub block: Block,
    /// The header that a quorum certified: its own, or that of a block above it.
    pub certified: CertifiedBlock,
    /// How many validators its set has.
    pub set_size: usize,
}

/// What holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryVerdict {
    /// The ledger's name.
    pub name: String,
    /// The genesis hash.
    pub chain_id: Hash,
    /// What the verdict rests on.
    pub anchor: Anchor,
    /// Whether the blocks were executed.
    pub depth: Depth,
    /// The first height.
    pub from: u64,
    /// The last height.
    pub to: u64,
    /// How many records were checked.
    pub records: u64,
    /// The last block's header.
    pub tip: Header,
    /// Its digest.
    pub tip_digest: Hash,
}

/// A check under way.
#[derive(Debug)]
pub struct History {
    tracker: SetTracker,
    checkpoint: Option<Checkpoint>,
    trust: Trust,
    from: u64,
    next: u64,
    records: u64,
    /// The block before: its header and digest.
    last: Option<(Header, Hash)>,
    ledger: Option<Ledger>,
}

impl History {
    /// Begins at height `from`, at least 1. The links are verified here; `depth` is lowered to proofs when the run
    /// does not begin at the first block.
    pub fn new(
        trust: &Trust,
        genesis: &Genesis,
        links: &[SetLink],
        from: u64,
        depth: Depth,
    ) -> Result<Self, Failure> {
        // The pinned block is held against the digest chain instead, so that blocks below it can be checked too.
        let unpinned = Trust { checkpoint: None, ..trust.clone() };
        let mut tracker = SetTracker::new(unpinned, &genesis.proof())?;
        links.iter().try_for_each(|link| tracker.follow(link))?;
        let from = from.max(1);
        let first = genesis.block();
        let before = (first.header().clone(), *first.digest());
        Ok(Self {
            tracker,
            checkpoint: trust.checkpoint.clone(),
            trust: trust.clone(),
            from,
            next: from,
            records: 0,
            last: (from == 1).then_some(before),
            ledger: (from == 1 && depth == Depth::Execution).then(|| Ledger::genesis(genesis)),
        })
    }

    /// The height that is checked next.
    pub const fn next_height(&self) -> u64 {
        self.next
    }

    /// Checks the next block.
    pub fn check(&mut self, proven: &ProvenBlock) -> Result<Held, Broken> {
        let height = self.next;
        self.check_at(height, proven).map_err(|cause| Broken { height, cause })
    }

    fn check_at(&mut self, height: u64, proven: &ProvenBlock) -> Result<Held, HistoryFailure> {
        let block = Block::decode(&proven.block)?;
        let header = block.header();
        if header.height != height {
            return Err(HistoryFailure::Height { found: header.height });
        }
        if self.last.as_ref().is_some_and(|(_, digest)| header.parent != *digest) {
            return Err(HistoryFailure::Parent);
        }
        let certified = self.certified(&block, proven)?;
        self.check_checkpoint(&block)?;
        let batches = block.verify_batches(|_| false).map_err(HistoryFailure::Batch)?;
        let executed = match &self.ledger {
            Some(ledger) => Some(ledger.validate(&block, &batches)?),
            None => None,
        };
        let leaves = leaves(&block, &proven.outcomes)?;
        if let Some(executed) = &executed {
            let outcomes = executed.batches.iter().flat_map(|result| &result.outcomes);
            let other = outcomes.zip(&proven.outcomes).position(|(expected, found)| expected != found);
            other.map_or(Ok(()), |index| Err(HistoryFailure::Outcome { index }))?;
        }
        self.check_log(header, proven, &leaves, &certified)?;
        let set_size = self.tracker.set_at(height).map_or(0, ValidatorSet::len);
        self.ledger = executed.map(|executed| executed.ledger);
        self.records += leaves.len() as u64;
        self.last = Some((header.clone(), *block.digest()));
        self.next = height.saturating_add(1);
        Ok(Held { block, certified, set_size })
    }

    fn certified(&self, block: &Block, proven: &ProvenBlock) -> Result<CertifiedBlock, HistoryFailure> {
        let mut below = *block.digest();
        for header in &proven.descendants {
            if header.header.parent != below {
                return Err(HistoryFailure::Descendants);
            }
            below = header.digest();
        }
        let top = proven.descendants.last().unwrap_or(&block.signed_header);
        self.tracker.certify(top, &proven.certificate).map_err(HistoryFailure::Certificate)
    }

    fn check_checkpoint(&self, block: &Block) -> Result<(), HistoryFailure> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let height = block.header().height;
        let pinned_set = || self.tracker.set_at(checkpoint.height).map(|set| *set.hash());
        if (height == checkpoint.height && *block.digest() != checkpoint.digest)
            || (height >= checkpoint.height && pinned_set() != Some(checkpoint.set_hash))
        {
            return Err(HistoryFailure::Checkpoint);
        }
        Ok(())
    }

    fn check_log(
        &self,
        header: &Header,
        proven: &ProvenBlock,
        leaves: &[Hash],
        certified: &CertifiedBlock,
    ) -> Result<(), HistoryFailure> {
        let before = self.last.as_ref().map(|(before, _)| before.log_size);
        let ends = proven.first_leaf.checked_add(leaves.len() as u64) == Some(header.log_size);
        if !ends || before.is_some_and(|before| before != proven.first_leaf) {
            return Err(HistoryFailure::LogPlace);
        }
        let top = certified.header();
        if leaves.is_empty() {
            return if proven.range_proof.is_empty() { Ok(()) } else { Err(HistoryFailure::LogPlace) };
        }
        verify_range(leaves, proven.first_leaf, top.log_size, &proven.range_proof, &top.log_root)
            .map(|_paths| ())
            .map_err(HistoryFailure::Log)
    }

    /// Ends the check: a trust file that pins a block above the last one is not satisfied.
    pub fn finish(self) -> Result<HistoryVerdict, Broken> {
        let (tip, tip_digest) = self
            .last
            .filter(|_| self.next > self.from)
            .ok_or(Broken { height: self.next, cause: HistoryFailure::Height { found: 0 } })?;
        if let Some(Checkpoint { height: checkpoint, .. }) = self.checkpoint
            && tip.height < checkpoint
        {
            let older = Failure::OlderThanCheckpoint { height: tip.height, checkpoint };
            return Err(Broken { height: tip.height, cause: HistoryFailure::Certificate(older) });
        }
        Ok(HistoryVerdict {
            name: self.trust.name,
            chain_id: self.trust.chain_id,
            anchor: match self.checkpoint {
                None => Anchor::Genesis,
                Some(Checkpoint { height, .. }) => Anchor::Checkpoint { height },
            },
            depth: if self.ledger.is_some() { Depth::Execution } else { Depth::Proofs },
            from: self.from,
            to: tip.height,
            records: self.records,
            tip,
            tip_digest,
        })
    }
}

/// The leaf hashes of a block's records with these outcomes.
fn leaves(block: &Block, outcomes: &[Outcome]) -> Result<Vec<Hash>, HistoryFailure> {
    let entries = block.batches.iter().map(|batch| batch.entry_count()).sum();
    if entries != outcomes.len() {
        return Err(HistoryFailure::OutcomeCount { entries, outcomes: outcomes.len() });
    }
    let placed = block.batches.iter().flat_map(|batch| (0..).zip(batch.entries()).map(move |at| (batch, at)));
    let leaf = |((batch, (index, entry)), outcome): ((_, (u32, &[u8])), &Outcome)| {
        let batch: &keyward_ledger_core::batch::UnverifiedBatch = batch;
        let record = Record {
            height: block.header().height,
            time_ms: block.header().time_ms,
            submitter: *batch.submitter(),
            sequence: batch.sequence(),
            index,
            entry: entry.to_vec(),
            outcome: outcome.clone(),
        };
        leaf_hash(&record.encode())
    };
    Ok(placed.zip(outcomes).map(leaf).collect())
}
