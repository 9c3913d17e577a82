//! What is to be done with other keepers: what waits and why, and which vaults are still to be found.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use keyward_ledger_core::{entry::RuleName, hash::Hash};

/// Vaults of which is remembered that something waits; for more the first are forgotten, and tried anew.
const WAITING_MAX: usize = 4_096;

/// A vault's name as a key.
type Name = [Hash; 2];

/// What could not be done for a vault.
#[derive(Clone, Debug)]
struct Waiting {
    /// Since when, in milliseconds of ledger time.
    since_ms: u64,
    /// When it was tried last.
    tried_ms: u64,
    why: String,
}

#[derive(Debug)]
struct Inner {
    waiting: BTreeMap<Name, Waiting>,
    /// From which leaf on the ledger is to be looked through for our vaults; none once it was.
    find_from: Option<u64>,
}

/// Forgotten at a stop: then everything is tried anew, and the ledger looked through again.
#[derive(Debug)]
pub(crate) struct Agenda(Mutex<Inner>);

impl Default for Agenda {
    fn default() -> Self {
        Self(Mutex::new(Inner { waiting: BTreeMap::new(), find_from: Some(0) }))
    }
}

const fn key(vault: &RuleName) -> Name {
    [vault.owner, vault.name]
}

impl Agenda {
    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When a vault was tried last and nothing came of it, in milliseconds of ledger time; 0 for all others.
    pub(crate) fn tried_ms(&self, vault: &RuleName) -> u64 {
        self.with(|inner| inner.waiting.get(&key(vault)).map_or(0, |waiting| waiting.tried_ms))
    }

    pub(crate) fn find_from(&self) -> Option<u64> {
        self.with(|inner| inner.find_from)
    }

    pub(crate) fn found_to(&self, next: Option<u64>) {
        self.with(|inner| inner.find_from = next);
    }

    /// Whether a vault was tried within the last `pause_ms`, and nothing came of it.
    pub(crate) fn rests(&self, vault: &RuleName, now_ms: u64, pause_ms: u64) -> bool {
        self.with(|inner| {
            inner
                .waiting
                .get(&key(vault))
                .is_some_and(|waiting| now_ms < waiting.tried_ms.saturating_add(pause_ms))
        })
    }

    /// Nothing came of it.
    pub(crate) fn waits(&self, vault: &RuleName, now_ms: u64, why: String) {
        self.with(|inner| {
            if inner.waiting.len() >= WAITING_MAX {
                inner.waiting.pop_first();
            }
            let since_ms = inner.waiting.get(&key(vault)).map_or(now_ms, |before| before.since_ms);
            inner.waiting.insert(key(vault), Waiting { since_ms, tried_ms: now_ms, why });
        });
    }

    /// There is nothing to be done any more.
    pub(crate) fn is_done(&self, vault: &RuleName) {
        self.with(|inner| inner.waiting.remove(&key(vault)));
    }

    /// What waits for longer than `patience_ms`, in words.
    pub(crate) fn trouble(&self, now_ms: u64, patience_ms: u64) -> Option<String> {
        self.with(|inner| {
            let late = inner.waiting.values();
            let late: Vec<_> =
                late.filter(|waiting| now_ms >= waiting.since_ms.saturating_add(patience_ms)).collect();
            let first = late.iter().min_by_key(|waiting| waiting.since_ms)?;
            let count = late.len();
            Some(format!(
                "the shares of {count} vaults or keys cannot be dealt anew or repaired: {}",
                first.why
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_waits_long_is_told_and_what_is_done_is_not() {
        let agenda = Agenda::default();
        let [one, other] = [1, 2].map(|name| RuleName { owner: [1; 32], name: [name; 32] });
        agenda.waits(&one, 10, "keeper `a` does not do its part".into());
        agenda.waits(&other, 50, "keeper `b`".into());
        agenda.waits(&one, 60, "keeper `a` again".into());
        assert!(agenda.rests(&one, 69, 10) && !agenda.rests(&one, 70, 10));
        let never = RuleName { owner: [2; 32], name: [1; 32] };
        assert_eq!([&never, &other, &one].map(|vault| agenda.tried_ms(vault)), [0, 50, 60]);
        assert_eq!(agenda.trouble(109, 100), None);
        let said = agenda.trouble(110, 100).unwrap();
        assert_eq!(said, "the shares of 1 vaults or keys cannot be dealt anew or repaired: keeper `a` again");
        assert!(agenda.trouble(150, 100).unwrap().contains("of 2 vaults"));
        agenda.is_done(&one);
        assert!(agenda.trouble(150, 100).unwrap().contains("keeper `b`"));
        assert!(!agenda.rests(&one, 60, 10));
    }
}
