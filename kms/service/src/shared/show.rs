//! Showing a shared key: what the ledger proves of it, for whoever verifies it against a trust file of their own.

use std::sync::Arc;

use keyward_domain::scheme::KeyId;
use keyward_ledger_core::{
    entry::RuleName,
    shared::shared_rule,
    state::{
        keeper::keeper_key,
        layout::key_key,
        shared::{SharedKeyState, SharedNameState, shared_key_key, shared_run_key},
    },
};
use keyward_policies::Verb;
use keyward_store::Id;

use super::encoded;
use crate::{caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey, vaults::floods::Flood};

/// Which key is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    /// One that is listed here.
    Key(&'a str),
    /// One of the caller's own account, by its name on the ledger.
    Name(Id),
}

/// A shared key as the ledger has it; empty where there is none yet.
#[derive(Debug, Default)]
pub(crate) struct ShownShared {
    pub(crate) key: Option<Arc<KnownKey>>,
    pub(crate) shared_key: Vec<u8>,
    pub(crate) run: Vec<u8>,
    pub(crate) bound: Vec<u8>,
    pub(crate) shared: Vec<u8>,
    pub(crate) keepers: Vec<Vec<u8>>,
    pub(crate) executor: Id,
    pub(crate) policy: Id,
    pub(crate) height: u64,
}

impl Custody {
    /// What the ledger has of a shared key, and what an intent for it names.
    pub(crate) async fn show_shared(
        &self,
        caller: &Caller,
        which: Which<'_>,
    ) -> Result<ShownShared, Failure> {
        let _permit = self.permit()?;
        let now_ms = self.clock.now_ms();
        caller.in_time(now_ms)?;
        let shown = match which {
            Which::Key(name) => {
                let key = self.named_key_now(caller, name).await?;
                self.authorise_key(caller, Verb::KeyShow, &key)?;
                encoded(&key)?;
                self.floods.charge(charged(caller, &key), Flood::SharedQuestion, now_ms)?;
                self.shown_key(key).await?
            }
            Which::Name(name) => {
                let account = self.shared_account(caller, Verb::SharedCreate)?;
                self.floods.charge(account.0, Flood::SharedQuestion, now_ms)?;
                self.shown_name(caller, RuleName { owner: account.0, name }).await?
            }
        };
        let executor = self.ledger.submitter();
        Ok(ShownShared { executor, height: self.ledger.height(), ..shown })
    }

    async fn shown_name(&self, caller: &Caller, name: RuleName) -> Result<ShownShared, Failure> {
        let run = self.ledger.proven(shared_run_key(&shared_rule(&name))).await?;
        let stands = run.value.map(|value| SharedNameState::decode(&value).map_err(Failure::internal));
        match stands.transpose()? {
            // Bound, perhaps through another service, which lists it.
            Some(SharedNameState::Bound(key_id)) => {
                match self.named_key_now(caller, &key_id.to_string()).await {
                    Ok(key) => Ok(ShownShared { run: run.receipt, ..self.shown_key(key).await? }),
                    Err(_unlisted) => {
                        let shown = self.shown_state(&key_id).await?;
                        Ok(ShownShared { run: run.receipt, ..shown })
                    }
                }
            }
            _ => {
                let policy = self.policies.floor().hash();
                Ok(ShownShared { run: run.receipt, policy, ..ShownShared::default() })
            }
        }
    }

    async fn shown_key(&self, key: Arc<KnownKey>) -> Result<ShownShared, Failure> {
        // What is not bound yet has nothing on the ledger.
        let facts = self.read_facts(&key).await?;
        let (name, key_id) = (facts.state.name, KeyId(key.row.key_id));
        let (run, shown) = futures::try_join!(
            async { Ok(self.ledger.proven(shared_run_key(&shared_rule(&name))).await?.receipt) },
            self.shown_state(&key_id),
        )?;
        Ok(ShownShared { key: Some(key), shared_key: facts.key.encode(), run, ..shown })
    }

    async fn shown_state(&self, key_id: &KeyId) -> Result<ShownShared, Failure> {
        let shared = self.ledger.proven(shared_key_key(key_id)).await?;
        let bound = self.ledger.proven(key_key(key_id)).await?.receipt;
        let state = shared.value.map(|value| SharedKeyState::decode(&value).map_err(Failure::internal));
        let (keepers, policy) = match state.transpose()? {
            Some(state) => {
                let keepers = self.receipts(state.circle.keepers.iter().map(keeper_key)).await?;
                (keepers, self.policies_of(state.policy_tenant).await?.0.hash())
            }
            None => (Vec::new(), self.policies.floor().hash()),
        };
        Ok(ShownShared { bound, shared: shared.receipt, keepers, policy, ..ShownShared::default() })
    }
}

/// Whose questions these are counted as.
fn charged(caller: &Caller, key: &KnownKey) -> Id {
    caller.account.map_or(key.row.account, |account| account.0)
}
