//! The verdict: points of all signals, and what they come to.

use super::habit::step;
use super::history::{History, Rare, hour, minute};
use super::known::{Familiarity, Known};
use super::limits::{self, ready};
use super::reason::{Reason, Signal};
use super::request::{Mark, Request, Verb};
use super::rules::{Level, Novelty, Rarity, RuleSet, WINDOWS};
use super::window::{DAY_MS, WIDTHS_MS};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Decision {
    /// It goes on.
    Allow = 1,
    /// Others approve it first, under the set's rule.
    Ask = 2,
    /// It does not go on.
    Refuse = 3,
}

impl Decision {
    /// `allow`, `ask` or `refuse`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Refuse => "refuse",
        }
    }

    /// The decision of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Allow, Self::Ask, Self::Refuse].into_iter().find(|decision| decision.name() == name)
    }
}

/// What a rule set says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// All points.
    pub score: u32,
    /// What the score says.
    pub decision: Decision,
    /// What counts: the decision, or `Allow` under a set that only watches; what would be asked about is refused where the set
    /// names no approval rule.
    pub acts: Decision,
    /// The signals that gave points, those with most first.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// The reasons in words for who asked, without numbers.
    pub fn words(&self) -> String {
        self.reasons.iter().map(Reason::words).collect::<Vec<_>>().join("; ")
    }
}

/// Judges a request by what the account did before it. Neither changes.
pub fn verdict(rules: &RuleSet, history: &History, request: &Request) -> Verdict {
    if history.is_of_day(request.time_ms) {
        return judged(rules, history, request);
    }
    let mut standing = history.clone();
    standing.enter(request.time_ms);
    judged(rules, &standing, request)
}

fn judged(rules: &RuleSet, history: &History, request: &Request) -> Verdict {
    let asked = Asked { rules, history, request, now: history.now(request.time_ms) };
    let reasons = [
        asked.amount(),
        asked.total(),
        asked.pace(),
        asked.hour(),
        asked.counterparty(),
        asked.app(),
        asked.origin(),
        asked.currency(),
        asked.rare(rules.text.opaque, Rare::Opaque, request.opaque, ""),
        asked.rare(rules.text.act, Rare::Act, request.verb == Verb::Act, ""),
        asked.logins(),
    ];
    let mut reasons: Vec<_> = reasons.into_iter().flatten().filter(|reason| reason.points > 0).collect();
    reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.points), reason.signal));
    let score = reasons.iter().map(|reason| reason.points).sum();
    let decision = match score {
        score if score >= rules.text.refuse => Decision::Refuse,
        score if score >= rules.text.ask => Decision::Ask,
        _ => Decision::Allow,
    };
    let acts = match decision {
        _ if !rules.enforces() => Decision::Allow,
        Decision::Ask if rules.rule().is_none() => Decision::Refuse,
        decision => decision,
    };
    Verdict { score, decision, acts, reasons }
}

struct Asked<'a> {
    rules: &'a RuleSet,
    history: &'a History,
    request: &'a Request,
    now: u64,
}

