//! Keys: made, imported, shown, frozen, lent.

pub(crate) mod authorise;
pub(crate) mod create;
pub(crate) mod freeze;
pub(crate) mod import;
pub(crate) mod list;

use std::sync::Arc;

use keyward_domain::{AccountId, Alias, Code, Mode, scheme::PublicKey, scheme::Scheme};
use keyward_ledger_core::entry::{BindKey, Entry};
use keyward_store::{ActKind, Change, Custody as Place, IdempotencyKey as Name, Key, KeyState, Pin};

use crate::{acts::Plan, custody::Custody, failure::Failure, hosted::FIRST_VERSION, keybook::KnownKey};

/// Keys of one account at most.
const KEYS_MAX: usize = 1024;

/// A key that is to be bound, with its proof.
pub(crate) struct Binding {
    pub(crate) account: AccountId,
    pub(crate) alias: Alias,
    pub(crate) public_key: PublicKey,
    pub(crate) place: Place,
    pub(crate) claims: Vec<String>,
    pub(crate) nonce: [u8; 32],
    pub(crate) not_after: u64,
    pub(crate) proof: Vec<u8>,
    pub(crate) name: Option<Name>,
    /// The token's PIN, kept with the key.
    pub(crate) pin: Option<Pin>,
}

pub(crate) fn scheme_named(name: &str) -> Result<Scheme, Failure> {
    Scheme::from_name(name)
        .ok_or_else(|| Failure::new(Code::SchemeUnknown, format!("`{name}` is not a scheme")))
}

impl Custody {
    /// Binds a key on the ledger and here; returns it with the receipt.
    pub(crate) async fn bind(&self, binding: Binding) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let key_id = binding.public_key.id().0;
        let mode = match binding.place {
            Place::Hosted { .. } => Mode::Hosted,
            Place::Linked { .. } => Mode::Linked,
        };
        let entry = Entry::BindKey(BindKey {
            account: binding.account.0,
            mode,
            scheme: binding.public_key.scheme(),
            public_key: binding.public_key.as_bytes().to_vec(),
            nonce: binding.nonce,
            not_after: binding.not_after,
            proof: binding.proof,
        });
        let row = Key {
            key_id,
            account: binding.account.0,
            alias: binding.alias.as_str().to_owned(),
            scheme: binding.public_key.scheme().code(),
            public_key: binding.public_key.as_bytes().to_vec(),
            custody: binding.place,
            state: KeyState::Pending,
            version: FIRST_VERSION,
            claims: binding.claims,
            created_ms: self.clock.now_ms(),
        };
        let mut accepted = vec![Change::SetKeyState(key_id, KeyState::Pending, KeyState::Active)];
        accepted.extend(binding.pin.map(Change::PutPin));
        let plan = Plan {
            kind: ActKind::Bind,
            subject: key_id,
            entries: vec![entry],
            before: vec![Change::InsertKey(row)],
            accepted,
            refused: vec![Change::RemovePendingKey(key_id)],
            name: binding.name,
            app: String::new(),
        };
        let performed = self.perform(plan).await;
        // Even a failure changed what is known: the key may be pending.
        self.keys.forget(&key_id);
        let receipt = performed?;
        Ok((self.bound_key(key_id).await?, receipt))
    }

    async fn bound_key(&self, key_id: [u8; 32]) -> Result<Arc<KnownKey>, Failure> {
        self.key_by_id(key_id).await?.ok_or_else(|| Failure::internal("a key that was just bound is gone"))
    }

    /// Refuses early, and in a friendly way, what the database would refuse anyway.
    pub(crate) async fn check_alias(&self, account: AccountId, alias: &Alias) -> Result<(), Failure> {
        let keys = self.store.keys(account.0).await?;
        if keys.len() >= KEYS_MAX {
            return Err(Failure::new(Code::TooMany, format!("the account has `{KEYS_MAX}` keys")));
        }
        match keys.iter().find(|key| key.alias == alias.as_str()) {
            None => Ok(()),
            Some(key) if key.state == KeyState::Pending => {
                Err(Failure::new(Code::KeyPending, format!("a key `{alias}` is being bound")))
            }
            Some(_) => Err(Failure::new(Code::AliasTaken, format!("the account has a key `{alias}`"))),
        }
    }

    /// The key of a write that was done before.
    pub(crate) async fn done_key(&self, account: AccountId, alias: &Alias) -> Result<Arc<KnownKey>, Failure> {
        let key = self.key_by_alias(account, alias.as_str()).await?;
        key.ok_or_else(|| Failure::new(Code::KeyUnknown, format!("no key `{alias}`")))
    }
}
