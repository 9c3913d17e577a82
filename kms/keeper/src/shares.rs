//! Shares on disk: one sealed file each, there before it is acknowledged, gone before its erasure is said.
//!
//! ```text
//! waiting/PLACE             acknowledged, its sealing is not final yet
//! kept/AA/ACCOUNT/PLACE     one of a vault's present shares, or of those before; AA begins the account
//! owed/ACCOUNT.VAULT        the version up to which nothing is held any more, as long as the ledger does not know
//! ```
//!
//! A file holds an envelope of `kms/crypto` under the keeper's storage key. Its associated data names keeper and hash, so
//! that a file in the place of another does not open. Erasing removes the file: who keeps copies of disks keeps what lay
//! there, which is why shares are dealt anew from time to time.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyward_crypto::{KeyEncryptionKey, SealError, keeper_share_aad, open, seal};
use keyward_ledger_core::{entry::RuleName, hash::Hash};
use rustix::fs::statvfs;
use thiserror::Error;

use crate::disk::{files, make, names, read, remove, shift, sweep, write};
use crate::held::{Held, HeldError};
use crate::place::Place;

const WAITING: &str = "waiting";
const KEPT: &str = "kept";
const OWED: &str = "owed";

/// Why a share was not kept, read or erased.
#[derive(Debug, Error)]
pub enum SharesError {
    /// The file system refused.
    #[error("`{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file does not open.
    #[error("`{}` does not open under this keeper's key", .path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: SealError,
    },
    /// The file holds something else.
    #[error("`{}` holds no share that it is named after", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: HeldError,
    },
}

/// A keeper's shares.
pub(crate) struct Shares {
    folder: PathBuf,
    kek: Arc<dyn KeyEncryptionKey>,
    keeper: Hash,
}

impl Shares {
    /// Opens the folder, and makes it if it is missing; half-written files of before are removed.
    pub(crate) fn open(
        folder: &Path,
        kek: Arc<dyn KeyEncryptionKey>,
        keeper: Hash,
    ) -> Result<Self, SharesError> {
        let shares = Self { folder: folder.to_owned(), kek, keeper };
        for part in [WAITING, KEPT, OWED] {
            make(&folder.join(part))?;
        }
        [WAITING, OWED].iter().try_for_each(|part| sweep(&folder.join(part)))?;
        Ok(shares)
    }

    /// Keeps a share that waits for its sealing; it survives a power cut once this returns.
    pub(crate) fn keep(&self, held: &Held) -> Result<(), SharesError> {
        let path = self.waiting_path(&held.place);
        let sealed = seal(&*self.kek, &keeper_share_aad(&self.keeper, &held.place.hash), &held.encode());
        write(&path, &sealed.map_err(|source| SharesError::Sealed { path: path.clone(), source })?)
    }

    /// A share, if it is held.
    pub(crate) fn load(&self, place: &Place) -> Result<Option<Held>, SharesError> {
        // It may move from where it waits to where it is kept while we look.
        for path in [self.kept_path(place), self.waiting_path(place), self.kept_path(place)] {
            if let Some(sealed) = read(&path)? {
                return self.opened(place, path, &sealed).map(Some);
            }
        }
        Ok(None)
    }

    fn opened(&self, place: &Place, path: PathBuf, sealed: &[u8]) -> Result<Held, SharesError> {
        let opened = open(&*self.kek, &keeper_share_aad(&self.keeper, &place.hash), sealed);
        let opened = opened.map_err(|source| SharesError::Sealed { path: path.clone(), source })?;
        let held = opened.expose(Held::decode);
        match held {
            Ok(held) if held.place == *place => Ok(held),
            Ok(_) => Err(SharesError::Content { path, source: HeldError::Other }),
            Err(source) => Err(SharesError::Content { path, source }),
        }
    }

    /// Puts a share that waited among those of sealed vaults. Nothing happens when it is there already.
    pub(crate) fn settle(&self, place: &Place) -> Result<(), SharesError> {
        shift(&self.waiting_path(place), &self.kept_path(place)).map(drop)
    }

