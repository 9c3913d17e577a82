//! Shares of shared keys on disk: one sealed file each, there before it is acknowledged.
//!
//! ```text
//! shared/waiting/PLACE      acknowledged, the record that makes it count is not final yet
//! shared/kept/AA/PLACE      a present share; AA begins the rule that names the key
//! ```

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Mutex, PoisonError},
};

use keyward_crypto::{KeyEncryptionKey, shared::SharedKey};
use keyward_ledger_core::hash::Hash;

use super::error::SharedError;
use super::kept::KeptShare;
use crate::chest::{Chest, Group, Named, Share as _, spelled};
use crate::error::KeeperError;
use crate::keeper::Inner;
use crate::room::too_few_bytes;
use crate::shares::{SharesError, hash};

/// Shares that wait at most: each is a promise that somebody may rely on, so none is dropped for another.
const WAITING_MAX: usize = 4_096;
/// Of one key: whoever deals its shares anew again and again takes nobody else's room.
const WAITING_OF_KEY_MAX: usize = 8;
/// Opened shares that stay in memory at most, and how long, in milliseconds of ledger time.
const OPEN_MAX: usize = 256;
const OPEN_MS: u64 = 60_000;

/// Which share of which key: the names of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The rule under which the key's name stands on the ledger.
    pub(crate) rule: Hash,
    pub(crate) share_version: u32,
    pub(crate) key_hash: Hash,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", hex::encode(self.rule), self.share_version, hex::encode(self.key_hash))
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        spelled(text, |parts| {
            let [rule, share_version, key] = *parts else { return None };
            Some(Self { rule: hash(rule)?, share_version: share_version.parse().ok()?, key_hash: hash(key)? })
        })
    }
}

impl Named for Place {
    fn hash(&self) -> &Hash {
        &self.key_hash
    }

    fn group(&self) -> Group {
        let [first, ..] = self.rule;
        Group::First(first)
    }
}

type Open = HashMap<Place, (Arc<KeptShare>, u64)>;

/// A keeper's shares of shared keys.
pub(crate) struct Store {
    chest: Chest<KeptShare>,
    open: Mutex<Open>,
    /// What is public of the keys of long shares, and until when: those themselves do not stay open.
    keys: Mutex<HashMap<Place, (SharedKey, u64)>>,
    /// Shares of which a ban could not be noted: in this life they are as if they were not here.
    unnoted: Mutex<HashSet<Place>>,
}

