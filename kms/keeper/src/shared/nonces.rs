//! Nonces: in memory only, for one attempt at one intent in one life, taken away by the one answer.
//!
//! An attempt that was answered is remembered as long as the life lasts, so that nobody ever has two commitments of one run
//! and one life from us. A life ends with the process, or when it has answered so many attempts; nonces end with their minute.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keyward_crypto::shared::{Boot, Judged, Message, Nonces, RunError, Signing};
use keyward_domain::scheme::KeyId;
use keyward_ledger_core::hash::Hash;

use super::{error::SharedError, kept::KeptShare};
use crate::callers::Caller;

/// How long nonces wait for the second round, in milliseconds of ledger time.
pub(crate) const NONCES_MS: u64 = 60_000;
/// Runs that wait at most; of one caller, so that others find room whatever it does; and of one key.
const WAITING_MAX: usize = 4_096;
const OF_CALLER_MAX: usize = WAITING_MAX / 2;
const OF_KEY_MAX: usize = WAITING_MAX / 8;
/// Of those that hold hundreds of kilobytes each; of one caller; and of one key.
const LONG_MAX: usize = 256;
const LONG_OF_CALLER_MAX: usize = LONG_MAX / 2;
const LONG_OF_KEY_MAX: usize = LONG_MAX / 16;
/// Attempts that one life answers.
const ANSWERED_MAX: usize = 65_536;

/// One attempt at one intent with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempted {
    pub(crate) key_id: KeyId,
    pub(crate) intent: Hash,
    pub(crate) attempt: u32,
}

/// An attempt on its way.
pub(crate) struct Waiting {
    run: Hash,
    pub(crate) nonces: Nonces,
    /// The device's commitment.
    device: Judged,
    pub(crate) boot: Arc<Boot>,
    caller: Caller,
    is_long: bool,
    until_ms: u64,
}

impl Waiting {
    /// Does a step with the nonces; what it leaves of them waits in their place.
    pub(crate) fn advance(
        self,
        step: impl FnOnce(Nonces, &Boot) -> Result<(Nonces, Message), RunError>,
    ) -> Result<(Self, Message), RunError> {
        let (nonces, message) = step(self.nonces, &self.boot)?;
        Ok((Self { nonces, ..self }, message))
    }
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
        (signing, device): (&Signing, Judged),
        kept: &KeptShare,
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
        let is_long = kept.is_long();
        inner.make_room((caller, &attempted.key_id, is_long), now_ms)?;
        let boot = inner.boot.clone().ok_or(SharedError::NoRun)?;
        inner.answered.insert(attempted);
        let (nonces, message) = signing.commit(&kept.share, &boot, sign)?;
        let (run, until_ms) = (*signing.id(), now_ms.saturating_add(NONCES_MS));
        let waiting = Waiting { run, nonces, device, boot, caller: caller.clone(), is_long, until_ms };
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

    /// The device's commitment and our own for an attempt, in whatever run we gave it: they were judged then.
    pub(crate) fn judged(&self, attempted: &Attempted) -> Option<[Judged; 2]> {
        let inner = self.inner();
        let waiting = inner.waiting.get(attempted)?;
        Some([waiting.device.clone(), Judged::own(&waiting.nonces)])
    }

    /// Takes what waits of a run away, for good; `answered` says after which step.
    pub(crate) fn take(
        &self,
        attempted: &Attempted,
        (run, answered): (&Hash, bool),
        now_ms: u64,
    ) -> Result<Waiting, SharedError> {
        let mut inner = self.inner();
        let fits = |waiting: &Waiting| {
            let is_answered = waiting.nonces.answered().is_some();
            waiting.run == *run && now_ms <= waiting.until_ms && is_answered == answered
        };
        if !inner.waiting.get(attempted).is_some_and(fits) {
            return Err(SharedError::Spent);
        }
        inner.waiting.remove(attempted).ok_or(SharedError::NoRun)
    }

    /// Has an attempt wait for its last step, with what its answer left.
    pub(crate) fn put_back(&self, attempted: Attempted, waiting: Waiting) {
        self.inner().waiting.insert(attempted, waiting);
    }

    /// What was answered in a run before, to be answered again.
    pub(crate) fn answered(&self, attempted: &Attempted, run: &Hash) -> Option<Message> {
        let inner = self.inner();
        let waiting = inner.waiting.get(attempted).filter(|waiting| waiting.run == *run)?;
        waiting.nonces.answered().cloned()
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

    fn make_room(&mut self, of: (&Caller, &KeyId, bool), now_ms: u64) -> Result<(), SharedError> {
        if self.full(of).is_some() {
            self.waiting.retain(|_, waiting| now_ms <= waiting.until_ms);
        }
        self.full(of).map_or(Ok(()), |under_way| Err(SharedError::Full { under_way }))
    }

    /// How many wait, when that is as many as may.
    fn full(&self, (caller, key_id, is_long): (&Caller, &KeyId, bool)) -> Option<usize> {
        let [mut all, mut of_caller, mut of_key] = [0_usize; 3];
        for (attempted, waiting) in self.waiting.iter().filter(|(_, waiting)| waiting.is_long == is_long) {
            all = all.saturating_add(1);
            of_caller = of_caller.saturating_add(usize::from(waiting.caller == *caller));
            of_key = of_key.saturating_add(usize::from(attempted.key_id == *key_id));
        }
        let [most, most_of_caller, most_of_key] = match is_long {
            true => [LONG_MAX, LONG_OF_CALLER_MAX, LONG_OF_KEY_MAX],
            false => [WAITING_MAX, OF_CALLER_MAX, OF_KEY_MAX],
        };
        let full = all >= most || of_caller >= most_of_caller || of_key >= most_of_key;
        full.then_some(of_caller)
    }
}
