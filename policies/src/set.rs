//! The parsed policies, sliced by verb, and decisions under them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr as _;

use cedar::{
    ActionConstraint, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy,
    PolicyId, RestrictedExpression, Schema, ValidationMode, Validator,
};
use cedar_policy as cedar;
use sha2::{Digest as _, Sha256};

use crate::request::{Actor, ActorKind, Request, Resource, Verb};

const SCHEMA: &str = include_str!("../schema.cedarschema");
/// Every file of `rules/`; a test holds this list against the folder.
pub(crate) const RULES: &[(&str, &str)] = &[
    ("agent", include_str!("../rules/agent.cedar")),
    ("app", include_str!("../rules/app.cedar")),
    ("auditor", include_str!("../rules/auditor.cedar")),
    ("officer", include_str!("../rules/officer.cedar")),
    ("operator", include_str!("../rules/operator.cedar")),
    ("tenant", include_str!("../rules/tenant.cedar")),
    ("user", include_str!("../rules/user.cedar")),
];
const HASH_TAG: &[u8] = b"keyward/policy/v1";

/// Why a set of policies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The schema does not parse.
    #[error("the policy schema does not parse")]
    Schema(#[source] Box<cedar::CedarSchemaError>),
    /// A file does not parse.
    #[error("policy file `{file}` does not parse")]
    Parse {
        /// The file's name.
        file: String,
        /// Cedar's words.
        #[source]
        source: Box<cedar::ParseErrors>,
    },
    /// A policy has no `@id`.
    #[error("a policy of file `{0}` has no `@id`")]
    Unnamed(String),
    /// Two policies have one `@id`.
    #[error("policy `{id}` stands twice")]
    Twice {
        /// The `@id`.
        id: String,
        /// Cedar's words.
        #[source]
        source: Box<cedar::PolicySetError>,
    },
    /// A policy does not fit the schema.
    #[error("the policies do not fit the schema: {0}")]
    Invalid(String),
    /// A type or verb of ours is missing from the schema.
    #[error("`{0}` is not in the policy schema")]
    Missing(String),
}

/// Why there is no decision; refuse then.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The request does not make sense to Cedar.
    #[error("the request cannot be put to the policies: {0}")]
    Request(String),
    /// A policy failed while it was evaluated.
    #[error("policy evaluation failed: {0}")]
    Evaluation(String),
}

/// What the policies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether to go on.
    pub allowed: bool,
    /// The names of the policies that made it, sorted; none means denied by default.
    pub policies: Vec<String>,
}

/// Parsed policies; cheap to ask, safe to share.
pub struct PolicySet {
    authorizer: Authorizer,
    slices: HashMap<Verb, Slice>,
    types: Types,
    hash: [u8; 32],
}

/// The policies that can speak to one verb.
struct Slice {
    action: EntityUid,
    policies: cedar::PolicySet,
}

struct Types {
    actors: HashMap<ActorKind, EntityTypeName>,
    tenant: EntityTypeName,
    account: EntityTypeName,
    key: EntityTypeName,
    desk: EntityTypeName,
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet").field("hash", &hex::encode(self.hash)).finish_non_exhaustive()
    }
}

impl PolicySet {
    /// The policies of this build.
    pub fn embedded() -> Result<Self, PolicyError> {
        Self::parse(SCHEMA, RULES)
    }

    /// Parses files `(name, text)` under a schema, and checks them against it.
    pub fn parse(schema_text: &str, files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        let (schema, _) = Schema::from_cedarschema_str(schema_text)
            .map_err(|error| PolicyError::Schema(Box::new(error)))?;
        let types = Types::new()?;
        let mut all = cedar::PolicySet::new();
        for (file, text) in files {
            for policy in named_policies(file, text)? {
                let id = policy.id().to_string();
                all.add(policy).map_err(|source| PolicyError::Twice { id, source: Box::new(source) })?;
            }
        }
        check(&schema, &all)?;
        let slices = Verb::ALL.iter().map(|verb| Ok((*verb, slice(&schema, &all, *verb)?)));
        let slices = slices.collect::<Result<_, PolicyError>>()?;
        Ok(Self { authorizer: Authorizer::new(), slices, types, hash: hash(schema_text, files) })
    }

    /// The tagged hash over schema and policies, that stands in intents:
    /// `SHA-256(u8 17 || "keyward/policy/v1" || text(schema) || u32 count || (text(name) || text(policies))..)` with
    /// files by name and `text` = u32 length and bytes.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Decides; whatever is not permitted is denied, and any error means: refuse.
    pub fn decide(&self, request: &Request<'_>) -> Result<Decision, DecideError> {
        let missing = || DecideError::Request(format!("`{}` is not in the schema", request.verb));
        let slice = self.slices.get(&request.verb).ok_or_else(missing)?;
        let actor = self.types.actor(&request.actor)?;
        let (resource, context) = self.types.resource(&request.resource)?;
        let question = cedar::Request::new(actor.uid(), slice.action.clone(), resource.uid(), context, None)
            .map_err(words)?;
        let entities = Entities::from_entities([actor, resource], None).map_err(words)?;
        let response = self.authorizer.is_authorized(&question, &slice.policies, &entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(DecideError::Evaluation(error.to_string()));
        }
        let mut policies: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
        policies.sort_unstable();
        Ok(Decision { allowed: response.decision() == cedar::Decision::Allow, policies })
    }
}

