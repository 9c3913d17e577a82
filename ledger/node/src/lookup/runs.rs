//! The files of references that follow each other from the first height held here on, merged as they grow many.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use keyward_ledger_core::hash::Hash;
use tracing::warn;

use super::{
    reference::Reference,
    run::{Head, References, Run},
};

/// A run that cannot be read: it is taken out, and what it said is noted again from the blocks.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` of the look-up cannot be read")]
pub(crate) struct RunFailed {
    pub(super) name: String,
    pub(crate) path: PathBuf,
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
}

impl RunFailed {
    pub(super) fn of(run: &Run) -> impl FnOnce(io::Error) -> Self {
        let path = run.path.clone();
        move |source| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            Self { name, path, source }
        }
    }
}

/// Immutable; changed by making another.
#[derive(Clone)]
pub(super) struct Runs {
    dir: PathBuf,
    chain_id: Hash,
    /// The height above which there are blocks.
    floor: u64,
    runs: Vec<Arc<Run>>,
}

impl Runs {
    /// Opens the runs that follow each other; of those that overlap the longest, which is merged of the others.
    pub(super) fn open(dir: &Path, chain_id: &Hash, floor: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (mut found, mut others) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            match Run::open(path.clone(), chain_id) {
                Ok(Some(run)) => found.push(Arc::new(run)),
                Ok(None) => others.push(path),
                Err(error) => {
                    warn!(%error, path = %path.display(), "alarm: a file of the look-up cannot be read");
                    others.push(path);
                }
            }
        }
        found.sort_by_key(|run| (run.head.first, Reverse(run.head.last)));
        let mut runs = Self { dir: dir.to_owned(), chain_id: *chain_id, floor, runs: Vec::new() };
        for run in found {
            if run.head.first == runs.covered() + 1 {
                runs.runs.push(run)
            } else {
                others.push(run.path.clone())
            }
        }
        others.iter().for_each(|path| remove(path));
        Ok(runs)
    }

    /// The last height of the last run; the floor if there is none.
    pub(super) fn covered(&self) -> u64 {
        self.runs.last().map_or(self.floor, |run| run.head.last)
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

    /// Merges the last runs into one if `count` of them were merged equally often; the parts that it replaces.
    pub(super) fn merge(&mut self, count: usize) -> Result<Vec<PathBuf>, MergeFailed> {
        let first = self.runs.len().saturating_sub(count);
        let parts = self.runs.get(first..).unwrap_or_default();
        let heads = || parts.iter().map(|run| run.head);
        let Some(head) = heads().next().filter(|head| heads().all(|other| other.level == head.level)) else {
            return Ok(Vec::new());
        };
        if parts.len() < count {
            return Ok(Vec::new());
        }
        let merged = Head {
            first: head.first,
            last: self.covered(),
            count: heads().map(|head| head.count).sum(),
            level: head.level + 1,
        };
        let mut failed = None;
        let written = Run::write(&self.dir, &self.chain_id, merged, Merged::of(parts, &mut failed)?);
        let run = match failed {
            Some(failed) => return Err(failed.into()),
            None => written?,
        };
        let replaced = self.runs.split_off(first).iter().map(|run| run.path.clone()).collect();
        self.runs.push(Arc::new(run));
        Ok(replaced)
    }

    /// Takes out a run and all that follow; their files.
    pub(super) fn cut(&mut self, path: &Path) -> Vec<PathBuf> {
        let at = self.runs.iter().position(|run| run.path == path).unwrap_or(self.runs.len());
        self.runs.split_off(at).iter().map(|run| run.path.clone()).collect()
    }

    pub(super) fn chain_id(&self) -> &Hash {
        &self.chain_id
    }
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
    failed: &'a mut Option<RunFailed>,
}

impl<'a> Merged<'a> {
    fn of(runs: &'a [Arc<Run>], failed: &'a mut Option<RunFailed>) -> Result<Self, RunFailed> {
        let parts = runs.iter().cloned().map(References::of).collect();
        let mut merged = Self { parts, runs, heads: BinaryHeap::new(), failed };
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
        match self.advance(part) {
            Ok(()) => Some(Ok(reference)),
            Err(failed) => {
                let error = io::Error::other(failed.name.clone());
                *self.failed = Some(failed);
                Some(Err(error))
            }
        }
    }
}
