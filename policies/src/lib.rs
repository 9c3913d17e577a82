//! Who may do what: the Cedar schema and policies of this service, embedded, and their evaluation.
//!
//! Default deny; a decision names the policies that made it; the set's hash stands in every intent.
//! Beside each file of `rules/` lies `<name>.cases.json`: requests with the decisions expected, run as tests.

mod request;
mod set;

pub use request::{Actor, ActorKind, Request, Resource, Verb};
pub use set::{DecideError, Decision, PolicyError, PolicySet};

#[cfg(test)]
mod tests;
