//! The files of references that follow each other from height 1 on, merged as they grow many.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use keyward_ledger_core::hash::Hash;
use tracing::{debug, warn};

use super::{
    reference::Reference,
    run::{Head, PREFIX, References, Run},
};
use crate::disk;

/// References between two looks whether to stop.
const STEP: u64 = 4096;

/// A run that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{}` of the look-up cannot be read", .run.name())]
pub(crate) struct RunFailed {
    pub(super) run: Arc<Run>,
    #[source]
    pub(super) source: io::Error,
}

/// Why runs were not merged.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeFailed {
    #[error(transparent)]
    Read(#[from] RunFailed),
    #[error("a merged run of the look-up cannot be written")]
    Write(#[from] io::Error),
    #[error("the node stops")]
    Stopped,
}

impl RunFailed {
    pub(super) fn of(run: &Arc<Run>) -> impl FnOnce(io::Error) -> Self {
        let run = run.clone();
        move |source| Self { run, source }
    }

    /// Whether the run is lost: it is taken out, and what it said is noted again from the blocks. What else went wrong
    /// (too many open files, no right to read) passes.
    pub(crate) fn is_damage(&self) -> bool {
        is_damage(&self.source)
    }
}

fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | NotFound | UnexpectedEof)
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Immutable; changed by making another.
#[derive(Clone)]
pub(super) struct Runs {
    dir: PathBuf,
    chain_id: Hash,
    runs: Vec<Arc<Run>>,
}

impl Runs {
    /// No runs yet in a folder.
    pub(super) fn none(dir: &Path, chain_id: &Hash) -> Self {
        Self { dir: dir.to_owned(), chain_id: *chain_id, runs: Vec::new() }
    }

    /// Opens the runs that follow each other; of those that overlap the longest, which is merged of the others. A run
    /// that cannot be opened now, though it may be whole, ends the chain; then nothing is removed.
    pub(super) fn open(dir: &Path, chain_id: &Hash) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (mut found, mut others, mut is_all) = (Vec::new(), Vec::new(), true);
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            match Run::open(path.clone(), chain_id) {
                Ok(Some(run)) => found.push(Arc::new(run)),
                Ok(None) => others.push(path),
                Err(error) => {
                    warn!(%error, path = %path.display(), "alarm: a file of the look-up cannot be read");
                    is_all &= is_damage(&error) || !is_named_as_run(&path);
                    others.push(path);
                }
            }
        }
        found.sort_by_key(|run| (run.head.first, Reverse(run.head.last)));
        let mut runs = Self::none(dir, chain_id);
        for run in found {
            if run.head.first == runs.covered() + 1 {
                runs.runs.push(run)
            } else {
                others.push(run.path.clone())
            }
        }
        if is_all {
            others.iter().for_each(|path| remove(path));
        }
        Ok(runs)
    }

    /// The last height of the last run.
    pub(super) fn covered(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.head.last)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs.iter()
    }

    /// Writes the run that follows, of sorted references.
    pub(super) fn write(&mut self, last: u64, sorted: &[Reference]) -> io::Result<()> {
        let head = Head { first: self.covered() + 1, last, count: sorted.len() as u64, level: 0 };
        let run = Run::write(&self.dir, &self.chain_id, head, sorted.iter().copied().map(Ok))?;
        self.runs.push(Arc::new(run));
        Ok(())
    }

    /// Merges the first runs of which `count` follow each other that were merged equally often, if afterwards so many
    /// bytes are free still; the parts that it replaces.
    pub(super) fn merge(
        &mut self,
        count: usize,
        free_min: u64,
        stops: &dyn Fn() -> bool,
    ) -> Result<Vec<PathBuf>, MergeFailed> {
        let Some((first, merged)) = self.mergeable(count, free_min) else { return Ok(Vec::new()) };
        let (mut failed, parts) = (None, self.runs.get(first..first + count).unwrap_or_default());
        let references = Merged::of(parts, stops, &mut failed)?;
        let written = Run::write(&self.dir, &self.chain_id, merged, references);
        let run = match failed {
            Some(failed) => return Err(failed),
            None => Arc::new(written?),
        };
        let replaced = self.runs.splice(first..first + count, [run]);
        Ok(replaced.map(|run| run.path.clone()).collect())
    }

    /// The first run to be merged with those after it, and the head of what becomes of them. What has no room waits
    /// until it has: nothing is behind because of it.
    fn mergeable(&self, count: usize, free_min: u64) -> Option<(usize, Head)> {
        let groups = self.runs.windows(count).enumerate().filter_map(|(at, parts)| {
            let (first, last) = (parts.first()?.head, parts.last()?.head);
            // INVARIANT: levels never rise along the chain, so that equal ends are all equal, and what is merged
            // begins where its level does.
            let begins = at.checked_sub(1).and_then(|before| self.runs.get(before));
            let begins = begins.is_none_or(|before| before.head.level != first.level);
            let count = parts.iter().map(|run| run.head.count).sum();
            let merged = Head { first: first.first, last: last.last, count, level: first.level + 1 };
            (begins && first.level == last.level).then_some((at, merged))
        });
        let mut with_room = groups.filter(|(_, merged)| {
            let bytes = merged.file_bytes().unwrap_or(u64::MAX);
            let has_room = disk::has_room(&self.dir, bytes.saturating_add(free_min));
            if !has_room {
                debug!(bytes, "runs of the look-up stay apart: the disk has no room to merge them");
            }
            has_room
        });
        with_room.next()
    }

    /// Takes out a run and all that follow; their files. One that was merged meanwhile is not there any more.
    pub(super) fn cut(&mut self, run: &Arc<Run>) -> Vec<PathBuf> {
        self.cut_at(|held| Arc::ptr_eq(held, run))
    }

    /// Takes out the run that a height is noted in, whatever it was merged into, and all that follow; their files.
    pub(super) fn cut_height(&mut self, height: u64) -> Vec<PathBuf> {
        self.cut_at(|held| (held.head.first..=held.head.last).contains(&height))
    }

    fn cut_at(&mut self, is_it: impl Fn(&Arc<Run>) -> bool) -> Vec<PathBuf> {
        let at = self.runs.iter().position(is_it).unwrap_or(self.runs.len());
        self.runs.split_off(at).iter().map(|run| run.path.clone()).collect()
    }

    pub(super) fn chain_id(&self) -> &Hash {
        &self.chain_id
    }
}

