//! The operator's secret, and key files sealed under it.
//!
//! The secret is 32 random bytes in hex, one line after lines that begin with `#`. A sealed file is an envelope of
//! `kms/crypto` (AES-256-GCM) under `HKDF-SHA256(secret, info = "keyward/operator-secret/v1")`, its associated data
//! the file's purpose and whose it is (`PURPOSE FOR OWNER`, as `validator-key FOR keyward://node/node-1`), in hex between
//! PEM-like lines that name both. The opener knows the owner from its own certificate, so one validator's file does not
//! open as another's. Files from before name a purpose alone; they still open, and say nothing about whose they are.

use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use keyward_crypto::{MemoryKek, SecretBytes, open, seal, service_secret_aad};
use keyward_domain::Principal;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::files::{self, Access};

const INFO: &[u8] = b"keyward/operator-secret/v1";
const BEGIN: &str = "-----BEGIN KEYWARD SEALED ";
const END: &str = "-----END KEYWARD SEALED-----";
/// Stands at the head of every secret file that `up` makes.
pub(crate) const NON_PRODUCTION: &str =
    "# NON-PRODUCTION: made by `keyward up` for trying things out; not for real keys or funds.\n";

/// An operator's secret, from which the key that seals key files is derived.
pub(crate) struct OperatorSecret {
    path: PathBuf,
    kek: MemoryKek,
    /// Whether it is one that `up` made: so is then what is sealed under it.
    for_trial: bool,
}

impl std::fmt::Debug for OperatorSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OperatorSecret(redacted, {})", self.path.display())
    }
}

impl OperatorSecret {
    /// Makes a fresh secret and its file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Self::make(path, false)
    }

    /// The same for trying things out.
    pub(crate) fn create_for_trial(path: &Path) -> Result<Self> {
        Self::make(path, true)
    }

    fn make(path: &Path, for_trial: bool) -> Result<Self> {
        let secret = random32()?;
        let (label, hex) = (label(for_trial), Zeroizing::new(hex::encode(*secret)));
        files::write(path, Zeroizing::new(format!("{label}{}\n", *hex)).as_bytes(), Access::Secret)?;
        Self::derive(path, &secret, for_trial)
    }

    /// Reads the secret of a file.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = files::read_secret(path)?;
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(line.unwrap_or_default(), secret.as_mut()).map_err(|error| {
            let what = format!("`{}` holds no operator's secret", path.display());
            Failure::refused(what, "restore the file: one line of 64 hex digits").because(&error)
        })?;
        Self::derive(path, &secret, text.starts_with(NON_PRODUCTION))
    }

    fn derive(path: &Path, secret: &[u8; 32], for_trial: bool) -> Result<Self> {
        let broken =
            || Failure::refused("the operator's secret cannot be used", "free some memory, then try again");
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, secret)
            .expand(INFO, key.as_mut())
            .map_err(|error| broken().because(&error))?;
        let kek = MemoryKek::new(&key).map_err(|error| broken().because(&error))?;
        Ok(Self { path: path.to_owned(), kek, for_trial })
    }

    /// Seals bytes into a file that names its purpose and its owner.
    pub(crate) fn seal(&self, path: &Path, purpose: &str, owner: &Principal, plain: &[u8]) -> Result<()> {
        let named = named(purpose, owner);
        let sealed = seal(&self.kek, &service_secret_aad(&named), plain).map_err(|error| {
            Failure::refused(format!("cannot seal `{}`", path.display()), "try again").because(&error)
        })?;
        let label = label(self.for_trial);
        let text = format!("{label}{BEGIN}{named}-----\n{}\n{END}\n", hex::encode(sealed));
        files::write(path, text.as_bytes(), Access::Secret)
    }

    /// Opens a sealed file of a purpose and an owner, or one from before that names no owner.
    pub(crate) fn open(&self, path: &Path, purpose: &str, owner: &Principal) -> Result<SecretBytes> {
        let text = files::read_secret(path)?;
        let wanted = named(purpose, owner);
        let (found, sealed) =
            parse(&text).filter(|(found, _)| *found == wanted || *found == purpose).ok_or_else(|| {
                let what = format!("`{}` is not a sealed `{wanted}`", path.display());
                Failure::refused(what, "restore the file")
            })?;
        open(&self.kek, &service_secret_aad(found), &sealed).map_err(|error| {
            let what =
                format!("cannot open `{}` with the secret of `{}`", path.display(), self.path.display());
            Failure::refused(what, "restore the secret that the file was sealed under").because(&error)
        })
    }

    /// Opens a sealed file that must hold 32 bytes.
    pub(crate) fn open32(
        &self,
        path: &Path,
        purpose: &str,
        owner: &Principal,
    ) -> Result<Zeroizing<[u8; 32]>> {
        let mut bytes = Zeroizing::new([0; 32]);
        let opened = self.open(path, purpose, owner)?;
        let fits = opened.expose(|plain| {
            let fits = plain.len() == bytes.len();
            bytes.iter_mut().zip(plain).for_each(|(to, from)| *to = *from);
            fits
        });
        if fits {
            return Ok(bytes);
        }
        Err(Failure::refused(format!("`{}` does not hold 32 bytes", path.display()), "restore the file"))
    }
}

