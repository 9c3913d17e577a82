#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::entry::{AnnouncePayment, Entry, OpenBlindCase, UseBlindCase};
use crate::hash::sha256;

/// 64 bits from a hash of a counter: the same in every run.
fn counted(name: &str) -> impl FnMut() -> Result<u64, Infallible> {
    let (name, mut count) = (name.to_owned(), 0_u64);
    move || {
        count += 1;
        let hash = sha256(&[name.as_bytes(), &count.to_be_bytes()]);
        Ok(u64::from_be_bytes(*hash.first_chunk().unwrap()))
    }
}

fn announcement(number: u8) -> Vec<u8> {
    Entry::AnnouncePayment(AnnouncePayment { epoch_ms: 1_000, epoch: 7, payment: [number; 50] }).encode()
}

fn note(number: u8) -> Vec<u8> {
    Entry::Note(vec![number]).encode()
}

fn mixed(mut entries: Vec<Vec<u8>>, draw: impl FnMut() -> Result<u64, Infallible>) -> Vec<Vec<u8>> {
    let Ok(()) = mix(&mut entries, |entry| entry, draw);
    entries
}

#[test]
fn every_order_is_equally_likely() {
    // Pearson's statistic over the 120 orders of five entries: 119 degrees of freedom, so 119 in the middle; one source in 10^9 has more
    // than 223. The source is the same in every run, whatever the seed.
    const RUNS: u32 = 120_000;
    let mut draw = counted("every order");
    let mut seen: BTreeMap<Vec<Vec<u8>>, u32> = BTreeMap::new();
    for _ in 0..RUNS {
        *seen.entry(mixed((0..5).map(announcement).collect(), &mut draw)).or_default() += 1;
    }
    assert_eq!(seen.len(), 120);
    let expected = f64::from(RUNS) / 120.0;
    let statistic: f64 = seen.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    assert!(statistic < 223.0, "{statistic}");
}

#[test]
fn a_place_is_no_likelier_because_a_draw_does_not_divide_evenly() {
    // 2^64 - 1 is above the last whole run of 3: it is drawn again, and only then counts.
    let mut drawn = [u64::MAX, 5].into_iter();
    assert_eq!(below(3, || Ok::<_, Infallible>(drawn.next().unwrap())), Ok(2));
    assert_eq!(drawn.next(), None);
    // Of a power of two every draw is within a whole run.
    assert_eq!(below(4, || Ok::<_, Infallible>(u64::MAX)), Ok(3));
    assert_eq!(below(3, || Ok::<_, Infallible>(u64::MAX - 1)), Ok(2));
}

#[test]
fn only_what_needs_no_order_changes_places() {
    let release = crate::entry::Release { intent_id: [1; 32], signature_hash: [2; 32] };
    let mut entries: Vec<_> = (0..40).map(|n| if n % 3 == 0 { note(n) } else { announcement(n) }).collect();
    entries.push(Entry::Release(release).encode());
    entries.push(vec![9]);
    let case = |number| {
        Entry::OpenBlindCase(OpenBlindCase {
            rule: [1; 32],
            lock: [number; 32],
            content: [3; 32],
            live_ms: 9,
        })
    };
    let used =
        |number| Entry::UseBlindCase(UseBlindCase { case: [1; 32], token: [number; 32], content: [3; 32] });
    let cases: Vec<_> =
        (0..20).flat_map(|number| [case(number), used(number)]).map(|entry| entry.encode()).collect();
    entries.extend_from_slice(&cases);
    let after = mixed(entries.clone(), counted("places"));
    let mixes = |entry: &[u8]| kind_of(entry).is_some_and(|kind| MIXED.contains(&kind));
    for (before, after) in entries.iter().zip(&after) {
        assert!(if mixes(before) { mixes(after) } else { before == after });
    }
    assert_ne!(entries, after);
    assert_eq!(
        after.last_chunk::<40>().unwrap(),
        &cases[..],
        "what decides of a case keeps its place, and so do cases"
    );
    let sorted = |mut entries: Vec<Vec<u8>>| {
        entries.sort();
        entries
    };
    assert_eq!(sorted(entries), sorted(after), "none is lost, and none comes twice");
}

#[test]
fn nothing_and_one_stay_and_a_source_that_fails_changes_nothing_more() {
    assert_eq!(mixed(Vec::new(), counted("none")), Vec::<Vec<u8>>::new());
    assert_eq!(mixed(vec![announcement(1)], counted("one")), [announcement(1)]);
    let mut entries = [announcement(1), announcement(2)];
    assert_eq!(mix(&mut entries, |entry| entry.as_slice(), || Err("no randomness")), Err("no randomness"));
}
