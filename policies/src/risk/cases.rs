//! Cases beside a rule set: what an account did day by day, what is asked then, and what must come out.

use std::collections::BTreeSet;

use keyward_domain::{
    AccountId,
    risk::{Decision, History, Mark, Outcome, Request, RuleSet, Signal, Spend, Verb, Verdict, verdict},
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::cases::{CaseError, Mismatch};

const ACCOUNT: AccountId = AccountId([0; 32]);
/// A Monday's midnight: 5 January 2026.
const START_MS: u64 = 20_458 * DAY_MS;
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;
/// The most days of a habit.
const DAYS_MAX: u32 = 400;

/// A request with the verdict expected of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// What the account did before; nothing on a new account.
    #[serde(default)]
    pub habit: Habit,
    /// Requests of the same day that went on before.
    #[serde(default)]
    pub before: Vec<Asked>,
    /// Log-ins that failed at that day's beginning.
    #[serde(default)]
    pub failed_logins: u32,
    /// What is asked.
    pub request: Asked,
    /// `allow`, `ask` or `refuse`: by the score, whether or not the set's verdicts count.
    pub decision: String,
    /// The signals that give points, in any order; whichever, if none are named at all.
    #[serde(default)]
    pub signals: Option<BTreeSet<String>>,
}

/// What an account does on each of so many days.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habit {
    /// How many days, at most 400.
    pub days: u32,
    /// On each of them.
    pub each_day: Vec<Asked>,
}

/// One request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The hour of the day in UTC; the n-th request of a list comes n minutes later.
    #[serde(default = "noon")]
    pub hour: u8,
    /// Nothing, where it pays nobody.
    #[serde(default)]
    pub currency: Option<String>,
    /// In the currency's minor unit.
    #[serde(default)]
    pub amount: u64,
    /// Whom it pays or calls.
    #[serde(default)]
    pub to: Vec<String>,
    /// Who asks.
    #[serde(default = "usual")]
    pub app: String,
    /// From where, by any name.
    #[serde(default = "usual")]
    pub origin: String,
    /// Whether nobody can read what it says.
    #[serde(default)]
    pub opaque: bool,
    /// Whether a delegate acts.
    #[serde(default)]
    pub delegate: bool,
}

const fn noon() -> u8 {
    12
}

fn usual() -> String {
    "usual".to_owned()
}

/// Reads a file of cases: a list in JSON.
pub fn read_cases(text: &str) -> Result<Vec<Case>, CaseError> {
    Ok(serde_json::from_str(text)?)
}

impl Case {
    /// Judges it; none when it comes out as written.
    pub fn run(&self, rules: &RuleSet) -> Result<Option<Mismatch>, CaseError> {
        let expected =
            Decision::from_name(&self.decision).ok_or_else(|| field("decision", &self.decision))?;
        for signal in self.signals.iter().flatten() {
            let known = Signal::from_name(signal).is_some();
            known.then_some(()).ok_or_else(|| field("signal", signal))?;
        }
        let judged = self.judge(rules);
        let said: BTreeSet<_> = judged.reasons.iter().map(|reason| reason.signal.name().to_owned()).collect();
        if judged.decision == expected && self.signals.as_ref().is_none_or(|signals| *signals == said) {
            return Ok(None);
        }
        let mut words = self.decision.clone();
        if let Some(signals) = &self.signals {
            words.push_str(&format!(" by {}", named(signals)));
        }
        let decided = format!("{} at {} by {}", judged.decision.name(), judged.score, named(&said));
        Ok(Some(Mismatch { name: self.name.clone(), expected: words, decided }))
    }

    /// The verdict of a set.
    pub fn judge(&self, rules: &RuleSet) -> Verdict {
        let mut history = History::default();
        let days = self.habit.days.min(DAYS_MAX);
        let day = |day: u32| START_MS + u64::from(day) * DAY_MS;
        for past in 0..days {
            for (place, asked) in (0..).zip(&self.habit.each_day) {
                history.record(&asked.at(day(past), place), Outcome::Allowed);
            }
        }
        (0..self.failed_logins).for_each(|_| history.login_failed(day(days)));
        for (place, asked) in (0..).zip(&self.before) {
            history.record(&asked.at(day(days), place), Outcome::Allowed);
        }
        let place = u64::try_from(self.before.len()).unwrap_or(u64::MAX);
        verdict(rules, &history, &self.request.at(day(days), place))
    }
}

impl Asked {
    fn at(&self, midnight_ms: u64, place: u64) -> Request {
        let origin: [u8; 32] = Sha256::digest(&self.origin).into();
        Request {
            time_ms: midnight_ms + u64::from(self.hour % 24) * HOUR_MS + place.min(59) * MINUTE_MS,
            verb: if self.delegate { Verb::Act } else { Verb::Sign },
            opaque: self.opaque,
            spend: self.currency.as_ref().map(|currency| Spend::new(currency, self.amount)),
            counterparties: self.to.iter().map(|to| Mark::of_counterparty(&ACCOUNT, to)).collect(),
            app: Some(Mark::of_app(&ACCOUNT, &self.app)),
            origin: Some(Mark::of_certificate(&ACCOUNT, &origin)),
        }
    }
}

fn field(what: &'static str, value: &str) -> CaseError {
    CaseError::Field { what, value: value.to_owned() }
}

fn named(signals: &BTreeSet<String>) -> String {
    if signals.is_empty() {
        "no signal".to_owned()
    } else {
        signals.iter().cloned().collect::<Vec<_>>().join(", ")
    }
}
