//! A lock on a file between processes of one device.

use std::{
    fs::{File, TryLockError},
    ops::{Deref, DerefMut},
};

/// A locked file, let go when this is dropped.
///
/// It is let go by word: a child that another thread of the app has forked holds a copy of the file until it runs its own
/// program, and closing ours would leave it locked for that long.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl FileLock {
    /// Nobody else holds it, in either way.
    pub(crate) fn alone(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }

    /// Nobody holds it alone.
    pub(crate) fn shared(file: File) -> Result<Self, TryLockError> {
        file.try_lock_shared()?;
        Ok(Self(file))
    }

    /// As [`FileLock::alone`], but waits.
    pub(crate) fn wait_alone(file: File) -> std::io::Result<Self> {
        file.lock()?;
        Ok(Self(file))
    }
}

impl Deref for FileLock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for FileLock {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Where it cannot be unlocked, it is closed.
        let _closed = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_let_go_is_free_even_while_a_forked_child_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("lock")).unwrap();
        let held = FileLock::shared(open()).unwrap();
        let childs = held.try_clone().unwrap();
        let other = FileLock::shared(open()).unwrap();
        assert!(matches!(FileLock::alone(open()), Err(TryLockError::WouldBlock)));
        drop((held, other));
        let alone = FileLock::alone(open()).unwrap();
        assert!(matches!(FileLock::shared(open()), Err(TryLockError::WouldBlock)));
        drop(alone);
        FileLock::wait_alone(open()).unwrap();
        drop(childs);
    }
}