    /// Removes a share; it stays away after a power cut once this returns. Nothing happens when there is none.
    pub(crate) fn erase(&self, place: &Place) -> Result<(), SharesError> {
        remove(&self.waiting_path(place))?;
        remove(&self.kept_path(place))?;
        // Goes when it is empty, and stays when it is not.
        drop(fs::remove_dir(self.account(&place.account)));
        Ok(())
    }

    /// The shares that wait for their sealing.
    pub(crate) fn waiting(&self) -> Result<Vec<Place>, SharesError> {
        names(&self.folder.join(WAITING))
    }

    /// The shares of a vault, waiting or not; those that wait were listed before.
    pub(crate) fn of(&self, vault: &RuleName, waiting: &[Place]) -> Result<Vec<Place>, SharesError> {
        let mut found: BTreeSet<_> = waiting.iter().copied().collect();
        found.extend(self.of_account(&vault.owner)?);
        Ok(found.into_iter().filter(|place| place.vault() == *vault).collect())
    }

    /// The shares of an account that are kept.
    pub(crate) fn of_account(&self, account: &Hash) -> Result<Vec<Place>, SharesError> {
        names(&self.account(account))
    }

    /// How many bytes are free below the folder, if the system says.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let found = statvfs(self.folder.as_path()).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// The vaults of the accounts that begin with a byte.
    pub(crate) fn vaults(&self, first: u8) -> Result<Vec<RuleName>, SharesError> {
        let mut vaults = Vec::new();
        for account in files(&self.folder.join(KEPT).join(hex::encode([first])))? {
            vaults.extend(names::<Place>(&account)?.iter().map(Place::vault));
        }
        vaults.dedup();
        Ok(vaults)
    }

    /// Writes down up to which version of a vault the ledger is to be told that nothing is held any more: before it is
    /// erased.
    pub(crate) fn owe(&self, vault: &RuleName, version: u32) -> Result<(), SharesError> {
        let before = self.owed(vault)?;
        if before.is_some_and(|before| before >= version) {
            return Ok(());
        }
        write(&self.owed_path(vault), &version.to_be_bytes())
    }

    /// Up to which version of a vault the ledger is to be told.
    pub(crate) fn owed(&self, vault: &RuleName) -> Result<Option<u32>, SharesError> {
        let path = self.owed_path(vault);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let version = bytes.as_slice().try_into().map(u32::from_be_bytes);
        version.map(Some).map_err(|_length| SharesError::Content { path, source: HeldError::Malformed })
    }

    /// The vaults of which the ledger is to be told something.
    pub(crate) fn owing(&self) -> Result<Vec<RuleName>, SharesError> {
        let vault = |path: PathBuf| {
            let (account, vault) = path.file_name()?.to_str()?.split_once('.')?;
            Some(RuleName { owner: hash(account)?, name: hash(vault)? })
        };
        Ok(files(&self.folder.join(OWED))?.into_iter().filter_map(vault).collect())
    }

    /// It was told.
    pub(crate) fn told(&self, vault: &RuleName) -> Result<(), SharesError> {
        remove(&self.owed_path(vault))
    }

    fn account(&self, account: &Hash) -> PathBuf {
        let [first, ..] = *account;
        self.folder.join(KEPT).join(hex::encode([first])).join(hex::encode(account))
    }

    fn kept_path(&self, place: &Place) -> PathBuf {
        self.account(&place.account).join(place.to_string())
    }

    fn waiting_path(&self, place: &Place) -> PathBuf {
        self.folder.join(WAITING).join(place.to_string())
    }

    fn owed_path(&self, vault: &RuleName) -> PathBuf {
        self.folder.join(OWED).join(format!("{}.{}", hex::encode(vault.owner), hex::encode(vault.name)))
    }
}

pub(crate) fn hash(text: &str) -> Option<Hash> {
    hex::decode(text).ok()?.try_into().ok()
}
