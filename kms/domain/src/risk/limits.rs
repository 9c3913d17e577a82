//! Limits as they stand for one account: a set's start, or what is usual here, within the set's bounds.

use super::habit::Habit;
use super::history::History;
use super::reason::Signal;
use super::rules::{Bounds, Level, RuleSet, WINDOWS};
use super::window::DAY;

/// A limit that a number should not exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which signal it is of.
    pub signal: Signal,
    /// The currency or window that it is about; empty where there is nothing to name.
    pub of: String,
    /// The limit.
    pub limit: u64,
    /// Whether it follows the account's own history; else it is the set's start.
    pub adapted: bool,
}

/// The limits of amounts, totals and pace that hold for an account at a time; of currencies those that it has paid in.
pub fn limits(rules: &RuleSet, history: &History, time_ms: u64) -> Vec<Limit> {
    let mut standing = history.clone();
    standing.enter(time_ms);
    let of = |signal, of: &str, (limit, adapted)| Limit { signal, of: of.to_owned(), limit, adapted };
    let mut limits = Vec::new();
    for currency in &standing.currencies {
        let name = currency.name.as_str();
        let amount = rules.text.amount.as_ref().map(|level| amount(rules, level, &standing, name));
        let total = rules.text.total.as_ref().map(|level| total(rules, level, &standing, name));
        limits.extend(amount.map(|limit| of(Signal::Amount, name, limit)));
        limits.extend(total.map(|limit| of(Signal::Total, name, limit)));
    }
    if let Some(level) = &rules.text.pace {
        limits.extend(
            (0..=DAY)
                .zip(WINDOWS)
                .map(|(place, window)| of(Signal::Pace, window, pace(rules, level, &standing, place))),
        );
    }
    limits
}

/// Of single amounts.
pub(super) fn amount(rules: &RuleSet, level: &Level, history: &History, currency: &str) -> (u64, bool) {
    let habit = history.currency(currency).map(|currency| &currency.amounts);
    let weighs = |habit: &&Habit| {
        habit.total() >= u64::from(rules.text.adapt.requests) * u64::from(super::habit::UNIT)
    };
    limit(level, level.of(currency), habit.filter(weighs).filter(|_| ready(rules, history)))
}

/// Of what goes out within a day.
pub(super) fn total(rules: &RuleSet, level: &Level, history: &History, currency: &str) -> (u64, bool) {
    let habit = history.currency(currency).map(|currency| &currency.totals);
    // As many days as it takes, in this currency.
    let weighs =
        |habit: &&Habit| habit.total() >= u64::from(rules.text.adapt.days) * u64::from(super::habit::UNIT);
    limit(level, level.of(currency), habit.filter(weighs))
}

/// Of requests within a window.
pub(super) fn pace(rules: &RuleSet, level: &Level, history: &History, place: usize) -> (u64, bool) {
    let bounds = WINDOWS.get(place).map_or("", |name| name);
    limit(level, level.of(bounds), history.paces.get(place).filter(|_| ready(rules, history)))
}

/// Whether there are days enough for anything to follow them.
pub(super) fn ready(rules: &RuleSet, history: &History) -> bool {
    history.days() >= u64::from(rules.text.adapt.days)
}

fn limit(level: &Level, bounds: Bounds, habit: Option<&Habit>) -> (u64, bool) {
    match habit.and_then(|habit| habit.quantile(level.quantile_permille)) {
        None => (bounds.start, false),
        Some(usual) => {
            let wanted = u128::from(usual) * u128::from(level.multiple_percent) / 100;
            let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
            (wanted.clamp(bounds.least, bounds.most), true)
        }
    }
}
