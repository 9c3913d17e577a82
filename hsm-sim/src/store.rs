//! One token's file in the folder: read, replaced whole, guarded by a lock file. Knows no field of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Refusal, Result};
use crate::image::{Image, SEALED_BYTES_MAX};

/// The environment variable that names the folder.
pub const FOLDER_VARIABLE: &str = "HSM_SIM_DIR";
/// The longest token file that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 30;

/// The folder: `HSM_SIM_DIR`, else `hsm-sim` in the user's data folder.
pub(crate) fn folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable(FOLDER_VARIABLE)
        .or_else(|| {
            variable("XDG_DATA_HOME").filter(|path| path.is_absolute()).map(|path| path.join("hsm-sim"))
        })
        .or_else(|| variable("HOME").map(|path| path.join(".local/share/hsm-sim")))
        .ok_or(Error::NoFolder)
}

/// Which version of the file was seen last. A replaced file is a new inode with new times.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The place of one token.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    file: PathBuf,
    lock: PathBuf,
}

/// Held while a file is read, changed and written; the operating system releases it when a process dies.
#[derive(Debug)]
pub(crate) struct Guard(File);

impl Drop for Guard {
    fn drop(&mut self) {
        // Closing is not enough: the child of a fork may hold the same lock.
        let _gone = self.0.unlock();
    }
}

impl Home {
    pub(crate) fn new(folder: &Path, slot: u64) -> Self {
        Self {
            folder: folder.to_path_buf(),
            file: folder.join(format!("token-{slot}.hsm")),
            lock: folder.join(format!("token-{slot}.lock")),
        }
    }

    /// What the file is now; `None` if there is none.
    pub(crate) fn stamp(&self) -> Result<Option<Stamp>> {
        stamp(&self.file).map_err(|source| store(&self.file, source))
    }

    /// Waits until this process alone may change the token. Makes the folder if it is missing.
    pub(crate) fn lock(&self) -> Result<Guard> {
        lock(&self.folder, &self.lock).map_err(|source| store(&self.lock, source))
    }

    pub(crate) fn load(&self) -> Result<Option<(Stamp, Image)>> {
        let read = read(&self.file, FILE_BYTES_MAX).map_err(|source| store(&self.file, source))?;
        let Some((stamp, bytes)) = read else { return Ok(None) };
        let image = Image::decode(&bytes)
            .map_err(|source| Error::Damaged { path: self.file.display().to_string(), source })?;
        Ok(Some((stamp, image)))
    }

    /// Replaces the file: a reader, or a machine that lost power, sees the old one or the new one.
    pub(crate) fn save(&self, _guard: &Guard, image: &Image) -> Result<Stamp> {
        let bytes = image.encode();
        // What could not be read again is not written.
        if image.sealed.len() > SEALED_BYTES_MAX || bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(Refusal::TokenMemory.into());
        }
        replace(&self.file, &bytes).map_err(|source| store(&self.file, source))
    }

    pub(crate) fn path(&self) -> String {
        self.file.display().to_string()
    }
}

/// What a file is now; `None` if there is none.
pub(crate) fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Stamp::of(&metadata))),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(source),
    }
}

/// A file's bytes, at most `most`, and its stamp; `None` if there is none.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Option<(Stamp, Vec<u8>)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(source),
    };
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&file, most), &mut bytes)?;
    Ok(Some((Stamp::of(&metadata), bytes)))
}

/// Holds `path` for this process alone, until the guard is dropped. Makes the folder if it is missing.
pub(crate) fn lock(folder: &Path, path: &Path) -> io::Result<Guard> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.lock()?;
    Ok(Guard(file))
}

/// Replaces a file whole, by way of a draft beside it. The caller holds its lock.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<Stamp> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.set_modified(later_than(path)?)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    file.metadata().map(|metadata| Stamp::of(&metadata))
}

/// A time after the file's own. Clocks of file systems tick every few milliseconds, and inodes come back, so that
/// two versions could have the same stamp.
fn later_than(path: &Path) -> io::Result<SystemTime> {
    let now = SystemTime::now();
    match fs::metadata(path) {
        Ok(metadata) => Ok(now.max(metadata.modified()? + Duration::from_nanos(1000))),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(now),
        Err(source) => Err(source),
    }
}

fn store(path: &Path, source: io::Error) -> Error {
    Error::Store { path: path.display().to_string(), source }
}
