//! Look-up of records: by id, submitter, kind, subject and time.
//!
//! A thread of its own follows the finalized blocks and notes under 16 bytes of what is looked up in which blocks it
//! stands; whoever looks reads these blocks and compares, so that names which share their 16 bytes cost time and
//! nothing else. Derived data: lost, damaged or of another version it is noted again from the blocks. Neither
//! agreement nor execution waits for it; an answer says up to which height it is complete.

mod find;
mod follow;
mod reference;
mod run;
mod runs;
mod scrub;

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use keyward_ledger_core::{execute::BatchResult, hash::Hash};
use tokio::sync::{Semaphore, watch};

use crate::disk;

pub(crate) use find::{FOUND_MAX, FindError, find};
pub(crate) use follow::{alarm, catch_up, follow};
use reference::{Key, Reference, height_in, is_time, reference, references};
use run::Run;
pub(crate) use runs::RunFailed;
use runs::{MergeFailed, Runs, remove};
pub(crate) use scrub::Said;

/// Questions that are answered at once; more wait.
const FINDS_AT_ONCE: usize = 2;
/// Executed blocks that wait to be noted; what comes when it is full is read from the store later.
const HANDED_MAX: usize = 8;

/// How references are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// References in memory before they are written out.
    pub(crate) fresh_max: usize,
    /// Blocks in memory before they are written out.
    pub(crate) blocks_max: u64,
    /// Runs that are merged into one.
    pub(crate) merged: usize,
    /// Bytes that stay free on the disk when runs are merged.
    pub(crate) free_min: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { fresh_max: 1 << 16, blocks_max: 4096, merged: 8, free_min: disk::LOW_BYTES }
    }
}

/// A block as the executor hands it over.
struct Handed {
    height: u64,
    time_ms: u64,
    batches: Vec<BatchResult>,
    ids: Vec<Hash>,
}

/// What was noted so far.
pub(crate) struct Lookup {
    layout: Layout,
    noted: RwLock<Noted>,
    /// Held by who notes, writes or takes out.
    writing: Mutex<()>,
    handed: Mutex<VecDeque<Handed>>,
    /// The height up to which blocks are noted, for those who wait.
    covered: watch::Sender<u64>,
    pub(crate) places: Arc<Semaphore>,
}

#[derive(Clone)]
struct Noted {
    runs: Runs,
    /// References to the blocks above the last run.
    fresh: Vec<Reference>,
    covered: u64,
}

impl Lookup {
    pub(crate) fn open(dir: &Path, chain_id: &Hash, layout: Layout) -> io::Result<Self> {
        Ok(Self::with(Runs::open(dir, chain_id)?, layout))
    }

    /// One that notes everything from the first block on, and knows nothing of the files in its folder.
    pub(crate) fn afresh(dir: &Path, chain_id: &Hash, layout: Layout) -> Self {
        Self::with(Runs::none(dir, chain_id), layout)
    }

    fn with(runs: Runs, layout: Layout) -> Self {
        let covered = runs.covered();
        Self {
            layout,
            noted: RwLock::new(Noted { runs, fresh: Vec::new(), covered }),
            writing: Mutex::default(),
            handed: Mutex::default(),
            covered: watch::Sender::new(covered),
            places: Arc::new(Semaphore::new(FINDS_AT_ONCE)),
        }
    }

    /// The height up to which blocks are noted.
    pub(crate) fn covered(&self) -> u64 {
        self.noted().covered
    }

    /// Tells when the height changes up to which blocks are noted.
    pub(crate) fn progress(&self) -> watch::Receiver<u64> {
        self.covered.subscribe()
    }

    /// Takes over what a block made, if there is room; never waits for more than another who puts or takes one.
    pub(crate) fn hand_over(&self, height: u64, time_ms: u64, batches: Vec<BatchResult>, ids: Vec<Hash>) {
        let mut handed = self.handed();
        if handed.len() < HANDED_MAX {
            handed.push_back(Handed { height, time_ms, batches, ids });
        }
    }

    /// The block at a height, if it was handed over; those below are dropped.
    fn take(&self, height: u64) -> Option<Handed> {
        let mut handed = self.handed();
        while handed.front().is_some_and(|block| block.height < height) {
            handed.pop_front();
        }
        if handed.front()?.height == height { handed.pop_front() } else { None }
    }

    /// Notes the block above the last one, and writes out and merges what has grown enough.
    fn note(
        &self,
        height: u64,
        references: &[Reference],
        stops: &dyn Fn() -> bool,
    ) -> Result<(), MergeFailed> {
        let runs = {
            let mut noted = self.noted_mut();
            noted.fresh.extend_from_slice(references);
            noted.covered = height;
            let is_due = noted.fresh.len() >= self.layout.fresh_max
                || height >= noted.runs.covered() + self.layout.blocks_max;
            is_due.then(|| (noted.runs.clone(), noted.fresh.clone()))
        };
        self.covered.send_replace(height);
        match runs {
            Some((runs, fresh)) => self.write_out(runs, fresh, height, stops),
            None => Ok(()),
        }
    }