impl Asked<'_> {
    fn amount(&self) -> Option<Reason> {
        let (level, spend) = (self.rules.text.amount.as_ref()?, self.request.spend.as_ref()?);
        let limit = limits::amount(self.rules, level, self.history, spend.currency());
        Some(above(level, Signal::Amount, spend.currency(), spend.amount(), limit))
    }

    fn total(&self) -> Option<Reason> {
        let (level, spend) = (self.rules.text.total.as_ref()?, self.request.spend.as_ref()?);
        let limit = limits::total(self.rules, level, self.history, spend.currency());
        let seen = self.history.total(spend.currency(), self.now).saturating_add(spend.amount());
        Some(above(level, Signal::Total, spend.currency(), seen, limit))
    }

    /// The window that gives most.
    fn pace(&self) -> Option<Reason> {
        let level = self.rules.text.pace.as_ref()?;
        let of = |(place, (window, width)): (usize, (&super::window::Window, u64))| {
            let seen = window.sum(self.now, width).saturating_add(1);
            let limit = limits::pace(self.rules, level, self.history, place);
            above(level, Signal::Pace, WINDOWS.get(place).map_or("", |name| name), seen, limit)
        };
        self.history.pace.iter().zip(WIDTHS_MS).enumerate().map(of).max_by_key(|reason| reason.points)
    }

    fn hour(&self) -> Option<Reason> {
        let (rules, hour) = (self.rules.text.hour?, hour(self.now));
        if !ready(self.rules, self.history) {
            return None;
        }
        let share = self.history.hours.share_permille([(hour + 23) % 24, hour, (hour + 1) % 24]);
        let points = if share < u64::from(rules.rare_permille) { rules.points } else { 0 };
        let (signal, of) = (Signal::Hour, String::new());
        Some(Reason { signal, points, of, seen: hour.into(), limit: share, adapted: true })
    }

    fn counterparty(&self) -> Option<Reason> {
        let novelty = self.rules.text.counterparty?;
        let known = &self.history.counterparties;
        Some(self.strange(
            novelty,
            Rare::Counterparty,
            Signal::Counterparty,
            known,
            &self.request.counterparties,
        ))
    }

    fn app(&self) -> Option<Reason> {
        let (novelty, mark) = (self.rules.text.app?, self.request.app?);
        // The first one is the one by which an account is known.
        let known = &self.history.apps;
        (!known.seen.is_empty()).then(|| self.strange(novelty, Rare::App, Signal::App, known, &[mark]))
    }

    fn origin(&self) -> Option<Reason> {
        let (novelty, mark) = (self.rules.text.origin?, self.request.origin?);
        let known = &self.history.origins;
        (!known.seen.is_empty()).then(|| self.strange(novelty, Rare::Origin, Signal::Origin, known, &[mark]))
    }

    fn currency(&self) -> Option<Reason> {
        let currency = self.request.spend.as_ref()?.currency();
        let new = !self.history.currencies.is_empty() && self.history.currency(currency).is_none();
        self.rare(self.rules.text.currency, Rare::Currency, new, currency)
    }

    fn logins(&self) -> Option<Reason> {
        let rules = self.rules.text.logins?;
        let seen = self.history.failed.sum(self.now, DAY_MS);
        let over = u32::try_from(seen.saturating_sub(rules.free.into())).unwrap_or(u32::MAX);
        let points = over.saturating_mul(rules.points_each).min(rules.points_max);
        let (signal, of) = (Signal::Logins, String::new());
        Some(Reason { signal, points, of, seen, limit: rules.free.into(), adapted: false })
    }

    /// Full points where any of them is new, half of them where any is recent.
    fn strange<const MAX: usize>(
        &self,
        rules: Novelty,
        rare: Rare,
        signal: Signal,
        known: &Known<MAX>,
        marks: &[Mark],
    ) -> Reason {
        let minute = minute(self.now);
        let unknown = marks.iter().map(|mark| known.familiarity(mark, minute, rules.settle_hours));
        let unknown: Vec<_> = unknown.filter(|how| *how > Familiarity::Known).collect();
        let Rarity { points, points_least } =
            Rarity { points: rules.points, points_least: rules.points_least };
        let (full, adapted) = self.fewer(points, points_least, rare);
        let points = match unknown.iter().max() {
            Some(Familiarity::New) => full,
            Some(_) => full.div_ceil(2),
            None => 0,
        };
        let seen = u64::try_from(unknown.len()).unwrap_or(u64::MAX);
        let limit = self.history.share(rare).permille().into();
        Reason { signal, points, of: String::new(), seen, limit, adapted }
    }

    fn rare(&self, rules: Option<Rarity>, rare: Rare, so: bool, of: &str) -> Option<Reason> {
        let rules = rules.filter(|_| so)?;
        let signal = match rare {
            Rare::Counterparty => Signal::Counterparty,
            Rare::App => Signal::App,
            Rare::Origin => Signal::Origin,
            Rare::Currency => Signal::Currency,
            Rare::Opaque => Signal::Opaque,
            Rare::Act => Signal::Act,
        };
        let (points, adapted) = self.fewer(rules.points, rules.points_least, rare);
        let limit = self.history.share(rare).permille().into();
        Some(Reason { signal, points, of: of.to_owned(), seen: 1, limit, adapted })
    }

    /// What is usual on an account says less: the more often it happened, the fewer points, never below the least.
    fn fewer(&self, points: u32, least: u32, rare: Rare) -> (u32, bool) {
        let share = self.history.share(rare);
        if !ready(self.rules, self.history) || !share.weighs(self.rules.text.adapt.requests) {
            return (points, false);
        }
        ((points * (1000 - share.permille().min(1000)) / 1000).max(least), true)
    }
}

/// Nothing up to the limit; above it so many points, and more with each doubling.
fn above(level: &Level, signal: Signal, of: &str, seen: u64, (limit, adapted): (u64, bool)) -> Reason {
    let points = if seen <= limit {
        0
    } else {
        let quarters = u32::from(step(seen).saturating_sub(step(limit)));
        (level.points + quarters * level.points_per_doubling / 4).min(level.points_max)
    };
    Reason { signal, points, of: of.to_owned(), seen, limit, adapted }
}
