//! Binding a shared key that its holders have made, and listing it under an alias.

use std::sync::Arc;

use keyward_crypto::shared::Tweak;
use keyward_domain::{AccountId, Alias, Code, Labels, scheme::KeyId};
use keyward_ledger_core::entry::{Entry, SharedAct, SharedBinding};
use keyward_policies::Verb;
use keyward_store::{ActKind, Change, Custody as Place, IdempotencyKey as Name, Key, KeyState};

use super::{
    entries::{other, own_name, public_part},
    malformed, read_entry,
};
use crate::{
    acts::{Plan, never_bound},
    caller::Caller,
    custody::Custody,
    failure::Failure,
    hosted::FIRST_VERSION,
    keybook::KnownKey,
    once::{Once, request_hash},
    vaults::floods::Flood,
};

/// What is handed in to bind a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bind<'a> {
    pub(crate) entry: &'a [u8],
    pub(crate) shared_key: &'a [u8],
    pub(crate) alias: &'a str,
    pub(crate) mark: &'a [u8],
}

impl Custody {
    /// Binds the key on the ledger and lists it here; returns it with the receipt. Run it in a task of its own.
    pub(crate) async fn bind_shared(
        &self,
        caller: &Caller,
        bind: Bind<'_>,
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let account = self.shared_account(caller, Verb::SharedCreate)?;
        let alias = Alias::parse(bind.alias).map_err(Failure::of)?;
        let (entry, act) = read_entry(bind.entry)?;
        let SharedAct::Bind(binding) = act else { return Err(malformed("the entry binds no shared key")) };
        own_name(&binding.name, account)?;
        let key_id = self.check_binding(&binding, bind.shared_key)?;
        let fields: [&[u8]; 4] = [&account.0, bind.entry, bind.shared_key, bind.alias.as_bytes()];
        let name = match self.once(caller, bind.mark, request_hash("shared.bind", &fields)).await? {
            Once::Done(receipt) => return Ok((self.done_key(account, &alias).await?, receipt)),
            Once::Fresh(name) => name,
        };
        let checked = async {
            self.floods.charge(account.0, Flood::SharedEntry, self.clock.now_ms())?;
            self.check_alias(account, &alias).await
        };
        if let Err(failure) = checked.await {
            self.give_back(name).await;
            return Err(failure);
        }
        let row = self.shared_row(account, &alias, &binding, (key_id, bind.shared_key));
        let performed = self.perform(plan(entry, row, name)).await;
        self.keys.forget(&key_id.0);
        let receipt = performed?;
        let key = self.key_by_id(key_id.0).await?;
        Ok((key.ok_or_else(|| Failure::internal("a key that was just bound is gone"))?, receipt))
    }

    /// Refuses unless the public part is the one that the entry has the hash of, and is the key that it binds. That its holders
    /// have confirmed it is the ledger's to check.
    fn check_binding(&self, binding: &SharedBinding, shared_key: &[u8]) -> Result<KeyId, Failure> {
        let public = public_part(shared_key, &binding.key_hash)?;
        let key = public
            .public_key(&Tweak::None)
            .map_err(|error| Failure::because(Code::SharedKeyOther, "its public key is refused", error))?;
        if key.scheme() != binding.scheme || key.as_bytes() != binding.public_key {
            return Err(other("it is another public key"));
        }
        if public.name().chain_id != self.ledger.chain_id() {
            return Err(other("it was made for another ledger"));
        }
        Ok(key.id())
    }

    fn shared_row(
        &self,
        account: AccountId,
        alias: &Alias,
        binding: &SharedBinding,
        (key_id, shared_key): (KeyId, &[u8]),
    ) -> Key {
        Key {
            key_id: key_id.0,
            account: account.0,
            alias: alias.as_str().to_owned(),
            scheme: binding.scheme.code(),
            public_key: binding.public_key.clone(),
            custody: Place::Shared { shared_key: shared_key.to_vec() },
            state: KeyState::Pending,
            changed_ms: 0,
            version: FIRST_VERSION,
            successor: None,
            labels: Labels::new(),
            revision: 1,
            claims: Vec::new(),
            created_ms: self.clock.now_ms(),
        }
    }
}

fn plan(entry: Entry, row: Key, name: Option<Name>) -> Plan {
    let key_id = row.key_id;
    let (from, to) = (KeyState::Pending, KeyState::Active);
    Plan {
        kind: ActKind::Bind,
        subject: key_id,
        entries: vec![entry],
        before: vec![Change::NeedOpenAccount(row.account), Change::InsertKey(row)],
        accepted: vec![Change::SetKeyState { key_id, from, to, changed_ms: 0, successor: None }],
        refused: never_bound(key_id),
        name,
        app: String::new(),
    }
}