fn is_named_as_run(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
}

/// What cannot be removed now is when the folder is opened again.
pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%error, path = %path.display(), "a file of the look-up cannot be removed");
        }
        _ => {}
    }
}

/// The references of several runs in order.
struct Merged<'a> {
    parts: Vec<References>,
    runs: &'a [Arc<Run>],
    heads: BinaryHeap<Reverse<(Reference, usize)>>,
    taken: u64,
    stops: &'a dyn Fn() -> bool,
    failed: &'a mut Option<MergeFailed>,
}

impl<'a> Merged<'a> {
    fn of(
        runs: &'a [Arc<Run>],
        stops: &'a dyn Fn() -> bool,
        failed: &'a mut Option<MergeFailed>,
    ) -> Result<Self, RunFailed> {
        let parts = runs.iter().cloned().map(References::of).collect();
        let mut merged = Self { parts, runs, heads: BinaryHeap::new(), taken: 0, stops, failed };
        for part in 0..runs.len() {
            merged.advance(part)?;
        }
        Ok(merged)
    }

    fn advance(&mut self, part: usize) -> Result<(), RunFailed> {
        let (Some(references), Some(run)) = (self.parts.get_mut(part), self.runs.get(part)) else {
            return Ok(());
        };
        let next = references.next().transpose().map_err(RunFailed::of(run))?;
        self.heads.extend(next.map(|reference| Reverse((reference, part))));
        Ok(())
    }
}

impl Iterator for Merged<'_> {
    type Item = io::Result<Reference>;

    fn next(&mut self) -> Option<io::Result<Reference>> {
        let Reverse((reference, part)) = self.heads.pop()?;
        self.taken += 1;
        let advanced = match self.taken.is_multiple_of(STEP) && (self.stops)() {
            true => Err(MergeFailed::Stopped),
            false => self.advance(part).map_err(MergeFailed::from),
        };
        Some(advanced.map(|()| reference).map_err(|failed| {
            let error = io::Error::other(failed.to_string());
            *self.failed = Some(failed);
            error
        }))
    }
}
