//! Who holds a key, with which keys, and where the key stands: from final state alone.

use keyward_crypto::shared::{Holder, KeyName, Roster, SharedScheme};
use keyward_domain::{Code, scheme::KeyId};
use keyward_ledger_core::{
    entry::RuleName,
    hash::Hash,
    shared::{Circle, Device, shared_rule},
    state::{
        keeper::{KeeperState, keeper_key},
        layout::{AccountState, KeyState, KeyStatus, account_key, key_key},
        policy::policy_key,
        shared::{SharedKeyState, SharedNameState, shared_key_key, shared_run_key},
    },
};

use super::{error::SharedError, kept::KeptShare, store::Place};
use crate::keeper::Keeper;
use std::sync::Arc;
use tokio::time::Instant;

/// How often we look again at a key that seems to have changed.
const LOOKS: u32 = 3;

/// A shared key as final state has it, of which we hold a place.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) key_id: KeyId,
    pub(crate) shared: SharedKeyState,
    /// Where it stands in its life.
    pub(crate) status: KeyStatus,
    pub(crate) now_ms: u64,
}

impl Facts {
    /// Where the share of a keeper lies.
    pub(crate) fn share(&self) -> Place {
        let Self { shared, .. } = self;
        let rule = shared_rule(&shared.name);
        Place { rule, share_version: shared.share_version, key_hash: shared.key_hash }
    }

    /// The place of a keeper, from 1.
    pub(crate) fn place_of(&self, keeper: &Hash) -> Result<u8, SharedError> {
        place_of(&self.shared.circle, keeper)
    }

    /// The device in force.
    pub(crate) fn device(&self) -> Device {
        *self.shared.device_in_force(self.now_ms)
    }

    /// Whether it signs by threshold ECDSA: its shares are never dealt anew by keepers alone.
    pub(crate) fn is_experimental(&self) -> bool {
        SharedScheme::of(self.shared.scheme).is_some_and(SharedScheme::is_experimental)
    }

    /// Whether its signers answer each other's commitments before they sign.
    pub(crate) fn answers(&self) -> bool {
        SharedScheme::of(self.shared.scheme).is_some_and(SharedScheme::answers)
    }

    /// Refuses unless the key may be used.
    pub(crate) fn require_active(&self) -> Result<(), SharedError> {
        if matches!(self.status, KeyStatus::Active) { Ok(()) } else { Err(self.inactive()) }
    }

    /// Refuses what is to be destroyed, or is: its shares are looked after no more. A frozen key's are.
    pub(crate) fn require_held(&self) -> Result<(), SharedError> {
        match self.status {
            KeyStatus::Active | KeyStatus::Frozen | KeyStatus::Superseded { .. } => Ok(()),
            KeyStatus::Scheduled { .. } | KeyStatus::Destroyed { .. } => Err(self.inactive()),
        }
    }

    /// What of the ledger it is told from.
    fn keys(&self) -> Vec<Vec<u8>> {
        let name = &self.shared.name;
        let own = [shared_key_key(&self.key_id), key_key(&self.key_id), account_key(&name.owner)];
        let tenant = self.shared.policy_tenant.iter().map(policy_key);
        own.into_iter().chain(tenant).chain(self.shared.circle.keepers.iter().map(keeper_key)).collect()
    }

    fn inactive(&self) -> SharedError {
        let (status, code) = match self.status {
            KeyStatus::Active | KeyStatus::Frozen => ("frozen", Code::KeyFrozen),
            KeyStatus::Superseded { .. } => ("superseded", Code::KeySuperseded),
            KeyStatus::Scheduled { .. } => ("about to be destroyed", Code::KeyScheduled),
            KeyStatus::Destroyed { .. } => ("destroyed", Code::KeyDestroyed),
        };
        SharedError::Status { status, code }
    }
}

/// The place of a keeper in a circle, from 1.
pub(crate) fn place_of(circle: &Circle, keeper: &Hash) -> Result<u8, SharedError> {
    let place = (1..).zip(&circle.keepers).find(|(_, id)| *id == keeper).map(|(place, _)| place);
    place.ok_or(SharedError::NoPlace)
}

impl Keeper {
    /// A shared key.
    pub(crate) async fn shared_key(&self, key_id: &KeyId) -> Result<Facts, SharedError> {
        let (shared, key) = (shared_key_key(key_id), key_key(key_id));
        let (shared, key) = tokio::try_join!(self.recent(&shared), self.recent(&key))?;
        let (Some(shared), now_ms) = shared else { return Err(SharedError::UnknownKey) };
        let (shared, key) = (SharedKeyState::decode(&shared)?, key.0.ok_or(SharedError::UnknownKey)?);
        let status = KeyState::decode(&key)?.status;
        Ok(Facts { key_id: *key_id, shared, status, now_ms })
    }

