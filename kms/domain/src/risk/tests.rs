//! Tests of verdicts, histories and rule sets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::AccountId;

mod format;
mod habits;
mod properties;
mod refused;
mod workload;

/// The rules that were embedded before those of now: a text that was published stays the rules that it was.
const DEFAULT: &str = include_str!("tests/earlier.toml");
const EMBEDDED: &str = include_str!("../../../../policies/risk/default.toml");
const ACCOUNT: AccountId = AccountId([7; 32]);
/// A Monday at noon.
const NOON: u64 = 20_458 * DAY + 12 * HOUR;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// The default set, made to count, with a rule.
fn rules() -> RuleSet {
    let rule = format!("mode = \"enforce\"\nrule = \"{}\"", "ab".repeat(32));
    RuleSet::parse(&DEFAULT.replace("mode = \"watch\"", &rule)).unwrap()
}

fn payee(name: &str) -> Mark {
    Mark::of_counterparty(&ACCOUNT, name)
}

fn pay(time_ms: u64, amount: u64, to: &str) -> Request {
    Request {
        time_ms,
        verb: Verb::Sign,
        opaque: false,
        spend: Some(Spend::new("EUR", amount)),
        counterparties: vec![payee(to)],
        app: Some(Mark::of_app(&ACCOUNT, "app/shop")),
        origin: Some(Mark::of_address(&ACCOUNT, [192, 0, 2, 1].into())),
    }
}

/// So many days, three payments of some 50 euros each, to three payees.
fn settled(days: u64) -> History {
    let mut history = History::default();
    for day in 0..days {
        for (n, to) in ["rent", "power", "food"].into_iter().enumerate() {
            let time_ms = NOON - (days - day) * DAY + n as u64 * HOUR;
            history.record(&pay(time_ms, 5_000, to), Outcome::Allowed);
        }
    }
    history
}

/// The points of one signal.
fn points(verdict: &Verdict, signal: Signal) -> u32 {
    verdict.reasons.iter().find(|reason| reason.signal == signal).map_or(0, |reason| reason.points)
}
