//! What is known of a shared key: its public part as the row has it, and who speaks for its shares now as the ledger has it.
//!
//! Keepers deal their shares anew without this service, so the ledger's hash decides which public part is the present one; where
//! the row has another, a keeper is asked for it, and believed for the hash alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::try_join_all;
use keyward_crypto::shared::{Holder, Roster, SharedKey};
use keyward_domain::{Code, scheme::KeyId};
use keyward_ledger_core::{
    keeper::Keeper,
    state::{
        keeper::{KeeperState, keeper_key},
        shared::{SharedKeyState, shared_key_key},
    },
};
use keyward_proto::custody::ShowShareRequest;
use keyward_store::{Change, Id, StoreError};

use super::encoded;
use crate::{
    custody::Custody,
    failure::Failure,
    keybook::KnownKey,
    ports::{CoSigned, ToCoSigner},
    vaults::relay::silent,
};

/// How long what the ledger said is taken for so, in milliseconds. Whoever signs with it is told when it is not so any more.
const KNOWN_MS: u64 = 30_000;
/// Keys in memory at most.
const KNOWN_MAX: usize = 16_384;

/// A shared key, and those who hold its shares now.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) key: SharedKey,
    pub(crate) state: SharedKeyState,
    /// In their places, from 1.
    keepers: Vec<Keeper>,
    read_ms: u64,
}

impl Facts {
    /// A keeper by its place.
    pub(crate) fn keeper(&self, place: u8) -> Option<&Keeper> {
        self.keepers.get(usize::from(place).checked_sub(1)?)
    }

    /// The holders with the keys that they have at a time.
    pub(crate) fn roster(&self, time_ms: u64) -> Result<Roster, Failure> {
        let device = self.state.device_in_force(time_ms);
        let user = Holder {
            id: self.state.name.owner,
            signing_key: device.signing_key,
            sealing_key: device.sealing_key,
        };
        let keepers = self.state.circle.keepers.iter().zip(&self.keepers).map(|(id, keeper)| Holder {
            id: *id,
            signing_key: keeper.key,
            sealing_key: keeper.hpke_key,
        });
        Roster::new(user, keepers.collect(), self.state.circle.threshold).map_err(|error| {
            let why = "two holders of the key have one key between them, or one has none";
            Failure::because(Code::SharedInvalid, why, error)
        })
    }
}

/// The memory.
#[derive(Default)]
pub(crate) struct SharedBook(Mutex<HashMap<Id, Arc<Facts>>>);

impl SharedBook {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Facts>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something about the key changed, or seems to have: the next use asks the ledger.
    pub(crate) fn forget(&self, key_id: &Id) {
        self.lock().remove(key_id);
    }

    fn keep(&self, key_id: Id, facts: &Arc<Facts>) {
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key_id, facts.clone());
    }
}

impl Custody {
    /// What is known of a shared key, read again if it is old or of another share version than `wanted`.
    pub(crate) async fn shared_facts(&self, key: &KnownKey, wanted: u32) -> Result<Arc<Facts>, Failure> {
        let now_ms = self.clock.now_ms();
        let known = self.shared_book.lock().get(&key.row.key_id).cloned();
        let fresh = known.filter(|facts| {
            facts.state.share_version == wanted && now_ms < facts.read_ms.saturating_add(KNOWN_MS)
        });
        match fresh {
            Some(facts) => Ok(facts),
            None => self.read_facts(key).await,
        }
    }

    /// The same as the ledger says now.
    pub(crate) async fn read_facts(&self, key: &KnownKey) -> Result<Arc<Facts>, Failure> {
        let read_ms = self.clock.now_ms();
        let key_id = key.row.key_id;
        let state = self.shared_state(&key_id).await?;
        let state = state
            .ok_or_else(|| Failure::internal("a shared key that is bound here is none on the ledger"))?;
        let keepers = try_join_all(state.circle.keepers.iter().map(|id| self.keeper_of(id))).await?;
        let public = self.public_part(key, &state, &keepers).await?;
        let facts = Arc::new(Facts { key: public, state, keepers, read_ms });
        self.shared_book.keep(key_id, &facts);
        Ok(facts)
    }

    /// What the ledger has of a shared key; none if it is none.
    pub(crate) async fn shared_state(&self, key_id: &Id) -> Result<Option<SharedKeyState>, Failure> {
        let value = self.ledger.state(shared_key_key(&KeyId(*key_id))).await?;
        value.map(|value| SharedKeyState::decode(&value).map_err(Failure::internal)).transpose()
    }

    /// A keeper as the ledger knows it, whether it still is one.
    pub(crate) async fn keeper_of(&self, id: &Id) -> Result<Keeper, Failure> {
        let known = self.ledger.state(keeper_key(id)).await?;
        let known = known.map(|value| KeeperState::decode(&value).map_err(Failure::internal)).transpose()?;
        let unknown = || Failure::new(Code::SharedKeeperUnknown, "the ledger knows no such keeper");
        Ok(known.ok_or_else(unknown)?.keeper)
    }

    /// The key that the ledger has the hash of: the row's, or what a keeper shows.
    async fn public_part(
        &self,
        key: &KnownKey,
        state: &SharedKeyState,
        keepers: &[Keeper],
    ) -> Result<SharedKey, Failure> {
        let own = encoded(key)?;
        if let Some(public) = fitting(own, state) {
            return Ok(public);
        }
        for keeper in keepers {
            let what = ToCoSigner::ShowShare(ShowShareRequest { key_id: key.row.key_id.to_vec().into() });
            let Ok(CoSigned::Share(shown)) = self.ask_co_signer(keeper, what).await else { continue };
            let Some(public) = fitting(&shown.key, state) else { continue };
            let change =
                Change::ReplaceShared { key_id: key.row.key_id, from: own.to_vec(), to: shown.key.to_vec() };
            match self.store.apply(vec![change]).await {
                // Another server was faster.
                Ok(()) | Err(StoreError::Missing { .. }) => self.keys.forget(&key.row.key_id),
                Err(error) => return Err(error.into()),
            }
            return Ok(public);
        }
        Err(silent("no keeper shows the key as the ledger has it"))
    }
}

/// The key of these bytes, if the ledger has its hash.
fn fitting(bytes: &[u8], state: &SharedKeyState) -> Option<SharedKey> {
    SharedKey::decode(bytes).ok().filter(|key| key.hash() == state.key_hash)
}
