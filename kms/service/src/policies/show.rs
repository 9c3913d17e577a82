//! Looking at policies: the set in force and those before, a decision explained, another set tried on what was decided lately.

use keyward_domain::Code;
use keyward_ledger_core::state::policy::policy_key;
use keyward_policies::{FLOOR, PolicySet, SCHEMA, Verb, Verdict, cases::Asked};
use keyward_store::PolicyVersion;

use super::{decode, own_tenant, publish::checked};
use crate::{caller::Caller, custody::Custody, failure::Failure};

/// Versions that are listed at most.
const LISTED_MAX: u32 = 256;
/// Changed decisions that are told one by one.
const CHANGES_MAX: usize = 100;
/// Requests that are decided before others of the service get their turn.
const AT_ONCE: usize = 64;
/// The longest request that is explained, in bytes.
const REQUEST_LEN_MAX: usize = 128 << 10;

/// A set, and what proves that it is in force.
#[derive(Debug)]
pub(crate) struct ShownPolicy {
    pub(crate) version: u32,
    pub(crate) hash: Vec<u8>,
    pub(crate) text: String,
    /// State receipt; of the set in force alone.
    pub(crate) state: Vec<u8>,
    pub(crate) policy: [u8; 32],
}

/// What a dry run comes to.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) requests: usize,
    pub(crate) since_ms: u64,
    pub(crate) changed: usize,
    pub(crate) changes: Vec<Changed>,
}

/// A request that would be decided otherwise.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) request: String,
    pub(crate) at_ms: u64,
    pub(crate) before: Verdict,
    pub(crate) after: Verdict,
}

/// A version, and how many policies its text has.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) row: PolicyVersion,
    pub(crate) policies: usize,
}

impl Custody {
    /// The set in force, or a version that was.
    pub(crate) async fn show_policy(&self, caller: &Caller, version: u32) -> Result<ShownPolicy, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyShow)?;
        if version == 0 {
            let proven = self.ledger.proven(policy_key(&own_tenant(&self.tenant))).await?;
            let state = decode(proven.value)?;
            let text = match &state {
                Some(state) => self.store.policy_text(state.set).await?.unwrap_or_default(),
                None => String::new(),
            };
            return Ok(ShownPolicy {
                version: state.as_ref().map_or(0, |state| state.version),
                hash: state.map_or_else(Vec::new, |state| state.set.to_vec()),
                text,
                state: proven.receipt,
                policy: self.policies.now().hash(),
            });
        }
        let rows = self.store.policy_versions(LISTED_MAX).await?;
        let row = rows.into_iter().find(|row| row.version == version).ok_or_else(|| {
            Failure::new(Code::PolicyUnknown, format!("no version {version} of the policies is known here"))
        })?;
        let text = self.store.policy_text(row.hash).await?.unwrap_or_default();
        let policy = self.policies.floor().closed(row.hash).hash();
        Ok(ShownPolicy { version, hash: row.hash.to_vec(), text, state: Vec::new(), policy })
    }

    /// The versions that are known here, newest first.
    pub(crate) async fn list_policies(&self, caller: &Caller) -> Result<Vec<Version>, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyShow)?;
        let mut versions = Vec::new();
        for row in self.store.policy_versions(LISTED_MAX).await? {
            let text = self.store.policy_text(row.hash).await?;
            let policies = text.map_or(0, |text| keyward_policies::names(&text).len());
            versions.push(Version { row, policies });
        }
        Ok(versions)
    }

    /// What would be decided of a request, under a text or under what is in force.
    pub(crate) async fn explain_policy(
        &self,
        caller: &Caller,
        request: &str,
        text: &str,
    ) -> Result<Verdict, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyShow)?;
        if request.len() > REQUEST_LEN_MAX {
            return Err(malformed("it is too long"));
        }
        let asked = Asked::from_json(request).map_err(|error| malformed(&error.to_string()))?;
        let set = match text {
            "" => self.policies.now().as_ref().clone(),
            text => checked(self.policies.floor(), text).await?,
        };
        asked.decide(&set).map_err(|error| malformed(&error.to_string()))
    }

    /// What would have been decided otherwise under this text; nothing is put in force.
    pub(crate) async fn try_policy(&self, caller: &Caller, text: &str) -> Result<Tried, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyDryRun)?;
        let set = checked(self.policies.floor(), text).await?;
        let now = self.policies.now();
        let decided = self.decided_lately().await?;
        let since_ms = decided.iter().map(|one| one.at_ms).min().unwrap_or_default();
        let mut tried = Tried { requests: decided.len(), since_ms, changed: 0, changes: Vec::new() };
        for (number, one) in decided.into_iter().enumerate() {
            if number % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            let both = |set: &PolicySet| one.asked.decide(set).map_err(Failure::internal);
            let (before, after) = (both(&now)?, both(&set)?);
            if before.name() == after.name() && same_rules(&before, &after) {
                continue;
            }
            tried.changed += 1;
            if tried.changes.len() < CHANGES_MAX {
                let request = one.asked.to_json().map_err(Failure::internal)?;
                tried.changes.push(Changed { request, at_ms: one.at_ms, before, after });
            }
        }
        Ok(tried)
    }

    /// The floor, as files `(name, text)`, and its schema.
    pub(crate) const fn policy_floor(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        (SCHEMA, FLOOR)
    }
}

fn same_rules(one: &Verdict, other: &Verdict) -> bool {
    let rules = |verdict: &Verdict| match verdict {
        Verdict::NeedsApproval { rules, .. } => rules.clone(),
        _ => Vec::new(),
    };
    rules(one) == rules(other)
}

fn malformed(why: &str) -> Failure {
    Failure::new(Code::PolicyRequestMalformed, format!("the request is none that policies decide: {why}"))
}