    /// Writes what is noted in memory; readers go on meanwhile with what was there before.
    fn write_out(
        &self,
        mut runs: Runs,
        mut fresh: Vec<Reference>,
        last: u64,
        stops: &dyn Fn() -> bool,
    ) -> Result<(), MergeFailed> {
        fresh.sort_unstable();
        runs.write(last, &fresh)?;
        {
            let mut noted = self.noted_mut();
            noted.runs = runs.clone();
            noted.fresh = Vec::new();
        }
        loop {
            let replaced = runs.merge(self.layout.merged, self.layout.free_min, stops)?;
            if replaced.is_empty() {
                return Ok(());
            }
            self.noted_mut().runs = runs.clone();
            replaced.iter().for_each(|path| remove(path));
        }
    }

    /// Whether what is noted in memory could not be written out before; tries again.
    fn write_what_waits(&self, stops: &dyn Fn() -> bool) -> Result<(), MergeFailed> {
        let (runs, fresh, covered) = {
            let noted = self.noted();
            (noted.runs.clone(), noted.fresh.clone(), noted.covered)
        };
        let is_due =
            fresh.len() >= self.layout.fresh_max || covered >= runs.covered() + self.layout.blocks_max;
        if is_due { self.write_out(runs, fresh, covered, stops) } else { Ok(()) }
    }

    /// Takes the run out that could not be read, and all that follow: what they said is noted again. One that was
    /// merged meanwhile was read whole for it.
    pub(crate) fn take_out(&self, failed: &RunFailed) {
        self.cut(|runs| runs.cut(&failed.run));
    }

    /// Takes the run out that says of a height what its block does not, and all that follow. What it was merged into
    /// meanwhile says the same.
    pub(crate) fn take_out_at(&self, height: u64) {
        self.cut(|runs| runs.cut_height(height));
    }

    fn cut(&self, cut: impl FnOnce(&mut Runs) -> Vec<PathBuf>) {
        let _writing = self.writing();
        let mut noted = self.noted_mut();
        let cut = cut(&mut noted.runs);
        if cut.is_empty() {
            return;
        }
        noted.fresh = Vec::new();
        noted.covered = noted.runs.covered();
        self.covered.send_replace(noted.covered);
        drop(noted);
        cut.iter().for_each(|path| remove(path));
    }

    /// What is noted now, as far as it is about these keys and times.
    fn seen(&self, keys: &[Key]) -> Seen {
        let noted = self.noted();
        let wanted = |reference: &&Reference| {
            is_time(reference) || reference.first_chunk().is_some_and(|key| keys.contains(key))
        };
        let mut fresh: Vec<_> = noted.fresh.iter().filter(wanted).copied().collect();
        fresh.sort_unstable();
        Seen { runs: noted.runs.iter().cloned().collect(), fresh, covered: noted.covered }
    }

    fn noted(&self) -> RwLockReadGuard<'_, Noted> {
        self.noted.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted_mut(&self) -> RwLockWriteGuard<'_, Noted> {
        self.noted.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handed(&self) -> MutexGuard<'_, VecDeque<Handed>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was noted at one moment.
struct Seen {
    runs: Vec<Arc<Run>>,
    fresh: Vec<Reference>,
    covered: u64,
}

impl Seen {
    /// The lowest height from `from` on at which something is noted under a key.
    fn next(&self, key: &Key, from: u64) -> Result<Option<u64>, RunFailed> {
        let least = reference(key, from);
        for run in self.runs.iter().filter(|run| run.head.last >= from) {
            let found = run.at_or_after(&least).map_err(RunFailed::of(run))?;
            if let Some(found) = found.filter(|found| found.starts_with(key)) {
                return Ok(Some(height_in(&found)));
            }
        }
        let found = self.fresh.get(self.fresh.partition_point(|reference| *reference < least));
        Ok(found.filter(|found| found.starts_with(key)).map(height_in))
    }

    /// The lowest height whose time is not before another; times never go back.
    fn first_at(&self, time_ms: u64) -> Result<Option<u64>, RunFailed> {
        let least = reference::time(time_ms);
        for run in &self.runs {
            let found = run.at_or_after(&least).map_err(RunFailed::of(run))?;
            if let Some(found) = found.filter(is_time) {
                return Ok(Some(height_in(&found)));
            }
        }
        let found = self.fresh.get(self.fresh.partition_point(|reference| *reference < least));
        Ok(found.filter(|found| is_time(found)).map(height_in))
    }
}

#[cfg(test)]
impl Lookup {
    /// Notes a block of which nothing is said.
    pub(crate) fn note_for_test(&self, height: u64) {
        self.note(height, &[], &|| false).unwrap();
    }
}
