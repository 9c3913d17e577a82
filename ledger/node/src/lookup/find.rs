//! Answering a question: the blocks that may hold what is looked for, read and compared.

use std::time::Instant;

use keyward_ledger_core::{
    block::{Block, SIGNED_HEADER_BYTES, SignedHeader},
    execute::BlockOutcomes,
    log::ProofError,
    question::Question,
    record::Record,
};

use super::{Key, RunFailed, Seen, follow, reference::keys_of};
use crate::{
    repair,
    shared::{Anchor, Shared},
};

/// Records in one answer.
pub(crate) const FOUND_MAX: usize = 256;
/// Blocks that one question may read.
const BLOCKS_READ_MAX: usize = 16;
/// Bytes of blocks after which a question reads no more of them.
const BYTES_READ_MAX: usize = 8 << 20;
/// Places that one question may look at in the runs.
const STEPS_MAX: usize = 256;
/// Each block that is read is followed by a pause so many times as long as the work on it took.
const PAUSES: u32 = 3;

/// A part of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Log index and record, ascending.
    pub(crate) found: Vec<(u64, Record)>,
    /// From which log index on to ask for what follows.
    pub(crate) next_leaf: u64,
    /// Whether something may follow up to `complete_to`.
    pub(crate) more: bool,
    /// The height up to which everything is noted.
    pub(crate) complete_to: u64,
}

