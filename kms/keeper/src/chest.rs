//! Shares on disk: one sealed file each, there before it is acknowledged, gone before its erasure is said.
//!
//! ```text
//! waiting/NAME              acknowledged, what makes it count is not final yet
//! kept/GROUP/NAME           one that counts
//! ```
//!
//! A file holds an envelope of `kms/crypto` under the keeper's storage key. Its associated data names keeper and hash, so
//! that a file in the place of another does not open. Erasing removes the file: who keeps copies of disks keeps what lay
//! there, which is why shares are dealt anew from time to time.

use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt::Display, str::FromStr};

use keyward_crypto::{KeyEncryptionKey, keeper_share_aad, open, seal};
use keyward_ledger_core::hash::Hash;
use rustix::fs::statvfs;
use zeroize::Zeroizing;

use crate::disk::{files, make, names, read, remove, shift, sweep, write};
use crate::held::HeldError;
use crate::shares::{SharesError, hash};

const WAITING: &str = "waiting";
const KEPT: &str = "kept";

/// A share as it is kept.
pub(crate) trait Share: Sized {
    /// What names it, and its file.
    type Place: Named;

    fn place(&self) -> Self::Place;

    fn encode(&self) -> Zeroizing<Vec<u8>>;

    /// Reads exactly one.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// What names a share; nothing of it is secret.
pub(crate) trait Named: Copy + Ord + Display + FromStr {
    /// What its sealing is bound to.
    fn hash(&self) -> &Hash;

    /// Those it lies with once it counts.
    fn group(&self) -> Group;
}

/// Which shares lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// All that begin with a byte.
    First(u8),
    /// An account's; their folder goes with the last of them.
    Account(Hash),
}

impl Group {
    /// The folder, below that of all that count.
    fn folder(&self) -> PathBuf {
        match self {
            Self::First(first) => hex::encode([*first]).into(),
            Self::Account(account @ [first, ..]) => Self::First(*first).folder().join(hex::encode(account)),
        }
    }
}

/// What a text names, read from its parts between the dots: in one spelling only.
pub(crate) fn spelled<P: Display>(text: &str, read: impl FnOnce(&[&str]) -> Option<P>) -> Result<P, ()> {
    let parts: Vec<_> = text.split('.').collect();
    read(&parts).filter(|place| place.to_string() == text).ok_or(())
}

/// A keeper's shares of one kind.
pub(crate) struct Chest<K> {
    folder: PathBuf,
    kek: Arc<dyn KeyEncryptionKey>,
    keeper: Hash,
    kind: PhantomData<fn() -> K>,
}

impl<K: Share> Chest<K> {
    /// Opens the folder, and makes it if it is missing; half-written files of before are removed.
    pub(crate) fn open(
        folder: &Path,
        kek: Arc<dyn KeyEncryptionKey>,
        keeper: Hash,
    ) -> Result<Self, SharesError> {
        [WAITING, KEPT].iter().try_for_each(|part| make(&folder.join(part)))?;
        sweep(&folder.join(WAITING))?;
        Ok(Self { folder: folder.to_owned(), kek, keeper, kind: PhantomData })
    }

    /// Keeps a share that waits; it survives a power cut once this returns.
    pub(crate) fn keep(&self, share: &K) -> Result<(), SharesError> {
        self.write(&self.waiting_path(&share.place()), share)
    }

    /// Keeps a share that counts already.
    pub(crate) fn put_back(&self, share: &K) -> Result<(), SharesError> {
        let place = share.place();
        make(&self.group_path(place.group()))?;
        self.write(&self.kept_path(&place), share)
    }

    fn write(&self, path: &Path, share: &K) -> Result<(), SharesError> {
        let sealed = seal(&*self.kek, &self.aad(&share.place()), &share.encode());
        write(path, &sealed.map_err(|source| SharesError::Sealed { path: path.to_owned(), source })?)
    }

