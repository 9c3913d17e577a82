//! Questions as Cedar takes them: entities and contexts.

use std::collections::{HashMap, HashSet};

use cedar::{Context, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use cedar_policy as cedar;

use crate::{
    error::{DecideError, PolicyError, words},
    facts::Facts,
    parse::type_name,
    request::{Actor, ActorKind, Resource},
    signing::hour_and_weekday,
};

/// What a signature adds to a question.
#[derive(Clone, Copy)]
pub(crate) struct Signature<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) time_ms: u64,
}

pub(crate) struct Types {
    actors: HashMap<ActorKind, EntityTypeName>,
    tenant: EntityTypeName,
    account: EntityTypeName,
    key: EntityTypeName,
    desk: EntityTypeName,
    delegated: EntityTypeName,
}

impl Types {
    pub(crate) fn new() -> Result<Self, PolicyError> {
        let actors = ActorKind::ALL.iter().map(|kind| Ok((*kind, type_name(kind.entity_type())?)));
        Ok(Self {
            actors: actors.collect::<Result<_, PolicyError>>()?,
            tenant: type_name("Tenant")?,
            account: type_name("Account")?,
            key: type_name("Key")?,
            desk: type_name("Desk")?,
            delegated: type_name("Delegated")?,
        })
    }

    pub(crate) fn actor(&self, actor: &Actor<'_>) -> Result<Entity, DecideError> {
        let unknown = || DecideError::Request(format!("`{:?}` is not in the schema", actor.kind));
        let kind = self.actors.get(&actor.kind).ok_or_else(unknown)?;
        // Keepers know no names: a shared key's holder has none anywhere, so that everybody decides alike.
        let name = (actor.kind != ActorKind::Holder).then(|| ("name", string(actor.name.to_owned())));
        let account = actor.account.map(|id| ("account", string(id.to_string())));
        let attributes = [Some(("tenant", string(actor.tenant.to_owned()))), name, account];
        entity(kind, actor.name, attributes.into_iter().flatten())
    }

    pub(crate) fn resource(&self, resource: &Resource<'_>) -> Result<Entity, DecideError> {
        match *resource {
            Resource::Tenant { tenant } => {
                entity(&self.tenant, tenant, [("tenant", string(tenant.to_owned()))])
            }
            Resource::Account { tenant, id } => {
                let id = id.to_string();
                let attributes = [("tenant", string(tenant.to_owned())), ("account", string(id.clone()))];
                entity(&self.account, &id, attributes)
            }
            Resource::Desk { tenant, agent, operators } => {
                let operators = operators.iter().cloned().map(string);
                let attributes = [
                    ("tenant", string(tenant.to_owned())),
                    ("agent", string(agent.to_owned())),
                    ("operators", RestrictedExpression::new_set(operators)),
                ];
                entity(&self.desk, agent, attributes)
            }
            Resource::Delegated { tenant, id, account, mode, person, delegates } => {
                let delegates = delegates.iter().map(|delegate| string(delegate.to_string()));
                let attributes = [
                    ("tenant", string(tenant.to_owned())),
                    ("account", string(account.to_string())),
                    ("delegates", RestrictedExpression::new_set(delegates)),
                    ("mode", string(mode.name().to_owned())),
                    ("person", RestrictedExpression::new_bool(person)),
                ];
                entity(&self.delegated, &hex::encode(id), attributes)
            }
            Resource::Shared { id, account } => {
                let attributes = [
                    ("tenant", string(String::new())),
                    ("account", string(account.to_string())),
                    ("mode", string("shared".to_owned())),
                    ("person", RestrictedExpression::new_bool(false)),
                ];
                entity(&self.key, &hex::encode(id), attributes)
            }
            Resource::Key { tenant, id, account, mode, person, .. } => {
                let attributes = [
                    ("tenant", string(tenant.to_owned())),
                    ("account", string(account.to_string())),
                    ("mode", string(mode.name().to_owned())),
                    ("person", RestrictedExpression::new_bool(person)),
                ];
                entity(&self.key, &hex::encode(id), attributes)
            }
        }
    }
}

/// The context of a question; approvals come apart, because a denial is tried again with more of them.
pub(crate) fn context(
    resource: &Resource<'_>,
    signature: Option<(Signature<'_>, &[[u8; 32]])>,
) -> Result<Context, DecideError> {
    let mut pairs = Vec::new();
    let authorised = match resource {
        Resource::Key { authorised, .. } => Some(*authorised),
        Resource::Shared { .. } => Some(false),
        _ => None,
    };
    pairs.extend(authorised.map(|authorised| ("authorised", RestrictedExpression::new_bool(authorised))));
    if let Some((Signature { facts, time_ms }, approvals)) = signature {
        let (hour, weekday) = hour_and_weekday(time_ms);
        let approvals = approvals.iter().map(|rule| string(hex::encode(rule)));
        pairs.extend([
            ("format", string(facts.format.clone())),
            ("opaque", RestrictedExpression::new_bool(facts.opaque)),
            ("network", string(facts.network.clone())),
            ("currency", string(facts.currency.clone())),
            ("amount", RestrictedExpression::new_long(facts.amount)),
            ("fee", RestrictedExpression::new_long(facts.fee)),
            ("destinations", RestrictedExpression::new_set(facts.destinations.iter().cloned().map(string))),
            ("hour", RestrictedExpression::new_long(hour)),
            ("weekday", RestrictedExpression::new_long(weekday)),
            ("approvals", RestrictedExpression::new_set(approvals)),
        ]);
    }
    Context::from_pairs(pairs.into_iter().map(|(name, value)| (name.to_owned(), value))).map_err(words)
}

fn string(text: String) -> RestrictedExpression {
    RestrictedExpression::new_string(text)
}

fn entity<'a>(
    kind: &EntityTypeName,
    id: &str,
    attributes: impl IntoIterator<Item = (&'a str, RestrictedExpression)>,
) -> Result<Entity, DecideError> {
    let uid = EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entity::new(uid, attributes, HashSet::new()).map_err(words)
}
