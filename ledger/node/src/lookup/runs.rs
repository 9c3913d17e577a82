//! Sorted files of references, each for a run of heights.
//!
//! A file `run-<last height>` holds `"KWLOOK01" || first height u64 || last height u64 || count u64 ||
//! (key[16] || height u64)... || SHA-256 of everything before`, the references sorted. Written once, never
//! changed.
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// The first bytes of a hash of what is looked up.
pub(super) type Key = [u8; 16];

const MAGIC: &[u8; 8] = b"KWLOOK01";
const HEAD_BYTES: u64 = 8 + 3 * 8;
const REFERENCE_BYTES: u64 = 16 + 8;

pub(super) struct Run {
    path: PathBuf,
    file: File,
    first: u64,
    last: u64,
    count: u64,
}

pub(super) struct Runs {
    dir: PathBuf,
    runs: Vec<Run>,
}

impl Runs {
    /// Opens the files that follow each other from height 1 on; the others are removed.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut paths: Vec<_> =
            fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        paths.sort();
        let mut runs = Self { dir: dir.to_owned(), runs: Vec::new() };
        for path in paths {
            match Run::open(&path)? {
                Some(run) if run.first == runs.covered() + 1 => runs.runs.push(run),
                _ => fs::remove_file(&path)?,
            }
        }
        Ok(runs)
    }

    /// The last height of the last run.
    pub(super) fn covered(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.last)
    }

    /// Writes the run that follows, durably.
    pub(super) fn write(&mut self, last: u64, sorted: &[(Key, u64)]) -> io::Result<()> {
        let (path, beside) = (self.dir.join(format!("run-{last:020}")), self.dir.join("new"));
        let mut bytes = MAGIC.to_vec();
        for number in [self.covered() + 1, last, sorted.len() as u64] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        for (key, height) in sorted {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&height.to_be_bytes());
        }
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        fs::write(&beside, &bytes)?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&self.dir)?.sync_all()?;
        self.runs.extend(Run::open(&path)?);
        Ok(())
    }

    /// At most `max` heights from `from` to `to` under a key, ascending.
    pub(super) fn find(&self, key: &Key, from: u64, to: u64, max: usize) -> io::Result<Vec<u64>> {
        let mut heights = Vec::new();
        for run in self.runs.iter().filter(|run| run.last >= from && run.first <= to) {
            run.find(key, from, to, max, &mut heights)?;
        }
        Ok(heights)
    }

    /// Removes the first file that does not check and all that follow; returns their names.
    pub(super) fn drop_damaged(&mut self) -> io::Result<Vec<String>> {
        let mut good = 0;
        while let Some(run) = self.runs.get(good) {
            let same = |now: Run| (now.first, now.last, now.count) == (run.first, run.last, run.count);
            if !Run::open(&run.path)?.is_some_and(same) {
                break;
            }
            good += 1;
        }
        let dropped = self.runs.split_off(good).into_iter();
        dropped
            .map(|run| {
                match fs::remove_file(&run.path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                Ok(run.path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            })
            .collect()
    }
}

impl Run {
    /// Reads all of a file; `None` if it does not check.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some((body, sum)) = bytes.split_last_chunk::<32>() else { return Ok(None) };
        let (Some(magic), Some(numbers)) = (body.get(..8), body.get(8..32)) else { return Ok(None) };
        let (numbers, _) = numbers.as_chunks::<8>();
        let [first, last, count] = [0, 1, 2].map(|at| numbers.get(at).map_or(0, |n| u64::from_be_bytes(*n)));
        let length = count.checked_mul(REFERENCE_BYTES).and_then(|length| length.checked_add(HEAD_BYTES));
        let good =
            magic == MAGIC && length == Some(body.len() as u64) && Sha256::digest(body).as_slice() == sum;
        let file = File::open(path)?;
        Ok(good.then(|| Self { path: path.to_owned(), file, first, last, count }))
    }

    fn reference(&self, number: u64) -> io::Result<(Key, u64)> {
        let mut bytes = [0; REFERENCE_BYTES as usize];
        self.file.read_exact_at(&mut bytes, HEAD_BYTES + number * REFERENCE_BYTES)?;
        let (mut key, mut height) = (Key::default(), [0; 8]);
        key.copy_from_slice(bytes.get(..16).unwrap_or_default());
        height.copy_from_slice(bytes.get(16..).unwrap_or_default());
        Ok((key, u64::from_be_bytes(height)))
    }

    fn find(&self, key: &Key, from: u64, to: u64, max: usize, heights: &mut Vec<u64>) -> io::Result<()> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.reference(middle)? < (*key, from) { low = middle + 1 } else { high = middle }
        }
        while low < self.count && heights.len() < max {
            let (at, height) = self.reference(low)?;
            if at != *key || height > to {
                break;
            }
            heights.push(height);
            low += 1;
        }
        Ok(())
    }
}
