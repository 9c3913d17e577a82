//! Ending the vaults of a closed account: nobody speaks for it any more, so that any service may, and the keepers erase.
//!
//! The ledger takes no attempt at them from the account's closing on. Each one's end is an entry of its own; what a crash or
//! an outage leaves is taken up again until it stands.

use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use keyward_ledger_core::{
    entry::{Act, Authored, Entry, RuleName, VaultAct},
    outcome::Refusal,
    state::vault::{VaultState as Stands, vault_key},
    vault::vault_rule,
};
use keyward_store::{Change, Id, Vault, VaultState};

use super::refusal::refusal;
use crate::{custody::Custody, failure::Failure, ports::Final};

/// Vaults that one round ends at most.
const ROUND_MAX: u32 = 64;

/// The account and vault where the last round over closed accounts ended: those that cannot be ended must not keep the
/// others waiting.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Mutex<(Id, Id)>);

/// A vault that went with its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) vault: Id,
    /// Of the record that ended it; empty where it is waited for, or where somebody else was faster.
    pub(crate) receipt: Vec<u8>,
    pub(crate) leaf_index: u64,
}

impl Custody {
    /// Ends the vaults of an account that was closed just now. Those that cannot be ended now are taken up later.
    pub(crate) async fn end_vaults_of(&self, account: Id) -> Result<Vec<Ended>, Failure> {
        let rows = self.store.vaults(account).await?;
        let left: Vec<_> = rows.into_iter().filter(|row| row.state != VaultState::Ended).collect();
        let ended = join_all(left.iter().map(|row| self.end_vault(row))).await;
        let mut list = Vec::new();
        for (row, ended) in left.iter().zip(ended) {
            let record = ended.unwrap_or_else(|failure| {
                tracing::warn!(%failure, "a vault of a closed account is ended later");
                None
            });
            let (receipt, leaf_index) =
                record.map_or_else(Default::default, |record| (record.receipt(None), record.leaf_index()));
            list.push(Ended { vault: row.vault, receipt, leaf_index });
        }
        Ok(list)
    }

    /// Ends what is left of closed accounts, going on where the round before ended.
    pub(crate) async fn end_orphaned_vaults(&self) -> Result<(), Failure> {
        let after = *self.rounds.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = self.store.vaults_of_closed_accounts(after, ROUND_MAX).await?;
        let full = usize::try_from(ROUND_MAX).is_ok_and(|most| rows.len() >= most);
        let last = rows.last().filter(|_| full).map(|row| (row.account, row.vault));
        *self.rounds.0.lock().unwrap_or_else(PoisonError::into_inner) = last.unwrap_or_default();
        for ended in join_all(rows.iter().map(|row| self.end_vault(row))).await {
            // One that does not end must not keep the others.
            if let Err(failure) = ended {
                tracing::debug!(%failure, "a vault of a closed account waits");
            }
        }
        Ok(())
    }

    /// The record that ended it, where it was ours.
    async fn end_vault(&self, row: &Vault) -> Result<Option<Box<dyn Final>>, Failure> {
        let (account, vault) = (row.account, row.vault);
        let name = RuleName { owner: account, name: vault };
        let ended = |leaf_index| Change::EndVault { account, vault, leaf_index };
        let Some(value) = self.ledger.state(vault_key(&vault_rule(&name))).await? else {
            self.store.apply(vec![Change::ForgetPendingVault { account, vault }]).await?;
            return Ok(None);
        };
        let stands = Stands::decode(&value).map_err(Failure::internal)?;
        if stands.destroyed {
            self.store.apply(vec![ended(None)]).await?;
            return Ok(None);
        }
        let act = Act::Vault(VaultAct::Destroy { vault: name, version: stands.version });
        let record = self.ledger.commit(Entry::Authored(Authored { act, authors: Vec::new() })).await?;
        match record.outcome().refusal() {
            None if record.outcome().is_accepted() => {
                self.store.apply(vec![ended(Some(record.leaf_index()))]).await?;
                Ok(Some(record))
            }
            // Another server was faster.
            Some(Refusal::VaultDestroyed) => {
                self.store.apply(vec![ended(None)]).await?;
                Ok(None)
            }
            _ => Err(refusal(record.as_ref())),
        }
    }
}
