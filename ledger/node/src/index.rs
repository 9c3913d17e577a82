//! Files that are derived from finalized blocks: where each height's records lie, their outcomes, the
//! log's hashes and where each submitter's sequences went.
//!
//! Every entry is written at the place that its number gives it, so executing a block again after a
//! crash writes the same bytes again. Nothing here is the truth: the blocks are, and the scrubber holds
//! these files against them. `sync` is called before a snapshot says that the files are complete up to
//! its height.
//!
//! `places` holds 40 bytes for each height: `first leaf u64 || records u64 || offset u64 || length u64 ||
//! check[8]`; offset and length are those of the encoded outcomes in `outcomes`, and the check is the
//! beginning of the SHA-256 of the height, the fields before it and the outcomes.

mod log;
mod sequences;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use keyward_ledger_core::{execute::BlockOutcomes, hash::Hash, log::Frontier, log::HashStore};
use sha2::{Digest, Sha256};

use log::Levels;
use sequences::Sequences;

const FIELDS_BYTES: usize = 32;
const PLACE_BYTES: usize = FIELDS_BYTES + 8;
/// Longer than the outcomes of any block.
const OUTCOMES_BYTES_MAX: u64 = 32 << 20;

/// Where the records of one height lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) first_leaf: u64,
    pub(crate) count: u64,
    pub(crate) outcomes_offset: u64,
    pub(crate) outcomes_len: u64,
}

impl Place {
    /// Where the outcomes of the next height begin.
    pub(crate) const fn outcomes_end(&self) -> u64 {
        self.outcomes_offset.saturating_add(self.outcomes_len)
    }

    fn fields(&self) -> [u8; FIELDS_BYTES] {
        let fields = [self.first_leaf, self.count, self.outcomes_offset, self.outcomes_len];
        let mut bytes = [0; FIELDS_BYTES];
        for (to, field) in bytes.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let (fields, _) = bytes.as_chunks::<8>();
        let [first_leaf, count, outcomes_offset, outcomes_len] =
            [0, 1, 2, 3].map(|i| fields.get(i).map_or(0, |field| u64::from_be_bytes(*field)));
        Self { first_leaf, count, outcomes_offset, outcomes_len }
    }

    fn check(&self, height: u64, outcomes: &[u8]) -> [u8; 8] {
        let hash = Sha256::new().chain_update(height.to_be_bytes()).chain_update(self.fields());
        let hash: [u8; 32] = hash.chain_update(outcomes).finalize().into();
        hash.first_chunk().copied().unwrap_or_default()
    }
}

/// The derived files of one validator. Readers may run beside the one writer.
pub(crate) struct Index {
    dir: PathBuf,
    places: File,
    outcomes: File,
    /// Where the outcomes of the next block go: never read back from a file that may be damaged.
    outcomes_end: AtomicU64,
    levels: Levels,
    pub(crate) sequences: Sequences,
}

