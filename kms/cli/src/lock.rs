//! Locks between commands: whoever has locked a file keeps others out of what it stands for.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::failure::{Failure, Result};

/// A locked file, let go when this is dropped or the process ends, however it ends. The file stays.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Makes the file where there is none, and locks it; none where somebody else has.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        match file.map(|file| (file.try_lock(), file)) {
            Ok((Ok(()), file)) => Ok(Some(Self(file))),
            Ok((Err(TryLockError::WouldBlock), _)) => Ok(None),
            Ok((Err(TryLockError::Error(error)), _)) | Err(error) => {
                let what = format!("cannot lock `{}`", path.display());
                Err(Failure::refused(what, "check the path and its permissions").because(&error))
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // By word: a child that was just forked holds the file too. Where it cannot be unlocked, it is closed.
        let _closed = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_has_it_until_it_lets_go_even_while_a_forked_child_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::take(&path).unwrap().unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let childs = held.0.try_clone().unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::take(&path).unwrap().is_some());
        drop(childs);
    }

    #[test]
    fn what_cannot_be_locked_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Lock::take(&folder.path().join("none/lock")).unwrap_err();
        assert!(refused.message().contains("none/lock"), "{refused}");
    }
}
