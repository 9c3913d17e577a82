//! The policy sets under which delegates act: each edition stands for good, because terms on the ledger name it by its hash.

use crate::{error::PolicyError, request::Verb, set::PolicySet};

/// What every edition decides.
const VERBS: &[Verb] = &[Verb::DelegationAct];
/// The texts of every edition, oldest first: schema, files `(name, text)`.
pub(crate) const EDITIONS: &[(&str, &[(&str, &str)])] = &[(
    include_str!("../delegates/1/schema.cedarschema"),
    &[("act", include_str!("../delegates/1/act.cedar"))],
)];

/// A policy set with the texts that its hash is of.
#[derive(Debug)]
pub struct Edition {
    /// The schema.
    pub schema: &'static str,
    /// Files `(name, text)`, by name.
    pub files: &'static [(&'static str, &'static str)],
    /// Their meaning.
    pub policies: PolicySet,
}

/// Every policy set under which delegates may act, oldest first.
#[derive(Debug)]
pub struct DelegatePolicies(Vec<Edition>);

impl DelegatePolicies {
    /// Those of this build.
    pub fn embedded() -> Result<Self, PolicyError> {
        let edition = |(schema, files): &(&'static str, &'static [(&'static str, &'static str)])| {
            let policies = PolicySet::parse_for(schema, files, VERBS)?;
            Ok(Edition { schema, files, policies })
        };
        EDITIONS.iter().map(edition).collect::<Result<_, _>>().map(Self)
    }

    /// The one of a hash, as [`PolicySet::hash`] says.
    pub fn find(&self, hash: &[u8; 32]) -> Option<&PolicySet> {
        self.0.iter().map(|edition| &edition.policies).find(|policies| policies.hash() == *hash)
    }

    /// All of them, oldest first.
    pub fn editions(&self) -> &[Edition] {
        &self.0
    }
}
