//! Nonces: in memory only, for one attempt at one intent in one life, taken away by the one answer.
//!
//! An attempt that was answered is remembered as long as the life lasts, so that nobody ever has two commitments of one run
//! and one life from us. A life ends with the process, or when it has answered so many attempts; nonces end with their minute.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keyward_crypto::shared::{Boot, KeyShare, Message, Nonces, RunError, Signing};
use keyward_domain::scheme::KeyId;
use keyward_ledger_core::hash::Hash;

use super::error::SharedError;
use crate::callers::Caller;

/// How long nonces wait for the second round, in milliseconds of ledger time.
pub(crate) const NONCES_MS: u64 = 60_000;
/// Runs that wait at most; of one caller, so that others find room whatever it does; and of one key.
const WAITING_MAX: usize = 4_096;
const OF_CALLER_MAX: usize = WAITING_MAX / 2;
const OF_KEY_MAX: usize = WAITING_MAX / 8;
/// Attempts that one life answers.
const ANSWERED_MAX: usize = 65_536;

/// One attempt at one intent with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempted {
    pub(crate) key_id: KeyId,
    pub(crate) intent: Hash,
    pub(crate) attempt: u32,
}

struct Waiting {
    run: Hash,
    nonces: Nonces,
    boot: Arc<Boot>,
    caller: Caller,
    until_ms: u64,
}

#[derive(Default)]
struct Inner {
    boot: Option<Arc<Boot>>,
    answered: HashSet<Attempted>,
    waiting: HashMap<Attempted, Waiting>,
}

/// The commitments that were given and not used yet.
pub(crate) struct Commitments {
    answered_max: usize,
    inner: Mutex<Inner>,
}

impl Default for Commitments {
    fn default() -> Self {
        Self { answered_max: ANSWERED_MAX, inner: Mutex::default() }
    }
}

impl Commitments {
    /// With lives that answer so many attempts.
    #[cfg(test)]
    pub(crate) fn of(answered_max: usize) -> Self {
        Self { answered_max, inner: Mutex::default() }
    }

    /// Our commitment for an attempt: made once, then repeated for the same run.
    pub(crate) fn commit(
        &self,
        (caller, attempted): (&Caller, Attempted),
        signing: &Signing,
        share: &KeyShare,
        now_ms: u64,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Message, SharedError> {
        // Under the lock to its end: who asks at the same time finds this very commitment.
        let mut inner = self.inner();
        if let Some(before) = inner.waiting.get(&attempted) {
            let same = before.run == *signing.id() && now_ms <= before.until_ms;
            return if same { Ok(before.nonces.commitment().clone()) } else { Err(SharedError::Spent) };
        }
        inner.begin_life(self.answered_max)?;
        if inner.answered.contains(&attempted) {
            return Err(SharedError::Spent);
        }
        inner.make_room(caller, &attempted.key_id, now_ms)?;
        let boot = inner.boot.clone().ok_or(SharedError::NoRun)?;
        inner.answered.insert(attempted);
        let (nonces, message) = signing.commit(share, &boot, sign)?;
        let (run, until_ms) = (*signing.id(), now_ms.saturating_add(NONCES_MS));
        let waiting = Waiting { run, nonces, boot, caller: caller.clone(), until_ms };
        inner.waiting.insert(attempted, waiting);
        Ok(message)
    }

    /// Refuses an attempt that does not wait for its second round: only the device has one begun.
    pub(crate) fn require_begun(&self, attempted: &Attempted) -> Result<(), SharedError> {
        let inner = self.inner();
        match inner.waiting.contains_key(attempted) {
            true => Ok(()),
            false if inner.answered.contains(attempted) => Err(SharedError::Spent),
            false => Err(SharedError::NoRun),
        }
    }

    /// Takes the nonces of a run away, for good.
    pub(crate) fn take(
        &self,
        attempted: &Attempted,
        run: &Hash,
        now_ms: u64,
    ) -> Result<(Nonces, Arc<Boot>), SharedError> {
        let mut inner = self.inner();
        match inner.waiting.get(attempted) {
            Some(waiting) if waiting.run == *run && now_ms <= waiting.until_ms => {}
            Some(_) => return Err(SharedError::Spent),
            None => return Err(SharedError::Spent),
        }
        let waiting = inner.waiting.remove(attempted).ok_or(SharedError::NoRun)?;
        Ok((waiting.nonces, waiting.boot))
    }

    /// Wipes nonces whose minute is over.
    pub(crate) fn tidy_up(&self, now_ms: u64) {
        self.inner().waiting.retain(|_, waiting| now_ms <= waiting.until_ms);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Begins a life if there is none, or when the present one has answered enough: what it answered may then be forgotten.
    fn begin_life(&mut self, answered_max: usize) -> Result<(), RunError> {
        if self.boot.is_none() || self.answered.len() >= answered_max {
            self.boot = Some(Arc::new(Boot::begin()?));
            self.answered.clear();
        }
        Ok(())
    }

    fn make_room(&mut self, caller: &Caller, key_id: &KeyId, now_ms: u64) -> Result<(), SharedError> {
        if self.full(caller, key_id).is_some() {
            self.waiting.retain(|_, waiting| now_ms <= waiting.until_ms);
        }
        self.full(caller, key_id).map_or(Ok(()), |under_way| Err(SharedError::Full { under_way }))
    }

    /// How many wait, when that is as many as may.
    fn full(&self, caller: &Caller, key_id: &KeyId) -> Option<usize> {
        let (mut of_caller, mut of_key) = (0_usize, 0_usize);
        for (attempted, waiting) in &self.waiting {
            of_caller = of_caller.saturating_add(usize::from(waiting.caller == *caller));
            of_key = of_key.saturating_add(usize::from(attempted.key_id == *key_id));
        }
        let all = self.waiting.len();
        let full = all >= WAITING_MAX || of_caller >= OF_CALLER_MAX || of_key >= OF_KEY_MAX;
        full.then_some(of_caller)
    }
}
