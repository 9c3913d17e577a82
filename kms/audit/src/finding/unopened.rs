//! What of a grant's period had elapsed and was not opened.

use std::collections::{BTreeMap, BTreeSet};

use keyward_ledger_core::entry::Grant;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::unlinkable::EDGE_MS;

use super::{AccountFinding, RunFinding, RunSource};
use crate::relink::Relinker;

/// An account of which something that had elapsed of the grant's period was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// The account.
    pub account: Hash,
    /// Its whole epochs of the period that had elapsed at the last record; nothing where the records do not show its choice.
    pub whole: Option<u64>,
    /// How many of these were not opened.
    pub missing: u64,
}

impl Relinker {
    /// Of each account that the grant names or that chose under its tenant, the whole epochs of the period that had elapsed at the
    /// last record and were not opened. What came from dealings that the records do not have is not counted as opened.
    pub(crate) fn unopened(&self, runs: &[RunFinding]) -> Vec<Unopened> {
        let Some(looked) = self.looked else { return Vec::new() };
        let grant = &self.granted.grant;
        let mut opened: BTreeMap<Hash, Vec<(u64, u64)>> = BTreeMap::new();
        for run in runs {
            let spans = opened.entry(run.account).or_default();
            if matches!(run.source, RunSource::Hosted | RunSource::Keepers(_)) {
                spans.push((run.first.into(), u64::from(run.last) + 1));
            }
        }
        let concerned: BTreeSet<_> =
            grant.accounts.iter().chain(self.accounts.keys()).chain(opened.keys()).copied().collect();
        let unopened = |account: Hash| {
            let Some(known) = self.accounts.get(&account) else {
                // In a log from its beginning, who did not choose has no addresses.
                return (looked.first_leaf > 0).then_some(Unopened { account, whole: None, missing: 0 });
            };
            let (from, end) = period(grant, known, looked.until_ms);
            let whole = end.saturating_sub(from);
            let spans = opened.get(&account).cloned().unwrap_or_default();
            let missing = whole.saturating_sub(covered(spans, from, end));
            (missing > 0).then_some(Unopened { account, whole: Some(whole), missing })
        };
        concerned.into_iter().filter_map(unopened).collect()
    }

    /// When the next epoch of the grant's period elapses, of any account whose choice is known: what was whole may then be so no more.
    pub fn next_elapses_ms(&self) -> Option<u64> {
        let (grant, time_ms) = (&self.granted.grant, self.looked?.until_ms);
        let next = |known: &AccountFinding| {
            let length_ms = known.epoch_ms.max(1);
            let (_, end) = period(grant, known, time_ms);
            let next_ms = end.saturating_add(1).saturating_mul(length_ms).saturating_add(EDGE_MS);
            (end < last(grant, known)).then_some(next_ms)
        };
        self.accounts.values().filter_map(next).min()
    }
}

/// The whole epochs of a grant's period that had elapsed at a time, from the account's choice on up to the one in which it was closed, if it
/// was: the first, and the one after the last.
fn period(grant: &Grant, known: &AccountFinding, time_ms: u64) -> (u64, u64) {
    let length_ms = known.epoch_ms.max(1);
    let chosen = known.chosen.time_ms.saturating_sub(EDGE_MS) / length_ms;
    let elapsed = time_ms.saturating_sub(EDGE_MS) / length_ms;
    (grant.from_ms.div_ceil(length_ms).max(chosen), last(grant, known).min(elapsed))
}

/// The epoch after the last of a grant's period, however much of it has elapsed.
fn last(grant: &Grant, known: &AccountFinding) -> u64 {
    let length_ms = known.epoch_ms.max(1);
    let closed = known.closed.map_or(u64::MAX, |closed| (closed.time_ms + EDGE_MS) / length_ms + 1);
    (grant.until_ms / length_ms).min(closed)
}

/// How many numbers of a range lie in spans, which may overlap.
fn covered(mut spans: Vec<(u64, u64)>, from: u64, end: u64) -> u64 {
    spans.sort_unstable();
    let (mut count, mut at) = (0, from);
    for (first, after) in spans {
        let (first, after) = (first.max(at), after.min(end));
        count += after.saturating_sub(first);
        at = at.max(after);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_overlap_or_reach_beyond_are_counted_once() {
        assert_eq!(covered(vec![], 10, 20), 0);
        assert_eq!(covered(vec![(12, 15), (10, 13), (12, 13)], 10, 20), 5);
        assert_eq!(covered(vec![(0, 11), (19, 30), (40, 50)], 10, 20), 2);
        assert_eq!(covered(vec![(0, 100), (3, 12)], 10, 20), 10);
        assert_eq!(covered(vec![(0, 100)], 20, 20), 0);
    }
}
