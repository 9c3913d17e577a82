//! Checking a run of blocks: digest chain, certificates, signatures, execution, outcomes and log, in this order.
//!
//! The first thing that does not hold ends the check, with its height. How much is checked is the caller's choice; a run that
//! does not begin at the first block has no state and no log to go on from, and each of its blocks is proven by itself.

use keyward_ledger_core::batch::BatchError;
use keyward_ledger_core::block::{Block, BlockError, Header, SignedHeader};
use keyward_ledger_core::certificate::{Certificate, ValidatorSet};
use keyward_ledger_core::execute::{BlockRefusal, Ledger};
use keyward_ledger_core::export::ProvenBlock;
use keyward_ledger_core::genesis::Genesis;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{Frontier, ProofError, verify_range};
use keyward_ledger_core::receipt::SetLink;
use keyward_ledger_core::record::Record;
use keyward_ledger_core::trust::{Checkpoint, Trust};
use thiserror::Error;

use crate::failure::Failure;
use crate::tracker::{Anchor, SetTracker};

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// That a quorum certified all of it, as a receipt shows it of one record: the digests from block to block under the last
    /// one's certificate, and the log that grows from the records, whose root each block names. Nothing holds before
    /// [`History::finish`] says so. Not looked at: certificates and range proofs of the blocks below, and the signatures of
    /// batches, which the certified blocks contain. Needs the blocks from the first on.
    Chain,
    /// Each block by itself, as soon as it is checked: its certificate, its batches' signatures, its records in the certified
    /// log. What a reader needs who did not begin at genesis.
    Proofs,
    /// That and execution. Needs the blocks from the first on.
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
    /// The log that grows from the records is not the one that the block names.
    #[error("the block's records do not make the log that it names")]
    LogRoot,
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
            Self::LogPlace | Self::Log(_) | Self::LogRoot => "INCLUSION_INVALID",
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

/// A block that holds; at [`Depth::Chain`] if the whole run does.
#[derive(Debug)]
pub struct Held {
    /// The block.
    pub block: Block,
    /// Its records with their places in the log.
    pub records: Vec<(u64, Record)>,
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
    /// How much was checked.
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
    grown: Grown,
}

/// A block's records with their places, and what is gone on with.
type Checked = Result<(Vec<(u64, Record)>, Grown), HistoryFailure>;

/// What is gone on with from block to block.
#[derive(Debug)]
enum Grown {
    /// At [`Depth::Chain`]: the log, and what is to certify the last block.
    Log {
        log: Frontier,
        top: Option<Box<(SignedHeader, Certificate)>>,
    },
    Nothing,
    State(Ledger),
}

