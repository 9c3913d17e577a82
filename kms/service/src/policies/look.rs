//! What is in force is looked for on the ledger: at the start, after a publication, and again and again, because other servers and
//! services publish too.

use std::sync::Arc;

use keyward_ledger_core::state::policy::policy_key;
use keyward_policies::PolicySet;
use keyward_store::{Change, Id, PolicyVersion};

use super::{decode, own_tenant};
use crate::{custody::Custody, failure::Failure};

impl Custody {
    /// Puts in force what the ledger says. When it does not answer, what was known goes on.
    pub(crate) async fn look_at_policies(&self) -> Result<(), Failure> {
        let state = decode(self.ledger.state(policy_key(&own_tenant(&self.tenant))).await?)?;
        let before = self.policies.standing();
        // A text that was not at hand may have come since.
        if before.state == state && !before.set.is_closed() {
            return Ok(());
        }
        let text = match &state {
            Some(state) => self.store.policy_text(state.set).await?,
            None => None,
        };
        let standing = self.policies.standing_of(state, text);
        if let Some(state) = &standing.state
            && before.state.as_ref() != Some(state)
        {
            let (version, hash, kept_ms) = (state.version, state.set, self.clock.now_ms());
            let row = PolicyVersion { version, hash, account: None, kept_ms };
            self.store.apply(vec![Change::PutPolicyVersion(row)]).await?;
            tracing::info!(version, closed = standing.set.is_closed(), "a policy set is in force");
        }
        self.policies.replace(standing);
        Ok(())
    }

    /// The policies of any tenant as the ledger has it now, and the text of its set, empty without one; for shared keys, which
    /// name their tenant. None: the floor alone.
    pub(crate) async fn policies_of(&self, tenant: Option<Id>) -> Result<(Arc<PolicySet>, String), Failure> {
        let Some(tenant) = tenant else { return Ok((self.policies.floor().clone(), String::new())) };
        let state = decode(self.ledger.state(policy_key(&tenant)).await?)?;
        let own = self.policies.standing();
        if tenant == own_tenant(&self.tenant) && own.state == state && !own.set.is_closed() {
            return Ok((own.set, own.text));
        }
        let text = match &state {
            Some(state) => self.store.policy_text(state.set).await?,
            None => None,
        };
        let standing = self.policies.standing_of(state, text);
        Ok((standing.set, standing.text))
    }
}
