//! Whether the engine's own files still say what was written: votes, marshal's numbers and caches.
//!
//! They are commonware's, in three forms: pages that end with two checksums, small stores that end with one,
//! and values whose checksums lie between them. A page whose newest checksum fails falls back to an older
//! one without a word, which is right after a power cut and wrong after a flipped bit; here both are damage.
use crate::{EngineError, Store, journal};
use commonware_cryptography::Crc32;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Header and page length of commonware's files.
const PAGE_BYTES: usize = 4096;
/// `u16 length || u32 checksum`, twice, at the end of a page.
const SLOT_BYTES: usize = 6;
/// The header: magic, version, version, checksum of these.
const HEADER: &[u8; 6] = b"CWIK\x00\x01";
/// `u64 height || digest[32] || u64 offset || u32 length`: where a cached value lies.
const ENTRY_BYTES: usize = 52;
/// A file that is being written may not check in the middle of that.
const LOOKS: usize = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Folders of votes begin so.
const VOTES: &str = "votes-";

/// The files below the engine's folder that do not check, at rest or while the engine runs; its mark among
/// them if the store has another one.
pub fn damaged_files(folder: &Path, store: &dyn Store) -> Result<Vec<PathBuf>, EngineError> {
    let fail = |source| EngineError::Folder { path: folder.into(), source };
    let mut damaged = damaged_in(folder, |_| true).map_err(fail)?;
    if !journal::agree(folder, store)? {
        damaged.push(folder.join(journal::FILE));
    }
    Ok(damaged)
}

/// The files of votes that do not check.
pub(crate) fn damaged_votes(folder: &Path) -> io::Result<Vec<PathBuf>> {
    damaged_in(folder, |partition| partition.starts_with(VOTES))
}

fn damaged_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut damaged = Vec::new();
    for partition in list(folder)? {
        let name = partition.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !wanted(&name) || !partition.is_dir() {
            continue;
        }
        for path in list(&partition)? {
            if !checks_at_last(&path, &name)? {
                damaged.push(path);
            }
        }
    }
    Ok(damaged)
}

/// Paths in a folder; none if it is gone, because old files are removed all the time.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn checks_at_last(path: &Path, partition: &str) -> io::Result<bool> {
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(LOOK_AGAIN);
        }
        let Some(bytes) = read(path)? else { return Ok(true) };
        if checks(path, partition, &bytes)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn checks(path: &Path, partition: &str, bytes: &[u8]) -> io::Result<bool> {
    // Made and not written yet.
    if bytes.is_empty() {
        return Ok(true);
    }
    let Some((header, data)) = bytes.split_at_checked(PAGE_BYTES) else { return Ok(false) };
    if !header_checks(header) {
        return Ok(false);
    }
    if partition.ends_with("metadata") {
        return Ok(data.is_empty() || sum_checks(data));
    }
    if let Some(cache) = partition.strip_suffix("-value") {
        return values_check(path, cache, data);
    }
    Ok(data.chunks(PAGE_BYTES).all(page_checks))
}

fn header_checks(header: &[u8]) -> bool {
    let (Some(prelude), Some(sum), Some(padding)) = (header.get(..8), header.get(8..12), header.get(12..))
    else {
        return false;
    };
    prelude.starts_with(HEADER) && *sum == Crc32::checksum(prelude).to_be_bytes() && is_zero(padding)
}

/// The last four bytes are the sum of those before.
fn sum_checks(bytes: &[u8]) -> bool {
    bytes.split_last_chunk::<4>().is_some_and(|(data, sum)| *sum == Crc32::checksum(data).to_be_bytes())
}

fn page_checks(page: &[u8]) -> bool {
    logical(page).is_some()
}

/// What a page holds, if both of its checksums hold and nothing stands behind it.
fn logical(page: &[u8]) -> Option<&[u8]> {
    if page.len() != PAGE_BYTES {
        return None;
    }
    let (data, slots) = page.split_at_checked(PAGE_BYTES - 2 * SLOT_BYTES)?;
    let mut longest = 0;
    for slot in slots.chunks(SLOT_BYTES) {
        let (length, sum) = slot.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let holds = match length {
            0 => is_zero(sum),
            _ => *sum == Crc32::checksum(data.get(..length)?).to_be_bytes(),
        };
        if !holds {
            return None;
        }
        longest = longest.max(length);
    }
    let (held, padding) = data.split_at_checked(longest)?;
    (longest > 0 && is_zero(padding)).then_some(held)
}

/// Checks each value that the file of keys beside names.
fn values_check(path: &Path, cache: &str, data: &[u8]) -> io::Result<bool> {
    let Some((folder, name)) = path.parent().and_then(Path::parent).zip(path.file_name()) else {
        return Ok(true);
    };
    let Some(keys) = read(&folder.join(format!("{cache}-key")).join(name))? else { return Ok(true) };
    let pages = keys.get(PAGE_BYTES..).unwrap_or_default().chunks(PAGE_BYTES);
    // A damaged file of keys is named by itself.
    let entries: Vec<u8> = pages.map_while(logical).flatten().copied().collect();
    Ok(entries.chunks_exact(ENTRY_BYTES).all(|entry| {
        let number = |from: usize, to: usize| {
            entry.get(from..to).unwrap_or_default().iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let (offset, length) = (number(40, 48), number(48, 52));
        // Values are written before the keys that name them; one that is cut off was never synced.
        data.get(offset..offset.saturating_add(length)).is_none_or(sum_checks)
    }))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