const fn label(for_trial: bool) -> &'static str {
    if for_trial { NON_PRODUCTION } else { "" }
}

fn named(purpose: &str, owner: &Principal) -> String {
    format!("{purpose} FOR {}", owner.uri())
}

/// What a file says that it is, and its envelope.
fn parse(text: &str) -> Option<(&str, Vec<u8>)> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let named = lines.next()?.strip_prefix(BEGIN)?.strip_suffix("-----")?;
    let body = lines.next()?;
    let whole = lines.next() == Some(END) && lines.next().is_none();
    whole.then(|| hex::decode(body).ok()).flatten().map(|sealed| (named, sealed))
}

/// 32 fresh random bytes.
pub(crate) fn random32() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut())
        .map_err(|error| Failure::refused("the system gives no random bytes", "try again").because(&error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_domain::Role;

    use super::*;

    fn node(name: &str) -> Principal {
        Principal::new(Role::Node, name).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_under_its_purpose_owner_and_secret_only() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        OperatorSecret::create(&at("secret")).unwrap();
        let secret = OperatorSecret::load(&at("secret")).unwrap();
        secret.seal(&at("key"), "validator-key", &node("one"), &[7; 32]).unwrap();
        assert_eq!(*secret.open32(&at("key"), "validator-key", &node("one")).unwrap(), [7; 32]);
        assert!(secret.open(&at("key"), "submitter-key", &node("one")).is_err());
        assert!(secret.open(&at("key"), "validator-key", &node("two")).is_err(), "another validator's");
        let other = OperatorSecret::create(&at("other")).unwrap();
        assert!(other.open(&at("key"), "validator-key", &node("one")).is_err());
        let text = std::fs::read_to_string(at("key")).unwrap();
        assert!(!text.contains("NON-PRODUCTION") && !text.contains(&hex::encode([7; 32])));
        OperatorSecret::create_for_trial(&at("trial")).unwrap();
        OperatorSecret::load(&at("trial")).unwrap().seal(&at("tried"), "one", &node("one"), b"x").unwrap();
        for tried in ["trial", "tried"] {
            assert!(std::fs::read_to_string(at(tried)).unwrap().starts_with(NON_PRODUCTION));
        }
    }

    #[test]
    fn neither_purpose_nor_owner_can_be_renamed_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let secret = OperatorSecret::create(&at("secret")).unwrap();
        secret.seal(&at("key"), "one", &node("a"), &[7; 32]).unwrap();
        let text = std::fs::read_to_string(at("key")).unwrap();
        for (changed, purpose, owner) in [
            (text.replace("SEALED one", "SEALED two"), "two", "a"),
            (text.replace("node/a", "node/b"), "one", "b"),
            (text.replace(" FOR keyward://node/a", ""), "one", "b"),
            (text.replace(" FOR keyward://node/a", ""), "one", "a"),
        ] {
            assert_ne!(changed, text);
            files::write(&at("key"), changed.as_bytes(), Access::Secret).unwrap();
            assert!(secret.open(&at("key"), purpose, &node(owner)).is_err(), "{changed}");
        }
    }

    #[test]
    fn a_file_from_before_names_no_owner_and_still_opens() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let secret = OperatorSecret::create(&at("secret")).unwrap();
        let sealed = seal(&secret.kek, &service_secret_aad("tls-key"), b"pem").unwrap();
        let text = format!("{BEGIN}tls-key-----\n{}\n{END}\n", hex::encode(sealed));
        files::write(&at("key"), text.as_bytes(), Access::Secret).unwrap();
        assert!(secret.open(&at("key"), "tls-key", &node("any")).unwrap().matches(b"pem"));
        assert!(secret.open(&at("key"), "validator-key", &node("any")).is_err());
    }
}
