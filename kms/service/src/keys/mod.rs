//! Keys: made, imported, shown, frozen, lent, rotated, labelled, destroyed.

pub(crate) mod authorise;
pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod export;
pub(crate) mod freeze;
pub(crate) mod import;
pub(crate) mod labels;
pub(crate) mod list;
pub(crate) mod rotate;

use std::sync::Arc;

use keyward_domain::{
    AccountId, Alias, Code, Labels, Mode, possession_challenge, rotation_challenge,
    scheme::{KeyId, PublicKey, Scheme},
};
use keyward_ledger_core::entry::{BindKey, Entry, KeyConsent, RotateKey};
use keyward_store::{ActKind, Change, Custody as Place, IdempotencyKey as Name, Key, KeyState, Pin};

use crate::{
    acts::{Plan, never_bound},
    custody::Custody,
    failure::Failure,
    hosted::FIRST_VERSION,
    keybook::KnownKey,
};

/// Keys of one account at most, without those that are destroyed.
const KEYS_MAX: usize = 1024;

/// A key that has proved itself.
pub(crate) struct Proven {
    pub(crate) public_key: PublicKey,
    pub(crate) place: Place,
    pub(crate) claims: Vec<String>,
    pub(crate) nonce: [u8; 32],
    pub(crate) not_after: u64,
    pub(crate) proof: Vec<u8>,
    /// Of the version before, over the same: keys of mode `self` are replaced with it alone.
    pub(crate) consent: Option<Vec<u8>>,
    /// Of a token that is attached to the service; kept with the key.
    pub(crate) pin: Option<Pin>,
}

/// A key that is to be bound.
pub(crate) struct Binding {
    pub(crate) account: AccountId,
    pub(crate) alias: Alias,
    pub(crate) key: Proven,
    pub(crate) name: Option<Name>,
    /// The version that it takes over from; none for a first one.
    pub(crate) previous: Option<Arc<KnownKey>>,
}

impl Binding {
    fn version(&self) -> u32 {
        self.previous.as_ref().map_or(FIRST_VERSION, |previous| previous.row.version.saturating_add(1))
    }
}

pub(crate) fn scheme_named(name: &str) -> Result<Scheme, Failure> {
    Scheme::from_name(name)
        .ok_or_else(|| Failure::new(Code::SchemeUnknown, format!("`{name}` is not a scheme")))
}

