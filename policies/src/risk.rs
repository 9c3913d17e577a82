//! Risk rules: the embedded set, cases beside a set, and a request as its signals see it.

mod cases;

use keyward_domain::{
    AccountId,
    risk::{Mark, Request, RuleSet, RuleSetError, Spend, Verb},
};

pub use self::cases::{Asked, Case, Habit, read_cases};
use crate::facts::{Facts, UNKNOWN_DESTINATION};

/// The text of the set that counts for a tenant that has published none. It watches alone.
pub const DEFAULT: &str = include_str!("../risk/default.toml");

/// [`DEFAULT`], read.
pub fn default_rules() -> Result<RuleSet, RuleSetError> {
    RuleSet::parse(DEFAULT)
}

/// A request, by what its payload says.
pub fn request(
    facts: &Facts,
    account: &AccountId,
    verb: Verb,
    time_ms: u64,
    app: Option<Mark>,
    origin: Option<Mark>,
) -> Request {
    // The amount of what is opaque is the highest, for policies' sake: what is understood of it says more.
    let amount = if facts.opaque { facts.understood } else { facts.amount };
    let (pays, amount) = (!facts.currency.is_empty(), u64::try_from(amount).unwrap_or(0));
    let known = facts.destinations.iter().filter(|one| *one != UNKNOWN_DESTINATION);
    Request {
        time_ms,
        verb,
        opaque: facts.opaque,
        spend: pays.then(|| Spend::new(&facts.currency, amount)),
        counterparties: known.map(|one| Mark::of_counterparty(account, one)).collect(),
        app,
        origin,
    }
}
