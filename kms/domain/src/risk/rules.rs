//! Rule sets: how many points each signal gives, and within which bounds thresholds follow an account's own history.
//!
//! A set is a TOML text; what it is known by is the hash of that text. Nothing in it is guessed: what is not known is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::reason::Signal;
use crate::code::{Code, Coded};

const LABEL: &[u8] = b"\x15keyward/risk-rules/v1";
/// The longest text of a rule set, in bytes.
pub const RULES_TEXT_LEN_MAX: usize = 16 << 10;
const POINTS_MAX: u32 = 1000;
const CURRENCIES_NAMED_MAX: usize = 64;
/// Stands for every currency that has no bounds of its own, and in histories for those that have no room of their own.
pub(super) const OTHERS: &str = "*";
/// The windows of `pace`, in the order of their widths.
pub(super) const WINDOWS: [&str; 3] = ["minute", "hour", "day"];

/// The hash that a publication on the ledger has of a rule set's text: `SHA-256(u8 21 || "keyward/risk-rules/v1" || text)`.
pub fn rules_text_hash(text: &str) -> [u8; 32] {
    Sha256::new().chain_update(LABEL).chain_update(text).finalize().into()
}

/// Why a text is no rule set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleSetError {
    /// Too long.
    #[error("a rule set of {0} bytes is longer than {RULES_TEXT_LEN_MAX}")]
    TooLarge(usize),
    /// No TOML, or with what no rule set has.
    #[error("the text is no rule set: {0}")]
    Unreadable(String),
    /// Out of its bounds, or against itself.
    #[error("`{field}` {what}")]
    Invalid {
        /// Where, in the text.
        field: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl Coded for RuleSetError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge(_) => Code::RiskTooLarge,
            Self::Unreadable(_) => Code::RiskUnreadable,
            Self::Invalid { .. } => Code::RiskInvalid,
        }
    }
}

/// A rule set, checked.
#[derive(Clone, Debug)]
pub struct RuleSet {
    pub(super) text: Text,
    rule: Option<[u8; 32]>,
    hash: [u8; 32],
}

/// What stands in the text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    version: u8,
    name: String,
    mode: Mode,
    #[serde(default)]
    rule: Option<String>,
    pub(super) ask: u32,
    pub(super) refuse: u32,
    pub(super) adapt: Adapt,
    pub(super) amount: Option<Level>,
    pub(super) total: Option<Level>,
    pub(super) pace: Option<Level>,
    pub(super) hour: Option<Hour>,
    pub(super) counterparty: Option<Novelty>,
    pub(super) app: Option<Novelty>,
    pub(super) origin: Option<Novelty>,
    pub(super) currency: Option<Rarity>,
    pub(super) opaque: Option<Rarity>,
    pub(super) act: Option<Rarity>,
    pub(super) logins: Option<Logins>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Watch,
    Enforce,
}

/// How much history it takes before anything follows it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Adapt {
    pub(super) days: u32,
    pub(super) requests: u32,
}

/// A number that should not be above a limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    pub(super) points: u32,
    pub(super) points_per_doubling: u32,
    pub(super) points_max: u32,
    pub(super) quantile_permille: u32,
    pub(super) multiple_percent: u32,
    pub(super) bounds: BTreeMap<String, Bounds>,
}