impl History {
    /// Begins at height `from`, at least 1. The links are verified here; `depth` becomes proofs when the run
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
            grown: match depth {
                Depth::Chain if from == 1 => Grown::Log { log: Frontier::default(), top: None },
                Depth::Execution if from == 1 => Grown::State(Ledger::genesis(genesis)),
                _ => Grown::Nothing,
            },
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
        let (records, grown) = match &self.grown {
            Grown::Log { log, .. } => self.chained(log, &block, proven)?,
            Grown::Nothing => self.by_itself(None, &block, proven)?,
            Grown::State(ledger) => self.by_itself(Some(ledger), &block, proven)?,
        };
        let set_size = self.tracker.set_at(height).map_or(0, ValidatorSet::len);
        self.grown = grown;
        self.records += records.len() as u64;
        self.last = Some((header.clone(), *block.digest()));
        self.next = height.saturating_add(1);
        Ok(Held { block, records, set_size })
    }

    /// What holds if a quorum certified the last block.
    fn chained(&self, log: &Frontier, block: &Block, proven: &ProvenBlock) -> Checked {
        let (header, top) = (block.header(), top(block, proven)?);
        self.check_checkpoint(block)?;
        let records = counted(block, proven)?;
        self.check_place(header, proven, records.len())?;
        let mut log = log.clone();
        records.iter().for_each(|(_, record)| log.append(record.id()));
        if log.root() != header.log_root {
            return Err(HistoryFailure::LogRoot);
        }
        Ok((records, Grown::Log { log, top: Some(Box::new((top.clone(), proven.certificate.clone()))) }))
    }

    /// What holds whatever follows.
    fn by_itself(&self, ledger: Option<&Ledger>, block: &Block, proven: &ProvenBlock) -> Checked {
        let certified = self.tracker.certify(top(block, proven)?, &proven.certificate);
        let certified = certified.map_err(HistoryFailure::Certificate)?;
        self.check_checkpoint(block)?;
        let batches = block.verify_batches(|_| false).map_err(HistoryFailure::Batch)?;
        let executed = ledger.map(|ledger| ledger.validate(block, &batches)).transpose()?;
        let records = counted(block, proven)?;
        if let Some(executed) = &executed {
            let outcomes = executed.batches.iter().flat_map(|result| &result.outcomes);
            let other = outcomes.zip(&proven.outcomes).position(|(expected, found)| expected != found);
            other.map_or(Ok(()), |index| Err(HistoryFailure::Outcome { index }))?;
        }
        self.check_place(block.header(), proven, records.len())?;
        check_log(proven, &records, certified.header())?;
        Ok((records, executed.map_or(Grown::Nothing, |executed| Grown::State(executed.ledger))))
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

    fn check_place(
        &self,
        header: &Header,
        proven: &ProvenBlock,
        records: usize,
    ) -> Result<(), HistoryFailure> {
        let before = self.last.as_ref().map(|(before, _)| before.log_size);
        let ends = proven.first_leaf.checked_add(records as u64) == Some(header.log_size);
        if !ends || before.is_some_and(|before| before != proven.first_leaf) {
            return Err(HistoryFailure::LogPlace);
        }
        Ok(())
    }

    /// Ends the check: at [`Depth::Chain`] a quorum certified the last block, and with it all before. A trust file that pins
    /// a block above the last one is not satisfied.
    pub fn finish(self) -> Result<HistoryVerdict, Broken> {
        let (tip, tip_digest) = self
            .last
            .filter(|_| self.next > self.from)
            .ok_or(Broken { height: self.next, cause: HistoryFailure::Height { found: 0 } })?;
        let uncertified =
            |failure| Broken { height: tip.height, cause: HistoryFailure::Certificate(failure) };
        if let Grown::Log { top: Some(last), .. } = &self.grown {
            self.tracker.certify(&last.0, &last.1).map_err(uncertified)?;
        }
        if let Some(Checkpoint { height: checkpoint, .. }) = self.checkpoint
            && tip.height < checkpoint
        {
            return Err(uncertified(Failure::OlderThanCheckpoint { height: tip.height, checkpoint }));
        }
        Ok(HistoryVerdict {
            name: self.trust.name,
            chain_id: self.trust.chain_id,
            anchor: match self.checkpoint {
                None => Anchor::Genesis,
                Some(Checkpoint { height, .. }) => Anchor::Checkpoint { height },
            },
            depth: match self.grown {
                Grown::Log { .. } => Depth::Chain,
                Grown::Nothing => Depth::Proofs,
                Grown::State(_) => Depth::Execution,
            },
            from: self.from,
            to: tip.height,
            records: self.records,
            tip,
            tip_digest,
        })
    }
}

/// The header that the certificate is of: the block's, or one above that the headers in between lead to.
fn top<'a>(block: &'a Block, proven: &'a ProvenBlock) -> Result<&'a SignedHeader, HistoryFailure> {
    let mut below = *block.digest();
    for header in &proven.descendants {
        if header.header.parent != below {
            return Err(HistoryFailure::Descendants);
        }
        below = header.digest();
    }
    Ok(proven.descendants.last().unwrap_or(&block.signed_header))
}

fn check_log(proven: &ProvenBlock, records: &[(u64, Record)], top: &Header) -> Result<(), HistoryFailure> {
    if records.is_empty() {
        return if proven.range_proof.is_empty() { Ok(()) } else { Err(HistoryFailure::LogPlace) };
    }
    let leaves: Vec<_> = records.iter().map(|(_, record)| record.id()).collect();
    verify_range(&leaves, proven.first_leaf, top.log_size, &proven.range_proof, &top.log_root)
        .map(|_paths| ())
        .map_err(HistoryFailure::Log)
}

fn counted(block: &Block, proven: &ProvenBlock) -> Result<Vec<(u64, Record)>, HistoryFailure> {
    let entries: usize = block.batches.iter().map(|batch| batch.entry_count()).sum();
    let outcomes = proven.outcomes.len();
    if entries != outcomes {
        return Err(HistoryFailure::OutcomeCount { entries, outcomes });
    }
    Ok(records(block, proven))
}

/// The records of a block with their places in the log. The block was checked before: there is an outcome for each entry.
pub fn records(block: &Block, proven: &ProvenBlock) -> Vec<(u64, Record)> {
    let header = block.header();
    let (mut records, mut outcomes) = (Vec::with_capacity(proven.outcomes.len()), proven.outcomes.iter());
    let mut place = proven.first_leaf;
    for batch in &block.batches {
        for ((index, entry), outcome) in (0..).zip(batch.entries()).zip(&mut outcomes) {
            let record = Record {
                height: header.height,
                time_ms: header.time_ms,
                submitter: *batch.submitter(),
                sequence: batch.sequence(),
                index,
                entry: entry.to_vec(),
                outcome: outcome.clone(),
            };
            records.push((place, record));
            place = place.saturating_add(1);
        }
    }
    records
}
