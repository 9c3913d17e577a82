//! A person's keys of mode `self`, parts in shared keys and other secrets on this device: one sealed file each (`kms/crypto/SPEC.md`), which
//! opens under the export key of a login and under nothing else.
//!
//! A file is written beside its place, made durable, and put in its place in one step: a crash leaves the file before
//! or the one after. Before the password is changed, another file is made ready for the next one, one per change: changes
//! can be begun and not heard of again, and whichever password counts in the end finds a file that it opens. Until the change
//! has ended no key comes here that is not ready for it: the folder is locked. Files of other accounts and ledgers may lie
//! in the same folder; they are left alone.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyward_crypto::{DeviceKey, DeviceKeyError, SecretBytes, SigningKey};
use keyward_domain::KeyName;
use keyward_domain::scheme::{KeyId, PublicKey};

use crate::client::Client;
use crate::error::ClientError;
use crate::file_lock::FileLock;

/// The suffixes of a kind of file: in its place, and of one that opens under a next password (`NAME.TAG.next`).
#[derive(Clone, Copy)]
struct Kind {
    place: &'static str,
    next: &'static str,
}

/// Keys of mode `self`, by key id.
const KEYS: Kind = Kind { place: "key", next: "next" };
/// Parts in shared keys, by the shared key's name.
const SHARES: Kind = Kind { place: "share", next: "share-next" };
/// Empty files: with whom a share is not used any more (`NAME.VERSION-PLACE.banned`).
const BANNED: &str = "banned";
/// So many bytes of the next password's credential name what was made ready for it.
const TAG_BYTES: usize = 8;
/// The file that is locked.
const LOCK: &str = "lock";
/// A sealed key has some hundred bytes, a part in a shared key with what waits some thousand; a share of threshold ECDSA up to two
/// million.
const FILE_BYTES_MAX: u64 = 32 << 20;

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
    /// Who asks for a key by name is given another one.
    #[error("`{asked}` is said to be key `{id}`, which was made here as `{alias}`")]
    Alias {
        /// The name that was asked for.
        asked: String,
        /// The key that is said to have it.
        id: KeyId,
        /// The alias under which it was made.
        alias: String,
    },
    /// A change of the password is under way, or a key is being written.
    #[error("`{path}` is locked: another command changes the password or the keys on this device")]
    Busy {
        /// The lock's path.
        path: PathBuf,
    },
    /// There is no part in that shared key here.
    #[error("no part in the shared key `{name}` is on this device")]
    PartMissing {
        /// Its alias, or its name in hex.
        name: String,
    },
    /// There is no such secret here.
    #[error("no {what} `{name}` is on this device")]
    SecretMissing {
        /// What it would be.
        what: &'static str,
        /// Its name in hex.
        name: String,
    },
    /// It cannot be sealed.
    #[error("the key cannot be sealed")]
    Seal(#[source] DeviceKeyError),
    /// Whose keys these are is not known.
    #[error("keys on this device belong to an account on a ledger: log in, with a trust file")]
    Nobody,
}

/// Keys that are ready for another password. As long as it is held no key comes to the folder that is not.
#[derive(Debug)]
#[must_use = "hold it until the change of the password has ended"]
pub struct Prepared {
    /// How many keys are ready.
    pub keys: usize,
    _lock: FileLock,
}

/// A key that was opened, and what its file says of it.
struct Opened {
    key: SigningKey,
    alias: Option<String>,
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

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whose keys these are.
    pub(crate) const fn account(&self) -> [u8; 32] {
        self.account
    }

    /// Seals a key under an export key, in place of the one that is kept of that key. What was made ready for a next
    /// password stays. `alias` is the one under which it is made; none if that is not known, then one that the file had stays.
    pub fn put(
        &self,
        key: &SigningKey,
        alias: Option<&str>,
        export_key: &SecretBytes,
    ) -> Result<(), DeviceError> {
        let _lock = self.lock_shared()?;
        let path = self.path(&key.public_key().id());
        let before =
            if alias.is_none() { self.open_file(&path, &key.public_key().id(), export_key) } else { None };
        let alias = alias.map(str::to_owned).or(before.and_then(|before| before.alias));
        self.place(key, alias.as_deref(), export_key, &path)
    }

    /// Keys may be put while others are put, not while a change of password is under way.
    fn lock_shared(&self) -> Result<FileLock, DeviceError> {
        FileLock::shared(self.lock_file()?).map_err(|error| self.busy(error))
    }

    fn lock_file(&self) -> Result<File, DeviceError> {
        let path = self.folder.join(LOCK);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        opened.map_err(failed(&path))
    }

