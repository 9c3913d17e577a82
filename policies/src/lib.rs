//! Who may do what: the Cedar schema and policies of this service, embedded, what a tenant puts over them, and their evaluation.
//!
//! Default deny; a decision names the policies that made it; the set's hash stands in every intent. A tenant's own set only
//! narrows ([`PolicySet::with_tenant`]). Delegates act under sets of their own (`delegates/`), an edition each, which the terms on
//! the ledger name by hash. Beside each file of `rules/` and of an edition lies `<name>.cases.json`: requests with the decisions
//! expected, run as tests; [`cases`] runs such files beside a tenant's set too. The guide for officers is `README.md` here.

mod bounds;
pub mod cases;
mod decide;
mod delegates;
mod entities;
mod error;
mod facts;
mod narrowing;
mod parse;
mod request;
pub mod risk;
mod set;
mod signing;
mod tenant;
mod tenants;
mod verdict;

pub use bounds::{BoundsError, POLICIES_MAX, TEXT_LEN_MAX};
pub use decide::Decision;
pub use delegates::{DelegatePolicies, Edition};
pub use error::{DecideError, PolicyError};
pub use facts::{Facts, MIXED_CURRENCIES, UNKNOWN_DESTINATION};
/// The hash that a publication on the ledger has of a set's text.
pub use keyward_domain::approval::policy_text_hash as tenant_set_hash;
pub use parse::{names, tenant_id};
pub use request::{Actor, ActorKind, Request, Resource, Verb};
pub use set::{FLOOR, PolicySet, SCHEMA};
pub use signing::{SharedSigning, SigningRequest};
pub use tenants::Tenants;
pub use verdict::Verdict;

#[cfg(test)]
mod tests;
