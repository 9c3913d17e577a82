//! What one account usually does, in bounded memory whatever it did.
//!
//! What happens today becomes habit tomorrow: nobody moves a threshold and profits from it on the same day.

use std::fmt;

use super::currency::Currency;
use super::habit::{Habit, Today, UNIT, step};
use super::known::{Known, Share};
use super::request::{Request, Spend, Verb};
use super::rules::OTHERS;
use super::window::{DAY, DAY_MS, WIDTHS_MS, Window};

/// The most currencies whose habits are kept; the one with least habit makes room, and what went out in it within 24 hours is counted
/// on, with that in others that have none, under `*`.
pub const CURRENCIES_MAX: usize = 8;
/// What a habit of a currency weighs at least to be kept before one that is paid in today: ten payments.
const HABIT_MIN: u64 = 10 * UNIT as u64;
pub(super) const COUNTERPARTIES_KNOWN_MAX: usize = 128;
pub(super) const APPS_KNOWN_MAX: usize = 16;
pub(super) const ORIGINS_KNOWN_MAX: usize = 32;
/// The longest encoding of a history, in bytes. One of a person or firm has one or two thousand.
pub const HISTORY_LEN_MAX: usize = 40 << 10;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// How a request came to pass. One that was refused, or still waits, is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It was let through.
    Allowed = 1,
    /// Others approved it, under the rule that the set names: whom it pays, what asked and from where are known from now on.
    Approved = 2,
}

/// The requests of which shares are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rare {
    Counterparty = 0,
    App = 1,
    Origin = 2,
    Currency = 3,
    Opaque = 4,
    Act = 5,
}

/// What one account usually does. Prints redacted: amounts and habits are nobody's business.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The day since 1970 that runs, and the latest time of anything in it: nothing happens before that.
    pub(super) day: u32,
    pub(super) last_ms: u64,
    /// Requests within a minute, an hour and a day; the most of each today; and on the days before.
    pub(super) pace: [Window; 3],
    pub(super) pace_today: [u64; 3],
    pub(super) paces: [Habit; 3],
    pub(super) hours_today: Today,
    pub(super) hours: Habit,
    /// In the order of their names.
    pub(super) currencies: Vec<Currency>,
    pub(super) counterparties: Known<COUNTERPARTIES_KNOWN_MAX>,
    pub(super) apps: Known<APPS_KNOWN_MAX>,
    pub(super) origins: Known<ORIGINS_KNOWN_MAX>,
    pub(super) shares: [Share; 6],
    /// Log-ins that failed.
    pub(super) failed: Window,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("History(redacted)")
    }
}

/// What may be told of a history: numbers alone, nobody's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// On how many days something happened, as far as they still count.
    pub days: u64,
    /// Requests of the last 24 hours.
    pub requests_of_day: u64,
    /// Log-ins that failed within 24 hours.
    pub logins_failed_of_day: u64,
    /// How many counterparties are known.
    pub counterparties: usize,
    /// How many apps are known.
    pub apps: usize,
    /// How many origins are known.
    pub origins: usize,
    /// By currency: what half of the payments, and 95 of 100, do not exceed, and what went out within 24 hours.
    pub currencies: Vec<(String, Option<u64>, Option<u64>, u64)>,
}

impl History {
    /// Takes in what was done.
    pub fn record(&mut self, request: &Request, outcome: Outcome) {
        let now = self.enter(request.time_ms);
        let minute = minute(now);
        for ((window, most), width) in self.pace.iter_mut().zip(&mut self.pace_today).zip(WIDTHS_MS) {
            window.add(now, width, 1);
            *most = (*most).max(window.sum(now, width));
        }
        let hour = self.hours_today.entry(hour(now)).or_default();
        *hour = hour.saturating_add(1);
        self.record_shares(request);
        let approved = outcome == Outcome::Approved;
        for mark in request.counterparties.iter().take(COUNTERPARTIES_KNOWN_MAX) {
            self.counterparties.see(*mark, minute, approved);
        }
        request.app.into_iter().for_each(|mark| self.apps.see(mark, minute, approved));
        request.origin.into_iter().for_each(|mark| self.origins.see(mark, minute, approved));
        if let Some(spend) = &request.spend {
            self.pay(now, spend);
        }
    }

    /// Takes in that a log-in failed. Nothing takes it back but time: whoever guesses a password logs in after it.
    pub fn login_failed(&mut self, time_ms: u64) {
        let now = self.enter(time_ms);
        self.failed.add(now, DAY_MS, 1);
    }

    /// What may be told of it at a time.
    pub fn summary(&self, time_ms: u64) -> Summary {
        let (now, mut standing) = (self.now(time_ms), self.clone());
        standing.enter(now);
        let sums = |currency: &Currency| {
            let quantile = |permille| currency.amounts.quantile(permille);
            (currency.name.clone(), quantile(500), quantile(950), currency.total.sum(now, DAY_MS))
        };
        Summary {
            days: standing.days(),
            requests_of_day: standing.requests_of_day(now),
            logins_failed_of_day: standing.failed.sum(now, DAY_MS),
            counterparties: standing.counterparties.seen.len(),
            apps: standing.apps.seen.len(),
            origins: standing.origins.seen.len(),
            currencies: standing.currencies.iter().map(sums).collect(),
        }
    }

