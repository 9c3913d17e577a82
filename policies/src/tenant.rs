//! A tenant's own set: Cedar text that narrows what the floor permits, and is read with suspicion.
//!
//! It widens nothing: a request passes when the floor permits it and the tenant's set does not stand in its way. Once the set
//! permits something of a verb, only what it permits is left of that verb; without a permit, what it does not forbid.

use std::collections::HashMap;

use cedar::{Effect, EntityUid, Policy, PolicyId, Schema};
use cedar_policy as cedar;

use crate::{
    bounds,
    error::PolicyError,
    narrowing::Narrowing,
    parse::{action, gather, named_policies, speaks, validate},
    request::Verb,
    tenant_set_hash,
};

/// Which attributes of a context say what a payload says.
const SAYS: [&str; 6] = ["format", "network", "currency", "amount", "fee", "destinations"];

/// A tenant's set, checked.
pub(crate) struct TenantSet {
    pub(crate) hash: [u8; 32],
    /// By narrowable verb; a verb that is not there is left to the floor. A closed set denies all of them.
    pub(crate) slices: HashMap<Verb, Narrowing>,
    /// The approval rule that lifts what a policy forbids.
    pub(crate) approvals: HashMap<PolicyId, [u8; 32]>,
    /// Whether there is no text, and nothing narrowable is permitted.
    pub(crate) closed: bool,
}

impl TenantSet {
    pub(crate) fn parse(schema: &Schema, text: &str) -> Result<Self, PolicyError> {
        bounds::check(text)?;
        let policies = named_policies("tenant", text)?;
        if policies.len() > bounds::POLICIES_MAX {
            return Err(bounds::BoundsError::Policies.into());
        }
        for policy in &policies {
            check_name(policy)?;
        }
        let all = gather(policies)?;
        validate(schema, &all)?;
        let mut approvals = HashMap::new();
        for policy in all.policies() {
            check_verbs(schema, policy)?;
            if let Some(rule) = approval(policy)? {
                approvals.insert(policy.id().clone(), rule);
            }
        }
        check_opaque(&all)?;
        let mut slices = HashMap::new();
        for verb in Verb::ALL.iter().copied().filter(|verb| verb.is_narrowable()) {
            let own = speaking(&all, &action(schema, verb)?);
            if !own.is_empty() {
                slices.insert(verb, Narrowing::new(own)?);
            }
        }
        Ok(Self { hash: tenant_set_hash(text), slices, approvals, closed: false })
    }

    /// Stands for a set whose text is not at hand, or is not read by this build: nothing narrowable passes.
    pub(crate) fn closed(hash: [u8; 32]) -> Self {
        Self { hash, slices: HashMap::new(), approvals: HashMap::new(), closed: true }
    }

    /// The set as it is written, for an action that it may not narrow.
    pub(crate) fn as_written(schema: &Schema, text: &str, verb: Verb) -> Result<Narrowing, PolicyError> {
        Narrowing::new(speaking(&gather(named_policies("tenant", text)?)?, &action(schema, verb)?))
    }
}

/// Those that can speak to an action.
fn speaking(all: &cedar::PolicySet, action: &EntityUid) -> Vec<Policy> {
    all.policies().filter(|policy| speaks(policy, action)).cloned().collect()
}

fn check_name(policy: &Policy) -> Result<(), PolicyError> {
    let id = policy.id().to_string();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&id.len()) && id.bytes().all(fits) { Ok(()) } else { Err(PolicyError::Name(id)) }
}

/// A policy of all actions passes over the verbs that are not narrowable; one that names them is a mistake.
fn check_verbs(schema: &Schema, policy: &Policy) -> Result<(), PolicyError> {
    if matches!(policy.action_constraint(), cedar::ActionConstraint::Any) {
        return Ok(());
    }
    for verb in Verb::ALL.iter().copied().filter(|verb| !verb.is_narrowable()) {
        if speaks(policy, &action(schema, verb)?) {
            return Err(PolicyError::FloorAlone { id: policy.id().to_string(), verb: verb.name() });
        }
    }
    Ok(())
}

/// The rule of an `@approval`: 64 lower-case hex digits, on a forbid that looks at it.
fn approval(policy: &Policy) -> Result<Option<[u8; 32]>, PolicyError> {
    let Some(text) = policy.annotation("approval") else { return Ok(None) };
    let wrong = |what| PolicyError::Approval { id: policy.id().to_string(), what };
    let mut rule = [0; 32];
    if hex::decode_to_slice(text, &mut rule).is_err() || hex::encode(rule) != text {
        return Err(wrong("`@approval` names an approval rule by 64 hex digits, in lower case"));
    }
    if policy.effect() != Effect::Forbid {
        return Err(wrong("`@approval` stands on a forbid: it names the rule whose approval lifts it"));
    }
    let body = policy.to_json().map_err(|_| wrong("it cannot be looked into"))?;
    if !mentions(body.get("conditions"), text) || !mentions(body.get("conditions"), "approvals") {
        return Err(wrong("nothing lifts it: add `unless { context.approvals.contains(\"<the rule>\") }`"));
    }
    Ok(Some(rule))
}

fn check_opaque(all: &cedar::PolicySet) -> Result<(), PolicyError> {
    let (mut says, mut opaque) = (false, false);
    for policy in all.policies() {
        let body = policy.to_json().map_err(|error| PolicyError::Invalid(error.to_string()))?;
        let conditions = body.get("conditions");
        says |= SAYS.iter().any(|name| mentions(conditions, name));
        opaque |= mentions(conditions, "opaque");
    }
    if says && !opaque { Err(PolicyError::OpaqueUnsaid) } else { Ok(()) }
}

/// Whether a string stands anywhere in a policy's conditions: as an attribute, or as a literal.
fn mentions(value: Option<&serde_json::Value>, what: &str) -> bool {
    match value {
        Some(serde_json::Value::String(text)) => text == what,
        Some(serde_json::Value::Array(items)) => items.iter().any(|item| mentions(Some(item), what)),
        Some(serde_json::Value::Object(fields)) => fields.values().any(|item| mentions(Some(item), what)),
        _ => false,
    }
}
