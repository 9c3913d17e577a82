//! The vote journal's mark: 32 random bytes kept both in the engine's folder and in the block store, so
//! that a folder that was lost or replaced is noticed before the first vote.
use crate::{EngineError, Store, files};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use tracing::error;

pub(crate) const FILE: &str = "journal-mark";

/// What is known of the votes in the engine's folder.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// The key of this node.
    pub(crate) key: [u8; 32],
    /// Whether it is the one that the store was written with.
    pub(crate) sound: bool,
    /// Whether the store was written with another key: this one has not voted here then.
    pub(crate) of_another_key: bool,
}

/// What the marks begin with that say whose votes they stand for: `"KWJM"`, 12 random bytes, and the first half
/// of the key's SHA-256. Older marks are 32 random bytes.
const NAMED: &[u8; 4] = b"KWJM";

/// Compares the two marks and makes them on the first start.
///
/// Whether a wrong mark matters is decided where the epoch in progress is known: an observer does not vote,
/// and the mark stays wrong for it, so that a later start as validator with the same key is refused still.
pub(crate) fn check(folder: &Path, key: [u8; 32], store: &dyn Store) -> Result<Journal, EngineError> {
    let here = read(folder)?;
    let there = store.journal_mark().map_err(EngineError::Store)?;
    let sound = match (here, there) {
        (here, Some(there)) => here == Some(there),
        // The store is new: the journal knows more than the store, which is the safe side.
        (Some(here), None) => store.set_journal_mark(here).map(|()| true).map_err(EngineError::Store)?,
        (None, None) => {
            let mark = create(folder, &key)?;
            store.set_journal_mark(mark).map(|()| true).map_err(EngineError::Store)?
        }
    };
    let of_another_key =
        there.is_some_and(|mark| mark.starts_with(NAMED) && mark.get(16..) != Some(name(&key).as_slice()));
    let sound = votes_check(folder, &key, of_another_key)? && sound && !of_another_key;
    Ok(Journal { folder: folder.into(), key, sound, of_another_key })
}

/// Begins a journal anew, for a key that has no vote to contradict.
pub(crate) fn renew(journal: Option<&Journal>, store: &dyn Store) -> Result<(), EngineError> {
    match journal {
        Some(Journal { folder, key, sound: false, .. }) => {
            store.set_journal_mark(create(folder, key)?).map_err(EngineError::Store)
        }
        _ => Ok(()),
    }
}

/// Makes a store without a mark one of a journal that is lost: a node that cannot know whether its key voted before
/// it had this store must not vote with it.
pub fn disown(store: &dyn Store, key: &[u8; 32]) -> Result<(), EngineError> {
    if store.journal_mark().map_err(EngineError::Store)?.is_some() {
        return Ok(());
    }
    let mark = fresh_mark(key).map_err(|source| EngineError::Folder { path: FILE.into(), source })?;
    store.set_journal_mark(mark).map_err(EngineError::Store)
}

/// Whether folder and store bear the same mark.
pub(crate) fn agree(folder: &Path, store: &dyn Store) -> Result<bool, EngineError> {
    // A mark of another length does not read: it is another one.
    Ok(read(folder)? == store.journal_mark().ok().flatten())
}

/// Whether the votes check. Damaged ones count as lost, for all later starts too: whoever opens such a journal
/// for writing cuts it off at the damage, and then it looks whole. Those of another key contradict nobody.
fn votes_check(folder: &Path, key: &[u8; 32], of_another_key: bool) -> Result<bool, EngineError> {
    let damaged =
        files::damaged_votes(folder).map_err(|source| EngineError::Folder { path: folder.into(), source })?;
    if damaged.is_empty() {
        return Ok(true);
    }
    if of_another_key {
        for path in damaged {
            fs::remove_file(&path).map_err(|source| EngineError::Folder { path, source })?;
        }
        return Ok(true);
    }
    error!(?damaged, "alarm: the vote journal does not check; it counts as lost");
    create(folder, key)?;
    Ok(false)
}

/// The first half of a key's SHA-256.
fn name(key: &[u8; 32]) -> [u8; 16] {
    let mut name = [0; 16];
    name.iter_mut().zip(Sha256::digest(key)).for_each(|(to, from)| *to = from);
    name
}

fn read(folder: &Path) -> Result<Option<[u8; 32]>, EngineError> {
    let path = folder.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(EngineError::Folder { path, source }),
    };
    // A mark of another length was never finished: the first start was cut off before the first vote.
    Ok(bytes.as_slice().try_into().ok())
}

fn create(folder: &Path, key: &[u8; 32]) -> Result<[u8; 32], EngineError> {
    let fail = |source| EngineError::Folder { path: folder.into(), source };
    fs::create_dir_all(folder).map_err(fail)?;
    let mark = fresh_mark(key).map_err(fail)?;
    let mut file = File::create(folder.join(FILE)).map_err(fail)?;
    file.write_all(&mark).and_then(|()| file.sync_all()).map_err(fail)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    Ok(mark)
}

fn fresh_mark(key: &[u8; 32]) -> io::Result<[u8; 32]> {
    let mut mark = [0; 32];
    let (named, owner) = mark.split_at_mut(16);
    getrandom::fill(named).map_err(io::Error::other)?;
    named.iter_mut().zip(NAMED).for_each(|(to, from)| *to = *from);
    owner.copy_from_slice(&name(key));
    Ok(mark)
}
