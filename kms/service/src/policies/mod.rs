//! The tenant's policies: which set is in force, its publication, and looking at it.
//!
//! INVARIANT: the ledger says which set is in force. Where its word is not known, or its text not at hand or not read by this
//! build, everything that a set may narrow is denied; what it takes to publish another one never is.

mod look;
mod publish;
mod remember;
mod show;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use keyward_ledger_core::state::policy::PolicyState;
use keyward_policies::PolicySet;
use keyward_store::Id;

pub(crate) use publish::{AskToPublish, policy_refusal};
pub(crate) use show::{Changed, Version};

use self::remember::Remembered;

/// The set in force, and what it decided lately.
#[derive(Debug)]
pub(crate) struct InForce {
    floor: Arc<PolicySet>,
    now: RwLock<Standing>,
    remembered: Mutex<Remembered>,
}

/// The set in force, as the ledger said last.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// What the ledger has; none: no set was ever published.
    pub(crate) state: Option<PolicyState>,
    pub(crate) set: Arc<PolicySet>,
    /// Empty without a set, and where it is not at hand.
    pub(crate) text: String,
}

impl InForce {
    /// Until the ledger has said what is in force, nothing that may be narrowed passes.
    pub(crate) fn new(floor: PolicySet) -> Self {
        let set = Arc::new(floor.closed([0; 32]));
        let standing = Standing { state: None, set, text: String::new() };
        Self { floor: Arc::new(floor), now: RwLock::new(standing), remembered: Mutex::default() }
    }

    /// The policies that decide now.
    pub(crate) fn now(&self) -> Arc<PolicySet> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).set.clone()
    }

    pub(crate) fn standing(&self) -> Standing {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn floor(&self) -> &Arc<PolicySet> {
        &self.floor
    }

    /// Puts in force what the ledger says now. A version never goes back: a validator that lags says less than was known.
    fn replace(&self, standing: Standing) {
        let version = |standing: &Standing| standing.state.as_ref().map_or(0, |state| state.version);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if version(&standing) >= version(&now) {
            *now = standing;
        }
    }

    /// The set of a state and a text, closed where they do not fit.
    fn standing_of(&self, state: Option<PolicyState>, text: Option<String>) -> Standing {
        let Some(state) = state else {
            return Standing { state: None, set: self.floor.clone(), text: String::new() };
        };
        let read =
            text.filter(|text| keyward_policies::tenant_set_hash(text) == state.set).and_then(|text| {
                match self.floor.with_tenant(&text) {
                    Ok(set) => Some((Arc::new(set), text)),
                    Err(error) => {
                        tracing::error!(%error, "the policy set in force is not read by this version");
                        None
                    }
                }
            });
        let (set, text) = read.unwrap_or_else(|| (Arc::new(self.floor.closed(state.set)), String::new()));
        Standing { state: Some(state), set, text }
    }
}

/// A tenant's state on the ledger, of its policies or rules of risk.
pub(crate) fn decode(value: Option<Vec<u8>>) -> Result<Option<PolicyState>, crate::failure::Failure> {
    value.map(|value| PolicyState::decode(&value).map_err(crate::failure::Failure::internal)).transpose()
}

/// The service's own tenant on the ledger.
pub(crate) fn own_tenant(name: &str) -> Id {
    keyward_policies::tenant_id(name)
}
