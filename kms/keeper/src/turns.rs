//! Turns: how much work callers may have a keeper do at once.
//!
//! Who calls may hang up at any time, and what runs on a thread of its own goes on: so a turn goes with the work onto that
//! thread, and ends with it.

use std::{sync::Arc, thread::available_parallelism};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::error::KeeperError;

/// Deposits, drills and words under way at most; more are told to come again. Each costs as much as ten evaluations.
const COSTLY_MAX: usize = 32;
/// Reads and writes of the disk at once at most.
const DISK_MAX: usize = 8;

/// Work on shares takes a processor for a moment; no more of it runs at once than half of them, so that the validator
/// beside it keeps the rest.
#[derive(Debug)]
pub(crate) struct Turns {
    pub(crate) work: Arc<Semaphore>,
    disk: Arc<Semaphore>,
    costly: Semaphore,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            work: Arc::new(Semaphore::new(processors.div_ceil(2))),
            disk: Arc::new(Semaphore::new(DISK_MAX)),
            costly: Semaphore::new(COSTLY_MAX),
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

    /// Begins what costs much, or refuses.
    pub(crate) fn costly(&self) -> Result<SemaphorePermit<'_>, KeeperError> {
        self.costly.try_acquire().map_err(|_none_left| KeeperError::Busy)
    }
}
