//! State that was asked for a moment ago: a key that signs often costs no question for each fact each time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long an answer serves, in milliseconds.
pub(crate) const RECENT_MS: u64 = 1_000;
/// How soon the same is asked again where what came of an answer looks as if it were old: whoever sends what fits nothing
/// costs the ledger no more.
const AGAIN: Duration = Duration::from_millis(100);
/// Answers that are remembered at most.
const RECENT_MAX: usize = 4_096;

type State = (Option<Vec<u8>>, u64);

#[derive(Debug)]
struct Answer {
    state: State,
    /// When it was asked for, by the ledger's clock and by ours.
    asked_ms: u64,
    asked: Instant,
}

/// Held while the ledger is asked: who wants the same meanwhile waits for that answer.
type Slot = Arc<tokio::sync::Mutex<Option<Answer>>>;

/// Answers by key.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<HashMap<Vec<u8>, Slot>>);

impl Recent {
    /// What the ledger said within the last second, or what `ask` finds.
    pub(crate) async fn find<E>(
        &self,
        key: &[u8],
        now_ms: u64,
        ask: impl Future<Output = Result<State, E>>,
    ) -> Result<State, E> {
        let Some(slot) = self.slot(key, now_ms) else { return ask.await };
        let mut answer = slot.lock().await;
        if let Some(known) = answer.as_ref().filter(|known| is_recent(known.asked_ms, now_ms)) {
            return Ok(known.state.clone());
        }
        let asked = Instant::now();
        let state = ask.await?;
        // What is not there may be a moment later.
        if state.0.is_some() {
            *answer = Some(Answer { state: state.clone(), asked_ms: now_ms, asked });
        } else {
            self.slots().remove(key);
        }
        Ok(state)
    }

    /// Has the next look at a key go to the ledger, unless the answer was asked for after some moment; one that is new is
    /// left to grow a little older first.
    pub(crate) async fn outdate(&self, key: &[u8], since: Instant) {
        let Some(slot) = self.slots().get(key).cloned() else { return };
        loop {
            let mut answer = slot.lock().await;
            let Some(asked) = answer.as_ref().map(|known| known.asked).filter(|asked| *asked < since) else {
                return;
            };
            let wait = AGAIN.saturating_sub(asked.elapsed());
            if wait.is_zero() {
                *answer = None;
                return;
            }
            drop(answer);
            tokio::time::sleep(wait).await;
        }
    }

    /// The place of a key; none when all are taken.
    fn slot(&self, key: &[u8], now_ms: u64) -> Option<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(key) {
            return Some(slot.clone());
        }
        if slots.len() >= RECENT_MAX {
            slots.retain(|_, slot| match slot.try_lock() {
                Ok(answer) => answer.as_ref().is_some_and(|known| is_recent(known.asked_ms, now_ms)),
                Err(_asking) => true,
            });
        }
        let room = slots.len() < RECENT_MAX;
        room.then(|| slots.entry(key.to_vec()).or_default().clone())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that was put back makes nothing last longer.
const fn is_recent(asked_ms: u64, now_ms: u64) -> bool {
    now_ms.abs_diff(asked_ms) < RECENT_MS
}