impl Store {
    /// Opens the folder, and makes it if it is missing; half-written files of before are removed.
    pub(crate) fn open(
        folder: &Path,
        kek: Arc<dyn KeyEncryptionKey>,
        keeper: Hash,
    ) -> Result<Self, SharesError> {
        let chest = Chest::open(folder, kek, keeper)?;
        (u8::MIN..=u8::MAX).try_for_each(|first| chest.sweep(Group::First(first)))?;
        let (open, keys, unnoted) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { chest, open, keys, unnoted })
    }

    /// Keeps a present share that came back.
    pub(crate) fn put_back(&self, kept: &KeptShare) -> Result<(), SharesError> {
        self.chest.put_back(kept)
    }

    /// A share, if it is here. It stays open for a minute, so that a key that signs often costs no disk; a long one does not.
    pub(crate) fn load(&self, place: &Place, now_ms: u64) -> Result<Option<Arc<KeptShare>>, SharesError> {
        if let Some(kept) = self.opened_before(place, now_ms) {
            return Ok(Some(kept));
        }
        if self.unnoted().contains(place) {
            return Ok(None);
        }
        let Some(kept) = self.chest.load(place)?.map(Arc::new) else { return Ok(None) };
        if kept.is_long() {
            remember(&mut self.keys(), (*place, kept.key.clone()), now_ms);
        } else {
            remember(&mut self.opened(), (*place, kept.clone()), now_ms);
        }
        Ok(Some(kept))
    }

    /// A share that is open.
    pub(crate) fn opened_before(&self, place: &Place, now_ms: u64) -> Option<Arc<KeptShare>> {
        let opened = self.opened();
        let (kept, until_ms) = opened.get(place)?;
        (now_ms <= *until_ms).then(|| kept.clone())
    }

    /// What is public of a key of which a share was open in this minute.
    pub(crate) fn key_before(&self, place: &Place, now_ms: u64) -> Option<SharedKey> {
        if let Some(kept) = self.opened_before(place, now_ms) {
            return Some(kept.key.clone());
        }
        let keys = self.keys();
        let (key, until_ms) = keys.get(place)?;
        (now_ms <= *until_ms).then(|| key.clone())
    }

    /// Puts a share that waited among those that count. Nothing happens when it is there already.
    pub(crate) fn settle(&self, place: &Place) -> Result<(), SharesError> {
        self.chest.settle(place)
    }

    /// Notes in a present share that there is no run with a holder any more; it survives a power cut once this returns. What
    /// cannot be noted is as good as noted until we are stopped: the share is used no more.
    pub(crate) fn ban(&self, place: &Place, holder: u8) -> Result<(), SharesError> {
        let noted = self.note(place, holder);
        if noted.is_err() {
            self.unnoted().insert(*place);
        }
        noted
    }

    fn note(&self, place: &Place, holder: u8) -> Result<(), SharesError> {
        self.settle(place)?;
        let Some(mut kept) = self.chest.load_kept(place)? else { return Ok(()) };
        if kept.share.bans().any(|banned| banned == holder) {
            return Ok(());
        }
        kept.share.ban(holder);
        self.put_back(&kept)
    }

    /// Removes a share; it stays away after a power cut once this returns.
    pub(crate) fn erase(&self, place: &Place) -> Result<(), SharesError> {
        self.opened().remove(place);
        self.keys().remove(place);
        self.chest.erase(place)
    }

    /// The shares that wait for their records.
    pub(crate) fn waiting(&self) -> Result<Vec<Place>, SharesError> {
        self.chest.waiting()
    }

    /// The shares that are kept of keys whose rules begin with a byte.
    pub(crate) fn kept(&self, first: u8) -> Result<Vec<Place>, SharesError> {
        self.chest.kept(Group::First(first))
    }

    /// Whether a share that waits can count no more: its time is over, or it does not open. What is kept waits for nothing.
    pub(crate) fn waits_no_more(&self, place: &Place, now_ms: u64) -> Result<bool, SharesError> {
        match self.chest.load_waiting(place) {
            Err(error @ SharesError::Io { .. }) => Err(error),
            Err(error) => {
                tracing::error!(%error, "a share that waited is lost");
                Ok(true)
            }
            Ok(kept) => Ok(kept.is_some_and(|kept| now_ms > kept.until_ms)),
        }
    }

    /// Has the next look go to the disk.
    pub(crate) fn forget(&self, place: &Place) {
        self.opened().remove(place);
    }

    /// Forgets opened shares whose minute is over.
    pub(crate) fn close(&self, now_ms: u64) {
        self.opened().retain(|_, (_, until_ms)| now_ms <= *until_ms);
        self.keys().retain(|_, (_, until_ms)| now_ms <= *until_ms);
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, HashMap<Place, (SharedKey, u64)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unnoted(&self) -> std::sync::MutexGuard<'_, HashSet<Place>> {
        self.unnoted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps something for a minute of ledger time, if there is room.
fn remember<T>(kept: &mut HashMap<Place, (T, u64)>, (place, value): (Place, T), now_ms: u64) {
    kept.retain(|_, (_, until_ms)| now_ms <= *until_ms);
    if kept.len() < OPEN_MAX {
        kept.insert(place, (value, now_ms.saturating_add(OPEN_MS)));
    }
}

/// Keeps a share that waits, if there is room.
pub(crate) fn keep(inner: &Inner, kept: &KeptShare) -> Result<(), SharedError> {
    if let Some(free_bytes) = too_few_bytes(inner) {
        return Err(KeeperError::NoDisk { free_bytes }.into());
    }
    let place = kept.place();
    let others: Vec<_> = inner.shared.store.waiting()?.into_iter().filter(|other| *other != place).collect();
    let alike = others.iter().filter(|other| other.rule == place.rule).count();
    if alike >= WAITING_OF_KEY_MAX || others.len() >= WAITING_MAX {
        return Err(KeeperError::Full { held: alike.max(others.len()) }.into());
    }
    Ok(inner.shared.store.chest.keep(kept)?)
}

/// Keeps a share of a renewal; one that waits already waits as long as it was ever acknowledged for.
pub(crate) fn keep_longer(inner: &Inner, kept: &KeptShare, now_ms: u64) -> Result<(), SharedError> {
    let (store, place) = (&inner.shared.store, kept.place());
    if store.load(&place, now_ms)?.is_some_and(|before| before.until_ms >= kept.until_ms) {
        return Ok(());
    }
    store.forget(&place);
    keep(inner, kept)
}
