//! Shares of closed address epochs on disk: one sealed file each, there before it is acknowledged.
//!
//! ```text
//! viewing/waiting/PLACE             acknowledged, its dealing is not final yet
//! viewing/kept/AA/ACCOUNT/PLACE     of a recorded dealing; AA begins the account
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyward_crypto::{KeyEncryptionKey, keeper_share_aad, open, seal};
use keyward_ledger_core::hash::Hash;

use super::kept::Kept;
use super::place::Place;
use crate::disk::{files, make, names, read, remove, shift, sweep, write};
use crate::held::HeldError;
use crate::shares::{SharesError, hash};

const WAITING: &str = "waiting";
const KEPT: &str = "kept";

/// A keeper's shares of closed address epochs.
pub(crate) struct Store {
    folder: PathBuf,
    kek: Arc<dyn KeyEncryptionKey>,
    keeper: Hash,
}

impl Store {
    /// Opens the folder, and makes it if it is missing; half-written files of before are removed.
    pub(crate) fn open(
        folder: &Path,
        kek: Arc<dyn KeyEncryptionKey>,
        keeper: Hash,
    ) -> Result<Self, SharesError> {
        [WAITING, KEPT].iter().try_for_each(|part| make(&folder.join(part)))?;
        sweep(&folder.join(WAITING))?;
        Ok(Self { folder: folder.to_owned(), kek, keeper })
    }

    /// Keeps a share that waits for its dealing; it survives a power cut once this returns.
    pub(crate) fn keep(&self, kept: &Kept) -> Result<(), SharesError> {
        let (place, aad) = (kept.place(), self.aad(&kept.place()));
        let path = self.waiting_path(&place);
        let sealed = seal(&*self.kek, &aad, &kept.encode());
        write(&path, &sealed.map_err(|source| SharesError::Sealed { path: path.clone(), source })?)
    }

    /// A share, if it is held.
    pub(crate) fn load(&self, place: &Place) -> Result<Option<Kept>, SharesError> {
        // It may move from where it waits to where it is kept while we look.
        for path in [self.kept_path(place), self.waiting_path(place), self.kept_path(place)] {
            if let Some(sealed) = read(&path)? {
                return self.opened(place, path, &sealed).map(Some);
            }
        }
        Ok(None)
    }

    fn opened(&self, place: &Place, path: PathBuf, sealed: &[u8]) -> Result<Kept, SharesError> {
        let opened = open(&*self.kek, &self.aad(place), sealed);
        let opened = opened.map_err(|source| SharesError::Sealed { path: path.clone(), source })?;
        match opened.expose(Kept::decode) {
            Some(kept) if kept.place() == *place => Ok(kept),
            Some(_) => Err(SharesError::Content { path, source: HeldError::Other }),
            None => Err(SharesError::Content { path, source: HeldError::Malformed }),
        }
    }

    fn aad(&self, place: &Place) -> Vec<u8> {
        keeper_share_aad(&self.keeper, &place.hash)
    }

    /// Puts a share that waited among those of recorded dealings. Nothing happens when it is there already.
    pub(crate) fn settle(&self, place: &Place) -> Result<(), SharesError> {
        shift(&self.waiting_path(place), &self.kept_path(place)).map(drop)
    }

    /// Removes a share; it stays away after a power cut once this returns.
    pub(crate) fn erase(&self, place: &Place) -> Result<(), SharesError> {
        remove(&self.waiting_path(place))?;
        remove(&self.kept_path(place))?;
        // Goes when it is empty, and stays when it is not.
        drop(fs::remove_dir(self.account(&place.account)));
        Ok(())
    }

    /// The shares that wait for their dealings.
    pub(crate) fn waiting(&self) -> Result<Vec<Place>, SharesError> {
        names(&self.folder.join(WAITING))
    }

    /// The shares of an account that are kept.
    pub(crate) fn of_account(&self, account: &Hash) -> Result<Vec<Place>, SharesError> {
        names(&self.account(account))
    }

    /// The accounts that begin with a byte and of which shares are kept.
    pub(crate) fn accounts(&self, first: u8) -> Result<Vec<Hash>, SharesError> {
        let name = |path: PathBuf| hash(path.file_name()?.to_str()?);
        let folder = self.folder.join(KEPT).join(hex::encode([first]));
        Ok(files(&folder)?.into_iter().filter_map(name).collect())
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
}