    fn busy(&self, error: TryLockError) -> DeviceError {
        let path = self.folder.join(LOCK);
        match error {
            TryLockError::WouldBlock => DeviceError::Busy { path },
            TryLockError::Error(source) => DeviceError::File { path, source },
        }
    }

    /// Makes every key ready for the password whose credential is given, before it counts: from now on each opens under
    /// the present one, that one, and those of changes begun before.
    pub fn prepare(
        &self,
        present: &SecretBytes,
        next: &SecretBytes,
        credential: &PublicKey,
    ) -> Result<Prepared, DeviceError> {
        let lock = FileLock::alone(self.lock_file()?).map_err(|error| self.busy(error))?;
        let tag: String =
            credential.as_bytes().iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let keys = self.list()?;
        for key in &keys {
            let id = key.id();
            let Opened { key, alias } = self.opened(&id, present)?;
            self.place(&key, alias.as_deref(), next, &self.ready(&id.to_string(), &tag, KEYS))?;
        }
        let shares = self.prepare_shares(present, next, &tag)?;
        let secrets = self.prepare_secrets(present, next, &tag)?;
        Ok(Prepared { keys: keys.len() + shares + secrets, _lock: lock })
    }

    fn place(
        &self,
        key: &SigningKey,
        alias: Option<&str>,
        export_key: &SecretBytes,
        path: &Path,
    ) -> Result<(), DeviceError> {
        let sealed = DeviceKey::seal(export_key, (self.chain_id, self.account), key, alias);
        self.write_file(&sealed.map_err(DeviceError::Seal)?.encode(), path)
    }

    /// Beside its place first, durable, then in its place in one step.
    pub(crate) fn write_file(&self, bytes: &[u8], path: &Path) -> Result<(), DeviceError> {
        let beside = path.with_extension("new");
        // One after the other: who writes the same file at once would put the other's half into its place.
        let folder = File::open(&self.folder).map_err(failed(&self.folder))?;
        let folder = FileLock::wait_alone(folder).map_err(failed(&self.folder))?;
        write(&beside, bytes).map_err(failed(&beside))?;
        fs::rename(&beside, path).map_err(failed(path))?;
        folder.sync_all().map_err(failed(&self.folder))
    }

    /// Opens a key. One that was made ready for another password, and opens under it, takes its place: that password
    /// counts, and what was made ready for others never will.
    pub fn load(&self, id: &KeyId, export_key: &SecretBytes) -> Result<SigningKey, DeviceError> {
        Ok(self.opened(id, export_key)?.key)
    }

    /// Opens the key that somebody says is the one of a name. A name that is a key id must be this key's, an alias the one
    /// under which it was made; of keys whose files say none, whoever names them is believed. Gives the alias too.
    pub fn load_named(
        &self,
        id: &KeyId,
        asked: &str,
        export_key: &SecretBytes,
    ) -> Result<(SigningKey, Option<String>), DeviceError> {
        let Opened { key, alias } = self.opened(id, export_key)?;
        let is_other = match (KeyName::parse(asked), alias.as_deref()) {
            (Ok(KeyName::Id(named)), _) => named != id.0,
            (Ok(KeyName::Alias(named) | KeyName::Version(named, _)), Some(alias)) => named.as_str() != alias,
            _ => false,
        };
        if is_other {
            let (asked, alias) = (asked.to_owned(), alias.unwrap_or_default());
            return Err(DeviceError::Alias { asked, id: *id, alias });
        }
        Ok((key, alias))
    }

    fn opened(&self, id: &KeyId, export_key: &SecretBytes) -> Result<Opened, DeviceError> {
        let open = |path: &Path| {
            let sealed = self.read(path)?;
            sealed.map(|sealed| self.unseal(&sealed, id, export_key, path)).transpose()
        };
        self.first((&id.to_string(), KEYS), open)?.ok_or(DeviceError::Missing { id: *id })
    }