/// Why a question was not answered here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    /// A file of the look-up cannot be read; a damaged one is being made again.
    #[error(transparent)]
    Run(#[from] RunFailed),
    /// What is found cannot be proven.
    #[error("the log cannot be read")]
    Proof(#[from] ProofError),
    /// The derived files failed.
    #[error("a derived file cannot be read")]
    Io(#[from] std::io::Error),
    /// A block, or its outcomes, are missing here.
    #[error("block {0} is missing here, or its outcomes are")]
    Missing(u64),
}

/// Answers a question with at most `limit` records from a log index on, among those that the anchor proves.
///
/// Blocks; runs on a thread that may. However wide the questions are, with the pauses between blocks they take a
/// quarter of the threads they run on.
pub(crate) fn find(
    shared: &Shared,
    question: &Question,
    from_leaf: u64,
    limit: usize,
    anchor: &Anchor,
) -> Result<Page, FindError> {
    let keys = keys_of(question);
    let seen = shared.lookup.seen(&keys);
    let found = Search::new(shared, question, &keys, &seen, anchor).and_then(|mut search| {
        search.page.next_leaf = from_leaf;
        search.run(from_leaf, limit.clamp(1, FOUND_MAX))?;
        Ok(search.page)
    });
    if let Err(FindError::Run(failed)) = &found
        && failed.is_damage()
    {
        follow::damaged(shared, failed);
    }
    found
}

struct Search<'a> {
    shared: &'a Shared,
    question: &'a Question,
    keys: &'a [Key],
    seen: &'a Seen,
    /// Records up to the last height that is looked at.
    end_leaf: u64,
    steps: usize,
    page: Page,
}

impl<'a> Search<'a> {
    fn new(
        shared: &'a Shared,
        question: &'a Question,
        keys: &'a [Key],
        seen: &'a Seen,
        anchor: &Anchor,
    ) -> Result<Self, FindError> {
        let complete_to = seen.covered.min(anchor.height());
        let end_leaf = if complete_to == anchor.height() {
            anchor.header.header.log_size
        } else {
            header_at(shared, complete_to)?.header.log_size
        };
        let page = Page { complete_to, ..Page::default() };
        Ok(Self { shared, question, keys, seen, end_leaf, steps: 0, page })
    }

    fn run(&mut self, from_leaf: u64, limit: usize) -> Result<(), FindError> {
        let Some((mut height, last)) = self.heights(from_leaf)? else {
            self.end(from_leaf);
            return Ok(());
        };
        let (mut blocks, mut bytes) = (0, 0);
        loop {
            let began = Instant::now();
            let candidate = match self.next_of_all(height)? {
                Next::At(candidate) if candidate <= last => candidate,
                Next::GiveUpAt(reached) if reached <= last => {
                    return self.stop_at(reached, from_leaf);
                }
                _ => {
                    self.end(from_leaf);
                    return Ok(());
                }
            };
            if blocks == BLOCKS_READ_MAX || bytes >= BYTES_READ_MAX {
                return self.stop_at(candidate, from_leaf);
            }
            let stored = Stored::read(self.shared, candidate)?;
            (blocks, bytes) = (blocks + 1, bytes + stored.bytes);
            if let Some(next) = self.take_from(&stored, from_leaf, limit) {
                (self.page.next_leaf, self.page.more) = (next, true);
                return Ok(());
            }
            height = candidate + 1;
            std::thread::sleep(began.elapsed().saturating_mul(PAUSES));
        }
    }

    /// The first and the last height to look at.
    fn heights(&self, from_leaf: u64) -> Result<Option<(u64, u64)>, FindError> {
        let (top, from_leaf) = (self.page.complete_to, from_leaf.max(self.shared.floor_leaf()));
        if from_leaf >= self.end_leaf {
            return Ok(None);
        }
        // Below what is held here nothing is noted.
        let begins = from_leaf == self.shared.floor_leaf();
        let of_leaf = if begins { self.shared.floor_height() } else { self.height_of(from_leaf)? };
        let at = |time_ms: Option<u64>, none: u64| match time_ms {
            Some(time_ms) => self.seen.first_at(time_ms).map(|found| found.unwrap_or(top + 1)),
            None => Ok(none),
        };
        let first = at(self.question.from_ms, 0)?.max(of_leaf);
        let end = at(self.question.to_ms, top + 1)?.min(top + 1);
        Ok((first < end).then(|| (first, end - 1)))
    }

    /// The height whose block holds a leaf, held against the blocks: a wrong one would leave records out.
    fn height_of(&self, leaf: u64) -> Result<u64, FindError> {
        let top = self.page.complete_to;
        let height = self.shared.index.first_height_past(leaf, top)?;
        let size_at = |height: u64| header_at(self.shared, height).map(|header| header.header.log_size);
        let holds = height > 0 && size_at(height)? > leaf && size_at(height - 1)? <= leaf;
        holds.then_some(height).ok_or(FindError::Missing(height))
    }

    /// The lowest height from `height` on at which something is noted under every key.
    fn next_of_all(&mut self, mut height: u64) -> Result<Next, FindError> {
        loop {
            let from = height;
            for key in self.keys {
                self.steps += 1;
                match self.seen.next(key, height)? {
                    Some(found) => height = found,
                    None => return Ok(Next::None),
                }
            }
            if from == height {
                return Ok(Next::At(height));
            }
            if self.steps >= STEPS_MAX {
                return Ok(Next::GiveUpAt(height));
            }
        }
    }

    /// Takes the records that fit; the log index of the first that has no room any more.
    fn take_from(&mut self, stored: &Stored, from_leaf: u64, limit: usize) -> Option<u64> {
        let block = &stored.block;
        if !self.question.fits_time(block.header().time_ms) {
            return None;
        }
        let entries = block.batches.iter().flat_map(|batch| {
            (0_u32..).zip(batch.entries()).map(move |(index, entry)| (batch, index, entry))
        });
        for (number, (batch, index, entry)) in (0_u32..).zip(entries) {
            let leaf = stored.first_leaf + u64::from(number);
            if leaf < from_leaf || !self.question.fits_entry(batch.submitter(), entry) {
                continue;
            }
            let record = Record {
                height: block.header().height,
                time_ms: block.header().time_ms,
                submitter: *batch.submitter(),
                sequence: batch.sequence(),
                index,
                entry: entry.to_vec(),
                outcome: stored.outcomes.outcome(number)?,
            };
            if !self.question.fits(&record) {
                continue;
            }
            if self.page.found.len() >= limit {
                return Some(leaf);
            }
            self.page.found.push((leaf, record));
        }
        None
    }

    /// Nothing follows up to where everything is noted.
    fn end(&mut self, from_leaf: u64) {
        (self.page.next_leaf, self.page.more) = (self.end_leaf.max(from_leaf), false);
    }

    /// Goes on at a height another time.
    fn stop_at(&mut self, height: u64, from_leaf: u64) -> Result<(), FindError> {
        let below = header_at(self.shared, height - 1)?;
        (self.page.next_leaf, self.page.more) = (below.header.log_size.max(from_leaf), true);
        Ok(())
    }
}

enum Next {
    At(u64),
    /// Nothing below this height; enough was looked at for one question.
    GiveUpAt(u64),
    None,
}

/// A block with its outcomes.
struct Stored {
    block: Block,
    outcomes: BlockOutcomes,
    first_leaf: u64,
    bytes: usize,
}

impl Stored {
    fn read(shared: &Shared, height: u64) -> Result<Self, FindError> {
        let missing = || FindError::Missing(height);
        let bytes = repair::stored(shared, height).ok_or_else(missing)?;
        let block = Block::decode(&bytes).map_err(std::io::Error::other)?;
        let (place, outcomes) = shared.index.entry(height)?.ok_or_else(missing)?;
        let entries: usize = block.batches.iter().map(|batch| batch.entry_count()).sum();
        // Whatever the index has too little of would be left out of the answer without a word.
        let is_whole = usize::try_from(outcomes.count()).ok() == Some(entries)
            && place.count == u64::from(outcomes.count())
            && place.first_leaf.checked_add(place.count) == Some(block.header().log_size);
        if !is_whole {
            return Err(missing());
        }
        Ok(Self { block, outcomes, first_leaf: place.first_leaf, bytes: bytes.len() })
    }
}

fn header_at(shared: &Shared, height: u64) -> Result<SignedHeader, FindError> {
    if height == 0 {
        return Ok(shared.genesis.block().signed_header);
    }
    let bytes = repair::stored(shared, height).ok_or(FindError::Missing(height))?;
    let header = bytes.get(..SIGNED_HEADER_BYTES).ok_or(FindError::Missing(height))?;
    SignedHeader::decode(header).map_err(|error| std::io::Error::other(error).into())
}
