//! Which keys go into a vault, and where those go that come back.

use std::path::{Path, PathBuf};

use keyward_client::vault::{Recovered, Standing};
use keyward_client::{ClientError, DeviceError, DeviceKeys};
use keyward_crypto::vault::VaultedKey;
use keyward_crypto::{SecretBytes, SigningKey, read_private_key, write_private_key};
use keyward_domain::Mode;
use keyward_domain::scheme::PublicKey;
use keyward_ledger_core::state::layout::KeyStatus;
use zeroize::Zeroizing;

use super::enter::Entered;
use crate::commands::key::{parse_key, parse_scheme};
use crate::commands::own;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::aside;
use crate::service::failed;

/// The keys named on the command line; without a name, every `self` key and every share on this device.
pub(super) async fn chosen(entered: &Entered, names: &[String]) -> Result<Vec<VaultedKey>> {
    if names.is_empty() {
        return all(entered).await;
    }
    let mut keys = Vec::new();
    for name in names {
        keys.push(match name.split_once(':') {
            Some((scheme, path)) => from_file(scheme, Path::new(path))?,
            None => from_device(entered, name).await?,
        });
    }
    Ok(keys)
}

async fn all(entered: &Entered) -> Result<Vec<VaultedKey>> {
    let device = device(entered)?;
    let held = device.list().map_err(here("cannot read the keys on this device"))?;
    let shares = entered.client.vaulted_shares(&entered.login, &device).await;
    let (shares, left) = shares.map_err(failed("cannot seal your shares of keys"))?;
    for alias in left {
        aside(&format!(
            "keyward: your share of `{alias}` does not go into the vault: the key's protocol is experimental, and with this \
             device it is lost"
        ));
    }
    if held.is_empty() && shares.is_empty() {
        let next = "make one (`keyward key create --mode self`), or name a file with `--key SCHEME:FILE`";
        return Err(Failure::refused("there is no key on this device to seal", next));
    }
    let keys = held.iter().map(|public| open(entered, &device, public));
    let mut keys = keys.collect::<Result<Vec<_>>>()?;
    keys.extend(shares);
    Ok(keys)
}

/// The share of a key on this device.
async fn share(entered: &Entered, device: &DeviceKeys, key: &str) -> Result<VaultedKey> {
    let share = entered.client.vaulted_share(key, &entered.login, device).await;
    share.map_err(failed("cannot seal your share of the key"))
}

async fn from_device(entered: &Entered, name: &str) -> Result<VaultedKey> {
    let shown = entered.client.show_key(&parse_key(name)?).await.map_err(failed("cannot find the key"))?;
    if shown.mode == Mode::Shared.name() {
        return share(entered, &device(entered)?, &parse_key(name)?).await;
    }
    if shown.mode != Mode::Own.name() {
        let what =
            format!("key `{name}` is of mode `{}`: its private part is not on this device", shown.mode);
        let next = "only keys of mode `self`, shares of shared keys and key files go into a vault";
        return Err(Failure::refused(what, next));
    }
    let scheme = parse_scheme(&shown.scheme)?;
    let public = PublicKey::parse(scheme, &shown.public_key).map_err(|error| {
        Failure::refused("the service shows no public key", "tell the operator").because(&error)
    })?;
    open(entered, &device(entered)?, &public)
}

fn device(entered: &Entered) -> Result<DeviceKeys> {
    let folder = entered.profile.path(Path::new(own::FOLDER));
    entered.client.device_keys(&folder).map_err(failed("cannot use the keys on this device"))
}

fn open(entered: &Entered, device: &DeviceKeys, public: &PublicKey) -> Result<VaultedKey> {
    let key = device.load(&public.id(), &entered.login.export_key);
    Ok(vaulted(&key.map_err(here("cannot open the key on this device"))?))
}

fn from_file(scheme: &str, path: &Path) -> Result<VaultedKey> {
    let scheme = parse_scheme(scheme)?;
    let bytes = files::read_secret_bytes(path)?;
    let key = read_private_key(scheme, &bytes).map_err(|error| {
        let what = format!("`{}` holds no private key for `{scheme}`", path.display());
        Failure::refused(what, "give one PKCS#8 or SEC1 key of that kind, without a password").because(&error)
    })?;
    Ok(vaulted(&key))
}

fn vaulted(key: &SigningKey) -> VaultedKey {
    let secret = SecretBytes::new(key.expose(|secret| secret.to_vec()));
    VaultedKey { id: *key.public_key().id().as_bytes(), public_key: key.public_key().clone(), secret }
}

