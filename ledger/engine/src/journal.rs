//! The vote journal's mark: 32 random bytes kept both in the engine's folder and in the block store, so
//! that a folder that was lost or replaced is noticed before the first vote.
use crate::{EngineError, Role, Store, files};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

pub(crate) const FILE: &str = "journal-mark";

/// Compares the two marks and makes them on the first start.
///
/// An observer does not vote, so it gets past a lost journal; the mark stays wrong, so that a later start
/// as validator is refused still.
pub(crate) fn check(folder: &Path, role: Role, store: &dyn Store) -> Result<(), EngineError> {
    let here = read(folder)?;
    let there = store.journal_mark().map_err(EngineError::Store)?;
    match (here, there) {
        (Some(here), Some(there)) if here == there => Ok(()),
        (_, Some(_)) if role == Role::Observer => Ok(()),
        (_, Some(_)) => Err(EngineError::VoteJournalReplaced { path: folder.into() }),
        // The store is new: the journal knows more than the store, which is the safe side.
        (Some(here), None) => store.set_journal_mark(here).map_err(EngineError::Store),
        (None, None) => {
            let mark = create(folder)?;
            store.set_journal_mark(mark).map_err(EngineError::Store)
        }
    }
}

/// Whether folder and store bear the same mark.
pub(crate) fn agree(folder: &Path, store: &dyn Store) -> Result<bool, EngineError> {
    // A mark of another length does not read: it is another one.
    Ok(read(folder)? == store.journal_mark().ok().flatten())
}

/// Refuses votes that do not check, for all later starts too: whoever opens such a journal for writing cuts
/// it off at the damage, and then it looks whole.
pub(crate) fn check_votes(folder: &Path, role: Role) -> Result<(), EngineError> {
    let damaged =
        files::damaged_votes(folder).map_err(|source| EngineError::Folder { path: folder.into(), source })?;
    let Some(path) = damaged.into_iter().next() else { return Ok(()) };
    create(folder)?;
    match role {
        Role::Observer => Ok(()),
        Role::Validator => Err(EngineError::VoteJournalDamaged { path }),
    }
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

fn create(folder: &Path) -> Result<[u8; 32], EngineError> {
    let fail = |source| EngineError::Folder { path: folder.into(), source };
    fs::create_dir_all(folder).map_err(fail)?;
    let mut mark = [0; 32];
    getrandom::fill(&mut mark).map_err(|error| fail(io::Error::other(error)))?;
    let mut file = File::create(folder.join(FILE)).map_err(fail)?;
    file.write_all(&mark).and_then(|()| file.sync_all()).map_err(fail)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    Ok(mark)
}
