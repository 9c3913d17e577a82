//! Files that are derived from finalized blocks: where each height's records lie, their outcomes, the
//! log's hashes and where each submitter's sequences went.
//!
//! Every entry is written at the place that its number gives it, so executing a block again after a
//! crash writes the same bytes again. Nothing here is the truth: the blocks are. `sync` is called before
//! a snapshot says that the files are complete up to its height.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use keyward_ledger_core::log::{self, HashStore};

/// Levels of the log: 2^40 records.
const LEVELS: usize = 41;
const HASH_BYTES: u64 = 32;
const PLACE_BYTES: u64 = 32;
/// Marks a written sequence, because an unwritten hole of a file reads as zero.
const SEQUENCE_WRITTEN: u64 = 1 << 63;

/// Where the records of one height lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) first_leaf: u64,
    pub(crate) count: u64,
    pub(crate) outcomes_offset: u64,
    pub(crate) outcomes_len: u64,
}

/// The derived files of one validator. Readers may run beside the one writer.
pub(crate) struct Index {
    dir: PathBuf,
    heights: File,
    outcomes: File,
    levels: Vec<File>,
    sequences: Mutex<HashMap<[u8; 32], Arc<File>>>,
}

impl Index {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir.join("log"))?;
        fs::create_dir_all(dir.join("sequences"))?;
        let levels = (0..LEVELS)
            .map(|level| open(&dir.join("log").join(format!("level-{level:02}"))))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            heights: open(&dir.join("heights"))?,
            outcomes: open(&dir.join("outcomes"))?,
            levels,
            sequences: Mutex::default(),
            dir: dir.to_owned(),
        })
    }

    /// Writes the places, outcomes and log hashes of one finalized block.
    pub(crate) fn write(
        &self,
        height: u64,
        first_leaf: u64,
        leaf_hashes: &[[u8; 32]],
        outcomes: &[u8],
    ) -> io::Result<()> {
        let before = if height == 0 { Place::default() } else { self.place(height - 1)? };
        let place = Place {
            first_leaf,
            count: leaf_hashes.len() as u64,
            outcomes_offset: before.outcomes_offset + before.outcomes_len,
            outcomes_len: outcomes.len() as u64,
        };
        self.outcomes.write_all_at(outcomes, place.outcomes_offset)?;
        self.write_hashes(first_leaf, leaf_hashes)?;
        let mut bytes = Vec::with_capacity(PLACE_BYTES as usize);
        for field in [place.first_leaf, place.count, place.outcomes_offset, place.outcomes_len] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        self.heights.write_all_at(&bytes, height * PLACE_BYTES)
    }

    /// Appends leaf hashes to level 0 and each completed pair to the level above.
    fn write_hashes(&self, first_leaf: u64, leaf_hashes: &[[u8; 32]]) -> io::Result<()> {
        let mut first = first_leaf;
        let mut hashes = leaf_hashes.to_vec();
        for (level, file) in self.levels.iter().enumerate() {
            if hashes.is_empty() {
                break;
            }
            file.write_all_at(hashes.as_flattened(), first * HASH_BYTES)?;
            // A first hash with an odd number completes the pair that an earlier block began.
            if first % 2 == 1 {
                hashes.insert(0, self.read_hash(level, first - 1)?);
                first -= 1;
            }
            let (pairs, _) = hashes.as_chunks::<2>();
            hashes = pairs.iter().map(|[left, right]| log::node_hash(left, right)).collect();
            first /= 2;
        }
        Ok(())
    }

    fn read_hash(&self, level: usize, index: u64) -> io::Result<[u8; 32]> {
        let file = self
            .levels
            .get(level)
            .ok_or_else(|| io::Error::other(format!("log level {level} is beyond the bound")))?;
        let mut hash = [0; 32];
        file.read_exact_at(&mut hash, index * HASH_BYTES)?;
        Ok(hash)
    }

    pub(crate) fn place(&self, height: u64) -> io::Result<Place> {
        let mut bytes = [0; PLACE_BYTES as usize];
        self.heights.read_exact_at(&mut bytes, height * PLACE_BYTES)?;
        let (fields, _) = bytes.as_chunks::<8>();
        let [first_leaf, count, outcomes_offset, outcomes_len] =
            [0, 1, 2, 3].map(|i| fields.get(i).map_or(0, |f| u64::from_be_bytes(*f)));
        Ok(Place { first_leaf, count, outcomes_offset, outcomes_len })
    }

    pub(crate) fn outcomes(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(place.outcomes_len).map_err(io::Error::other)?];
        self.outcomes.read_exact_at(&mut bytes, place.outcomes_offset)?;
        Ok(bytes)
    }

    /// The height whose block holds a leaf, among the heights `0..=tip`.
    pub(crate) fn height_of_leaf(&self, leaf: u64, tip: u64) -> io::Result<Option<u64>> {
        let (mut low, mut high) = (0, tip);
        while low < high {
            let middle = low + (high - low) / 2;
            let place = self.place(middle)?;
            if place.first_leaf + place.count <= leaf { low = middle + 1 } else { high = middle }
        }
        let place = self.place(low)?;
        Ok((place.first_leaf..place.first_leaf + place.count).contains(&leaf).then_some(low))
    }

    /// Remembers at which leaf the batch of a submitter's sequence begins.
    pub(crate) fn write_sequence(
        &self,
        submitter: &[u8; 32],
        sequence: u64,
        first_leaf: u64,
    ) -> io::Result<()> {
        let file = self.sequence_file(submitter)?;
        file.write_all_at(&(first_leaf | SEQUENCE_WRITTEN).to_be_bytes(), sequence * 8)
    }

    pub(crate) fn first_leaf_of(&self, submitter: &[u8; 32], sequence: u64) -> io::Result<Option<u64>> {
        if !self.dir.join("sequences").join(name(submitter)).exists() {
            return Ok(None);
        }
        let Some(offset) = sequence.checked_mul(8).filter(|offset| i64::try_from(*offset).is_ok()) else {
            return Ok(None);
        };
        let mut bytes = [0; 8];
        match self.sequence_file(submitter)?.read_exact_at(&mut bytes, offset) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
            Ok(()) => {
                let value = u64::from_be_bytes(bytes);
                Ok((value & SEQUENCE_WRITTEN != 0).then_some(value & !SEQUENCE_WRITTEN))
            }
        }
    }

    fn sequence_file(&self, submitter: &[u8; 32]) -> io::Result<Arc<File>> {
        let mut files = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(submitter) {
            return Ok(file.clone());
        }
        let file = Arc::new(open(&self.dir.join("sequences").join(name(submitter)))?);
        files.insert(*submitter, file.clone());
        Ok(file)
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.heights.sync_data()?;
        self.outcomes.sync_data()?;
        for level in &self.levels {
            level.sync_data()?;
        }
        let files: Vec<_> =
            self.sequences.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        files.iter().try_for_each(|file| file.sync_data())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

fn name(submitter: &[u8; 32]) -> String {
    hex::encode(submitter)
}

impl HashStore for Index {
    fn node(&self, level: u32, index: u64) -> Option<[u8; 32]> {
        self.read_hash(usize::try_from(level).ok()?, index).ok()
    }
}