impl Custody {
    /// Binds a key on the ledger and here, under a new alias or as the next version; returns it with the receipt.
    pub(crate) async fn bind(&self, binding: Binding) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let key_id = binding.key.public_key.id().0;
        let previous = binding.previous.clone();
        let attached = binding.key.pin.as_ref().map(|pin| pin.serial.clone());
        let name = binding.name.clone();
        let performed = match self.bind_plan(binding).await {
            Ok(plan) => self.perform(plan).await,
            Err(failure) => {
                self.give_back(name).await;
                Err(failure)
            }
        };
        match (&performed, attached) {
            (Err(failure), Some(serial)) => self.release_unbound(key_id, serial, failure.code).await,
            // The login of this attempt counts on; those of earlier ones that were given up do not.
            (Ok(_), _) => self.release_undecided(&key_id, 0).await,
            (Err(_), None) => {}
        }
        // Even a failure changed what is known: the key may be pending.
        self.keys.forget(&key_id);
        if let Some(previous) = &previous {
            self.keys.forget(&previous.row.key_id);
            self.opened.forget(&previous.row.key_id);
        }
        match performed {
            Ok(receipt) => Ok((self.bound_key(key_id).await?, receipt)),
            Err(failure) if previous.is_some() && failure.code == Code::AliasTaken => {
                Err(Failure::new(Code::KeyPending, "a newer version is being bound"))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Gives up the login that a key's proof needed; while the key may still come to be bound, that waits.
    async fn release_unbound(&self, key_id: [u8; 32], serial: String, code: Code) {
        // The row that was there already is of whoever was faster, with a login of its own.
        if matches!(code, Code::KeyAlreadyBound | Code::AliasTaken | Code::KeyPending) {
            return self.tokens.release(serial).await;
        }
        self.undecided.insert(key_id, serial);
        match self.store.key(key_id).await {
            Ok(None) => self.release_undecided(&key_id, 0).await,
            // Settled before this was noted: nobody else will look.
            Ok(Some(row)) if row.state != KeyState::Pending => self.release_undecided(&key_id, 1).await,
            _ => {}
        }
    }

    /// Gives up the logins that were noted for a key, of which `counted_on` go on to count because it is bound.
    pub(crate) async fn release_undecided(&self, key_id: &[u8; 32], counted_on: usize) {
        for serial in self.undecided.take(key_id).into_iter().skip(counted_on) {
            self.tokens.release(serial).await;
        }
    }

    async fn bind_plan(&self, binding: Binding) -> Result<Plan, Failure> {
        let (key_id, version) = (binding.key.public_key.id().0, binding.version());
        let mode = match binding.key.place {
            Place::Hosted { .. } | Place::Erased => Mode::Hosted,
            Place::Linked { .. } => Mode::Linked,
            Place::Own => Mode::Own,
            // The ledger takes no such binding: shared keys are bound by an entry of their own.
            Place::Shared { .. } => Mode::Shared,
        };
        let bind = BindKey {
            account: binding.account.0,
            mode,
            scheme: binding.key.public_key.scheme(),
            public_key: binding.key.public_key.as_bytes().to_vec(),
            nonce: binding.key.nonce,
            not_after: binding.key.not_after,
            proof: binding.key.proof,
        };
        let mut accepted = vec![Change::SetKeyState {
            key_id,
            from: KeyState::Pending,
            to: KeyState::Active,
            changed_ms: 0,
            successor: None,
        }];
        let (kind, mut entries, labels) = match &binding.previous {
            None => (ActKind::Bind, vec![Entry::BindKey(bind)], Labels::new()),
            Some(previous) => {
                accepted.push(Change::SetKeyState {
                    key_id: previous.row.key_id,
                    from: previous.row.state,
                    to: KeyState::Superseded,
                    changed_ms: 0,
                    successor: Some(key_id),
                });
                let consent = binding.key.consent.map(|signature| KeyConsent {
                    public_key: previous.public_key.as_bytes().to_vec(),
                    signature,
                });
                let rotate = RotateKey { previous: previous.public_key.id(), bind, consent };
                (ActKind::Rotate, vec![Entry::RotateKey(rotate)], previous.row.labels.clone())
            }
        };
        if !labels.is_empty() {
            // The new version has the labels of the one before, and their change is an entry like any other.
            entries.insert(0, self.labels_note(binding.account.0, key_id, &labels).await?);
        }
        let row = Key {
            key_id,
            account: binding.account.0,
            alias: binding.alias.as_str().to_owned(),
            scheme: binding.key.public_key.scheme().code(),
            public_key: binding.key.public_key.as_bytes().to_vec(),
            custody: binding.key.place,
            state: KeyState::Pending,
            changed_ms: 0,
            version,
            successor: None,
            labels,
            revision: 1,
            claims: binding.key.claims,
            created_ms: self.clock.now_ms(),
        };
        let mut before = vec![Change::InsertKey(row)];
        // Beside the row, so that whoever settles the act has the PIN too.
        before.extend(binding.key.pin.map(Change::PutPin));
        Ok(Plan {
            kind,
            subject: key_id,
            entries,
            before,
            accepted,
            refused: never_bound(key_id),
            name: binding.name,
            app: String::new(),
        })
    }

    /// What a key signs to be bound: as the first of its alias, or to take over from `previous`.
    pub(crate) fn possession_message(
        &self,
        account: AccountId,
        mode: Mode,
        key: &PublicKey,
        nonce: &[u8; 32],
        not_after: u64,
        previous: Option<&KeyId>,
    ) -> Vec<u8> {
        let chain_id = self.ledger.chain_id();
        match previous {
            None => possession_challenge(&chain_id, &account.0, mode, key, nonce, not_after),
            Some(previous) => {
                rotation_challenge(&chain_id, &account.0, mode, key, nonce, not_after, previous)
            }
        }
    }

    async fn bound_key(&self, key_id: [u8; 32]) -> Result<Arc<KnownKey>, Failure> {
        self.key_by_id(key_id).await?.ok_or_else(|| Failure::internal("a key that was just bound is gone"))
    }

    /// Refuses early, and in a friendly way, what the database would refuse anyway.
    pub(crate) async fn check_alias(&self, account: AccountId, alias: &Alias) -> Result<(), Failure> {
        let keys = self.check_room(account).await?;
        match keys.iter().find(|key| key.alias == alias.as_str()) {
            None => Ok(()),
            Some(key) if key.state == KeyState::Pending => {
                Err(Failure::new(Code::KeyPending, format!("a key `{alias}` is being bound")))
            }
            Some(_) => Err(Failure::new(Code::AliasTaken, format!("the account has a key `{alias}`"))),
        }
    }

    /// Refuses one key too many; gives the account's keys.
    pub(crate) async fn check_room(&self, account: AccountId) -> Result<Vec<Key>, Failure> {
        let keys = self.store.keys(account.0).await?;
        if keys.iter().filter(|key| key.state != KeyState::Destroyed).count() >= KEYS_MAX {
            return Err(Failure::new(Code::TooMany, format!("the account has `{KEYS_MAX}` keys")));
        }
        Ok(keys)
    }

    /// The key of a write that was done before.
    pub(crate) async fn done_key(&self, account: AccountId, alias: &Alias) -> Result<Arc<KnownKey>, Failure> {
        let key = self.key_by_alias(account, alias.as_str()).await?;
        key.ok_or_else(|| Failure::new(Code::KeyUnknown, format!("no key `{alias}`")))
    }
}
