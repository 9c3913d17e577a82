//! Each rule is found broken: where more keepers collude than may, where one that counts as honest answers everything, and
//! in altered records.

use std::{collections::BTreeSet, sync::LazyLock};

use keyward_ledger_core::{
    block::Regime,
    entry::{VaultAct, VaultAttempt},
    outcome::Outcome,
    record::Record,
};

use super::{
    checker::{Broken, Combined, Counted, Evaluated, Released, Seen},
    faults::Faults,
    seeds::begin,
    town::{Plan, SIZE, town},
    vaults::{LIMIT, REFILL_MS, VAULTS, act_of, unsigned},
};

/// Virtual time in which a broken rule must show, in seconds.
const SHOWS_WITHIN_S: u64 = 60;
const WRONG_WORDS: u64 = 1_000;

fn plan(threshold: u8, colluders: BTreeSet<usize>, careless: Option<usize>) -> Plan {
    Plan { regime: Regime::Fast, threshold, colluders, careless, skews_ms: [0; SIZE] }
}

/// Lets person and thief live without any fault, until a rule is broken, enough was seen, or the time is over.
fn lived(plan: Plan, enough: fn(&Seen) -> bool) -> (Result<(), Broken>, Seen) {
    town(77, plan, async |town, world| {
        let mut faulty = Faults { town: town.clone(), world, frail: 0 };
        let (_, tasks) = begin(&town, &mut faulty.world, WRONG_WORDS).await;
        let mut lived = Ok(());
        for _ in 0..SHOWS_WITHIN_S {
            lived = faulty.watch(1_000).await;
            if lived.is_err() || enough(&town.seen()) {
                break;
            }
        }
        tasks.iter().for_each(|task| task.abort());
        for node in &town.nodes {
            node.crash(&mut faulty.world).await;
        }
        (lived, town.seen().clone())
    })
}

#[test]
fn as_many_colluders_as_shares_are_needed_guess_alone_and_it_is_found() {
    let (found, seen) = lived(plan(2, [1, 2].into(), None), |_| false);
    assert!(matches!(found, Err(Broken::Elements { .. } | Broken::Combined)), "{found:?}");
    assert!(seen.deeds["guesses without the ledger"] > 0);
}

#[test]
fn one_keeper_that_answers_whatever_it_is_asked_is_found() {
    let (found, _) = lived(plan(3, [1, 2].into(), Some(3)), |_| false);
    let expected = |broken: &Broken| {
        matches!(
            broken,
            Broken::NotGranted { keeper: 3, .. } | Broken::Stale { keeper: 3, .. } | Broken::Combined
        )
    };
    assert!(found.as_ref().is_err_and(expected), "{found:?}");
}

/// A run in which nothing was broken.
static HEALTHY: LazyLock<Seen> = LazyLock::new(|| {
    let enough = |seen: &Seen| !seen.released.is_empty() && seen.evaluated.len() > 3;
    let (found, seen) = lived(plan(3, [0, 1].into(), None), enough);
    found.unwrap();
    seen.check().unwrap();
    assert!(enough(&seen) && !seen.counters.is_empty(), "nothing to alter");
    seen
});

fn broken(alter: impl FnOnce(&mut Seen)) -> Broken {
    let mut altered = HEALTHY.clone();
    alter(&mut altered);
    altered.check().expect_err("the alteration is found")
}

/// The place of the last granted attempt at the first vault, and what it asks.
fn granted(seen: &Seen) -> (usize, VaultAttempt) {
    let found = seen.log.iter().enumerate().rev().find_map(|(at, record)| match act_of(&record.entry) {
        Some(VaultAct::Attempt(attempt)) if record.outcome.is_accepted() && attempt.vault == VAULTS[0] => {
            Some((at, attempt))
        }
        _ => None,
    });
    found.expect("somebody tried")
}

#[test]
fn every_altered_record_is_found() {
    let found = broken(|seen| {
        // One attempt more than the terms allow, all at once.
        let (at, attempt) = granted(seen);
        for number in 0..=LIMIT + 24 {
            let attempt = VaultAttempt { element: [number as u8; 32], ..attempt };
            let outcome = Outcome::accepted_with(&[0x80 + number as u8; 32]);
            let entry = unsigned(VaultAct::Attempt(attempt)).encode();
            seen.log.push(Record { entry, outcome, ..seen.log[at].clone() });
        }
        seen.counters.clear();
    });
    assert!(matches!(found, Broken::Limit { found, allowed } if found == allowed + 1), "{found}");
    let found = broken(|seen| {
        // What comes back with time comes back no sooner.
        let (at, attempt) = granted(seen);
        let begun = seen.log[at].clone();
        for number in 0..=LIMIT {
            let attempt = VaultAttempt { element: [number as u8; 32], ..attempt };
            let outcome = Outcome::accepted_with(&[0x80 + number as u8; 32]);
            let entry = unsigned(VaultAct::Attempt(attempt)).encode();
            let time_ms = begun.time_ms + u64::from(number > 0) * (REFILL_MS - 1);
            seen.log.push(Record { entry, outcome, time_ms, ..begun.clone() });
        }
        seen.log.drain(..=at);
        seen.counters.clear();
        seen.evaluated.clear();
        seen.released.clear();
        seen.combined.clear();
    });
    assert_eq!(found, Broken::Limit { found: u64::from(LIMIT) + 1, allowed: u64::from(LIMIT) });
    let found = broken(|seen| {
        // A count goes back.
        let counted = seen.counters.iter().find(|counted| counted.number > 0).unwrap().clone();
        seen.counters.insert(Counted { number: counted.number - 1, ..counted });
    });
    assert!(matches!(found, Broken::Count { .. }), "{found}");
    let found = broken(|seen| {
        let counted = seen.counters.pop_first().unwrap();
        seen.counters.insert(Counted { spent: LIMIT + 1, ..counted });
    });
    assert!(matches!(found, Broken::Above { .. }), "{found}");
    let found = broken(|seen| seen.evaluated[0].element[0] ^= 1);
    assert!(matches!(found, Broken::NotGranted { .. }), "{found}");
    let found = broken(|seen| {
        let evaluated = seen.evaluated[0].clone();
        seen.evaluated.push(Evaluated { leaf: 0, ..evaluated });
    });
    assert!(matches!(found, Broken::NotGranted { leaf: 0, .. }), "{found}");
    let found = broken(|seen| seen.evaluated[0].stale = true);
    assert!(matches!(found, Broken::Stale { .. }), "{found}");
    let found = broken(|seen| {
        let Released { keeper, leaf, .. } = seen.released[0];
        seen.released.push(Released { keeper, leaf, opened: leaf });
    });
    assert!(matches!(found, Broken::NotOpened { .. }), "{found}");
    let found = broken(|seen| {
        // The success was another attempt's.
        let (other, _) = granted(seen);
        let opened = seen.released[0].opened;
        let shown = if other as u64 == seen.released[0].leaf { 0 } else { other as u64 };
        seen.released.push(Released { keeper: 2, leaf: shown, opened });
    });
    assert!(matches!(found, Broken::NotOpened { .. }), "{found}");
    let found = broken(|seen| {
        let vault = VAULTS[0].name;
        seen.combined.push(Combined { vault, element: [9; 32], leaf: None });
    });
    assert!(matches!(found, Broken::Combined | Broken::Elements { .. }), "{found}");
    assert_eq!(broken(|seen| seen.guessed = true), Broken::Guessed);
    assert_eq!(broken(|seen| seen.taken = Some("a lie")), Broken::Taken { what: "a lie" });
}
