//! Turns: how much work callers may have a keeper do at once.
//!
//! Who calls may hang up at any time, and what runs on a thread of its own goes on: so a turn goes with the work onto that
//! thread, and ends with it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
};

use keyward_ledger_core::hash::Hash;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::error::KeeperError;

/// Deposits and drills under way at most; more are told to come again. Each costs as much as ten evaluations.
const COSTLY_MAX: usize = 32;
/// Words of one other keeper under way at most: nobody takes another's turns, nor those of deposits and drills.
const WORDS_MAX: usize = 4;
/// Calls that wait for a second look at most.
const SECOND_LOOKS_MAX: usize = 32;
/// Reads and writes of the disk at once at most.
const DISK_MAX: usize = 8;

/// Work on shares takes a processor for a moment; no more of it runs at once than half of them, so that the validator
/// beside it keeps the rest.
#[derive(Debug)]
pub(crate) struct Turns {
    pub(crate) work: Arc<Semaphore>,
    disk: Arc<Semaphore>,
    costly: Semaphore,
    second_looks: Semaphore,
    /// How many words of each keeper are under way; at most as many as the ledger has keepers.
    words: Mutex<BTreeMap<Hash, usize>>,
}

/// A keeper's word that is under way.
#[derive(Debug)]
pub(crate) struct WordTurn<'a> {
    turns: &'a Turns,
    from: Hash,
}

impl Drop for WordTurn<'_> {
    fn drop(&mut self) {
        let mut words = self.turns.words.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = words.get_mut(&self.from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                words.remove(&self.from);
            }
        }
    }
}

impl Turns {
    pub(crate) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            work: Arc::new(Semaphore::new(processors.div_ceil(2))),
            disk: Arc::new(Semaphore::new(DISK_MAX)),
            costly: Semaphore::new(COSTLY_MAX),
            second_looks: Semaphore::new(SECOND_LOOKS_MAX),
            words: Mutex::default(),
        }
    }

    /// Waits for a processor.
    pub(crate) async fn work(&self) -> Result<OwnedSemaphorePermit, KeeperError> {
        self.work.clone().acquire_owned().await.map_err(|error| KeeperError::Internal(error.into()))
    }

    /// Waits for the disk.
    pub(crate) async fn disk(&self) -> Result<OwnedSemaphorePermit, KeeperError> {
        self.disk.clone().acquire_owned().await.map_err(|error| KeeperError::Internal(error.into()))
    }

    /// A place to wait in for a second look, if there is one.
    pub(crate) fn second_look(&self) -> Option<SemaphorePermit<'_>> {
        self.second_looks.try_acquire().ok()
    }

    /// Begins with a word of another keeper, or refuses.
    pub(crate) fn word(&self, from: &Hash) -> Result<WordTurn<'_>, KeeperError> {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let count = words.entry(*from).or_default();
        if *count >= WORDS_MAX {
            return Err(KeeperError::Busy);
        }
        *count = count.saturating_add(1);
        Ok(WordTurn { turns: self, from: *from })
    }

    /// Begins what costs much, or refuses.
    pub(crate) fn costly(&self) -> Result<SemaphorePermit<'_>, KeeperError> {
        self.costly.try_acquire().map_err(|_none_left| KeeperError::Busy)
    }
}
