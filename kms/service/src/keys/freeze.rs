//! Freezing and unfreezing.

use std::sync::Arc;

use keyward_ledger_core::entry::Entry;
use keyward_policies::Verb;
use keyward_store::{ActKind, Change, KeyState};

use crate::{
    acts::Plan,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    keybook::KnownKey,
    once::{Once, request_hash},
};

impl Custody {
    /// Freezes a key: from the record's height on the ledger refuses its intents.
    pub(crate) async fn freeze_key(
        &self,
        caller: &Caller,
        name: &str,
        mark: &[u8],
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        self.set_frozen(caller, name, mark, true).await
    }

    /// Makes a frozen key usable again.
    pub(crate) async fn unfreeze_key(
        &self,
        caller: &Caller,
        name: &str,
        mark: &[u8],
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        self.set_frozen(caller, name, mark, false).await
    }

    async fn set_frozen(
        &self,
        caller: &Caller,
        name: &str,
        mark: &[u8],
        frozen: bool,
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let verb = if frozen { Verb::KeyFreeze } else { Verb::KeyUnfreeze };
        let key = self.named_key_now(caller, name).await?;
        self.authorise_key(caller, verb, &key)?;
        let id = key.row.key_id;
        let ticket = match self.once(caller, mark, request_hash(verb.name(), &[&id])).await? {
            Once::Done(receipt) => return Ok((key, receipt)),
            Once::Fresh(ticket) => ticket,
        };
        if let Err(failure) = self.check_change(&key, frozen) {
            self.give_back(ticket).await;
            return Err(failure);
        }
        self.perform_on_key(id, plan(&key, frozen, ticket)).await
    }

    fn check_change(&self, key: &KnownKey, frozen: bool) -> Result<(), Failure> {
        let (state, now_ms) = (key.state()?, self.clock.now_ms());
        let changed = if frozen { state.freeze(now_ms) } else { state.unfreeze() };
        changed.map(drop).map_err(Failure::of)
    }

    /// Brings a key's row in step when somebody else was faster.
    pub(crate) async fn heal_key(&self, id: [u8; 32]) {
        let healed = async { Ok::<_, Failure>(self.store.apply(self.follow_ledger(id).await?).await?) };
        if let Err(failure) = healed.await {
            tracing::debug!(%failure, "the key's row was not brought in step now");
        }
    }
}

fn plan(key: &KnownKey, frozen: bool, name: Option<keyward_store::IdempotencyKey>) -> Plan {
    let (id, key_id) = (key.row.key_id, key.public_key.id());
    let (kind, entry, from, to) = if frozen {
        (ActKind::Freeze, Entry::FreezeKey { key_id }, KeyState::Active, KeyState::Frozen)
    } else {
        (ActKind::Unfreeze, Entry::UnfreezeKey { key_id }, KeyState::Frozen, KeyState::Active)
    };
    Plan {
        kind,
        subject: id,
        entries: vec![entry],
        before: Vec::new(),
        accepted: vec![Change::SetKeyState { key_id: id, from, to, changed_ms: 0, successor: None }],
        refused: Vec::new(),
        name,
        app: String::new(),
    }
}
