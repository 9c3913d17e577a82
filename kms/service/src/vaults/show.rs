//! Showing keepers and vaults: what the ledger proves, for whoever verifies it against a trust file of their own.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use keyward_domain::Code;
use keyward_ledger_core::{
    entry::RuleName,
    state::{
        keeper::{KEEPERS_MAX, keeper_key, keepers_key},
        layout::attempts_key,
        member::decode_list,
        vault::{VaultState, holder_key, vault_key},
    },
    vault::vault_rule,
};
use keyward_policies::Verb;
use keyward_store::{CodeState, Id};

use super::floods::Flood;
use crate::{caller::Caller, custody::Custody, failure::Failure};

/// Proofs that are asked for at once.
const AT_ONCE: usize = 8;

/// The keepers' list and each of them, as state receipts.
#[derive(Debug)]
pub(crate) struct ShownKeepers {
    pub(crate) list: Vec<u8>,
    pub(crate) keepers: Vec<Vec<u8>>,
}

/// A vault as the ledger has it; empty but for the first where it was never sealed.
#[derive(Debug, Default)]
pub(crate) struct ShownVault {
    pub(crate) vault: Vec<u8>,
    pub(crate) sealing: Vec<u8>,
    pub(crate) shares: Vec<u8>,
    pub(crate) counter: Vec<u8>,
    pub(crate) holders: Vec<Vec<u8>>,
    pub(crate) keepers: Vec<Vec<u8>>,
    pub(crate) code_required: bool,
}

impl Custody {
    /// The keepers of the ledger, for who may have a vault or share keys with them.
    pub(crate) async fn show_keepers(&self, caller: &Caller) -> Result<ShownKeepers, Failure> {
        let _permit = self.permit()?;
        let account = match caller.person {
            Some(_) => self.vault_account(caller, Verb::VaultShow)?,
            None => self.shared_account(caller, Verb::SharedCreate)?,
        };
        self.floods.charge(account.0, Flood::Question, self.clock.now_ms())?;
        let list = self.ledger.proven(keepers_key()).await?;
        let ids = decode_list(list.value.as_deref(), KEEPERS_MAX).map_err(Failure::internal)?;
        let keepers = self.receipts(ids.iter().map(keeper_key)).await?;
        Ok(ShownKeepers { list: list.receipt, keepers })
    }

    /// A vault of the session's account.
    pub(crate) async fn show_vault(&self, caller: &Caller, vault: Id) -> Result<ShownVault, Failure> {
        let _permit = self.permit()?;
        let account = self.vault_account(caller, Verb::VaultShow)?;
        self.floods.charge(account.0, Flood::Question, self.clock.now_ms())?;
        let code_required = self.store.one_time_code(account.0, CodeState::Live).await?.is_some();
        let rule = vault_rule(&RuleName { owner: account.0, name: vault });
        let found = self.ledger.proven(vault_key(&rule)).await?;
        let shown = ShownVault { vault: found.receipt, code_required, ..ShownVault::default() };
        let Some(value) = found.value else { return Ok(shown) };
        let stands = VaultState::decode(&value).map_err(Failure::internal)?;
        let dealt_anew = stands.shares_leaf != stands.sealing_leaf;
        let shares =
            async { if dealt_anew { self.record_receipt(stands.shares_leaf).await } else { Ok(Vec::new()) } };
        let (sealing, shares, counter, holders, keepers) = futures::try_join!(
            self.record_receipt(stands.sealing_leaf),
            shares,
            async { Ok(self.ledger.proven(attempts_key(&rule)).await?.receipt) },
            self.receipts(stands.keepers.iter().map(|keeper| holder_key(&rule, keeper))),
            self.receipts(stands.keepers.iter().map(keeper_key)),
        )?;
        Ok(ShownVault { sealing, shares, counter, holders, keepers, ..shown })
    }

    async fn record_receipt(&self, leaf_index: u64) -> Result<Vec<u8>, Failure> {
        let record = self.ledger.record(leaf_index).await?;
        if record.leaf_index() != leaf_index {
            return Err(Failure::new(Code::LedgerUnverified, "a node gave another record"));
        }
        Ok(record.receipt(None))
    }

    /// The receipts of state keys, in their order.
    pub(crate) async fn receipts(
        &self,
        keys: impl Iterator<Item = Vec<u8>> + Send,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let asked: Vec<_> = keys.map(|key| self.ledger.proven(key)).collect();
        let proven: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        Ok(proven.into_iter().map(|proven| proven.receipt).collect())
    }
}
