//! A disk that does not take what is written: how it is told from other faults, and how a process ends then.
//!
//! A vote is sent only after the journal took it, so a node whose disk gives up is silent and not wrong. It ends, and
//! goes on where it ended once the disk takes what is written again.
use std::{
    error::Error,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};
use tracing::error;

use crate::engine::EXIT_CODE_FAULT;

/// The process's exit code when the disk is full, read-only or broken.
pub const EXIT_CODE_DISK: i32 = 73;
/// What to do about it.
pub const DISK_REMEDY: &str = "free space on the disk of `data_dir`, or make it writable, and start this node again: it goes on where it ended";
/// As long as what is written at once.
const PROBE_BYTES: usize = 4 << 20;
const PROBE_FILE: &str = "disk-probe";
/// Linux's number of an error of the device itself.
const EIO: i32 = 5;

/// Whether an error, or one of its causes, says that a disk does not take or give what it should.
pub fn is_disk_error(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && (is_of_disk(error) || error.get_ref().is_some_and(|inner| is_disk_error(inner)))
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_of_disk(error: &io::Error) -> bool {
    use io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, WriteZero,
    };
    let kinds = [StorageFull, QuotaExceeded, FileTooLarge, ReadOnlyFilesystem, PermissionDenied, WriteZero];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(EIO)
}

/// Writes some megabytes durably into a folder and removes them.
pub fn probe_disk(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE_FILE);
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(&vec![0x5a; PROBE_BYTES])?;
        file.sync_all()
    };
    let written = write();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => written.and(Err(error)),
        _ => written,
    }
}

/// The exit code after a fatal end of what writes into a folder: what failed says little, so the disk is asked.
pub(crate) fn exit_code(folder: &Path) -> i32 {
    match probe_disk(folder) {
        Ok(()) => EXIT_CODE_FAULT,
        Err(error) => {
            error!(%error, "alarm: the disk does not take what is written; this node has stopped voting and ends: {DISK_REMEDY}");
            EXIT_CODE_DISK
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::StoreError;

    #[test]
    fn a_disk_that_gives_up_is_told_from_other_errors_through_every_cause() {
        for number in [5, 13, 27, 28, 30, 122] {
            let source = io::Error::from_raw_os_error(number);
            let store = StoreError::Io { path: "x".into(), source };
            assert!(is_disk_error(&store), "{store:?}");
            assert!(is_disk_error(&io::Error::other(store)), "{number}");
        }
        for number in [2, 4, 11, 98] {
            assert!(!is_disk_error(&io::Error::from_raw_os_error(number)), "{number}");
        }
        assert!(!is_disk_error(&StoreError::TooLong { bytes: 1, max: 0 }));
    }

    #[test]
    fn a_probe_leaves_nothing_behind_and_fails_where_nothing_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        probe_disk(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(probe_disk(&folder.path().join("none")).is_err());
        // A full disk: writes to this device end with ENOSPC.
        std::os::unix::fs::symlink("/dev/full", folder.path().join(PROBE_FILE)).unwrap();
        let error = probe_disk(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(exit_code(&folder.path().join("none")), EXIT_CODE_DISK);
        assert_eq!(exit_code(folder.path()), EXIT_CODE_FAULT);
    }
}
