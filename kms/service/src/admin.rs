//! What operators ask: is everything there, and what was left without a release.

use keyward_policies::Verb;
use keyward_store::{IntentState, NewIntent};

use crate::{caller::Caller, custody::Custody, failure::Failure};

/// The answer.
pub(crate) struct Status {
    pub(crate) chain_id: [u8; 32],
    pub(crate) policy: [u8; 32],
    pub(crate) height: u64,
    pub(crate) trust: String,
    pub(crate) ledger_reachable: bool,
    pub(crate) token_ready: bool,
    pub(crate) unreleased: Vec<(NewIntent, IntentState)>,
}

impl Custody {
    /// How the service stands.
    pub(crate) async fn status(&self, caller: &Caller) -> Result<Status, Failure> {
        self.authorise_tenant(caller, Verb::AdminStatus)?;
        let refreshed = self.ledger.refresh().await;
        Ok(Status {
            chain_id: self.ledger.chain_id(),
            policy: self.policies.now().hash(),
            height: self.ledger.height(),
            trust: self.ledger.trust_line(),
            ledger_reachable: refreshed.is_ok(),
            token_ready: self.kek.ready().await,
            unreleased: self.unreleased.list(),
        })
    }
}
