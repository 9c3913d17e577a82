//! What a keeper is: its keys, its shares, and its view of the ledger.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use keyward_crypto::{KeyEncryptionKey, vault::BoxKey};
use keyward_ledger_core::{
    ed25519::SigningKey,
    entry::RuleName,
    hash::Hash,
    keeper::keeper_id,
    state::vault::{VaultState, vault_key},
    vault::vault_rule,
};

use keyward_policies::{PolicyError, PolicySet, Tenants};
use thiserror::Error;

use crate::{
    answered::Answered,
    circle::{Circle, Joined},
    dealings::{Dealings, Origins},
    error::KeeperError,
    held::Held,
    ledger::{Ledger, LedgerError, Look},
    place::Place,
    recent::Recent,
    shared::Shared,
    shares::{Owed, Shares, SharesError},
    tend::Noticed,
    turns::Turns,
    viewing::Viewing,
};

/// How old the newest final state may be, in milliseconds: an idle ledger makes a block each second. On an older one a
/// keeper cannot know whether a vault was destroyed since, and answers nothing.
pub const STATE_AGE_MAX_MS: u64 = 60_000;

/// Evaluations remembered at most, about 250 bytes each.
const EVALUATIONS_MAX: usize = 4_096;
/// Releases remembered at most, 17 KiB each at most.
const RELEASES_MAX: usize = 256;

/// After so many turns without success there is trouble: each keeper of a vault has had one.
const TROUBLE_TURNS: u64 = 17;

/// The keys of a keeper.
pub struct Keys {
    /// Submits to the ledger, acknowledges shares and signs answers.
    pub signing: SigningKey,
    /// Opens what is sealed to the keeper.
    pub sealing: BoxKey,
    /// Seals the shares on disk.
    pub storage: Box<dyn KeyEncryptionKey>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(redacted)")
    }
}

/// Why a keeper cannot begin.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Its shares cannot be opened.
    #[error("the shares cannot be opened")]
    Shares(#[from] SharesError),
    /// The policies of this build do not read.
    #[error("the policies of this build do not read")]
    Policies(#[from] PolicyError),
}

/// A keeper of vault shares. Cheap to clone.
#[derive(Clone)]
pub struct Keeper(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) id: Hash,
    pub(crate) signing: SigningKey,
    pub(crate) sealing: BoxKey,
    pub(crate) shares: Shares,
    pub(crate) owed: Owed,
    pub(crate) shared: Shared,
    pub(crate) viewing: Viewing,
    pub(crate) recent: Recent,
    pub(crate) ledger: Arc<dyn Ledger>,
    /// The time of the newest state that was seen, in milliseconds since 1970.
    newest_ms: AtomicU64,
    pub(crate) noticed: Noticed,
    pub(crate) turns: Turns,
    pub(crate) answered: Answered,
    pub(crate) released: Answered,
    pub(crate) joined: OnceLock<Joined>,
    pub(crate) dealings: Dealings,
    pub(crate) origins: Origins,
    /// Shares are kept and erased one after the other.
    pub(crate) writing: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({})", self.0.name)
    }
}

impl Keeper {
    /// Opens a keeper over the folder of its shares.
    pub fn open(name: &str, keys: Keys, folder: &Path, ledger: Arc<dyn Ledger>) -> Result<Self, OpenError> {
        let id = keeper_id(name);
        let Keys { signing, sealing, storage } = keys;
        let storage: Arc<dyn KeyEncryptionKey> = Arc::from(storage);
        let policies = Tenants::new(PolicySet::embedded()?);
        Ok(Self(Arc::new(Inner {
            name: name.to_owned(),
            id,
            signing,
            sealing,
            shares: Shares::open(folder, storage.clone(), id)?,
            owed: Owed::open(folder)?,
            shared: Shared::open(folder, storage.clone(), id, policies)?,
            viewing: Viewing::open(folder, storage, id)?,
            recent: Recent::default(),
            ledger,
            newest_ms: AtomicU64::new(0),
            noticed: Noticed::default(),
            turns: Turns::new(),
            answered: Answered::new(EVALUATIONS_MAX),
            released: Answered::new(RELEASES_MAX),
            joined: OnceLock::new(),
            dealings: Dealings::default(),
            origins: Origins::default(),
            writing: Arc::default(),
        })))
    }

    /// Joins the other keepers: shares are dealt anew when they are as old as `interval` or a keeper of theirs left the
    /// ledger, and a lost one comes back. Only the first call counts; a keeper that never joins deals nothing and helps
    /// nobody.
    pub fn join(&self, circle: Arc<dyn Circle>, interval: Duration) {
        drop(self.0.joined.set(Joined::new(circle, interval)));
    }

