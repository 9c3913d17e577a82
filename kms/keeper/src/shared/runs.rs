//! Runs that are under way: in memory only, bounded for each caller and in all, gone when their time is over.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use keyward_ledger_core::hash::Hash;

use super::error::SharedError;
use crate::callers::Caller;

/// Runs of one kind at most.
pub(crate) const RUNS_MAX: usize = 1_024;
/// Of one caller: three others find room whatever it does.
pub(crate) const RUNS_OF_CALLER_MAX: usize = RUNS_MAX / 4;
/// Of those that hold megabytes each, and of one caller.
const LONG_MAX: usize = 64;
const LONG_OF_CALLER_MAX: usize = LONG_MAX / 4;

struct Slot<T> {
    value: T,
    caller: Caller,
    until_ms: u64,
}

/// Runs by their names.
pub(crate) struct Runs<T> {
    most: usize,
    most_of_caller: usize,
    slots: Mutex<HashMap<Hash, Slot<T>>>,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { most: RUNS_MAX, most_of_caller: RUNS_OF_CALLER_MAX, slots: Mutex::default() }
    }
}

impl<T> Runs<T> {
    /// Runs of which each holds megabytes.
    pub(crate) fn long() -> Self {
        Self { most: LONG_MAX, most_of_caller: LONG_OF_CALLER_MAX, slots: Mutex::default() }
    }

    /// Looks at a run, and may change it; nothing if it is not under way.
    pub(crate) fn with<R>(&self, run: &Hash, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.slots().get_mut(run).map(|slot| look(&mut slot.value))
    }

    /// Begins a run, if it is not under way already, which is told.
    pub(crate) fn begin(
        &self,
        caller: &Caller,
        run: Hash,
        value: T,
        [now_ms, until_ms]: [u64; 2],
    ) -> Result<bool, SharedError> {
        let mut slots = self.slots();
        if slots.contains_key(&run) {
            return Ok(false);
        }
        if slots.len() >= self.most || self.of_caller(&slots, caller) >= self.most_of_caller {
            slots.retain(|_, slot| now_ms <= slot.until_ms);
        }
        let own = self.of_caller(&slots, caller);
        if slots.len() >= self.most || own >= self.most_of_caller {
            return Err(SharedError::Full { under_way: own });
        }
        slots.insert(run, Slot { value, caller: caller.clone(), until_ms });
        Ok(true)
    }

    /// A run is over.
    pub(crate) fn end(&self, run: &Hash) {
        self.slots().remove(run);
    }

    /// Forgets runs whose time is over.
    pub(crate) fn tidy_up(&self, now_ms: u64) {
        self.slots().retain(|_, slot| now_ms <= slot.until_ms);
    }

    fn of_caller(&self, slots: &HashMap<Hash, Slot<T>>, caller: &Caller) -> usize {
        slots.values().filter(|slot| slot.caller == *caller).count()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Hash, Slot<T>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
