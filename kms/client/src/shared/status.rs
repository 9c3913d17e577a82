//! A shared key as the ledger has it: its holders with the keys they speak with now, and what is public of its shares.

use keyward_crypto::shared::{Holder, Roster, SharedKey, Tweak};
use keyward_domain::scheme::KeyId;
use keyward_ledger_core::shared::{Device, shared_rule};
use keyward_ledger_core::state::shared::{SharedKeyState, shared_key_key};
use keyward_proto::custody::show_shared_key_request::Which;
use keyward_proto::custody::{Key, ShowSharedKeyRequest, ShowSharedKeyResponse};

use super::error::SharedError;
use crate::client::{Client, bytes32};
use crate::evidence::EvidenceError;
use crate::vault::LedgerKeeper;
use crate::vault::keepers::these;
use crate::vault::proof::View;

const STATE: &str = "the shared key";

/// A shared key, proven.
#[derive(Clone, Debug)]
pub struct SharedStatus {
    /// Its id.
    pub key_id: KeyId,
    /// What the ledger has of it.
    pub state: SharedKeyState,
    /// What is public of its shares; its hash is the one that the ledger has.
    pub key: SharedKey,
    /// Its keepers in their places, from 1.
    pub keepers: Vec<LedgerKeeper>,
    /// As the service lists it: of this nothing is proven.
    pub listed: Key,
    /// Whom an intent through this server names.
    pub executor: [u8; 32],
    /// The hash of the policy set that an intent names.
    pub policy: [u8; 32],
    /// The block at which all this was so, or a later one.
    pub height: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
}

impl SharedStatus {
    /// How many keepers sign with the person.
    pub const fn threshold(&self) -> u8 {
        self.state.circle.threshold
    }

    /// The device that speaks for the person's share now.
    pub fn device(&self) -> &Device {
        self.state.device_in_force(self.time_ms)
    }

    /// The holders with the keys that they have now.
    pub(super) fn roster(&self) -> Result<Roster, SharedError> {
        let user = user(self.state.name.owner, self.device());
        Ok(Roster::new(user, self.keepers.iter().map(holder).collect(), self.threshold())?)
    }

    /// Refuses what shares of an experimental protocol cannot have done to them.
    pub(super) const fn must_not_be_experimental(&self, what: &'static str) -> Result<(), SharedError> {
        if self.key.scheme().is_experimental() {
            return Err(SharedError::ExperimentalWithout { what });
        }
        Ok(())
    }

    /// The name of a keeper's place.
    pub(super) fn keeper_name(&self, place: u8) -> String {
        let keeper = usize::from(place).checked_sub(1).and_then(|index| self.keepers.get(index));
        keeper.map_or_else(|| format!("holder {place}"), |keeper| keeper.name.clone())
    }
}

pub(super) const fn user(account: [u8; 32], device: &Device) -> Holder {
    Holder { id: account, signing_key: device.signing_key, sealing_key: device.sealing_key }
}

pub(super) fn holder(keeper: &LedgerKeeper) -> Holder {
    Holder { id: keeper.id, signing_key: keeper.key, sealing_key: keeper.hpke_key }
}

impl Client {
    /// A shared key of the account, by alias or key id.
    pub async fn shared_status(&self, key: &str) -> Result<SharedStatus, SharedError> {
        let view = self.view()?;
        let request = ShowSharedKeyRequest { which: Some(Which::Key(key.to_owned())) };
        let shown = self.answer(self.shared().show(self.request(request)).await)?;
        read(&view, key, shown)
    }
}

fn read(view: &View, asked: &str, shown: ShowSharedKeyResponse) -> Result<SharedStatus, SharedError> {
    let substituted = |what| SharedError::Evidence(EvidenceError::Substituted(what));
    let listed = shown.key.unwrap_or_default();
    let key_id = KeyId(bytes32("key id", &listed.key_id)?);
    if let Ok(keyward_domain::KeyName::Id(wanted)) = keyward_domain::KeyName::parse(asked)
        && wanted != key_id.0
    {
        return Err(substituted("another key"));
    }
    let found = view.state(STATE, &shared_key_key(&key_id), &shown.shared, 0)?;
    let value = found.value.ok_or_else(|| substituted("a shared key that the ledger does not know"))?;
    let state = SharedKeyState::decode(&value).map_err(EvidenceError::malformed(STATE))?;
    if state.name.owner != view.account {
        return Err(substituted("the shared key of another account"));
    }
    let key = SharedKey::decode(&shown.shared_key)?;
    check(view, &key_id, &state, &key)?;
    let keepers = these(view, &state.circle.keepers, &shown.keepers, 0)?;
    Ok(SharedStatus {
        key_id,
        state,
        key,
        keepers,
        listed,
        executor: bytes32("executor", &shown.executor)?,
        policy: bytes32("policy", &shown.policy)?,
        height: found.height,
        time_ms: found.time_ms,
    })
}

/// What is shown as public of the shares is what the keepers confirmed and the ledger recorded.
fn check(view: &View, id: &KeyId, state: &SharedKeyState, key: &SharedKey) -> Result<(), SharedError> {
    let (name, holders) = (key.name(), key.holders());
    let ids = std::iter::once(&state.name.owner).chain(&state.circle.keepers);
    let fits = key.hash() == state.key_hash
        && name.chain_id == view.chain_id()
        && name.key == shared_rule(&state.name)
        && key.share_version() == state.share_version
        && holders.threshold() == state.circle.threshold
        && holders.ids().iter().eq(ids)
        && key.public_key(&Tweak::None)?.id() == *id;
    if fits { Ok(()) } else { Err(EvidenceError::Substituted("other shares than the ledger has").into()) }
}
