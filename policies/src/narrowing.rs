//! A tenant's policies about one verb, laid out so that a question meets those alone whose scope can fit it: by what asks, by who
//! asks, and by what it is asked of. Many policies about single keys and single apps then cost a decision nothing.

use std::collections::HashMap;

use cedar::{Effect, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use cedar_policy as cedar;

use crate::{error::PolicyError, parse::gather, request::ActorKind};

/// A tenant's policies about one verb.
#[derive(Default)]
pub(crate) struct Narrowing {
    /// Without a permit, whatever is not forbidden is left.
    pub(crate) has_permits: bool,
    by_kind: HashMap<ActorKind, cedar::PolicySet>,
    by_actor: HashMap<EntityUid, cedar::PolicySet>,
    by_resource: HashMap<EntityUid, cedar::PolicySet>,
}

impl Narrowing {
    /// Of policies that speak to the verb.
    pub(crate) fn new(policies: Vec<Policy>) -> Result<Self, PolicyError> {
        let has_permits = policies.iter().any(|policy| policy.effect() == Effect::Permit);
        let (mut kinds, mut actors, mut resources) = (HashMap::new(), HashMap::new(), HashMap::new());
        for policy in policies {
            if let ResourceConstraint::Eq(resource) = policy.resource_constraint() {
                push(&mut resources, resource, policy);
            } else if let PrincipalConstraint::Eq(actor) = policy.principal_constraint() {
                push(&mut actors, actor, policy);
            } else {
                for kind in ActorKind::ALL.into_iter().filter(|kind| may_be(&policy, *kind)) {
                    push(&mut kinds, kind, policy.clone());
                }
            }
        }
        let (by_kind, by_actor, by_resource) = (gathered(kinds)?, gathered(actors)?, gathered(resources)?);
        Ok(Self { has_permits, by_kind, by_actor, by_resource })
    }

    /// Those that can fit a question, in up to three sets that have none in common.
    pub(crate) fn of<'a>(
        &'a self,
        kind: ActorKind,
        actor: &EntityUid,
        resource: &EntityUid,
    ) -> impl Iterator<Item = &'a cedar::PolicySet> + use<'a> {
        let found = [self.by_kind.get(&kind), self.by_actor.get(actor), self.by_resource.get(resource)];
        found.into_iter().flatten()
    }
}

/// Whether who asks may be of a kind, as far as the policy's scope says.
fn may_be(policy: &Policy, kind: ActorKind) -> bool {
    match policy.principal_constraint() {
        PrincipalConstraint::Is(name) | PrincipalConstraint::IsIn(name, _) => {
            name.to_string() == kind.entity_type()
        }
        PrincipalConstraint::Any | PrincipalConstraint::In(_) | PrincipalConstraint::Eq(_) => true,
    }
}

type Sorted<K> = HashMap<K, Vec<Policy>>;

fn push<K: std::hash::Hash + Eq>(sorted: &mut Sorted<K>, key: K, policy: Policy) {
    sorted.entry(key).or_default().push(policy);
}

fn gathered<K: std::hash::Hash + Eq>(sorted: Sorted<K>) -> Result<HashMap<K, cedar::PolicySet>, PolicyError> {
    sorted.into_iter().map(|(key, policies)| Ok((key, gather(policies)?))).collect()
}
