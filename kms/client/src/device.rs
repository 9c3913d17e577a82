//! A person's keys of mode `self` on this device: one sealed file each (`kms/crypto/SPEC.md`), which opens under the export
//! key of a login and under nothing else.
//!
//! A file is written beside its place, made durable, and put in its place in one step: a crash leaves the file before
//! or the one after. Before the password is changed, another file is made ready for the next one, one per change: changes
//! can be begun and not heard of again, and whichever password counts in the end finds a file that it opens. Files of
//! other accounts and ledgers may lie in the same folder; they are left alone.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyward_crypto::{DeviceKey, DeviceKeyError, SecretBytes, SigningKey};
use keyward_domain::scheme::{KeyId, PublicKey};

use crate::client::Client;
use crate::error::ClientError;

const SUFFIX: &str = "key";
/// Of a file that opens under a next password: `KEY_ID.TAG.next`.
const NEXT: &str = "next";
/// So many bytes of the next password's credential name what was made ready for it.
const TAG_BYTES: usize = 8;
/// A sealed key has some hundred bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// What failed on this device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A file or the folder cannot be used.
    #[error("cannot use `{path}`")]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is no sealed key.
    #[error("`{path}` holds no key of this version")]
    Format {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: DeviceKeyError,
    },
    /// The key is not on this device.
    #[error("the private part of key `{id}` is not on this device")]
    Missing {
        /// The key id.
        id: KeyId,
    },
    /// The file belongs to another account or ledger, or holds another key than its name says.
    #[error("`{path}` belongs to another key, account or ledger")]
    Other {
        /// Its path.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error("the key in `{path}` cannot be opened")]
    Closed {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: DeviceKeyError,
    },
    /// It cannot be sealed.
    #[error("the key cannot be sealed")]
    Seal(#[source] DeviceKeyError),
    /// Whose keys these are is not known.
    #[error("keys on this device belong to an account on a ledger: log in, with a trust file")]
    Nobody,
}

/// The keys of one account on one ledger, in a folder.
#[derive(Clone, Debug)]
pub struct DeviceKeys {
    folder: PathBuf,
    chain_id: [u8; 32],
    account: [u8; 32],
}

impl DeviceKeys {
    /// Opens the folder, and makes it if it is not there.
    pub fn open(folder: &Path, chain_id: [u8; 32], account: [u8; 32]) -> Result<Self, DeviceError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed(folder))?;
        Ok(Self { folder: folder.to_owned(), chain_id, account })
    }

    /// Seals a key under an export key, in place of the one that is kept of that key. What was made ready for a next
    /// password stays.
    pub fn put(&self, key: &SigningKey, export_key: &SecretBytes) -> Result<(), DeviceError> {
        self.place(key, export_key, &self.path(&key.public_key().id()))
    }

    /// Makes every key ready for the password whose credential is given, before it counts: from now on each opens under
    /// the present one, that one, and those of changes begun before. Gives their number.
    pub fn prepare(
        &self,
        present: &SecretBytes,
        next: &SecretBytes,
        credential: &PublicKey,
    ) -> Result<usize, DeviceError> {
        let tag: String =
            credential.as_bytes().iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let keys = self.list()?;
        for key in &keys {
            let id = key.id();
            self.place(&self.load(&id, present)?, next, &self.folder.join(format!("{id}.{tag}.{NEXT}")))?;
        }
        Ok(keys.len())
    }

    fn place(&self, key: &SigningKey, export_key: &SecretBytes, path: &Path) -> Result<(), DeviceError> {
        let sealed = DeviceKey::seal(export_key, &self.chain_id, &self.account, key);
        let bytes = sealed.map_err(DeviceError::Seal)?.encode();
        let beside = path.with_extension("new");
        write(&beside, &bytes).map_err(failed(&beside))?;
        fs::rename(&beside, path).map_err(failed(path))?;
        self.sync()
    }

    /// Opens a key. One that was made ready for another password, and opens under it, takes its place: that password
    /// counts, and what was made ready for others never will.
    pub fn load(&self, id: &KeyId, export_key: &SecretBytes) -> Result<SigningKey, DeviceError> {
        let mut failure = None;
        for path in self.files(id)? {
            let opened = match self.read(&path) {
                Ok(None) => continue,
                Ok(Some(sealed)) => self.unseal(&sealed, id, export_key, &path),
                Err(error) => Err(error),
            };
            match opened {
                Ok(key) => {
                    self.settle(id, &path)?;
                    return Ok(key);
                }
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        Err(failure.unwrap_or(DeviceError::Missing { id: *id }))
    }

    /// Puts a file that was made ready in the key's place, and only then removes the others.
    fn settle(&self, id: &KeyId, opened: &Path) -> Result<(), DeviceError> {
        let place = self.path(id);
        if opened == place {
            return Ok(());
        }
        fs::rename(opened, &place).map_err(failed(&place))?;
        self.sync()?;
        for other in self.files(id)?.iter().filter(|path| **path != place) {
            gone(other).map_err(failed(other))?;
        }
        self.sync()
    }

    /// Where a key may lie: in its place, then in what was made ready for a next password.
    fn files(&self, id: &KeyId) -> Result<Vec<PathBuf>, DeviceError> {
        let name = id.to_string();
        let mut ready = Vec::new();
        for path in self.every(&[NEXT])? {
            if stem(&path) == Some(name.as_str()) {
                ready.push(path);
            }
        }
        Ok([vec![self.path(id)], ready].concat())
    }

    /// The files of a suffix, by name.
    fn every(&self, suffixes: &[&str]) -> Result<Vec<PathBuf>, DeviceError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let path = entry.map_err(failed(&self.folder))?.path();
            if path.extension().is_some_and(|found| suffixes.iter().any(|suffix| found == *suffix)) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn unseal(
        &self,
        sealed: &DeviceKey,
        id: &KeyId,
        export_key: &SecretBytes,
        path: &Path,
    ) -> Result<SigningKey, DeviceError> {
        let path = path.to_owned();
        if !self.is_own(sealed) || sealed.public_key.id() != *id {
            return Err(DeviceError::Other { path });
        }
        sealed.open(export_key).map_err(|source| DeviceError::Closed { path, source })
    }

    /// Whether a key is here; it is not opened.
    pub fn holds(&self, id: &KeyId) -> Result<bool, DeviceError> {
        let mut failure = None;
        for path in self.files(id)? {
            match self.read(&path) {
                Ok(Some(sealed)) if self.is_own(&sealed) && sealed.public_key.id() == *id => return Ok(true),
                Ok(_) => (),
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        failure.map_or(Ok(false), Err)
    }

    /// The public keys of what is here, by key id; needs no password. A damaged file is told, unless another one holds its
    /// key.
    pub fn list(&self) -> Result<Vec<PublicKey>, DeviceError> {
        let mut found = BTreeMap::new();
        for path in self.every(&[SUFFIX, NEXT])? {
            let read = match self.read(&path) {
                Ok(Some(sealed)) if self.is_own(&sealed) => Ok(sealed.public_key),
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            match found.entry(stem(&path).unwrap_or_default().to_owned()) {
                Entry::Vacant(vacant) => _ = vacant.insert(read),
                Entry::Occupied(mut damaged) if damaged.get().is_err() => _ = damaged.insert(read),
                Entry::Occupied(_) => (),
            }
        }
        let mut keys = found.into_values().collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| key.id().0);
        Ok(keys)
    }

    /// Forgets a key on this device; fine when it is not here.
    pub fn remove(&self, id: &KeyId) -> Result<(), DeviceError> {
        // Its place comes last: what a crash leaves is not brought back by a password given up.
        for path in self.files(id)?.iter().rev() {
            gone(path).map_err(failed(path))?;
        }
        self.sync()
    }

    fn path(&self, id: &KeyId) -> PathBuf {
        self.folder.join(id.to_string()).with_extension(SUFFIX)
    }

    fn is_own(&self, sealed: &DeviceKey) -> bool {
        (sealed.chain_id, sealed.account) == (self.chain_id, self.account)
    }

    fn read(&self, path: &Path) -> Result<Option<DeviceKey>, DeviceError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed(path))?;
        let sealed = DeviceKey::decode(&bytes);
        sealed.map(Some).map_err(|source| DeviceError::Format { path: path.to_owned(), source })
    }

    fn sync(&self) -> Result<(), DeviceError> {
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed(&self.folder))
    }
}

impl Client {
    /// The keys of the session's account on the trust file's ledger, in a folder of the caller's.
    pub fn device_keys(&self, folder: &Path) -> Result<DeviceKeys, ClientError> {
        let (Some(trusted), Some(account)) = (&self.trusted, self.account) else {
            return Err(DeviceError::Nobody.into());
        };
        Ok(DeviceKeys::open(folder, trusted.chain_id(), account)?)
    }
}

/// The key id in a file's name.
fn stem(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('.').next()
}

/// For our eyes only, and durable.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What a crash left there may have another mode.
    gone(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn gone(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> DeviceError + use<'_> {
    |source| DeviceError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
