//! Risk of one request, judged by the account's own history: request and history in, verdict with reasons out.
//!
//! Pure, and integers only, so that every machine says the same. A [`History`] holds what an account usually does, in bounded
//! memory; a [`RuleSet`] says how many points each signal gives and within which bounds its thresholds follow that history; a
//! [`verdict`] adds the points. SPEC.md has the formats. Who keeps histories, and what is done with a verdict, is not decided here.

mod bytes;
mod currency;
mod habit;
mod history;
mod known;
mod limits;
mod reason;
mod replay;
mod request;
mod rules;
pub mod simulate;
#[cfg(test)]
mod tests;
mod verdict;
mod window;

pub use history::{CURRENCIES_MAX, HISTORY_LEN_MAX, History, Outcome, Summary};
pub use limits::{Limit, limits};
pub use reason::{Reason, Signal};
pub use replay::{CHANGES_MAX, Changed, Event, Replay, Tally, replay};
pub use request::{COUNTERPARTIES_MAX, Mark, Request, Spend, Verb};
pub use rules::{RULES_TEXT_LEN_MAX, RuleSet, RuleSetError, rules_text_hash};
pub use verdict::{Decision, Verdict, verdict};
