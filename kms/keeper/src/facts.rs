//! What is public of a vault, from final records and state: what a share is held against.

use keyward_crypto::vault::{Vault, VaultFacts, VaultKeeper, VaultMode, VaultStretch};
use keyward_ledger_core::{
    entry::{Act, Entry, VaultAct},
    hash::Hash,
    state::{
        keeper::{KeeperState, keeper_key},
        vault::VaultState,
    },
    vault::{Sealing, Shares, VaultMode as SealedMode},
};

use crate::{
    error::KeeperError,
    keeper::{Keeper, unreadable},
};

/// The shares that facts are of: a sealing's own, or those of a refresh.
pub(crate) struct Dealt<'a> {
    pub(crate) hash: Hash,
    pub(crate) share_version: u32,
    pub(crate) shares: &'a Shares,
}

impl Keeper {
    /// A keeper as the newest final state has it; one that left keeps its keys there.
    pub(crate) async fn keeper_of(&self, id: &Hash) -> Result<Option<KeeperState>, KeeperError> {
        let (value, _) = self.state(&keeper_key(id)).await?;
        value.map(|value| KeeperState::decode(&value)).transpose().map_err(unreadable)
    }

    /// The keys of keepers. Refuses those that the ledger does not know and, where `present` is asked for, those that left
    /// it; and our own when we are known there under other keys.
    pub(crate) async fn keepers(&self, ids: &[Hash], present: bool) -> Result<Vec<VaultKeeper>, KeeperError> {
        let own = (self.0.signing.public_key(), self.0.sealing.public());
        let mut keepers = Vec::with_capacity(ids.len());
        for (index, id) in (1..).zip(ids) {
            let known = self.keeper_of(id).await?.filter(|known| known.present || !present);
            let known = known.ok_or(KeeperError::Keeper { index })?.keeper;
            if *id == self.0.id && own != (known.key, known.hpke_key) {
                return Err(KeeperError::Keeper { index });
            }
            keepers.push(VaultKeeper { id: *id, sealing_key: known.hpke_key, signing_key: known.key });
        }
        Ok(keepers)
    }

    /// What is public of the shares that a vault has now.
    pub(crate) async fn vault_now(&self, vault: &VaultState) -> Result<Vault, KeeperError> {
        let sealing = self.sealing(vault.sealing_leaf).await?;
        let refreshed = match self.act(vault.shares_leaf).await? {
            VaultAct::Refresh { refresh, .. } => Some(refresh.shares),
            _ => None,
        };
        let shares = refreshed.as_ref().unwrap_or(&sealing.shares);
        let dealt = Dealt { hash: vault.shares, share_version: vault.share_version, shares };
        let keepers = self.keepers(&shares.keepers, false).await?;
        let facts = self.facts(&sealing, &dealt, keepers);
        self.work(move || checked(facts)).await
    }

    /// The sealing of a record.
    pub(crate) async fn sealing(&self, leaf_index: u64) -> Result<Sealing, KeeperError> {
        match self.act(leaf_index).await? {
            VaultAct::Seal { sealing, .. } => Ok(*sealing),
            _ => Err(KeeperError::NoShare),
        }
    }

    async fn act(&self, leaf_index: u64) -> Result<VaultAct, KeeperError> {
        let found = self.0.ledger.record(leaf_index).await?;
        vault_act(&found.entry).ok_or(KeeperError::NoShare)
    }

    pub(crate) fn facts(
        &self,
        sealing: &Sealing,
        dealt: &Dealt<'_>,
        keepers: Vec<VaultKeeper>,
    ) -> VaultFacts {
        let stretching = &sealing.stretching;
        VaultFacts {
            chain_id: self.0.ledger.chain_id(),
            account: sealing.vault.owner,
            vault: sealing.vault.name,
            version: sealing.version,
            share_version: dealt.share_version,
            mode: match sealing.mode {
                SealedMode::Own => VaultMode::Own,
                SealedMode::Vault => VaultMode::Vault,
            },
            threshold: dealt.shares.threshold(),
            keepers,
            evaluation: dealt.shares.evaluation.clone(),
            mask: dealt.shares.mask.clone(),
            proof_key: sealing.terms.success_key,
            stretch: VaultStretch {
                memory_kib: stretching.memory_kib,
                passes: stretching.passes,
                lanes: stretching.lanes,
            },
            ciphertext_hash: sealing.ciphertext_hash,
            shares_hash: dealt.hash,
        }
    }
}

/// Facts whose commitments hold.
pub(crate) fn checked(facts: VaultFacts) -> Result<Vault, KeeperError> {
    Vault::check(facts).map_err(|_error| KeeperError::Malformed { what: "commitments" })
}

/// What is wanted of a vault in an entry, if that is what the entry is about.
pub(crate) fn vault_act(entry: &[u8]) -> Option<VaultAct> {
    match Entry::decode(entry).ok()? {
        Entry::Authored(authored) => match authored.act {
            Act::Vault(act) => Some(act),
            _ => None,
        },
        _ => None,
    }
}
