//! A workload with labels, made from a seed: accounts with habits, attacks on some of them, and how a rule set does on it.
//!
//! What is made is a model, not a bank's past: it compares rule sets and shows what they are blind to. A set that is to count is
//! tried on recorded requests too ([`super::replay()`]).

mod account;
mod attack;
mod random;

pub use account::Kind;
pub use attack::Attack;

use super::history::{History, Outcome};
use super::replay::Tally;
use super::request::Request;
use super::rules::RuleSet;
use super::verdict::{Decision, Verdict, verdict};
use crate::AccountId;
use account::Account;
use random::Random;

/// The fewest and the most days of a workload: half of them pass before the first attack.
pub const DAYS: std::ops::RangeInclusive<u32> = 90..=3650;
/// Days of an account's beginning, whose alarms are counted apart.
pub const LEARNING_DAYS: u32 = 14;
/// The first day, as days since 1970: 1 January 2026.
const FIRST_DAY: u32 = 20_454;
const DAY_MS: u64 = super::window::DAY_MS;

/// A workload: the same seed, the same requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What all of it is made from.
    pub seed: u64,
    /// How many accounts: one in five of each [`Kind`], three in four attacked once, by each [`Attack`] alike.
    pub accounts: u32,
    /// How many days of each, within [`DAYS`].
    pub days: u32,
}

/// What happens to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A log-in fails.
    LoginFailed(u64),
    /// Somebody asks: the owner, or a thief.
    Asked(Request, Option<Attack>),
}

impl Happening {
    const fn time_ms(&self) -> u64 {
        match self {
            Self::LoginFailed(time_ms) => *time_ms,
            Self::Asked(request, _) => request.time_ms,
        }
    }
}

/// How one attack fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caught {
    /// How often it was tried: once on an account.
    pub attacks: u64,
    /// How many of these were asked about or refused at least once.
    pub held: u64,
    /// How many of these were held at their first request.
    pub held_at_once: u64,
    /// Its requests, and what became of them.
    pub requests: Tally,
}

/// How often the owners of one kind of account are held up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// How many accounts.
    pub accounts: u64,
    /// Their requests of the first [`LEARNING_DAYS`].
    pub learning: Tally,
    /// Their requests after that.
    pub usual: Tally,
}

/// How a rule set does, by its scores, whether or not they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// By kind of account.
    pub alarms: Vec<(Kind, Alarms)>,
    /// By attack.
    pub caught: Vec<(Attack, Caught)>,
}

impl Workload {
    /// The kind of an account, and the attack on it, if there is one.
    pub fn cast(&self, number: u32) -> (Kind, Option<Attack>) {
        let kind = Kind::ALL.into_iter().cycle().nth((number % 5) as usize).unwrap_or(Kind::Person);
        (kind, Attack::ALL.into_iter().nth((number / 5 % 8) as usize))
    }

    /// All that happens to an account, in the order of time.
    pub fn happenings(&self, number: u32) -> Vec<Happening> {
        let (kind, attack) = self.cast(number);
        let mut random = Random::new(self.seed, number);
        let account = Account::new(id(number), kind, &mut random);
        let mut all = account.live(FIRST_DAY, self.days, &mut random);
        if let Some(attack) = attack {
            let first = FIRST_DAY + self.days / 2 + random.below(u64::from(self.days) / 10) as u32;
            all.extend(attack.strike(&account, first, &mut random));
        }
        all.sort_by_key(Happening::time_ms);
        all
    }

    /// Has a rule set judge all of it; `done` is told how many accounts are.
    pub fn judge(&self, rules: &RuleSet, mut done: impl FnMut(u32)) -> Figures {
        let mut figures = Figures {
            alarms: Kind::ALL.map(|kind| (kind, Alarms::default())).to_vec(),
            caught: Attack::ALL.map(|attack| (attack, Caught::default())).to_vec(),
        };
        for number in 0..self.accounts {
            self.judge_one(rules, number, &mut figures);
            done(number + 1);
        }
        figures
    }

    fn judge_one(&self, rules: &RuleSet, number: u32, figures: &mut Figures) {
        let (kind, attack) = self.cast(number);
        let mut caught = Caught::default();
        let mut alarms = Alarms { accounts: 1, ..Alarms::default() };
        let learnt_ms = u64::from(FIRST_DAY + LEARNING_DAYS) * DAY_MS;
        let mut history = History::default();
        for happening in self.happenings(number) {
            let (request, thief) = match happening {
                Happening::LoginFailed(time_ms) => {
                    history.login_failed(time_ms);
                    continue;
                }
                Happening::Asked(request, thief) => (request, thief.is_some()),
            };
            let Verdict { decision, .. } = verdict(rules, &history, &request);
            match (thief, request.time_ms < learnt_ms) {
                (true, _) => caught.count(decision),
                (false, true) => alarms.learning.count(decision),
                (false, false) => alarms.usual.count(decision),
            }
            // Others approve what the owner asks for, and nothing of a thief's.
            match (decision, thief) {
                (Decision::Allow, _) => history.record(&request, Outcome::Allowed),
                (Decision::Ask, false) => history.record(&request, Outcome::Approved),
                _ => {}
            }
        }
        let all = figures.alarms.iter_mut().filter(|(of, _)| *of == kind);
        all.for_each(|(_, all)| all.add(&alarms));
        let all = figures.caught.iter_mut().filter(|(of, _)| Some(*of) == attack);
        all.for_each(|(_, all)| all.add(&caught));
    }
}

impl Caught {
    const fn count(&mut self, decision: Decision) {
        let held = !matches!(decision, Decision::Allow);
        self.held_at_once |= (held && self.attacks == 0) as u64;
        self.held |= held as u64;
        self.attacks = 1;
        self.requests.count(decision);
    }

    const fn add(&mut self, other: &Self) {
        self.attacks += other.attacks;
        self.held += other.held;
        self.held_at_once += other.held_at_once;
        self.requests.add(&other.requests);
    }
}

impl Alarms {
    const fn add(&mut self, other: &Self) {
        self.accounts += other.accounts;
        self.learning.add(&other.learning);
        self.usual.add(&other.usual);
    }
}

/// An account of no ledger.
pub fn id(number: u32) -> AccountId {
    let mut id = [0; 32];
    if let Some(last) = id.last_chunk_mut::<4>() {
        *last = number.to_be_bytes();
    }
    AccountId(id)
}