    /// What an operator should know: vaults whose shares could not be dealt anew or repaired for long, and who fails.
    pub fn trouble(&self) -> Option<String> {
        let joined = self.0.joined.get()?;
        let now_ms = self.0.newest_ms.load(Ordering::Relaxed);
        joined.agenda.trouble(now_ms, joined.turn_ms().saturating_mul(TROUBLE_TURNS))
    }

    /// Its id on the ledger.
    pub fn id(&self) -> &Hash {
        &self.0.id
    }

    /// The value under a key of the newest final state, and that state's time. State that is old, or older than what was
    /// seen before by more than validators lag, is no answer.
    pub(crate) async fn state(&self, key: &[u8]) -> Result<(Option<Vec<u8>>, u64), KeeperError> {
        let (value, time_ms) = self.0.ledger.state(key).await?;
        self.require_new(time_ms)?;
        Ok((value, time_ms))
    }

    /// A final record with the values under keys of state that is no older; none as long as that cannot be had.
    pub(crate) async fn look(
        &self,
        leaf_index: u64,
        keys: Vec<Vec<u8>>,
    ) -> Result<Option<Look>, KeeperError> {
        let found = self.0.ledger.look(leaf_index, keys).await?;
        found.as_ref().map_or(Ok(()), |look| self.require_new(look.time_ms))?;
        Ok(found)
    }

    /// Refuses state that is old.
    fn require_new(&self, time_ms: u64) -> Result<(), KeeperError> {
        let newest_ms = self.0.newest_ms.fetch_max(time_ms, Ordering::Relaxed).max(self.0.ledger.now_ms());
        match newest_ms.saturating_sub(time_ms) {
            age_ms if age_ms > STATE_AGE_MAX_MS => Err(LedgerError::Behind { age_ms }.into()),
            _ => Ok(()),
        }
    }

    /// The same, no more than a second old by this machine's clock: for what is asked again and again.
    pub(crate) async fn recent(&self, key: &[u8]) -> Result<(Option<Vec<u8>>, u64), KeeperError> {
        self.0.recent.find(key, self.0.ledger.now_ms(), self.state(key)).await
    }

    /// The time of the newest state that was seen.
    pub(crate) fn newest_ms(&self) -> u64 {
        self.0.newest_ms.load(Ordering::Relaxed)
    }

    /// A vault as the newest final state has it, and that state's time.
    pub(crate) async fn vault(&self, name: &RuleName) -> Result<(Option<VaultState>, u64), KeeperError> {
        let (value, now_ms) = self.state(&vault_key(&vault_rule(name))).await?;
        let vault = value.map(|value| VaultState::decode(&value)).transpose().map_err(unreadable)?;
        Ok((vault, now_ms))
    }

    /// A vault that may be asked for something. One that has ended is looked after soon.
    pub(crate) async fn live(&self, name: &RuleName) -> Result<(Option<VaultState>, u64), KeeperError> {
        let (vault, now_ms) = self.vault(name).await?;
        if vault.as_ref().is_some_and(|vault| vault.destroyed) {
            self.0.noticed.insert(name);
            return Err(KeeperError::Destroyed);
        }
        Ok((vault, now_ms))
    }

    /// Does something with a share where work may block and take time.
    pub(crate) async fn with_share<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce(&Held, &SigningKey) -> Result<T, KeeperError> + Send + 'static,
    ) -> Result<T, KeeperError> {
        let inner = self.0.clone();
        self.work(move || {
            let Some(held) = inner.shares.load(&place)? else {
                // Perhaps it can be repaired.
                inner.noticed.insert(&place.vault());
                return Err(KeeperError::NoShare);
            };
            work(&held, &inner.signing)
        })
        .await
    }

    /// Does something that takes a processor for a moment, in its turn.
    pub(crate) async fn work<T: Send + 'static, E: From<KeeperError> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let turn = self.0.turns.work().await?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        let done = done.await;
        done.map_err(|error| E::from(KeeperError::Internal(error.into())))?
    }

    /// Does something with the disk.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SharesError> + Send + 'static,
    ) -> Result<T, KeeperError> {
        let (inner, turn) = (self.0.clone(), self.0.turns.disk().await?);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&inner)
        });
        Ok(done.await.map_err(|error| KeeperError::Internal(error.into()))??)
    }

    /// Does something with the disk while nobody else writes.
    pub(crate) async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SharesError> + Send + 'static,
    ) -> Result<T, KeeperError> {
        let alone = self.0.writing.clone().lock_owned().await;
        self.on_disk(move |inner| {
            let _alone = alone;
            work(inner)
        })
        .await
    }
}

/// State that this version cannot read: a newer ledger.
pub(crate) fn unreadable(error: keyward_ledger_core::codec::DecodeError) -> KeeperError {
    LedgerError::Unavailable(error.into()).into()
}
