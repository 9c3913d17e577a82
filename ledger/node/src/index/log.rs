//! The log's hashes, one file for each level of its tree: the hash with number n lies at byte 32n.
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use keyward_ledger_core::{hash::Hash, log::Frontier};

/// Levels of the log: 2^40 records.
const LEVELS: usize = 41;
const HASH_BYTES: u64 = 32;

pub(super) struct Levels(Vec<File>);

impl Levels {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let files = (0..LEVELS).map(|level| super::open(&dir.join(format!("level-{level:02}"))));
        files.collect::<io::Result<_>>().map(Self)
    }

    /// Writes the leaf hashes that follow `log`, and every hash above that they complete.
    pub(super) fn append(&self, log: &Frontier, leaf_hashes: &[Hash]) -> io::Result<()> {
        let mut completed: Vec<(u64, Vec<Hash>)> = Vec::new();
        let mut log = log.clone();
        for leaf in leaf_hashes {
            log.append_with(*leaf, |level, index, hash| {
                let level = level as usize;
                while completed.len() <= level {
                    completed.push((index, Vec::new()));
                }
                if let Some((_, hashes)) = completed.get_mut(level) {
                    hashes.push(hash);
                }
            });
        }
        for (level, (first, hashes)) in completed.iter().enumerate() {
            self.file(level)?.write_all_at(hashes.as_flattened(), first * HASH_BYTES)?;
        }
        Ok(())
    }

    pub(super) fn read(&self, level: u32, index: u64) -> io::Result<Hash> {
        let mut hash = [0; 32];
        self.file(level as usize)?.read_exact_at(&mut hash, index.saturating_mul(HASH_BYTES))?;
        Ok(hash)
    }

    pub(super) fn write(&self, level: u32, index: u64, hash: &Hash) -> io::Result<()> {
        self.file(level as usize)?.write_all_at(hash, index.saturating_mul(HASH_BYTES))
    }

    fn file(&self, level: usize) -> io::Result<&File> {
        self.0.get(level).ok_or_else(|| io::Error::other(format!("log level {level} is beyond the bound")))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.iter().try_for_each(File::sync_data)
    }
}