    /// The same as the ledger has it now, for what is done seldom: nothing around it is from before the question.
    pub(crate) async fn shared_key_now(&self, key_id: &KeyId) -> Result<Facts, SharedError> {
        let since = Instant::now();
        let known = self.shared_key(key_id).await?;
        self.outdate(&known, since).await;
        self.shared_key(key_id).await
    }

    /// Does something with a key as it was a moment ago; where that is refused as it would be had the key changed since, again
    /// with the key as it is now. Our validator may see a change a moment later than who calls.
    pub(crate) async fn with_shared_key<T, F>(
        &self,
        key_id: &KeyId,
        work: impl Fn(Facts) -> F,
    ) -> Result<T, SharedError>
    where
        F: Future<Output = Result<T, SharedError>>,
    {
        let mut known = self.shared_key(key_id).await?;
        let mut done = work(known.clone()).await;
        for _ in 0..LOOKS {
            if !matches!(&done, Err(error) if error.may_be_outdated()) {
                return done;
            }
            // Where many wait for that already, most of them have sent what never fits.
            let Some(_turn) = self.0.turns.second_look() else { return done };
            self.outdate(&known, Instant::now()).await;
            known = self.shared_key(key_id).await?;
            done = work(known.clone()).await;
        }
        done
    }

    async fn outdate(&self, known: &Facts, since: Instant) {
        for key in known.keys() {
            self.0.recent.outdate(&key, since).await;
        }
    }

    /// What became of a key's name, and the time of the state that says so.
    pub(crate) async fn shared_name(
        &self,
        rule: &Hash,
    ) -> Result<(Option<SharedNameState>, u64), SharedError> {
        let (value, now_ms) = self.state(&shared_run_key(rule)).await?;
        Ok((value.map(|value| SharedNameState::decode(&value)).transpose()?, now_ms))
    }

    /// Refuses a closed account.
    pub(crate) async fn require_open(&self, account: &Hash) -> Result<(), SharedError> {
        let (value, _) = self.recent(&account_key(account)).await?;
        let account = value.map(|value| AccountState::decode(&value)).transpose()?;
        if account.is_some_and(|account| account.open) { Ok(()) } else { Err(SharedError::Closed) }
    }

    /// The holders with the keys that they have now. Refuses keepers that the ledger does not know and, where `present` is
    /// asked for, those that left it; and our own place when we are known there under other keys.
    pub(crate) async fn roster(
        &self,
        account: &Hash,
        (circle, device): (&Circle, &Device),
        present: bool,
    ) -> Result<Roster, SharedError> {
        let own = (self.0.signing.public_key(), self.0.sealing.public());
        let mut keepers = Vec::with_capacity(circle.keepers.len());
        for (place, id) in (1..).zip(&circle.keepers) {
            let (value, _) = self.recent(&keeper_key(id)).await?;
            let known = value.map(|value| KeeperState::decode(&value)).transpose()?;
            let known = known.filter(|known| known.present || !present);
            let known = known.ok_or(SharedError::Keeper { place })?.keeper;
            if *id == self.0.id && own != (known.key, known.hpke_key) {
                return Err(SharedError::Keeper { place });
            }
            keepers.push(Holder { id: *id, signing_key: known.key, sealing_key: known.hpke_key });
        }
        let Device { signing_key, sealing_key } = *device;
        let user = Holder { id: *account, signing_key, sealing_key };
        Ok(Roster::new(user, keepers, circle.threshold)?)
    }

    /// The holders of a key as it is.
    pub(crate) async fn roster_now(&self, facts: &Facts) -> Result<Roster, SharedError> {
        let Facts { shared, .. } = facts;
        self.roster(&shared.name.owner, (&shared.circle, &facts.device()), false).await
    }

    /// What names a key in runs.
    pub(crate) fn key_name(&self, name: &RuleName) -> KeyName {
        KeyName { chain_id: self.0.ledger.chain_id(), key: shared_rule(name) }
    }

    /// Our present share of a key.
    pub(crate) async fn share_now(&self, facts: &Facts) -> Result<Arc<KeptShare>, SharedError> {
        let own = facts.place_of(&self.0.id)?;
        let (place, now_ms) = (facts.share(), facts.now_ms);
        let kept = match self.0.shared.store.opened_before(&place, now_ms) {
            Some(kept) => Some(kept),
            None => self.on_disk(move |inner| inner.shared.store.load(&place, now_ms)).await?,
        };
        match kept {
            Some(kept) if kept.share.place() == own => Ok(kept),
            _ => Err(SharedError::NoShare),
        }
    }
}
