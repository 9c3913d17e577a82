//! Keys that were used lately, with what deciding about them needs; forgotten when anything about them changes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use keyward_domain::{AccountId, Code, KeyName, KeyState, Mode, scheme::PublicKey, scheme::Scheme};
use keyward_store::{Custody as Place, Key};

use crate::{caller::Caller, custody::Custody, failure::Failure};

/// Keys in memory at most.
const KEYS_MAX: usize = 65_536;

/// A key and what is known of it.
#[derive(Debug)]
pub(crate) struct KnownKey {
    pub(crate) row: Key,
    pub(crate) public_key: PublicKey,
    pub(crate) address: Option<String>,
    /// Whether a person holds it.
    pub(crate) person: bool,
    /// The apps that may use it without a session.
    pub(crate) apps: Vec<String>,
}

impl KnownKey {
    pub(crate) fn account(&self) -> AccountId {
        AccountId(self.row.account)
    }

    /// The agent beside its token, if the token is not attached to the service.
    pub(crate) fn agent(&self) -> Option<&str> {
        match &self.row.custody {
            Place::Linked { agent, .. } => agent.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match self.row.custody {
            Place::Hosted { .. } | Place::Erased => Mode::Hosted,
            Place::Linked { .. } => Mode::Linked,
            Place::Own => Mode::Own,
            Place::Shared { .. } => Mode::Shared,
        }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> Result<KeyState, Failure> {
        KeyState::from_parts(self.row.state.word(), self.row.changed_ms)
            .ok_or_else(|| Failure::internal("a key state of another version"))
    }

    /// Refuses unless the key may be used now.
    pub(crate) fn check_use(&self) -> Result<(), Failure> {
        self.state()?.check_use().map_err(Failure::of)
    }
}

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct KeyBook {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    generation: u64,
    by_id: HashMap<[u8; 32], Arc<KnownKey>>,
    by_alias: HashMap<([u8; 32], String), [u8; 32]>,
}

impl KeyBook {
    fn by_id(&self, id: &[u8; 32]) -> Result<Arc<KnownKey>, u64> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.by_id.get(id).cloned().ok_or(inner.generation)
    }

    fn by_alias(&self, name: &([u8; 32], String)) -> Result<Arc<KnownKey>, u64> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.by_alias.get(name).and_then(|id| inner.by_id.get(id)).cloned().ok_or(inner.generation)
    }

    /// `newest`: it is what the alias means now; an older version may be known too.
    fn keep(&self, generation: u64, key: &Arc<KnownKey>, newest: bool) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.generation != generation {
            return;
        }
        if inner.by_id.len() >= KEYS_MAX {
            inner.by_id.clear();
            inner.by_alias.clear();
        }
        inner.by_id.insert(key.row.key_id, key.clone());
        if newest {
            inner.by_alias.insert((key.row.account, key.row.alias.clone()), key.row.key_id);
        }
    }

    /// Something about the key changed: the next use reads it anew. Loads that are under way are not kept.
    pub(crate) fn forget(&self, id: &[u8; 32]) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.generation += 1;
        if let Some(key) = inner.by_id.remove(id) {
            inner.by_alias.remove(&(key.row.account, key.row.alias.clone()));
        }
    }

    fn generation(&self) -> u64 {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).generation
    }
}

impl Custody {
    /// The key that a caller names: an alias means a key of its own account.
    pub(crate) async fn named_key(&self, caller: &Caller, name: &str) -> Result<Arc<KnownKey>, Failure> {
        let unknown = || Failure::new(Code::KeyUnknown, "no such key that you may use");
        match KeyName::parse(name).map_err(Failure::of)? {
            KeyName::Id(id) => self.key_by_id(id).await?.ok_or_else(unknown),
            KeyName::Alias(alias) => {
                let account = caller.account.ok_or_else(unknown)?;
                self.key_by_alias(account, alias.as_str()).await?.ok_or_else(unknown)
            }
            KeyName::Version(alias, version) => {
                let account = caller.account.ok_or_else(unknown)?;
                let row = self.store.key_by_version(account.0, alias.as_str(), version).await?;
                self.key_by_id(row.ok_or_else(unknown)?.key_id).await?.ok_or_else(unknown)
            }
        }
    }

    /// The same as the rows say now: another server may have changed it since it was kept, and a load of somebody else
    /// that began earlier may be kept at any moment, so nothing kept is asked. For all that decides about a key, but
    /// signatures: their intents are held against the row itself.
    pub(crate) async fn named_key_now(&self, caller: &Caller, name: &str) -> Result<Arc<KnownKey>, Failure> {
        let unknown = || Failure::new(Code::KeyUnknown, "no such key that you may use");
        let name = KeyName::parse(name).map_err(Failure::of)?;
        let generation = self.keys.generation();
        let row = match &name {
            KeyName::Id(id) => self.store.key(*id).await?,
            KeyName::Alias(alias) => {
                let account = caller.account.ok_or_else(unknown)?;
                self.store.key_by_alias(account.0, alias.as_str()).await?
            }
            KeyName::Version(alias, version) => {
                let account = caller.account.ok_or_else(unknown)?;
                self.store.key_by_version(account.0, alias.as_str(), *version).await?
            }
        };
        let newest = matches!(name, KeyName::Alias(_));
        self.know(generation, row, newest).await?.ok_or_else(unknown)
    }

    /// A key by its id.
    pub(crate) async fn key_by_id(&self, id: [u8; 32]) -> Result<Option<Arc<KnownKey>>, Failure> {
        match self.keys.by_id(&id) {
            Ok(key) => Ok(Some(key)),
            Err(generation) => {
                let row = self.store.key(id).await?;
                self.know(generation, row, false).await
            }
        }
    }

    /// A key by its alias in an account.
    pub(crate) async fn key_by_alias(
        &self,
        account: AccountId,
        alias: &str,
    ) -> Result<Option<Arc<KnownKey>>, Failure> {
        match self.keys.by_alias(&(account.0, alias.to_owned())) {
            Ok(key) => Ok(Some(key)),
            Err(generation) => {
                let row = self.store.key_by_alias(account.0, alias).await?;
                self.know(generation, row, true).await
            }
        }
    }

    async fn know(
        &self,
        generation: u64,
        row: Option<Key>,
        newest: bool,
    ) -> Result<Option<Arc<KnownKey>>, Failure> {
        let Some(row) = row else { return Ok(None) };
        let key = Arc::new(self.known(row).await?);
        self.keys.keep(generation, &key, newest);
        Ok(Some(key))
    }

    /// What a row means.
    pub(crate) async fn known(&self, row: Key) -> Result<KnownKey, Failure> {
        let scheme = Scheme::from_code(row.scheme)
            .ok_or_else(|| Failure::internal(format!("a key row names scheme `{}`", row.scheme)))?;
        let public_key = PublicKey::parse(scheme, &row.public_key).map_err(Failure::internal)?;
        if public_key.id().0 != row.key_id {
            return Err(Failure::internal("a key row's id is not its public key's"));
        }
        let account = self.store.account(row.account).await?;
        let person = account.is_some_and(|account| account.kind == crate::accounts::PERSON);
        let apps = self.store.authorisations(row.key_id).await?;
        let address = keyward_crypto::ethereum_address(&public_key);
        Ok(KnownKey { row, public_key, address, person, apps })
    }
}
