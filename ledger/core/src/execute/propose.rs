//! Making the next block from what the pool holds.

use super::{BatchRefusal, Executed, Ledger, Run, StateBroken};
use crate::batch::SignedBatch;
use crate::block::{BLOCK_BATCHES_MAX, BODY_BYTES_MAX, Block, SignedHeader, body_bytes};
use crate::ed25519::SigningKey;

/// How large a proposer makes its blocks; never beyond what validators accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// The longest body.
    pub body_bytes: usize,
    /// The most batches.
    pub batches: usize,
    /// The most entries.
    pub entries: u32,
}

impl Default for BlockLimits {
    fn default() -> Self {
        Self { body_bytes: BODY_BYTES_MAX, batches: BLOCK_BATCHES_MAX, entries: super::BLOCK_ENTRIES_MAX }
    }
}

/// A block that its proposer may send, executed already.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The signed block.
    pub block: Block,
    /// What it made.
    pub executed: Executed,
    /// Candidates that were left out, by their place, with the reason. Those that did not fit under the
    /// limits are not listed.
    pub refused: Vec<(usize, BatchRefusal)>,
}

impl Ledger {
    /// Proposes the next block from candidates in their order, leaving out what may not enter. The time is
    /// that of the parent if `now_ms` lies before it.
    pub fn propose(
        &self,
        now_ms: u64,
        candidates: &[SignedBatch],
        limits: &BlockLimits,
        key: &SigningKey,
    ) -> Result<Proposal, StateBroken> {
        let mut run = Run::start(self, now_ms.max(self.time_ms));
        let mut refused = Vec::new();
        let mut body = 4;
        for (place, batch) in candidates.iter().enumerate() {
            let longer = body + body_bytes(batch.bytes().len());
            if !run.has_room(batch, longer, limits) {
                continue;
            }
            match run.batch(batch) {
                Ok(()) => body = longer,
                Err(BatchRefusal::StateBroken(broken)) => return Err(broken),
                Err(refusal) => refused.push((place, refusal)),
            }
        }
        run.close()?;
        let header = run.header(self, key.public_key());
        let signed_header = SignedHeader::sign(header, key);
        let batches = run.results.iter().map(|result| result.batch.clone().into()).collect();
        let block = Block::assemble(signed_header, batches);
        let executed = run.finish(*block.digest());
        Ok(Proposal { block, executed, refused })
    }
}

impl Run {
    fn has_room(&self, batch: &SignedBatch, body: usize, limits: &BlockLimits) -> bool {
        let count = u32::try_from(batch.entry_count()).unwrap_or(u32::MAX);
        body <= limits.body_bytes.min(BODY_BYTES_MAX)
            && self.results.len() < limits.batches.min(BLOCK_BATCHES_MAX)
            && self.entries.saturating_add(count) <= limits.entries.min(super::BLOCK_ENTRIES_MAX)
    }
}
