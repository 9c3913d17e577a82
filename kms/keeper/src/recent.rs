//! State that was asked for a moment ago: a key that signs often costs no question for each fact each time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// How long an answer serves, in milliseconds.
pub(crate) const RECENT_MS: u64 = 1_000;
/// Answers that are remembered at most.
const RECENT_MAX: usize = 4_096;

type State = (Option<Vec<u8>>, u64);

/// Answers by key, with when they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<HashMap<Vec<u8>, (State, u64)>>);

impl Recent {
    /// What the ledger said within the last second.
    pub(crate) fn find(&self, key: &[u8], now_ms: u64) -> Option<State> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, asked_ms) = answers.get(key)?;
        is_recent(*asked_ms, now_ms).then(|| state.clone())
    }

    /// Remembers an answer to a question that was asked at a time.
    pub(crate) fn remember(&self, key: &[u8], state: &State, asked_ms: u64) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= RECENT_MAX {
            answers.retain(|_, (_, asked)| is_recent(*asked, asked_ms));
        }
        if answers.len() < RECENT_MAX {
            answers.insert(key.to_vec(), (state.clone(), asked_ms));
        }
    }
}

/// A clock that was put back makes nothing last longer.
const fn is_recent(asked_ms: u64, now_ms: u64) -> bool {
    now_ms.abs_diff(asked_ms) < RECENT_MS
}
