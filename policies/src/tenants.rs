//! The sets of many tenants over one floor, for who decides for all of them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{error::PolicyError, set::PolicySet};

/// The sets of many tenants over one floor, by the tenant's id.
#[derive(Debug)]
pub struct Tenants {
    floor: Arc<PolicySet>,
    sets: RwLock<HashMap<[u8; 32], Arc<PolicySet>>>,
}

impl Tenants {
    /// No tenant has a set yet.
    pub fn new(floor: PolicySet) -> Self {
        Self { floor: Arc::new(floor), sets: RwLock::default() }
    }

    /// Puts a text in force for a tenant, in the place of what was; a text that is refused changes nothing.
    pub fn publish(&self, tenant: [u8; 32], text: &str) -> Result<Arc<PolicySet>, PolicyError> {
        let set = Arc::new(self.floor.with_tenant(text)?);
        self.sets.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, set.clone());
        Ok(set)
    }

    /// The set of a tenant that has one.
    pub fn of(&self, tenant: &[u8; 32]) -> Option<Arc<PolicySet>> {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// What stands under all of them, and alone for who has none.
    pub fn floor(&self) -> Arc<PolicySet> {
        self.floor.clone()
    }
}