fn words(error: impl std::error::Error) -> DecideError {
    DecideError::Request(error.to_string())
}

/// Cedar numbers policies; ours are called what their `@id` says.
fn named_policies(file: &str, text: &str) -> Result<Vec<Policy>, PolicyError> {
    let parsed = cedar::PolicySet::from_str(text)
        .map_err(|source| PolicyError::Parse { file: file.to_owned(), source: Box::new(source) })?;
    let named = parsed.policies().map(|policy| {
        let id = policy.annotation("id").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| PolicyError::Unnamed(file.to_owned()))?;
        Ok(policy.new_id(PolicyId::new(id)))
    });
    named.collect()
}

fn check(schema: &Schema, policies: &cedar::PolicySet) -> Result<(), PolicyError> {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    let said: Vec<_> = result
        .validation_errors()
        .map(ToString::to_string)
        .chain(result.validation_warnings().map(ToString::to_string))
        .collect();
    if said.is_empty() { Ok(()) } else { Err(PolicyError::Invalid(said.join("; "))) }
}

fn slice(schema: &Schema, all: &cedar::PolicySet, verb: Verb) -> Result<Slice, PolicyError> {
    let missing = || PolicyError::Missing(verb.name().to_owned());
    let action = EntityUid::from_type_name_and_id(type_name("Action")?, EntityId::new(verb.name()));
    if !schema.actions().any(|known| *known == action) {
        return Err(missing());
    }
    let speaks = |policy: &Policy| match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == action,
        ActionConstraint::In(uids) => uids.contains(&action),
    };
    let mut policies = cedar::PolicySet::new();
    for policy in all.policies().filter(|policy| speaks(policy)) {
        let id = policy.id().to_string();
        policies.add(policy.clone()).map_err(|source| PolicyError::Twice { id, source: Box::new(source) })?;
    }
    Ok(Slice { action, policies })
}

fn type_name(name: &str) -> Result<EntityTypeName, PolicyError> {
    EntityTypeName::from_str(name)
        .map_err(|source| PolicyError::Parse { file: name.to_owned(), source: Box::new(source) })
}

fn hash(schema: &str, files: &[(&str, &str)]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([HASH_TAG.len() as u8]);
    hasher.update(HASH_TAG);
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

impl Types {
    fn new() -> Result<Self, PolicyError> {
        let actors = ActorKind::ALL.iter().map(|kind| Ok((*kind, type_name(kind.entity_type())?)));
        Ok(Self {
            actors: actors.collect::<Result<_, PolicyError>>()?,
            tenant: type_name("Tenant")?,
            account: type_name("Account")?,
            key: type_name("Key")?,
            desk: type_name("Desk")?,
        })
    }

    fn actor(&self, actor: &Actor<'_>) -> Result<Entity, DecideError> {
        let unknown = || DecideError::Request(format!("`{:?}` is not in the schema", actor.kind));
        let kind = self.actors.get(&actor.kind).ok_or_else(unknown)?;
        let account = actor.account.map(|id| ("account", string(id.to_string())));
        let attributes = [
            Some(("tenant", string(actor.tenant.to_owned()))),
            Some(("name", string(actor.name.to_owned()))),
            account,
        ];
        entity(kind, actor.name, attributes.into_iter().flatten())
    }

    fn resource(&self, resource: &Resource<'_>) -> Result<(Entity, Context), DecideError> {
        match *resource {
            Resource::Tenant { tenant } => {
                Ok((entity(&self.tenant, tenant, [("tenant", string(tenant.to_owned()))])?, Context::empty()))
            }
            Resource::Account { tenant, id } => {
                let id = id.to_string();
                let attributes = [("tenant", string(tenant.to_owned())), ("account", string(id.clone()))];
                Ok((entity(&self.account, &id, attributes)?, Context::empty()))
            }
            Resource::Desk { tenant, agent, operators } => {
                let operators = operators.iter().cloned().map(string);
                let attributes = [
                    ("tenant", string(tenant.to_owned())),
                    ("agent", string(agent.to_owned())),
                    ("operators", RestrictedExpression::new_set(operators)),
                ];
                Ok((entity(&self.desk, agent, attributes)?, Context::empty()))
            }
            Resource::Key { tenant, id, account, mode, person, authorised } => {
                let attributes = [
                    ("tenant", string(tenant.to_owned())),
                    ("account", string(account.to_string())),
                    ("mode", string(mode.name().to_owned())),
                    ("person", RestrictedExpression::new_bool(person)),
                ];
                let context = [("authorised".to_owned(), RestrictedExpression::new_bool(authorised))];
                let context = Context::from_pairs(context).map_err(words)?;
                Ok((entity(&self.key, &hex::encode(id), attributes)?, context))
            }
        }
    }
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