/// A limit before there is history, and where it stays with history.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Bounds {
    pub(super) start: u64,
    pub(super) least: u64,
    pub(super) most: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hour {
    pub(super) points: u32,
    pub(super) rare_permille: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Novelty {
    pub(super) points: u32,
    pub(super) points_least: u32,
    pub(super) settle_hours: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rarity {
    pub(super) points: u32,
    pub(super) points_least: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Logins {
    pub(super) free: u32,
    pub(super) points_each: u32,
    pub(super) points_max: u32,
}

impl RuleSet {
    /// Reads a text, strictly.
    pub fn parse(text: &str) -> Result<Self, RuleSetError> {
        if text.len() > RULES_TEXT_LEN_MAX {
            return Err(RuleSetError::TooLarge(text.len()));
        }
        let hash = rules_text_hash(text);
        let text: Text = toml::from_str(text).map_err(|error| RuleSetError::Unreadable(error.to_string()))?;
        text.check()?;
        let rule = text.rule.as_deref().map(rule).transpose()?;
        Ok(Self { text, rule, hash })
    }

    /// What it calls itself.
    pub fn name(&self) -> &str {
        &self.text.name
    }

    /// The hash of its text, by which a publication names it.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Whether its verdicts count (`mode = "enforce"`), rather than being written down alone (`watch`).
    pub fn enforces(&self) -> bool {
        self.text.mode == Mode::Enforce
    }

    /// The approval rule on the ledger under which others let pass what it asks about.
    pub const fn rule(&self) -> Option<[u8; 32]> {
        self.rule
    }

    /// From which score on approval is asked for, and from which on is refused.
    pub const fn scores(&self) -> (u32, u32) {
        (self.text.ask, self.text.refuse)
    }

    /// The signals that give no points under this set.
    pub fn silent(&self) -> Vec<Signal> {
        let given = self.text.points();
        Signal::ALL.into_iter().filter(|signal| !given.iter().any(|(of, _)| of == signal)).collect()
    }
}

impl Text {
    fn check(&self) -> Result<(), RuleSetError> {
        ensure(self.version == 1, "version", "is not 1")?;
        ensure(crate::name::is_plain(&self.name, 64), "name", "is not 1 to 64 of a-z, 0-9, `.`, `_`, `-`")?;
        ensure((1..=10_000).contains(&self.ask), "ask", "is not 1 to 10000")?;
        ensure((self.ask..=10_000).contains(&self.refuse), "refuse", "is below `ask`, or above 10000")?;
        ensure((1..=20).contains(&self.adapt.days), "adapt.days", "is not 1 to 20")?;
        ensure((1..=500).contains(&self.adapt.requests), "adapt.requests", "is not 1 to 500")?;
        for (signal, points) in self.points() {
            ensure(points <= POINTS_MAX, signal.name(), "gives more than 1000 points")?;
        }
        let money = |level: &Level| level.bounds.contains_key(OTHERS);
        for (name, level) in [("amount", &self.amount), ("total", &self.total)] {
            let Some(level) = level else { continue };
            level.check(name)?;
            ensure(money(level), &format!("{name}.bounds"), "has none for every other currency (`\"*\"`)")?;
        }
        if let Some(pace) = &self.pace {
            pace.check("pace")?;
            let windows =
                pace.bounds.len() == 3 && WINDOWS.iter().all(|name| pace.bounds.contains_key(*name));
            ensure(windows, "pace.bounds", "is not of `minute`, `hour` and `day`")?;
        }
        self.check_novelties()?;
        if let Some(hour) = self.hour {
            ensure((1..=200).contains(&hour.rare_permille), "hour.rare_permille", "is not 1 to 200")?;
        }
        if let Some(logins) = self.logins {
            ensure(logins.free <= 1000, "logins.free", "is above 1000")?;
            ensure(logins.points_each <= logins.points_max, "logins.points_each", "is above `points_max`")?;
        }
        let all: u32 = self.points().iter().map(|(_, points)| points).sum();
        ensure(self.ask <= all, "ask", "is more than all signals give together")?;
        self.check_opaque()
    }

    /// Where what a payload says is held against somebody, saying nothing is no way around it.
    fn check_opaque(&self) -> Result<(), RuleSetError> {
        let reads = self.amount.is_some() || self.total.is_some();
        let reads = reads || self.counterparty.is_some() || self.currency.is_some();
        let hidden = self.opaque.map_or(0, |opaque| opaque.points);
        let what = "gives fewer points than `ask`, in a set that enforces and looks at amounts, currencies or counterparties: \
                    who hides the payload would pass";
        ensure(self.mode == Mode::Watch || !reads || hidden >= self.ask, "opaque", what)
    }

    fn check_novelties(&self) -> Result<(), RuleSetError> {
        let novelties =
            [("counterparty", self.counterparty), ("app", self.app), ("origin", self.origin)].into_iter();
        let novelties = novelties.filter_map(|(name, of)| Some((name, of?)));
        for (name, of) in novelties.clone() {
            ensure(of.settle_hours <= 720, &format!("{name}.settle_hours"), "is above 720")?;
        }
        let rarities = [("currency", self.currency), ("opaque", self.opaque), ("act", self.act)].into_iter();
        let rarities = rarities.filter_map(|(name, of)| of.map(|of| (name, of.points_least, of.points)));
        for (name, least, points) in
            novelties.map(|(name, of)| (name, of.points_least, of.points)).chain(rarities)
        {
            ensure(least <= points, &format!("{name}.points_least"), "is above `points`")?;
        }
        Ok(())
    }

    /// The most that each signal gives.
    fn points(&self) -> Vec<(Signal, u32)> {
        let level = |level: &Option<Level>| level.as_ref().map(|level| level.points_max);
        let novelty = |novelty: Option<Novelty>| novelty.map(|novelty| novelty.points);
        let rarity = |rarity: Option<Rarity>| rarity.map(|rarity| rarity.points);
        let all = [
            (Signal::Amount, level(&self.amount)),
            (Signal::Total, level(&self.total)),
            (Signal::Pace, level(&self.pace)),
            (Signal::Hour, self.hour.map(|hour| hour.points)),
            (Signal::Counterparty, novelty(self.counterparty)),
            (Signal::App, novelty(self.app)),
            (Signal::Origin, novelty(self.origin)),
            (Signal::Currency, rarity(self.currency)),
            (Signal::Opaque, rarity(self.opaque)),
            (Signal::Act, rarity(self.act)),
            (Signal::Logins, self.logins.map(|logins| logins.points_max)),
        ];
        all.into_iter().filter_map(|(signal, points)| Some((signal, points?))).collect()
    }
}

impl Level {
    fn check(&self, name: &str) -> Result<(), RuleSetError> {
        let at = |field: &str| format!("{name}.{field}");
        ensure(self.points <= self.points_max, &at("points"), "is above `points_max`")?;
        ensure(self.points_per_doubling <= POINTS_MAX, &at("points_per_doubling"), "is above 1000")?;
        let quantile = (500..=999).contains(&self.quantile_permille);
        ensure(quantile, &at("quantile_permille"), "is not 500 to 999")?;
        let multiple = (100..=10_000).contains(&self.multiple_percent);
        ensure(multiple, &at("multiple_percent"), "is not 100 to 10000")?;
        ensure(self.bounds.len() <= CURRENCIES_NAMED_MAX, &at("bounds"), "has more than 64")?;
        for (of, Bounds { start, least, most }) in &self.bounds {
            let fits = least <= start && start <= most;
            ensure(fits, &at(&format!("bounds.{of}")), "is not `least` to `start` to `most`, in this order")?;
        }
        Ok(())
    }

    /// The bounds of a currency or window.
    pub(super) fn of(&self, name: &str) -> Bounds {
        // INVARIANT: a checked set has bounds for all others, or for each window; nothing is below the strictest.
        let strictest = Bounds { start: 0, least: 0, most: 0 };
        self.bounds.get(name).or_else(|| self.bounds.get(OTHERS)).copied().unwrap_or(strictest)
    }
}

fn ensure(holds: bool, field: &str, what: &'static str) -> Result<(), RuleSetError> {
    if holds { Ok(()) } else { Err(RuleSetError::Invalid { field: field.to_owned(), what }) }
}

/// 64 hex digits, in lower case.
fn rule(text: &str) -> Result<[u8; 32], RuleSetError> {
    let wrong =
        || RuleSetError::Invalid { field: "rule".to_owned(), what: "is not 64 hex digits in lower case" };
    let mut rule = [0; 32];
    let (digits, rest) = text.as_bytes().as_chunks::<2>();
    if digits.len() != rule.len() || !rest.is_empty() {
        return Err(wrong());
    }
    for (byte, [high, low]) in rule.iter_mut().zip(digits) {
        *byte = digit(*high).and_then(|high| Some(high << 4 | digit(*low)?)).ok_or_else(wrong)?;
    }
    Ok(rule)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