    /// A share, if it is held.
    pub(crate) fn load(&self, place: &K::Place) -> Result<Option<K>, SharesError> {
        // It may move from where it waits to where it is kept while we look.
        for path in [self.kept_path(place), self.waiting_path(place), self.kept_path(place)] {
            if let Some(found) = self.read(place, path)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A share, if it waits.
    pub(crate) fn load_waiting(&self, place: &K::Place) -> Result<Option<K>, SharesError> {
        self.read(place, self.waiting_path(place))
    }

    /// A share, if it counts.
    pub(crate) fn load_kept(&self, place: &K::Place) -> Result<Option<K>, SharesError> {
        self.read(place, self.kept_path(place))
    }

    fn read(&self, place: &K::Place, path: PathBuf) -> Result<Option<K>, SharesError> {
        let Some(sealed) = read(&path)? else { return Ok(None) };
        let opened = open(&*self.kek, &self.aad(place), &sealed);
        let opened = opened.map_err(|source| SharesError::Sealed { path: path.clone(), source })?;
        match opened.expose(K::decode) {
            Some(share) if share.place() == *place => Ok(Some(share)),
            Some(_) => Err(SharesError::Content { path, source: HeldError::Other }),
            None => Err(SharesError::Content { path, source: HeldError::Malformed }),
        }
    }

    fn aad(&self, place: &K::Place) -> Vec<u8> {
        keeper_share_aad(&self.keeper, place.hash())
    }

    /// Puts a share that waited among those that count. Nothing happens when it is there already.
    pub(crate) fn settle(&self, place: &K::Place) -> Result<(), SharesError> {
        shift(&self.waiting_path(place), &self.kept_path(place)).map(drop)
    }

    /// Removes a share; it stays away after a power cut once this returns. Nothing happens when there is none.
    pub(crate) fn erase(&self, place: &K::Place) -> Result<(), SharesError> {
        remove(&self.waiting_path(place))?;
        remove(&self.kept_path(place))?;
        if let group @ Group::Account(_) = place.group() {
            // When it is empty, and stays when it is not.
            drop(fs::remove_dir(self.group_path(group)));
        }
        Ok(())
    }

    /// Those that wait.
    pub(crate) fn waiting(&self) -> Result<Vec<K::Place>, SharesError> {
        names(&self.folder.join(WAITING))
    }

    /// Those of a group that count.
    pub(crate) fn kept(&self, group: Group) -> Result<Vec<K::Place>, SharesError> {
        names(&self.group_path(group))
    }

    /// Those of an account that count.
    pub(crate) fn of_account(&self, account: &Hash) -> Result<Vec<K::Place>, SharesError> {
        self.kept(Group::Account(*account))
    }

    /// The accounts that begin with a byte and of which shares count.
    pub(crate) fn accounts(&self, first: u8) -> Result<Vec<Hash>, SharesError> {
        let name = |path: PathBuf| hash(path.file_name()?.to_str()?);
        Ok(files(&self.group_path(Group::First(first)))?.into_iter().filter_map(name).collect())
    }

    /// Removes what was not written to its end among those of a group.
    pub(crate) fn sweep(&self, group: Group) -> Result<(), SharesError> {
        sweep(&self.group_path(group))
    }

    /// How many bytes are free below the folder, if the system says.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let found = statvfs(self.folder.as_path()).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn group_path(&self, group: Group) -> PathBuf {
        self.folder.join(KEPT).join(group.folder())
    }

    fn kept_path(&self, place: &K::Place) -> PathBuf {
        self.group_path(place.group()).join(place.to_string())
    }

    fn waiting_path(&self, place: &K::Place) -> PathBuf {
        self.folder.join(WAITING).join(place.to_string())
    }
}

/// Where the round over all kept shares stands: they are looked at by the byte that their accounts or rules begin with.
#[derive(Debug, Default)]
pub(crate) struct Sweep(Mutex<u8>);

impl Sweep {
    /// Goes on with so many at least, and the rest of those that begin alike; with all, once, if they are fewer.
    pub(crate) fn next<T>(
        &self,
        count_min: usize,
        of: impl Fn(u8) -> Result<Vec<T>, SharesError>,
    ) -> Result<Vec<T>, SharesError> {
        let mut found = Vec::new();
        for _ in u8::MIN..=u8::MAX {
            if found.len() >= count_min {
                break;
            }
            found.extend(of(self.step())?);
        }
        Ok(found)
    }

    fn step(&self) -> u8 {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = *first;
        *first = found.wrapping_add(1);
        found
    }
}
