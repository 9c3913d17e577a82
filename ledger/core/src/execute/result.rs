//! What a block made: the next ledger, its records and their outcomes.

use super::Ledger;
use crate::batch::SignedBatch;
use crate::block::Block;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::outcome::Outcome;
use crate::record::{Place, Record};

/// What one batch made.
#[derive(Clone, Debug)]
pub struct BatchResult {
    /// The batch.
    pub batch: SignedBatch,
    /// The log index of its first record.
    pub first_leaf: u64,
    /// One outcome for each entry.
    pub outcomes: Vec<Outcome>,
}

/// What a block made.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The ledger after the block.
    pub ledger: Ledger,
    /// What each batch made, in order.
    pub batches: Vec<BatchResult>,
    /// The leaf hashes of the block's records, in order; the last one has index `log size - 1`.
    pub leaf_hashes: Vec<Hash>,
}

impl Executed {
    /// The log index of the block's first record.
    pub fn first_leaf(&self) -> u64 {
        self.ledger.log.size() - u64::try_from(self.leaf_hashes.len()).unwrap_or(0)
    }

    /// The block's records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let (height, time_ms) = (self.ledger.height, self.ledger.time_ms);
        self.batches.iter().flat_map(move |result| {
            let entries = (0..).zip(result.batch.entries()).zip(&result.outcomes);
            entries.map(move |((index, entry), outcome)| Record {
                height,
                time_ms,
                submitter: *result.batch.submitter(),
                sequence: result.batch.sequence(),
                index,
                entry: entry.to_vec(),
                outcome: outcome.clone(),
            })
        })
    }

    /// The outcomes in the form that nodes store beside the block.
    pub fn outcomes(&self) -> BlockOutcomes {
        let outcomes = self.batches.iter().flat_map(|result| &result.outcomes);
        let mut stored = BlockOutcomes::default();
        for outcome in outcomes {
            if *outcome != Outcome::ACCEPTED {
                stored.others.push((stored.count, outcome.clone()));
            }
            stored.count += 1;
        }
        stored
    }
}

/// The outcomes of a block: how many records it made, and which were not simply accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockOutcomes {
    count: u32,
    others: Vec<(u32, Outcome)>,
}

impl BlockOutcomes {
    /// How many records the block made.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The outcome of the n-th record of the block.
    pub fn outcome(&self, index: u32) -> Option<Outcome> {
        if index >= self.count {
            return None;
        }
        let found = self.others.binary_search_by_key(&index, |(index, _)| *index).ok();
        found.map_or(Some(Outcome::ACCEPTED), |at| self.others.get(at).map(|(_, outcome)| outcome.clone()))
    }

    /// The n-th record of its block.
    pub fn record(&self, block: &Block, index: u32) -> Option<Record> {
        let outcome = self.outcome(index)?;
        let mut left = usize::try_from(index).ok()?;
        for batch in &block.batches {
            if let Some(entry) = batch.entry(left) {
                return Some(Record {
                    height: block.header().height,
                    time_ms: block.header().time_ms,
                    submitter: *batch.submitter(),
                    sequence: batch.sequence(),
                    index: u32::try_from(left).ok()?,
                    entry: entry.to_vec(),
                    outcome,
                });
            }
            left = left.checked_sub(batch.entry_count())?;
        }
        None
    }

    /// The leaf hashes that the block's records have under these outcomes, in order; `None` if the block
    /// carries another number of entries.
    pub fn leaf_hashes(&self, block: &Block) -> Option<Vec<Hash>> {
        let entries: usize = block.batches.iter().map(|batch| batch.entry_count()).sum();
        if u32::try_from(entries).ok()? != self.count {
            return None;
        }
        let (height, time_ms) = (block.header().height, block.header().time_ms);
        let mut others = self.others.iter().peekable();
        let mut hashes = Vec::with_capacity(entries);
        let placed =
            block.batches.iter().flat_map(|batch| (0..).zip(batch.entries()).map(move |e| (batch, e)));
        for (number, (batch, (index, entry))) in (0..).zip(placed) {
            let other = others.next_if(|(at, _)| *at == number).map(|(_, outcome)| outcome);
            let place =
                Place { height, time_ms, submitter: batch.submitter(), sequence: batch.sequence(), index };
            hashes.push(place.leaf_hash(entry, other.unwrap_or(&Outcome::ACCEPTED)));
        }
        Some(hashes)
    }

    /// The encoding: `count u32 || n u32 || (index u32 || outcome)...`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(8 + 8 * self.others.len());
        out.u32(self.count).count(self.others.len());
        for (index, outcome) in &self.others {
            outcome.write(out.u32(*index));
        }
        out.finish()
    }

    /// Decodes the outcomes of a block.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.u32("record count")?;
        let max = usize::try_from(count).unwrap_or(usize::MAX);
        let others = reader
            .list("outcomes", max, |reader| Ok((reader.u32("record index")?, Outcome::read(reader)?)))?;
        reader.finish("outcomes")?;
        let indices = others.iter().map(|(index, _)| *index);
        let ascending = indices.clone().zip(indices.clone().skip(1)).all(|(before, index)| before < index);
        if !ascending || others.last().is_some_and(|(last, _)| *last >= count) {
            return Err(DecodeError::Invalid { what: "record index", why: "is out of order or range" });
        }
        Ok(Self { count, others })
    }
}
