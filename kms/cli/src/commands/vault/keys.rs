//! Which keys go into a vault, and where those go that come back.

use std::path::{Path, PathBuf};

use keyward_client::vault::Recovered;
use keyward_client::{ClientError, DeviceError, DeviceKeys};
use keyward_crypto::vault::VaultedKey;
use keyward_crypto::{SecretBytes, SigningKey, read_private_key, write_private_key};
use keyward_domain::scheme::PublicKey;

use super::enter::Entered;
use crate::commands::key::{parse_key, parse_scheme};
use crate::commands::own;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::failed;

/// The keys named on the command line; without a name, every `self` key on this device.
pub(super) async fn chosen(entered: &Entered, names: &[String]) -> Result<Vec<VaultedKey>> {
    if names.is_empty() {
        return all(entered);
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

fn all(entered: &Entered) -> Result<Vec<VaultedKey>> {
    let device = device(entered)?;
    let held = device.list().map_err(here("cannot read the keys on this device"))?;
    if held.is_empty() {
        let next = "make one (`keyward key create --mode self`), or name a file with `--key SCHEME:FILE`";
        return Err(Failure::refused("there is no key on this device to seal", next));
    }
    held.iter().map(|public| open(entered, &device, public)).collect()
}

async fn from_device(entered: &Entered, name: &str) -> Result<VaultedKey> {
    let shown = entered.client.show_key(&parse_key(name)?).await.map_err(failed("cannot find the key"))?;
    if shown.mode != "self" {
        let what =
            format!("key `{name}` is of mode `{}`: its private part is not on this device", shown.mode);
        return Err(Failure::refused(what, "only keys of mode `self` and key files go into a vault"));
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
}

/// Puts recovered keys onto the device, or into files of a folder.
pub(super) fn put(entered: &Entered, recovered: &Recovered, out: Option<&Path>) -> Result<Vec<Back>> {
    let mut back = Vec::new();
    for vaulted in &recovered.keys {
        let key = vaulted.signing_key().map_err(|error| {
            Failure::refused("a recovered key is none", "tell the operator").because(&error)
        })?;
        let public_key = key.public_key().clone();
        let file = match out {
            Some(folder) => Some(write(&key, folder)?),
            None => {
                let kept = device(entered)?.put(&key, &entered.login.export_key);
                kept.map_err(here("cannot keep the key on this device"))?;
                None
            }
        };
        back.push(Back { public_key, file });
    }
    Ok(back)
}

fn write(key: &SigningKey, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("{}.pem", key.public_key().id()));
    files::fresh(&path, "private keys")?;
    let text = write_private_key(key).map_err(|error| {
        Failure::refused("a recovered key cannot be written", "recover without `--out`").because(&error)
    })?;
    files::write(&path, text.as_bytes(), Access::Secret)?;
    Ok(path)
}
