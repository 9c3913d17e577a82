//! Requests in JSON: cases with the decisions expected of them, and requests that were decided before.
//!
//! Whatever a decision needs and nothing else: no payload, no signature. A file of cases is a list of [`Case`].

mod asked;

use serde::{Deserialize, Serialize};

pub use self::asked::{Asked, AskedActor, AskedResource, AskedSigning, CaseError, Decided};
use crate::{set::PolicySet, verdict::Verdict};

/// A request with the decision expected of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Who asks.
    pub actor: AskedActor,
    /// For what: a verb's name.
    pub verb: String,
    /// On what.
    pub resource: AskedResource,
    /// What a signature adds.
    #[serde(default)]
    pub signing: Option<AskedSigning>,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The approval rules that it waits for, as 64 hex digits; only where it is not allowed.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The policies that decide it, sorted; whichever, if none are named at all.
    #[serde(default)]
    pub policies: Option<Vec<String>>,
}

/// A case that is decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The case's name.
    pub name: String,
    /// What it says, in words.
    pub expected: String,
    /// What was decided, in words.
    pub decided: String,
}

/// Reads a file of cases.
pub fn read(text: &str) -> Result<Vec<Case>, CaseError> {
    Ok(serde_json::from_str(text)?)
}

impl Case {
    /// Decides it; none when it comes out as written.
    pub fn run(&self, set: &PolicySet) -> Result<Option<Mismatch>, CaseError> {
        let Self { actor, verb, resource, signing, .. } = self.clone();
        let verdict = Asked { actor, verb, resource, signing }.decide(set)?;
        let rules: Vec<String> = match &verdict {
            Verdict::NeedsApproval { rules, .. } => rules.iter().map(hex::encode).collect(),
            _ => Vec::new(),
        };
        let same_policies = self.policies.as_ref().is_none_or(|named| named == verdict.policies());
        if verdict.is_allowed() == self.allowed && rules == self.needs && same_policies {
            return Ok(None);
        }
        let name = match (self.allowed, self.needs.is_empty()) {
            (true, _) => "allow",
            (false, false) => "needs-approval",
            (false, true) => "deny",
        };
        let expected = outcome(name, &self.needs, self.policies.as_deref());
        let decided = outcome(verdict.name(), &rules, Some(verdict.policies()));
        Ok(Some(Mismatch { name: self.name.clone(), expected, decided }))
    }
}

fn outcome(name: &str, rules: &[String], policies: Option<&[String]>) -> String {
    let mut words = name.to_owned();
    if !rules.is_empty() {
        words.push_str(&format!(" of {}", rules.join(", ")));
    }
    match policies {
        None => {}
        Some([]) => words.push_str(" by no policy"),
        Some(policies) => words.push_str(&format!(" by {}", policies.join(", "))),
    }
    words
}
