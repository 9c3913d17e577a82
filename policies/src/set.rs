//! Policy sets, sliced by verb, and decisions under them: the floor of this build, and what a tenant puts over it.

use std::{collections::HashMap, sync::Arc};

use cedar::{Authorizer, EntityUid, Schema};
use cedar_policy as cedar;

use crate::{
    entities::Types,
    error::PolicyError,
    parse::{action, both_hash, files_hash, gather, named_policies, slice, validate},
    request::Verb,
    tenant::TenantSet,
};

/// The schema of the floor, and of every tenant's set.
pub const SCHEMA: &str = include_str!("../schema.cedarschema");
/// The files of the floor `(name, text)`, by name: every one of `rules/`; a test holds this list against the folder.
pub const FLOOR: &[(&str, &str)] = &[
    ("agent", include_str!("../rules/agent.cedar")),
    ("app", include_str!("../rules/app.cedar")),
    ("auditor", include_str!("../rules/auditor.cedar")),
    ("holder", include_str!("../rules/holder.cedar")),
    ("officer", include_str!("../rules/officer.cedar")),
    ("operator", include_str!("../rules/operator.cedar")),
    ("tenant", include_str!("../rules/tenant.cedar")),
    ("user", include_str!("../rules/user.cedar")),
];

/// Parsed policies; cheap to ask, safe to share, cheap to clone.
#[derive(Clone)]
pub struct PolicySet {
    pub(crate) floor: Arc<Floor>,
    pub(crate) tenant: Option<Arc<TenantSet>>,
}

/// The policies of a build, or of an edition for delegates.
pub(crate) struct Floor {
    pub(crate) authorizer: Authorizer,
    pub(crate) schema: Schema,
    pub(crate) slices: HashMap<Verb, Slice>,
    pub(crate) types: Types,
    hash: [u8; 32],
}

/// The policies that can speak to one verb.
pub(crate) struct Slice {
    pub(crate) action: EntityUid,
    pub(crate) policies: cedar::PolicySet,
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet").field("hash", &hex::encode(self.hash())).finish_non_exhaustive()
    }
}

impl PolicySet {
    /// The policies of this build: the floor under every tenant's set.
    pub fn embedded() -> Result<Self, PolicyError> {
        Self::parse(SCHEMA, FLOOR)
    }

    /// Parses files `(name, text)` under a schema, and checks them against it.
    pub fn parse(schema_text: &str, files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        Self::parse_for(schema_text, files, Verb::ALL)
    }

    /// The same for a set that decides about these verbs alone.
    pub(crate) fn parse_for(
        schema_text: &str,
        files: &[(&str, &str)],
        verbs: &[Verb],
    ) -> Result<Self, PolicyError> {
        let (schema, _) = Schema::from_cedarschema_str(schema_text)
            .map_err(|error| PolicyError::Schema(Box::new(error)))?;
        let mut policies = Vec::new();
        for (file, text) in files {
            policies.extend(named_policies(file, text)?);
        }
        let all = gather(policies)?;
        validate(&schema, &all)?;
        let slices = verbs.iter().map(|verb| {
            let action = action(&schema, *verb)?;
            let policies = slice(&all, &action)?;
            Ok((*verb, Slice { action, policies }))
        });
        let slices = slices.collect::<Result<_, PolicyError>>()?;
        let (authorizer, types, hash) = (Authorizer::new(), Types::new()?, files_hash(schema_text, files));
        Ok(Self { floor: Arc::new(Floor { authorizer, schema, slices, types, hash }), tenant: None })
    }

    /// This floor with a tenant's set over it: Cedar text of at most 64 KiB that narrows what the floor permits. Refused are
    /// what does not parse or validate, what is too large, what locks everybody out, and what can only be a mistake.
    pub fn with_tenant(&self, text: &str) -> Result<Self, PolicyError> {
        let tenant = Some(Arc::new(TenantSet::parse(&self.floor.schema, text)?));
        let set = Self { floor: self.floor.clone(), tenant };
        if set.locks_out(text)? { Err(PolicyError::LockOut) } else { Ok(set) }
    }

    /// This floor where a tenant's set of this hash is in force and its text is not at hand: whatever a tenant may narrow is
    /// denied.
    #[must_use]
    pub fn closed(&self, tenant_hash: [u8; 32]) -> Self {
        Self { floor: self.floor.clone(), tenant: Some(Arc::new(TenantSet::closed(tenant_hash))) }
    }

    /// This floor alone.
    #[must_use]
    pub fn floor(&self) -> Self {
        Self { floor: self.floor.clone(), tenant: None }
    }

    /// What stands in intents. Without a tenant's set, the tagged hash over schema and policies:
    /// `SHA-256(u8 17 || "keyward/policy/v1" || text(schema) || u32 count || (text(name) || text(policies))..)` with
    /// files by name and `text` = u32 length and bytes. With one:
    /// `SHA-256(u8 29 || "keyward/policy-with-tenant/v1" || that hash || the set's hash)`.
    pub fn hash(&self) -> [u8; 32] {
        match &self.tenant {
            None => self.floor.hash,
            Some(tenant) => both_hash(&self.floor.hash, &tenant.hash),
        }
    }

    /// The hash of the tenant's set, as [`crate::tenant_set_hash`] says, if there is one.
    pub fn tenant_hash(&self) -> Option<[u8; 32]> {
        self.tenant.as_ref().map(|tenant| tenant.hash)
    }

    /// Whether a tenant's set is in force whose text is not at hand.
    pub fn is_closed(&self) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| tenant.closed)
    }
}
