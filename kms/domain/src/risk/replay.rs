//! What another rule set would have done: requests of the past, judged by two sets side by side.
//!
//! Histories grow from the requests that are at hand, and nothing else, so that a short past knows little of an account. Both sets
//! are judged alike, so what differs comes from the sets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::history::{History, Outcome};
use super::request::Request;
use super::rules::RuleSet;
use super::verdict::{Decision, Verdict, verdict};
use crate::AccountId;

/// The most requests that are named one by one.
pub const CHANGES_MAX: usize = 256;

/// A request of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub account: AccountId,
    /// What was asked.
    pub request: Request,
    /// How it came to pass; nothing where it did not.
    pub outcome: Option<Outcome>,
}

/// How many requests come to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Go on.
    pub allowed: u64,
    /// Wait for approval.
    pub asked: u64,
    /// Do not go on.
    pub refused: u64,
}

impl Tally {
    /// Counts one.
    pub const fn count(&mut self, decision: Decision) {
        match decision {
            Decision::Allow => self.allowed += 1,
            Decision::Ask => self.asked += 1,
            Decision::Refuse => self.refused += 1,
        }
    }

    /// Adds others.
    pub const fn add(&mut self, other: &Self) {
        self.allowed += other.allowed;
        self.asked += other.asked;
        self.refused += other.refused;
    }

    /// All of them.
    pub const fn all(&self) -> u64 {
        self.allowed + self.asked + self.refused
    }
}

/// A request that two sets judge otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whose.
    pub account: AccountId,
    /// When it was asked, in Unix milliseconds.
    pub time_ms: u64,
    /// By the set that stands.
    pub before: Verdict,
    /// By the set that is tried.
    pub after: Verdict,
}

/// What a set would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// How many requests were judged.
    pub requests: u64,
    /// Of how many accounts.
    pub accounts: u64,
    /// What counts by the set that stands.
    pub before: Tally,
    /// What counts by the set that is tried.
    pub after: Tally,
    /// How many come out otherwise.
    pub changes: u64,
    /// The last of these, at most [`CHANGES_MAX`], in the order of their times.
    pub changed: Vec<Changed>,
}

/// Judges the requests from a time on by both sets, in the order of their times; those before it make the histories alone.
pub fn replay(standing: &RuleSet, tried: &RuleSet, mut events: Vec<Event>, since_ms: u64) -> Replay {
    events.sort_by_key(|event| event.request.time_ms);
    let (mut histories, mut accounts) = (BTreeMap::<[u8; 32], History>::new(), BTreeSet::new());
    let (mut replay, mut changed) = (Replay::default(), VecDeque::new());
    for Event { account, request, outcome } in events {
        let history = histories.entry(account.0).or_default();
        if request.time_ms >= since_ms {
            accounts.insert(account.0);
            let before = verdict(standing, history, &request);
            let after = verdict(tried, history, &request);
            replay.requests += 1;
            replay.before.count(before.acts);
            replay.after.count(after.acts);
            if before.acts != after.acts {
                replay.changes += 1;
                changed.push_back(Changed { account, time_ms: request.time_ms, before, after });
            }
            if changed.len() > CHANGES_MAX {
                changed.pop_front();
            }
        }
        if let Some(outcome) = outcome {
            history.record(&request, outcome);
        }
    }
    replay.accounts = u64::try_from(accounts.len()).unwrap_or(u64::MAX);
    replay.changed = changed.into();
    replay
}