fn here(what: &str) -> impl Fn(DeviceError) -> Failure + use<> {
    let failed = failed(what);
    move |error| failed(ClientError::from(error))
}

/// A key that is back.
pub(super) struct Back {
    pub(super) public_key: PublicKey,
    /// The file that holds it, if it was written into one.
    pub(super) file: Option<PathBuf>,
    /// Of a share: whether this device speaks for the key.
    pub(super) speaks: Option<bool>,
    standing: Standing,
}

impl Back {
    /// For programs.
    pub(super) const fn standing_name(&self) -> &'static str {
        match self.standing {
            Standing::Bound(KeyStatus::Active) => "active",
            Standing::Bound(KeyStatus::Frozen) => "frozen",
            Standing::Bound(KeyStatus::Superseded { .. }) => "superseded",
            Standing::Bound(KeyStatus::Scheduled { .. }) => "scheduled",
            Standing::Bound(KeyStatus::Destroyed { .. }) => "destroyed",
            Standing::Unbound => "unbound",
            Standing::Foreign => "foreign",
            Standing::Unproven => "unproven",
        }
    }

    /// What there is to say of it, unless it is just as it should be.
    pub(super) const fn standing_words(&self) -> Option<&'static str> {
        Some(match self.standing {
            Standing::Bound(KeyStatus::Active) if matches!(self.speaks, Some(false)) => {
                "your share is here; this device speaks for you once it has taken the other one's place \
                 (`keyward key shared replace-device`)"
            }
            Standing::Bound(KeyStatus::Active) => return None,
            Standing::Bound(KeyStatus::Frozen) => {
                "the ledger has it as yours, frozen: it signs nothing until it is unfrozen"
            }
            Standing::Bound(KeyStatus::Superseded { .. }) => {
                "the ledger has it as yours, superseded: its next version signs in its place"
            }
            Standing::Bound(KeyStatus::Scheduled { .. } | KeyStatus::Destroyed { .. }) => {
                "the ledger has it as yours, destroyed or soon to be: Keyward signs nothing with it"
            }
            Standing::Unbound => "the ledger does not know it: it is not bound to any account",
            Standing::Foreign => "the ledger has it as ANOTHER account's: somebody else has this key too",
            Standing::Unproven => {
                "how the ledger has it could not be proven: look at `keyward key list` before you use it"
            }
        })
    }
}

/// Where recovered keys go together: beside its place first, so that all of them come there or none.
pub(super) struct Folder {
    path: PathBuf,
    beside: PathBuf,
}

impl Folder {
    /// Refuses a place that holds something, or that cannot be written to.
    pub(super) fn prepare(path: &Path) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            let what = format!("cannot write private keys into `{}`", path.display());
            Failure::refused(what, "choose a new folder with `--out`; no guess was spent").because(&error)
        };
        match path.read_dir().map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => {
                let what = format!("`{}` holds something already", path.display());
                let next = "choose a new folder with `--out`: private keys are never overwritten; no guess was spent";
                return Err(Failure::refused(what, next));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => files::fresh(path, "private keys")?,
            Err(error) => return Err(cannot(error)),
        }
        let mut name =
            path.file_name().ok_or_else(|| cannot(std::io::ErrorKind::InvalidInput.into()))?.to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let beside = path.with_file_name(name);
        files::fresh(&beside, "private keys")?;
        files::make_folder(&beside)?;
        Ok(Self { path: path.to_owned(), beside })
    }

    /// A share is no private key and has no such form: its bytes, in hex.
    fn write_share(&self, share: &VaultedKey) -> Result<PathBuf> {
        let name = format!("{}.share", hex::encode(share.id));
        let text = Zeroizing::new(share.secret.expose(|secret| hex::encode(secret)));
        files::write(&self.beside.join(&name), text.as_bytes(), Access::Secret)?;
        Ok(self.path.join(name))
    }

    fn write(&self, key: &SigningKey) -> Result<PathBuf> {
        let name = format!("{}.pem", key.public_key().id());
        let text = write_private_key(key).map_err(|error| {
            Failure::refused("a recovered key cannot be written", "recover without `--out`").because(&error)
        })?;
        files::write(&self.beside.join(&name), text.as_bytes(), Access::Secret)?;
        Ok(self.path.join(name))
    }

    /// All are written: they come to their place in one step.
    fn finish(self) -> Result<()> {
        let moved = std::fs::File::open(&self.beside)
            .and_then(|folder| folder.sync_all())
            .and_then(|()| std::fs::rename(&self.beside, &self.path))
            .and_then(|()| match self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => std::fs::File::open(parent)?.sync_all(),
                None => Ok(()),
            });
        moved.map_err(|error| {
            let what = format!("cannot write private keys into `{}`", self.path.display());
            Failure::refused(what, "recover once more, into another folder: the count is full again")
                .because(&error)
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left after a failure is secret, and not all there.
        if let Err(error) = std::fs::remove_dir_all(&self.beside)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.beside.display(), %error, "a folder with private keys stays");
        }
    }
}

