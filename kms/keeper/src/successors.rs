//! Who is to hold a vault's shares from now on: each keeper works it out for itself, from proven state alone.

use keyward_ledger_core::{
    hash::Hash,
    state::{
        keeper::{KEEPERS_MAX, keepers_key},
        member::decode_list,
        vault::VaultState,
    },
    vault::vault_rule,
};

use crate::{
    error::KeeperError,
    keeper::{Keeper, unreadable},
};

/// Who may be dealt a vault's shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Successors {
    /// The present holders that are keepers still, in their order.
    pub(crate) staying: Vec<Hash>,
    /// The same, then other keepers of the ledger until there are as many as the vault was sealed to.
    pub(crate) all: Vec<Hash>,
}

impl Successors {
    /// Of a vault that was sealed to so many keepers, by those that the ledger has now. Others come in the order of their
    /// distance (XOR of ids) from the vault's rule id, so that vaults spread over keepers. A keeper's id is the hash of its name: who
    /// names one can try names until it is nearest to a vault, and the members have to admit it.
    pub(crate) fn of(vault: &VaultState, sealed_to: usize, keepers: &[Hash]) -> Self {
        let staying: Vec<_> =
            vault.keepers.iter().copied().filter(|keeper| keepers.contains(keeper)).collect();
        let rule = vault_rule(&vault.vault);
        let mut others: Vec<_> =
            keepers.iter().copied().filter(|keeper| !vault.keepers.contains(keeper)).collect();
        others.sort_by_key(|id| {
            let mut distance = *id;
            distance.iter_mut().zip(&rule).for_each(|(byte, other)| *byte ^= other);
            distance
        });
        let all = staying.iter().chain(&others).copied().take(sealed_to.max(staying.len())).collect();
        Self { staying, all }
    }

    /// Whether everybody who holds a share is a keeper still.
    pub(crate) fn all_stay(&self, vault: &VaultState) -> bool {
        self.staying.len() == vault.keepers.len()
    }

    /// Whether these keepers, in this order, may hold the shares. Those who stay may go on without the newcomers, so that
    /// a newcomer that does not answer stops nobody.
    pub(crate) fn admit(&self, keepers: &[Hash]) -> bool {
        keepers == self.staying || keepers == self.all
    }
}

/// What the ledger's records say of a vault's present shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// When they were dealt, in milliseconds of ledger time.
    pub(crate) dealt_ms: u64,
    /// To how many keepers the vault was sealed.
    pub(crate) sealed_to: usize,
}

impl Keeper {
    /// Those that are keepers of the ledger now.
    pub(crate) async fn ledger_keepers(&self) -> Result<Vec<Hash>, KeeperError> {
        let (value, _) = self.state(&keepers_key()).await?;
        decode_list(value.as_deref(), KEEPERS_MAX).map_err(unreadable)
    }

    /// Who may be dealt a vault's shares, when these are the keepers of the ledger.
    pub(crate) async fn successors(
        &self,
        vault: &VaultState,
        keepers: &[Hash],
    ) -> Result<Successors, KeeperError> {
        Ok(Successors::of(vault, self.origin(vault).await?.sealed_to, keepers))
    }

    /// When a vault's present shares were dealt, and to how many it was sealed: final, so it is asked for once.
    pub(crate) async fn origin(&self, vault: &VaultState) -> Result<Origin, KeeperError> {
        if let Some(known) = self.0.origins.find(&vault.shares) {
            return Ok(known);
        }
        let dealt_ms = self.0.ledger.record(vault.shares_leaf).await?.time_ms;
        let sealed_to = self.sealing(vault.sealing_leaf).await?.shares.keepers.len();
        let origin = Origin { dealt_ms, sealed_to };
        self.0.origins.remember(vault.shares, origin);
        Ok(origin)
    }

    /// Refuses to have shares dealt to others than the ledger's state says, or to the same long before it is time: each
    /// time voids the attempts that are under way, so a single keeper must not be able to have it done again and again.
    pub(crate) async fn may_hold(
        &self,
        vault: &VaultState,
        to: &[Hash],
        now_ms: u64,
    ) -> Result<(), KeeperError> {
        let keepers = self.ledger_keepers().await?;
        if !self.successors(vault, &keepers).await?.admit(to) {
            return Err(KeeperError::Successors);
        }
        let joined = self.0.joined.get().ok_or(KeeperError::NotDue)?;
        let age_ms = now_ms.saturating_sub(self.origin(vault).await?.dealt_ms);
        if to != vault.keepers || age_ms >= joined.interval_ms / 2 {
            Ok(())
        } else {
            Err(KeeperError::NotDue)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_ledger_core::entry::RuleName;

    use super::*;

    fn vault(name: u8, keepers: &[u8]) -> VaultState {
        VaultState {
            vault: RuleName { owner: [1; 32], name: [name; 32] },
            destroyed: false,
            version: 1,
            sealing: [0; 32],
            sealing_leaf: 0,
            share_version: 1,
            shares: [0; 32],
            shares_leaf: 0,
            threshold: 2,
            keepers: ids(keepers),
            constants: [[0; 32]; 2],
        }
    }

    fn ids(keepers: &[u8]) -> Vec<Hash> {
        keepers.iter().map(|number| [*number; 32]).collect()
    }

    #[test]
    fn who_stays_keeps_its_order_and_others_fill_up_to_what_was_sealed() {
        let of = |keepers: &[u8]| Successors::of(&vault(9, &[7, 2, 5]), 3, &ids(keepers));
        let same = of(&[2, 5, 7, 8]);
        assert_eq!((&same.all, same.all_stay(&vault(9, &[7, 2, 5]))), (&ids(&[7, 2, 5]), true));
        let gone = of(&[2, 7, 8]);
        assert_eq!((gone.staying.clone(), gone.all.clone()), (ids(&[7, 2]), ids(&[7, 2, 8])));
        assert!(gone.admit(&ids(&[7, 2])) && gone.admit(&ids(&[7, 2, 8])));
        for other in [&[7, 2, 5][..], &[2, 7], &[8, 7, 2], &[7, 8], &[7, 2, 9], &[]] {
            assert!(!gone.admit(&ids(other)), "{other:?}");
        }
        let fewer = of(&[2, 7]);
        assert_eq!(fewer.all, ids(&[7, 2]));
        // It grows again once there is somebody.
        assert_eq!(Successors::of(&vault(9, &[7, 2]), 3, &ids(&[2, 7, 8, 9])).all.len(), 3);
    }

    #[test]
    fn vaults_spread_over_those_who_come() {
        let mut first: Vec<_> = (0..64)
            .map(|name| {
                Successors::of(&vault(name, &[1, 2]), 3, &ids(&[1, 2, 0x10, 0x30, 0x50, 0x90])).all[2]
            })
            .collect();
        first.sort_unstable();
        first.dedup();
        assert!(first.len() >= 3, "{first:?}");
    }
}
