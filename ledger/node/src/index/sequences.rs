//! At which leaf each batch of a submitter begins: a file for each submitter, 8 bytes for each sequence.
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

const SLOT_BYTES: u64 = 8;
/// Marks a written sequence, because an unwritten hole of a file reads as zero.
const WRITTEN: u64 = 1 << 63;
/// Slots read at a time when a file is looked through.
const SLOTS_READ: usize = 8192;

pub(crate) struct Sequences {
    dir: PathBuf,
    files: Mutex<HashMap<[u8; 32], Arc<File>>>,
}

impl Sequences {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), files: Mutex::default() })
    }

    /// Remembers at which leaf the batch of a submitter's sequence begins.
    pub(crate) fn write(&self, submitter: &[u8; 32], sequence: u64, first_leaf: u64) -> io::Result<()> {
        let file = self.file(submitter)?;
        file.write_all_at(&(first_leaf | WRITTEN).to_be_bytes(), sequence.saturating_mul(SLOT_BYTES))
    }

    /// At which leaf a submitter's sequence begins, if it is known.
    pub(crate) fn first_leaf(&self, submitter: &[u8; 32], sequence: u64) -> io::Result<Option<u64>> {
        if !self.path(submitter).exists() {
            return Ok(None);
        }
        let Some(offset) = sequence.checked_mul(SLOT_BYTES).filter(|offset| i64::try_from(*offset).is_ok())
        else {
            return Ok(None);
        };
        let mut bytes = [0; SLOT_BYTES as usize];
        if !super::read_if_there(&*self.file(submitter)?, &mut bytes, offset)? {
            return Ok(None);
        }
        let value = u64::from_be_bytes(bytes);
        Ok((value & WRITTEN != 0).then_some(value & !WRITTEN))
    }

    /// Calls `seen` with each slot that is not empty: sequence, and the leaf if the slot is well formed.
    pub(crate) fn for_each(
        &self,
        submitter: &[u8; 32],
        mut seen: impl FnMut(u64, Option<u64>),
    ) -> io::Result<()> {
        let file = self.file(submitter)?;
        let slots = file.metadata()?.len() / SLOT_BYTES;
        let mut buffer = vec![0; SLOTS_READ * SLOT_BYTES as usize];
        let mut sequence = 0;
        while sequence < slots {
            let count = (slots - sequence).min(SLOTS_READ as u64);
            let part = buffer.get_mut(..(count * SLOT_BYTES) as usize).unwrap_or_default();
            file.read_exact_at(part, sequence * SLOT_BYTES)?;
            for (slot, at) in part.as_chunks::<8>().0.iter().zip(sequence..) {
                let value = u64::from_be_bytes(*slot);
                if value != 0 {
                    seen(at, (value & WRITTEN != 0).then_some(value & !WRITTEN));
                }
            }
            sequence += count;
        }
        Ok(())
    }

    /// Empties a slot that no block speaks of.
    pub(crate) fn clear(&self, submitter: &[u8; 32], sequence: u64) -> io::Result<()> {
        self.file(submitter)?.write_all_at(&[0; SLOT_BYTES as usize], sequence.saturating_mul(SLOT_BYTES))
    }

    /// Every submitter that has a file here.
    pub(crate) fn submitters(&self) -> io::Result<Vec<[u8; 32]>> {
        let mut submitters = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let mut key = [0; 32];
            if hex::decode_to_slice(entry?.file_name().as_encoded_bytes(), &mut key).is_ok() {
                submitters.push(key);
            }
        }
        Ok(submitters)
    }

    fn path(&self, submitter: &[u8; 32]) -> PathBuf {
        self.dir.join(hex::encode(submitter))
    }

    fn file(&self, submitter: &[u8; 32]) -> io::Result<Arc<File>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(submitter) {
            return Ok(file.clone());
        }
        let file = Arc::new(super::open(&self.path(submitter))?);
        files.insert(*submitter, file.clone());
        Ok(file)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let files: Vec<_> =
            self.files.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        files.iter().try_for_each(|file| file.sync_data())
    }
}
