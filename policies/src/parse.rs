//! From text to checked Cedar policies, and the hashes of texts.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use cedar::{
    ActionConstraint, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, Schema, ValidationMode,
    Validator,
};
use cedar_policy as cedar;
use sha2::{Digest as _, Sha256};

use crate::{error::PolicyError, request::Verb};

const HASH_TAG: &[u8] = b"keyward/policy/v1";
const BOTH_TAG: &[u8] = b"keyward/policy-with-tenant/v1";
const TENANT_TAG: &[u8] = b"keyward/tenant/v1";

/// Cedar numbers policies; ours are called what their `@id` says.
pub(crate) fn named_policies(file: &str, text: &str) -> Result<Vec<Policy>, PolicyError> {
    let parsed = cedar::PolicySet::from_str(text)
        .map_err(|source| PolicyError::Parse { file: file.to_owned(), source: Box::new(source) })?;
    if parsed.templates().next().is_some() {
        return Err(PolicyError::Template);
    }
    let named = parsed.policies().map(|policy| {
        let id = policy.annotation("id").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| PolicyError::Unnamed(file.to_owned()))?;
        Ok(policy.new_id(PolicyId::new(id)))
    });
    named.collect()
}

/// The names of a text's policies, in its order; none where it does not parse.
pub fn names(text: &str) -> Vec<String> {
    let policies = named_policies("tenant", text).unwrap_or_default();
    policies.iter().map(|policy| policy.id().to_string()).collect()
}

pub(crate) fn gather(policies: impl IntoIterator<Item = Policy>) -> Result<cedar::PolicySet, PolicyError> {
    let mut all = cedar::PolicySet::new();
    for policy in policies {
        let id = policy.id().to_string();
        all.add(policy).map_err(|source| PolicyError::Twice { id, source: Box::new(source) })?;
    }
    Ok(all)
}

pub(crate) fn validate(schema: &Schema, policies: &cedar::PolicySet) -> Result<(), PolicyError> {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    let said: Vec<_> = result
        .validation_errors()
        .map(ToString::to_string)
        .chain(result.validation_warnings().map(ToString::to_string))
        .collect();
    if said.is_empty() { Ok(()) } else { Err(PolicyError::Invalid(said.join("; "))) }
}

/// The action of a verb, which the schema must know.
pub(crate) fn action(schema: &Schema, verb: Verb) -> Result<EntityUid, PolicyError> {
    let action = EntityUid::from_type_name_and_id(type_name("Action")?, EntityId::new(verb.name()));
    let known = schema.actions().any(|known| *known == action);
    if known { Ok(action) } else { Err(PolicyError::Missing(verb.name().to_owned())) }
}

/// Those that can speak to an action.
pub(crate) fn slice(all: &cedar::PolicySet, action: &EntityUid) -> Result<cedar::PolicySet, PolicyError> {
    gather(all.policies().filter(|policy| speaks(policy, action)).cloned())
}

pub(crate) fn speaks(policy: &Policy, action: &EntityUid) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == *action,
        ActionConstraint::In(uids) => uids.contains(action),
    }
}

pub(crate) fn type_name(name: &str) -> Result<EntityTypeName, PolicyError> {
    EntityTypeName::from_str(name)
        .map_err(|source| PolicyError::Parse { file: name.to_owned(), source: Box::new(source) })
}

fn tagged(tag: &[u8]) -> Sha256 {
    // INVARIANT: tags of this file are shorter than 256 bytes.
    Sha256::new_with_prefix([&[tag.len() as u8], tag].concat())
}

/// Of a whole set of files, as [`crate::PolicySet::hash`] says.
pub(crate) fn files_hash(schema: &str, files: &[(&str, &str)]) -> [u8; 32] {
    let mut hasher = tagged(HASH_TAG);
    let mut text = |text: &str| {
        hasher.update((text.len() as u32).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    text(schema);
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    let count = files.len() as u32;
    hasher.update(count.to_be_bytes());
    for (name, rules) in files {
        for part in [name, rules] {
            hasher.update((part.len() as u32).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().into()
}

/// A tenant's id on the ledger: `SHA-256(u8 17 || "keyward/tenant/v1" || name)`.
pub fn tenant_id(name: &str) -> [u8; 32] {
    tagged(TENANT_TAG).chain_update(name).finalize().into()
}

/// What intents name where a tenant's set stands over the floor.
pub(crate) fn both_hash(floor: &[u8; 32], tenant: &[u8; 32]) -> [u8; 32] {
    tagged(BOTH_TAG).chain_update(floor).chain_update(tenant).finalize().into()
}
