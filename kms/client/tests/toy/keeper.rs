//! Keepers as the toy ledger has them: each with its own keys, and what it keeps.

use std::collections::HashMap;
use std::sync::Mutex;

use keyward_crypto::vault::BoxKey;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::keeper::{Keeper as OnLedger, keeper_id};
use keyward_ledger_core::state::keeper::{KeeperState, keeper_key, keepers_key};

use super::Chain;

/// A keeper of shares of one kind.
pub(crate) struct Keeper<S> {
    pub(crate) name: String,
    pub(crate) signing: SigningKey,
    pub(crate) sealing: BoxKey,
    /// By the hash of what they belong to.
    pub(crate) shares: Mutex<HashMap<Hash, S>>,
}

impl<S> Keeper<S> {
    fn new(number: u8) -> Self {
        Self {
            name: format!("keeper-{number}"),
            signing: SigningKey::from_seed(&[0xa0 + number; 32]),
            sealing: BoxKey::from_secret(&[0x10 + number; 32]).unwrap(),
            shares: Mutex::default(),
        }
    }

    /// Five of them, as the ledger has them from now on, by ascending id.
    pub(crate) fn admitted(chain: &mut Chain) -> Vec<Self> {
        let mut keepers: Vec<_> = (1..=5).map(Self::new).collect();
        keepers.sort_by_key(Self::id);
        let ids: Vec<_> = keepers.iter().map(Self::id).collect();
        chain.state.insert(&keepers_key(), &[&5_u32.to_be_bytes()[..], &ids.concat()].concat());
        for keeper in &keepers {
            chain.state.insert(&keeper_key(&keeper.id()), &keeper.state().encode());
        }
        keepers
    }

    pub(crate) fn id(&self) -> Hash {
        keeper_id(&self.name)
    }

    /// What the ledger has of it.
    pub(crate) fn state(&self) -> KeeperState {
        let keeper = OnLedger {
            name: self.name.clone(),
            key: self.signing.public_key(),
            hpke_key: self.sealing.public(),
            validator: None,
            rpc: "https://keeper.example:7600".into(),
        };
        KeeperState { present: true, height: 1, keeper }
    }
}
