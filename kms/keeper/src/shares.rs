//! Shares of vaults on disk, and what the ledger is to be told of those that are gone.
//!
//! ```text
//! waiting/PLACE             acknowledged, its sealing is not final yet
//! kept/AA/ACCOUNT/PLACE     one of a vault's present shares, or of those before; AA begins the account
//! owed/ACCOUNT.VAULT        the version up to which nothing is held any more, as long as the ledger does not know
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use keyward_crypto::SealError;
use keyward_ledger_core::{entry::RuleName, hash::Hash};
use thiserror::Error;

use crate::chest::Chest;
use crate::disk::{files, make, read, remove, sweep, write};
use crate::held::{Held, HeldError};
use crate::place::Place;

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

/// A keeper's shares of vaults.
pub(crate) type Shares = Chest<Held>;

impl Shares {
    /// The shares of a vault, waiting or not; those that wait were listed before.
    pub(crate) fn of(&self, vault: &RuleName, waiting: &[Place]) -> Result<Vec<Place>, SharesError> {
        let mut found: BTreeSet<_> = waiting.iter().copied().collect();
        found.extend(self.of_account(&vault.owner)?);
        Ok(found.into_iter().filter(|place| place.vault() == *vault).collect())
    }

    /// The vaults of the accounts that begin with a byte.
    pub(crate) fn vaults(&self, first: u8) -> Result<Vec<RuleName>, SharesError> {
        let mut vaults = Vec::new();
        for account in self.accounts(first)? {
            vaults.extend(self.of_account(&account)?.iter().map(Place::vault));
        }
        vaults.dedup();
        Ok(vaults)
    }
}

/// What the ledger is to be told.
pub(crate) struct Owed(PathBuf);

impl Owed {
    /// Opens the folder within the keeper's, and makes it if it is missing; half-written files of before are removed.
    pub(crate) fn open(folder: &Path) -> Result<Self, SharesError> {
        let folder = folder.join(OWED);
        make(&folder)?;
        sweep(&folder)?;
        Ok(Self(folder))
    }

    /// Writes down up to which version of a vault the ledger is to be told that nothing is held any more: before it is
    /// erased.
    pub(crate) fn owe(&self, vault: &RuleName, version: u32) -> Result<(), SharesError> {
        let before = self.of(vault)?;
        if before.is_some_and(|before| before >= version) {
            return Ok(());
        }
        write(&self.path(vault), &version.to_be_bytes())
    }

    /// Up to which version of a vault the ledger is to be told.
    pub(crate) fn of(&self, vault: &RuleName) -> Result<Option<u32>, SharesError> {
        let path = self.path(vault);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let version = bytes.as_slice().try_into().map(u32::from_be_bytes);
        version.map(Some).map_err(|_length| SharesError::Content { path, source: HeldError::Malformed })
    }

    /// The vaults of which the ledger is to be told something.
    pub(crate) fn all(&self) -> Result<Vec<RuleName>, SharesError> {
        let vault = |path: PathBuf| {
            let (account, vault) = path.file_name()?.to_str()?.split_once('.')?;
            Some(RuleName { owner: hash(account)?, name: hash(vault)? })
        };
        Ok(files(&self.0)?.into_iter().filter_map(vault).collect())
    }

    /// It was told.
    pub(crate) fn told(&self, vault: &RuleName) -> Result<(), SharesError> {
        remove(&self.path(vault))
    }

    fn path(&self, vault: &RuleName) -> PathBuf {
        self.0.join(format!("{}.{}", hex::encode(vault.owner), hex::encode(vault.name)))
    }
}

pub(crate) fn hash(text: &str) -> Option<Hash> {
    hex::decode(text).ok()?.try_into().ok()
}
