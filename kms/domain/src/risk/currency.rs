//! What an account usually pays in one currency: single amounts, and what goes out within a day.

use super::habit::{Habit, Today, step};
use super::window::{DAY_MS, Window};

/// The habit of one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Currency {
    pub(super) name: String,
    pub(super) last_minute: u32,
    pub(super) amounts: Habit,
    pub(super) amounts_today: Today,
    /// What goes out within any 24 hours, and the most of it today.
    pub(super) total: Window,
    pub(super) total_today: u64,
    pub(super) totals: Habit,
}

impl Currency {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Counts in the running total alone: amounts of several currencies are nobody's habit.
    pub(super) fn sum_up(&mut self, time_ms: u64, minute: u32, amount: u64) {
        self.last_minute = self.last_minute.max(minute);
        self.total.add(time_ms, DAY_MS, amount);
    }

    pub(super) fn pay(&mut self, time_ms: u64, minute: u32, amount: u64) {
        self.sum_up(time_ms, minute, amount);
        let count = self.amounts_today.entry(step(amount)).or_default();
        *count = count.saturating_add(1);
        self.total_today = self.total_today.max(self.total.sum(time_ms, DAY_MS));
    }

    /// Ends the day, and lets so many pass.
    pub(super) fn roll(&mut self, days: u32) {
        if !self.amounts_today.is_empty() {
            self.totals.add_day(step(self.total_today));
        }
        self.amounts.fold(&self.amounts_today);
        self.amounts_today.clear();
        self.total_today = 0;
        self.amounts.fade(days);
        self.totals.fade(days);
    }
}
