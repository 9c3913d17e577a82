//! A member's disk: what it keeps when the power goes, and how it is damaged.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use keyward_ledger_engine::{Block, Certificate, Id, Kind, Segments, Store, StoreError};

use super::member::lock;

/// Where a node's files lie, below its folder.
pub(super) const BLOCKS: &str = "blocks";
pub(super) const INDEX: &str = "index";
pub(super) const SNAPSHOTS: &str = "snapshots";

/// How long each file of a folder is, as far as it was synced.
pub(super) type Durable = Arc<Mutex<BTreeMap<PathBuf, u64>>>;

/// A block store that notes what it made durable.
pub(super) struct Disk {
    pub(super) inner: Arc<Segments>,
    pub(super) folder: PathBuf,
    pub(super) durable: Durable,
}

impl Store for Disk {
    fn put_block(&self, block: &Block) -> Result<(), StoreError> {
        self.inner.put_block(block)
    }

    fn put_certificate(&self, height: u64, certificate: &Certificate) -> Result<bool, StoreError> {
        self.inner.put_certificate(height, certificate)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let lengths = segments(&self.folder);
        self.inner.sync()?;
        lock(&self.durable).extend(lengths);
        Ok(())
    }

    fn block(&self, id: Id) -> Result<Option<Bytes>, StoreError> {
        self.inner.block(id)
    }

    fn certificate(&self, id: Id) -> Result<Option<Certificate>, StoreError> {
        self.inner.certificate(id)
    }

    fn range_at_or_after(&self, kind: Kind, height: u64) -> Option<(u64, u64)> {
        self.inner.range_at_or_after(kind, height)
    }

    fn last(&self, kind: Kind) -> Option<u64> {
        self.inner.last(kind)
    }

    fn journal_mark(&self) -> Result<Option<[u8; 32]>, StoreError> {
        self.inner.journal_mark()
    }

    fn set_journal_mark(&self, mark: [u8; 32]) -> Result<(), StoreError> {
        self.inner.set_journal_mark(mark)
    }
}

fn segments(folder: &Path) -> BTreeMap<PathBuf, u64> {
    files(folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .map(|path| (path.clone(), fs::metadata(path).unwrap().len()))
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort_unstable();
    paths
}

/// What lies on a disk that was put in now is durable, and nothing else.
pub(super) fn settle(dir: &Path, durable: &Durable) {
    *lock(durable) = segments(&dir.join(BLOCKS));
}

/// Takes from the blocks of a node that is down what was written and not synced.
pub(super) fn cut_power(dir: &Path, durable: &Durable) {
    let durable = lock(durable);
    for (path, length) in segments(&dir.join(BLOCKS)) {
        let kept = durable.get(&path).copied().unwrap_or(0).min(length);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(kept).unwrap();
    }
}

/// Leaves a record at the end of a node's newest segment that was being written when the power went: the beginning of
/// an earlier one, or zeros. False where there is no segment.
pub(super) fn tear(dir: &Path, mut place: impl FnMut(u64) -> u64) -> bool {
    let Some((path, length)) = segments(&dir.join(BLOCKS)).pop_last() else { return false };
    let mut bytes = fs::read(&path).unwrap();
    let torn = 1 + place(200);
    let begun = bytes.get(..torn.min(length) as usize).filter(|_| place(2) == 0).map(<[u8]>::to_vec);
    bytes.extend(begun.unwrap_or_else(|| vec![0; torn as usize]));
    fs::write(&path, bytes).unwrap();
    true
}

/// Cuts every file of a folder off somewhere.
pub(super) fn cut_files(dir: &Path, mut place: impl FnMut(u64) -> u64) {
    for path in files(dir) {
        let length = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(place(length + 1)).unwrap();
    }
}

/// Removes a folder, if it is there.
pub(super) fn lose(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}

/// Flips one bit in every segment of a node that is long enough; how many.
pub(super) fn flip_bits(dir: &Path, mut place: impl FnMut(u64) -> u64) -> u64 {
    let mut flipped = 0;
    for (path, length) in segments(&dir.join(BLOCKS)) {
        if length < 512 {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        bytes[place(length) as usize] ^= 1 << place(8);
        fs::write(&path, bytes).unwrap();
        flipped += 1;
    }
    flipped
}

/// Copies a folder.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