impl Index {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        // Places without checks, of an earlier version: the blocks are executed again.
        match fs::remove_file(dir.join("heights")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            places: open(&dir.join("places"))?,
            outcomes: open(&dir.join("outcomes"))?,
            outcomes_end: AtomicU64::new(0),
            levels: Levels::open(&dir.join("log"))?,
            sequences: Sequences::open(&dir.join("sequences"))?,
            dir: dir.to_owned(),
        })
    }

    /// Goes on after `height`; `false` if what stands there does not check or has another log size.
    pub(crate) fn resume(&self, height: u64, log_size: u64) -> io::Result<bool> {
        let Some((place, _)) = self.entry(height)? else { return Ok(false) };
        if place.first_leaf.checked_add(place.count) != Some(log_size) {
            return Ok(false);
        }
        self.outcomes_end.store(place.outcomes_end(), Ordering::Relaxed);
        Ok(true)
    }

    /// Begins after a block of which nothing else is known here than the log's right edge.
    pub(crate) fn begin(&self, height: u64, log: &Frontier) -> io::Result<()> {
        for (level, number, hash) in log.peaks() {
            self.levels.write(level, number, &hash)?;
        }
        let (place, outcomes) = Place::beginning(log);
        self.write_place(height, place, &outcomes)?;
        self.outcomes_end.store(place.outcomes_end(), Ordering::Relaxed);
        self.sync()
    }

    /// Writes the places, outcomes and log hashes of the next finalized block; `log` is the one before it.
    pub(crate) fn write(
        &self,
        height: u64,
        log: &Frontier,
        leaf_hashes: &[Hash],
        outcomes: &[u8],
    ) -> io::Result<()> {
        let place = Place {
            first_leaf: log.size(),
            count: leaf_hashes.len() as u64,
            outcomes_offset: self.outcomes_end.load(Ordering::Relaxed),
            outcomes_len: outcomes.len() as u64,
        };
        self.levels.append(log, leaf_hashes)?;
        self.write_place(height, place, outcomes)?;
        self.outcomes_end.store(place.outcomes_end(), Ordering::Relaxed);
        Ok(())
    }

    /// Writes the outcomes of a height where they belong.
    pub(crate) fn write_place(&self, height: u64, place: Place, outcomes: &[u8]) -> io::Result<()> {
        self.outcomes.write_all_at(outcomes, place.outcomes_offset)?;
        let bytes = [place.fields().as_slice(), &place.check(height, outcomes)].concat();
        self.places.write_all_at(&bytes, offset(height))
    }

    /// Where a height's records lie, unchecked: [`Index::entry`] says whether it is true.
    fn place(&self, height: u64) -> io::Result<Place> {
        let mut bytes = [0; FIELDS_BYTES];
        self.places.read_exact_at(&mut bytes, offset(height))?;
        Ok(Place::read(&bytes))
    }

    /// Where a height's records lie, and their outcomes; `None` if they are missing or do not check.
    pub(crate) fn entry(&self, height: u64) -> io::Result<Option<(Place, BlockOutcomes)>> {
        let mut bytes = [0; PLACE_BYTES];
        if !read_if_there(&self.places, &mut bytes, offset(height))? {
            return Ok(None);
        }
        let place = Place::read(&bytes);
        let Some(length) = Some(place.outcomes_len).filter(|length| *length <= OUTCOMES_BYTES_MAX) else {
            return Ok(None);
        };
        let mut outcomes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        if i64::try_from(place.outcomes_end()).is_err()
            || !read_if_there(&self.outcomes, &mut outcomes, place.outcomes_offset)?
            || !bytes.ends_with(&place.check(height, &outcomes))
        {
            return Ok(None);
        }
        Ok(BlockOutcomes::decode(&outcomes).ok().map(|outcomes| (place, outcomes)))
    }

    /// The height whose block holds a leaf, among the heights `0..=tip`.
    pub(crate) fn height_of_leaf(&self, leaf: u64, tip: u64) -> io::Result<Option<u64>> {
        let height = self.first_height_past(leaf, tip)?;
        let place = self.place(height)?;
        let holds = place.first_leaf <= leaf && leaf - place.first_leaf < place.count;
        Ok(holds.then_some(height))
    }

    /// The first height, among `0..=tip`, whose block ends past a leaf: `tip` if none does.
    pub(crate) fn first_height_past(&self, leaf: u64, tip: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, tip);
        while low < high {
            let middle = low + (high - low) / 2;
            let place = self.place(middle)?;
            if place.first_leaf.saturating_add(place.count) <= leaf {
                low = middle + 1
            } else {
                high = middle
            }
        }
        Ok(low)
    }

    /// Puts a hash of the log back in its place.
    pub(crate) fn write_node(&self, level: u32, index: u64, hash: &Hash) -> io::Result<()> {
        self.levels.write(level, index, hash)
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.places.sync_data()?;
        self.outcomes.sync_data()?;
        self.levels.sync()?;
        self.sequences.sync()?;
        File::open(&self.dir)?.sync_all()
    }
}

impl HashStore for Index {
    fn node(&self, level: u32, index: u64) -> Option<[u8; 32]> {
        self.levels.read(level, index).ok()
    }
}

const fn offset(height: u64) -> u64 {
    height.saturating_mul(PLACE_BYTES as u64)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

/// Fills the buffer, or says that the file ends before.
fn read_if_there(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