    /// The time that counts: a clock that lags behind what is recorded stands still.
    pub(super) fn now(&self, time_ms: u64) -> u64 {
        time_ms.max(self.last_ms)
    }

    /// Whether a day has ended since anything was recorded.
    pub(super) fn is_of_day(&self, time_ms: u64) -> bool {
        day(self.now(time_ms)) == self.day
    }

    /// Goes to a time: ends the days before it.
    pub(super) fn enter(&mut self, time_ms: u64) -> u64 {
        let now = self.now(time_ms);
        self.last_ms = now;
        let days = day(now).saturating_sub(self.day);
        if days > 0 {
            self.roll(days);
            self.day = day(now);
        }
        now
    }

    /// How many days of habit there are.
    pub(super) fn days(&self) -> u64 {
        let [_, _, days] = &self.paces;
        days.total() / u64::from(UNIT)
    }

    pub(super) fn currency(&self, name: &str) -> Option<&Currency> {
        let place = self.currencies.binary_search_by(|currency| currency.name.as_str().cmp(name)).ok()?;
        self.currencies.get(place)
    }

    pub(super) const fn share(&self, of: Rare) -> Share {
        let [counterparty, app, origin, currency, opaque, act] = self.shares;
        match of {
            Rare::Counterparty => counterparty,
            Rare::App => app,
            Rare::Origin => origin,
            Rare::Currency => currency,
            Rare::Opaque => opaque,
            Rare::Act => act,
        }
    }

    fn requests_of_day(&self, now: u64) -> u64 {
        self.pace.get(DAY).map_or(0, |window| window.sum(now, DAY_MS))
    }

    fn record_shares(&mut self, request: &Request) {
        let strange = request.counterparties.iter().map(|mark| !self.counterparties.has(mark));
        let so = [
            strange.reduce(|one, other| one | other),
            request.app.map(|mark| !self.apps.has(&mark)),
            request.origin.map(|mark| !self.origins.has(&mark)),
            request.spend.as_ref().map(|spend| self.currency(spend.currency()).is_none()),
            Some(request.opaque),
            Some(request.verb == Verb::Act),
        ];
        for (share, so) in self.shares.iter_mut().zip(so) {
            so.into_iter().for_each(|so| share.see(so));
        }
    }

    /// What went out within 24 hours in a currency, as far as it is not told from others with those.
    pub(super) fn total(&self, name: &str, now: u64) -> u64 {
        let counted = self.currency(name).or_else(|| self.currency(OTHERS));
        counted.map_or(0, |currency| currency.total.sum(now, DAY_MS))
    }

    fn pay(&mut self, now: u64, spend: &Spend) {
        let (name, minute) = (spend.currency(), minute(now));
        if self.currency(name).is_some() || self.make_room(now) {
            self.currency_mut(name).pay(now, minute, spend.amount());
        } else {
            self.currency_mut(OTHERS).sum_up(now, minute, spend.amount());
        }
    }

    /// Whether a new currency has room of its own. No running total is forgotten, nor a habit before a lesser one: many small payments
    /// in others would make room for a large one.
    fn make_room(&mut self, now: u64) -> bool {
        // What is in it may be of any.
        if self.total(OTHERS, now) > 0 {
            return false;
        }
        if self.currencies.len() < CURRENCIES_MAX {
            return true;
        }
        let runs = |currency: &Currency| currency.total.sum(now, DAY_MS) > 0;
        let worth = |currency: &Currency| {
            let habit = Some(currency.amounts.total()).filter(|habit| *habit >= HABIT_MIN);
            (habit, runs(currency), currency.last_minute)
        };
        let least = (0..self.currencies.len()).min_by_key(|place| self.currencies.get(*place).map(worth));
        let Some(least) = least.map(|place| self.currencies.remove(place)) else { return true };
        if runs(&least) {
            let Currency { last_minute, total, .. } = least;
            *self.currency_mut(OTHERS) = Currency { last_minute, total, ..Currency::new(OTHERS) };
            return false;
        }
        true
    }

    fn currency_mut(&mut self, name: &str) -> &mut Currency {
        let place = self.currencies.partition_point(|currency| currency.name.as_str() < name);
        if self.currencies.get(place).is_none_or(|currency| currency.name != name) {
            self.currencies.insert(place, Currency::new(name));
        }
        #[expect(clippy::indexing_slicing, reason = "it stands there, or was put there")]
        &mut self.currencies[place]
    }

    fn roll(&mut self, days: u32) {
        for (most, habit) in self.pace_today.iter_mut().zip(&mut self.paces) {
            if *most > 0 {
                habit.add_day(step(*most));
            }
            *most = 0;
            habit.fade(days);
        }
        self.hours.fold(&self.hours_today);
        self.hours_today.clear();
        self.hours.fade(days);
        self.currencies.iter_mut().for_each(|currency| currency.roll(days));
        self.shares.iter_mut().for_each(|share| share.roll(days));
    }
}

pub(super) fn hour(time_ms: u64) -> u8 {
    (time_ms / HOUR_MS % 24) as u8
}

pub(super) fn minute(time_ms: u64) -> u32 {
    u32::try_from(time_ms / MINUTE_MS).unwrap_or(u32::MAX)
}

fn day(time_ms: u64) -> u32 {
    u32::try_from(time_ms / DAY_MS).unwrap_or(u32::MAX)
}
