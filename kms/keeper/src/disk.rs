//! Files that are whole or not there: written beside, made durable, renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::shares::SharesError;

/// The suffix of what is not written to its end.
const BESIDE: &str = "new";
/// The longest file: an envelope's bound and some.
const FILE_BYTES_MAX: u64 = (1 << 20) + (16 << 10);

pub(crate) fn make(folder: &Path) -> Result<(), SharesError> {
    if folder.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(io_error(folder))?;
    // A folder is there after a power cut once the one above it is.
    folder.ancestors().skip(1).take(2).try_for_each(sync)
}

/// Removes what was not written to its end, after a stop.
pub(crate) fn sweep(folder: &Path) -> Result<(), SharesError> {
    for path in files(folder)? {
        if path.extension().is_some_and(|extension| extension == BESIDE) {
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
    }
    Ok(())
}

/// Writes beside, makes durable, renames.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), SharesError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".");
    beside.push(BESIDE);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    written.map_err(io_error(path))?;
    path.parent().map_or(Ok(()), sync)
}

/// Moves a file to another folder, which is made; false if there is none.
pub(crate) fn shift(from: &Path, to: &Path) -> Result<bool, SharesError> {
    if !from.try_exists().map_err(io_error(from))? {
        return Ok(false);
    }
    if let Some(folder) = to.parent() {
        make(folder)?;
    }
    fs::rename(from, to).map_err(io_error(to))?;
    [to, from].into_iter().filter_map(Path::parent).try_for_each(sync)?;
    Ok(true)
}

pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, SharesError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(|_| Some(bytes)).map_err(io_error(path)),
    }
}

/// Removes a file; it stays away after a power cut once this returns. Nothing happens when there is none.
pub(crate) fn remove(path: &Path) -> Result<(), SharesError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => {
            removed.map_err(io_error(path))?;
            path.parent().map_or(Ok(()), sync)
        }
    }
}

/// What the files of a folder are named after, ascending; others are passed over.
pub(crate) fn names<T: std::str::FromStr + Ord>(folder: &Path) -> Result<Vec<T>, SharesError> {
    let name = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
    let mut names: Vec<T> = files(folder)?.into_iter().filter_map(name).collect();
    names.sort_unstable();
    Ok(names)
}

/// What lies in a folder, in no order; nothing if there is none.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, SharesError> {
    let entries = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
    });
    match entries {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(io_error(folder)),
    }
}

fn sync(folder: &Path) -> Result<(), SharesError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SharesError {
    let path = path.to_owned();
    move |source| SharesError::Io { path, source }
}