/// Puts recovered keys onto the device, or into files of a folder: into it all of them or none. A key that is another
/// account's on the ledger does not become one of this device.
pub(super) async fn put(
    entered: &Entered,
    recovered: &Recovered,
    folder: Option<Folder>,
) -> Result<Vec<Back>> {
    let (mut back, mut failed_one) = (Vec::new(), None);
    for (vaulted, standing) in recovered.keys.iter().zip(&recovered.standings) {
        if vaulted.is_share() {
            match put_share(entered, vaulted, *standing, folder.as_ref()).await {
                Ok(one) => back.push(one),
                // The others shall be back all the same.
                Err(failure) => failed_one = Some(failure),
            }
            continue;
        }
        let key = vaulted.signing_key().map_err(|error| {
            Failure::refused("a recovered key is none", "tell the operator").because(&error)
        })?;
        let public_key = key.public_key().clone();
        let file = match &folder {
            Some(folder) => Some(folder.write(&key)?),
            None if *standing == Standing::Foreign => {
                failed_one = Some(foreign(&public_key));
                continue;
            }
            None => {
                let kept = device(entered)?.put(&key, None, &entered.login.export_key);
                kept.map_err(here("cannot keep the key on this device"))?;
                None
            }
        };
        back.push(Back { public_key, file, speaks: None, standing: *standing });
    }
    folder.map_or(Ok(()), Folder::finish)?;
    failed_one.map_or(Ok(back), Err)
}

/// A share that is back, onto this device or into a file.
async fn put_share(
    entered: &Entered,
    vaulted: &VaultedKey,
    standing: Standing,
    folder: Option<&Folder>,
) -> Result<Back> {
    let public_key = vaulted.public_key.clone();
    if let Some(folder) = folder {
        let file = Some(folder.write_share(vaulted)?);
        return Ok(Back { public_key, file, speaks: None, standing });
    }
    let device = device(entered)?;
    let back = entered.client.take_back_share(vaulted, &entered.login, &device).await;
    let back = back.map_err(failed("cannot keep your share of a key on this device"))?;
    Ok(Back { public_key, file: None, speaks: Some(back.speaks), standing })
}

fn foreign(public_key: &PublicKey) -> Failure {
    let what =
        format!("key {} is another account's on the ledger: somebody else has it too", public_key.id());
    let next = "stop using this key; the others are back on this device; recover into files (`--out`) if you need what lies in the vault";
    super::named(Failure::refused(what, next), "VAULT_KEY_FOREIGN")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use std::os::unix::fs::PermissionsExt as _;

    use keyward_domain::scheme::Scheme;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let all = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = all.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn keys_come_into_their_folder_together_and_for_their_owner_alone() {
        let (place, keys) =
            (tempfile::tempdir().unwrap(), [1, 2].map(|_| SigningKey::generate(Scheme::Ed25519).unwrap()));
        let out = place.path().join("keys");
        let folder = Folder::prepare(&out).unwrap();
        for key in &keys {
            folder.write(key).unwrap();
            assert!(!out.exists(), "none before all");
        }
        folder.finish().unwrap();
        assert_eq!((names(place.path()), names(&out).len()), (vec!["keys".to_owned()], 2));
        for name in names(&out) {
            assert_eq!(out.join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        // Never over what is there.
        let twice = Folder::prepare(&out).err().unwrap();
        assert!(twice.next.contains("never overwritten"), "{twice}");
    }

    #[test]
    fn a_recovery_that_breaks_off_leaves_no_key_behind() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::prepare(&place.path().join("keys")).unwrap();
        folder.write(&SigningKey::generate(Scheme::Ed25519).unwrap()).unwrap();
        drop(folder);
        assert_eq!(names(place.path()), Vec::<String>::new());
        // A file, or a link that leads nowhere, is no folder.
        std::fs::write(place.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink(place.path().join("nowhere"), place.path().join("link")).unwrap();
        for name in ["file", "link"] {
            Folder::prepare(&place.path().join(name)).err().unwrap();
        }
        assert_eq!(names(place.path()).len(), 2, "nothing is left beside them");
    }
}