    /// The first of a name's files that opens. One that was made ready for another password takes its place then.
    fn first<T>(
        &self,
        (name, kind): (&str, Kind),
        open: impl Fn(&Path) -> Result<Option<T>, DeviceError>,
    ) -> Result<Option<T>, DeviceError> {
        let mut failure = None;
        for path in self.files(name, kind)? {
            match open(&path) {
                Ok(None) => {}
                Ok(Some(opened)) => {
                    self.settle(name, kind, &path)?;
                    return Ok(Some(opened));
                }
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// What the files of a kind say, one for each name. A damaged one is told, unless another one of its name is whole.
    fn each<T>(
        &self,
        kind: Kind,
        read: impl Fn(&Path) -> Result<Option<T>, DeviceError>,
    ) -> Result<Vec<T>, DeviceError> {
        let mut found: BTreeMap<String, Result<T, DeviceError>> = BTreeMap::new();
        for path in self.every(&[kind.place, kind.next])? {
            let Some(read) = read(&path).transpose() else { continue };
            let name = stem(&path).unwrap_or_default().to_owned();
            if found.get(&name).is_none_or(Result::is_err) {
                found.insert(name, read);
            }
        }
        found.into_values().collect()
    }

    /// Puts a file that was made ready in the key's place, and only then removes the others.
    fn settle(&self, name: &str, kind: Kind, opened: &Path) -> Result<(), DeviceError> {
        let place = self.in_place(name, kind);
        if opened == place {
            return Ok(());
        }
        fs::rename(opened, &place).map_err(failed(&place))?;
        self.sync()?;
        for other in self.files(name, kind)?.iter().filter(|path| **path != place) {
            gone(other).map_err(failed(other))?;
        }
        self.sync()
    }

    /// Where a key may lie: in its place, then in what was made ready for a next password.
    fn files(&self, name: &str, kind: Kind) -> Result<Vec<PathBuf>, DeviceError> {
        let mut ready = self.every(&[kind.next])?;
        ready.retain(|path| stem(path) == Some(name));
        Ok([vec![self.in_place(name, kind)], ready].concat())
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

    /// What lies in one file, if it opens.
    fn open_file(&self, path: &Path, id: &KeyId, export_key: &SecretBytes) -> Option<Opened> {
        let sealed = self.read(path).ok().flatten()?;
        self.unseal(&sealed, id, export_key, path).ok()
    }

    fn unseal(
        &self,
        sealed: &DeviceKey,
        id: &KeyId,
        export_key: &SecretBytes,
        path: &Path,
    ) -> Result<Opened, DeviceError> {
        let path = path.to_owned();
        if !self.is_own(sealed) || sealed.public_key.id() != *id {
            return Err(DeviceError::Other { path });
        }
        let key = sealed.open(export_key).map_err(|source| DeviceError::Closed { path, source })?;
        Ok(Opened { key, alias: sealed.alias.clone() })
    }

    /// Whether a key is here; it is not opened.
    pub fn holds(&self, id: &KeyId) -> Result<bool, DeviceError> {
        let mut failure = None;
        for path in self.files(&id.to_string(), KEYS)? {
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
        let own = |path: &Path| {
            let sealed = self.read(path)?.filter(|sealed| self.is_own(sealed));
            Ok(sealed.map(|sealed| sealed.public_key))
        };
        let mut keys = self.each(KEYS, own)?;
        keys.sort_by_key(|key| key.id().0);
        Ok(keys)
    }

    /// Forgets a key on this device; fine when it is not here.
    pub fn remove(&self, id: &KeyId) -> Result<(), DeviceError> {
        // Its place comes last: what a crash leaves is not brought back by a password given up.
        self.forget(&id.to_string(), KEYS)
    }

    fn forget(&self, name: &str, kind: Kind) -> Result<(), DeviceError> {
        for path in self.files(name, kind)?.iter().rev() {
            gone(path).map_err(failed(path))?;
        }
        self.sync()
    }

    fn path(&self, id: &KeyId) -> PathBuf {
        self.in_place(&id.to_string(), KEYS)
    }

    fn in_place(&self, name: &str, kind: Kind) -> PathBuf {
        self.folder.join(name).with_extension(kind.place)
    }

    fn ready(&self, name: &str, tag: &str, kind: Kind) -> PathBuf {
        self.folder.join(format!("{name}.{tag}.{}", kind.next))
    }

    fn is_own(&self, sealed: &DeviceKey) -> bool {
        (sealed.chain_id, sealed.account) == (self.chain_id, self.account)
    }

    fn read(&self, path: &Path) -> Result<Option<DeviceKey>, DeviceError> {
        read_as(path, DeviceKey::decode)
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

pub(crate) fn read_file(path: &Path) -> Result<Option<Vec<u8>>, DeviceError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed(path))?;
    Ok(Some(bytes))
}

fn read_as<T>(
    path: &Path,
    decode: impl Fn(&[u8]) -> Result<T, DeviceKeyError>,
) -> Result<Option<T>, DeviceError> {
    let Some(bytes) = read_file(path)? else { return Ok(None) };
    decode(&bytes).map(Some).map_err(|source| DeviceError::Format { path: path.to_owned(), source })
}

/// The key id, or a shared key's name, in a file's name.
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

pub(crate) fn gone(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn failed(path: &Path) -> impl Fn(std::io::Error) -> DeviceError + use<'_> {
    |source| DeviceError::File { path: path.to_owned(), source }
}

mod secrets;
mod shares;

pub use shares::KeptPart;

#[cfg(test)]
mod tests;
