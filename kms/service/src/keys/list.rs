//! Listing and showing keys.

use std::sync::Arc;

use keyward_domain::{AccountId, AccountName};
use keyward_policies::Verb;

use crate::{caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey};

impl Custody {
    /// The keys of the caller's own account.
    pub(crate) async fn list_keys(&self, caller: &Caller) -> Result<Vec<KnownKey>, Failure> {
        let Some(AccountId(account)) = caller.account else {
            // An app that has not made a key has no account yet. Officers and auditors have no keys; they may
            // list, and name keys by their ids.
            if AccountName::of_principal(&caller.principal).is_none() {
                self.authorise_tenant(caller, Verb::KeyList)?;
            }
            return Ok(Vec::new());
        };
        self.authorise_account(caller, Verb::KeyList, AccountId(account))?;
        let mut keys = Vec::new();
        for row in self.store.keys(account).await? {
            keys.push(self.known(row).await?);
        }
        Ok(keys)
    }

    /// One key.
    pub(crate) async fn show_key(&self, caller: &Caller, name: &str) -> Result<Arc<KnownKey>, Failure> {
        let key = self.named_key(caller, name).await?;
        self.authorise_key(caller, Verb::KeyShow, &key)?;
        Ok(key)
    }
}
