//! Checking a block that somebody else made, by executing it.

use thiserror::Error;

use super::{BatchRefusal, EXECUTION_VERSION, Executed, Ledger, Run, StateBroken};
use crate::batch::SignedBatch;
use crate::block::{Block, Header};
use crate::ed25519::Ed25519Error;

/// Why a block may not follow this ledger.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BlockRefusal {
    /// A field of the header is not what execution gives.
    #[error("the block's `{field}` is not what follows from its parent and its batches")]
    Header {
        /// The field.
        field: &'static str,
    },
    /// The time lies before the parent's.
    #[error("the block's time {time_ms} lies before its parent's {parent_ms}")]
    TimeWentBack {
        /// The block's time.
        time_ms: u64,
        /// Its parent's time.
        parent_ms: u64,
    },
    /// The time lies too far from the voter's clock.
    #[error("the block's time {time_ms} lies more than {bound_ms} ms from {now_ms}")]
    Clock {
        /// The block's time.
        time_ms: u64,
        /// The voter's clock.
        now_ms: u64,
        /// The bound.
        bound_ms: u64,
    },
    /// The proposer is no validator.
    #[error("the proposer is not a validator")]
    Stranger,
    /// The proposer did not sign the header.
    #[error("the proposer's signature is refused")]
    Signature(#[source] Ed25519Error),
    /// The verified batches are not those of the body.
    #[error("the verified batches are not those of the block")]
    OtherBatches,
    /// A batch may not enter.
    #[error("batch {index} may not enter the block")]
    Batch {
        /// Its place in the body.
        index: usize,
        /// Why.
        #[source]
        cause: BatchRefusal,
    },
    /// The members announced rules that this program does not know; not the block's fault.
    #[error("blocks from here on are executed by version {needed}, this program knows version {known}")]
    Version {
        /// The version that was announced.
        needed: u32,
        /// What this program knows.
        known: u32,
    },
    /// The node's own state is broken; not the block's fault.
    #[error("the state is broken")]
    StateBroken(#[from] StateBroken),
}

impl Ledger {
    /// Checks a block that would follow, by executing it: header, proposer's signature, batches, roots.
    /// `batches` are the block's, verified. Clocks are not looked at.
    pub fn validate(&self, block: &Block, batches: &[SignedBatch]) -> Result<Executed, BlockRefusal> {
        let header = block.header();
        self.check_place(header)?;
        let proposer = self.set.member(&header.proposer).ok_or(BlockRefusal::Stranger)?;
        block.signed_header.verify(proposer).map_err(BlockRefusal::Signature)?;
        self.run(block, batches)
    }

    /// Executes a block that is final already: a quorum checked its signatures, all else is checked again.
    pub fn replay(&self, block: &Block) -> Result<Executed, BlockRefusal> {
        self.check_place(block.header())?;
        self.run(block, &block.trust_batches_of_final_block())
    }

    /// Holds a live proposal's time against the voter's clock.
    pub const fn check_clock(&self, header: &Header, now_ms: u64) -> Result<(), BlockRefusal> {
        let (time_ms, bound_ms) = (header.time_ms, self.parameters.clock_bound_ms);
        if time_ms.abs_diff(now_ms) > bound_ms {
            return Err(BlockRefusal::Clock { time_ms, now_ms, bound_ms });
        }
        Ok(())
    }

    fn check_place(&self, header: &Header) -> Result<(), BlockRefusal> {
        // Cheap checks first, so that a block of another branch costs nothing.
        let checks = [
            ("chain id", header.chain_id == self.chain_id),
            ("height", Some(header.height) == self.height.checked_add(1)),
            ("parent", header.parent == self.tip),
            ("epoch", header.epoch == self.epoch_of(header.height)),
            ("regime", header.regime == self.parameters.regime),
            ("set hash", header.set_hash == *self.set.hash()),
        ];
        if let Some((field, _)) = checks.into_iter().find(|(_, holds)| !holds) {
            return Err(BlockRefusal::Header { field });
        }
        let needed = self.version_of(header.epoch)?;
        if needed > EXECUTION_VERSION {
            return Err(BlockRefusal::Version { needed, known: EXECUTION_VERSION });
        }
        if header.time_ms < self.time_ms {
            return Err(BlockRefusal::TimeWentBack { time_ms: header.time_ms, parent_ms: self.time_ms });
        }
        Ok(())
    }

    fn run(&self, block: &Block, batches: &[SignedBatch]) -> Result<Executed, BlockRefusal> {
        let header = block.header();
        let mut run = Run::start(self, header.time_ms);
        if !block.batches.iter().map(|batch| batch.id()).eq(batches.iter().map(SignedBatch::id)) {
            return Err(BlockRefusal::OtherBatches);
        }
        for (index, batch) in batches.iter().enumerate() {
            run.batch(batch).map_err(|cause| match cause {
                BatchRefusal::StateBroken(broken) => BlockRefusal::StateBroken(broken),
                cause => BlockRefusal::Batch { index, cause },
            })?;
        }
        run.close()?;
        compare(header, &run.header(self, header.proposer))?;
        Ok(run.finish(*block.digest()))
    }
}

fn compare(found: &Header, expected: &Header) -> Result<(), BlockRefusal> {
    let checks = [
        ("body hash", found.body_hash == expected.body_hash),
        ("log size", found.log_size == expected.log_size),
        ("log root", found.log_root == expected.log_root),
        ("state root", found.state_root == expected.state_root),
        ("next set hash", found.next_set_hash == expected.next_set_hash),
        ("header", found == expected),
    ];
    match checks.into_iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(BlockRefusal::Header { field }),
        None => Ok(()),
    }
}
