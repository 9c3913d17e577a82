//! The sealed keys that a node's configuration names: opened at the start, and looked at again while it runs.

use std::path::{Path, PathBuf};

use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_node::{KeyCheck, LostKey, ServerTls};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::{CHECKPOINT_KEY, NodeConfig, TLS_KEY, VALIDATOR_KEY};
use crate::certificate::principal_of;
use crate::config::keeper::KeeperKey;
use crate::config::{TlsFiles, from_folder};
use crate::failure::{Failure, Result};
use crate::files;
use crate::sealed::OperatorSecret;

/// A sealed key of a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyFile {
    Validator,
    Checkpoint,
    Keeper(KeeperKey),
}

impl KeyFile {
    const ALL: [Self; 5] = [
        Self::Validator,
        Self::Checkpoint,
        Self::Keeper(KeeperKey::Signing),
        Self::Keeper(KeeperKey::Sealing),
        Self::Keeper(KeeperKey::Storage),
    ];
}

/// What to do about a validator key that cannot be opened.
const VALIDATOR_KEY_LOST: &str = "restore the file or the operator's secret from their backup; if there is none, this \
     validator must not vote any more: make another key (`keyward genesis key`) and have the members put it in the place of \
     the old one (`keyward ledger member rotation`), until when the new one follows as an observer";
/// What to do about a checkpoint key that cannot be opened.
const CHECKPOINT_KEY_LOST: &str = "restore the file or the operator's secret from their backup; without `checkpoint_key` in \
     the configuration the node runs and signs no checkpoints";

impl NodeConfig {
    /// The seeds of the keeper's keys. They are opened apart from [`Self::open`]: the validator runs without them, too.
    pub(crate) fn keeper_seed(&self, file: &Path, key: KeeperKey) -> Result<Zeroizing<[u8; 32]>> {
        self.open_key(file, KeyFile::Keeper(key))
    }

    pub(super) fn key_path(&self, file: &Path, which: KeyFile) -> Option<PathBuf> {
        let path = match which {
            KeyFile::Validator => Some(&*self.validator_key),
            KeyFile::Checkpoint => self.checkpoint_key.as_deref(),
            KeyFile::Keeper(key) => self.keeper.as_ref().map(|keeper| keeper.path(key)),
        };
        path.map(|path| from_folder(file, path))
    }

    pub(super) fn open_key(&self, file: &Path, which: KeyFile) -> Result<Zeroizing<[u8; 32]>> {
        let secret = OperatorSecret::load(&from_folder(file, &self.operator_secret))?;
        let owner = principal_of(&from_folder(file, &self.tls.certificate))?;
        let (purpose, next) = match which {
            KeyFile::Validator => (VALIDATOR_KEY, VALIDATOR_KEY_LOST),
            KeyFile::Checkpoint => (CHECKPOINT_KEY, CHECKPOINT_KEY_LOST),
            KeyFile::Keeper(key) => (key.purpose(), key.lost()),
        };
        let path = self.key_path(file, which).unwrap_or_default();
        secret.open32(&path, purpose, &owner).map_err(|failure| Failure { next: next.into(), ..failure })
    }

    fn tls_key_lost(&self, file: &Path) -> Option<LostKey> {
        let secret = OperatorSecret::load(&from_folder(file, &self.operator_secret));
        let failure = secret.and_then(|secret| self.tls.open_parts(file, &secret)).err()?;
        let reason = format!("{}; {}", failure.causes.join(": "), failure.next);
        Some(LostKey { path: from_folder(file, &self.tls.key), reason })
    }

    /// Opens the same files again, and compares what they hold with the keys of now.
    pub(super) fn key_check(&self, file: &Path) -> Result<KeyCheck> {
        let mut keys = Vec::new();
        for which in KeyFile::ALL {
            let Some(path) = self.key_path(file, which) else { continue };
            // A fingerprint of any seed. The keeper may be without its keys: the validator starts all the same.
            let public = match self.open_key(file, which) {
                // These two change while it runs, and what the ledger has of them is looked at apart.
                Ok(_) if matches!(which, KeyFile::Keeper(KeeperKey::Signing | KeeperKey::Sealing)) => None,
                Ok(seed) => Some(SigningKey::from_seed(&seed).public_key()),
                Err(_lost) if matches!(which, KeyFile::Keeper(_)) => None,
                Err(failure) => return Err(failure),
            };
            keys.push((which, path, public));
        }
        let (config, file) = (self.clone(), file.to_owned());
        Ok(KeyCheck::new(move || {
            let lost = keys.iter().filter_map(|(which, path, public)| {
                let reason = match config.open_key(&file, *which) {
                    Ok(seed) => {
                        let found = SigningKey::from_seed(&seed).public_key();
                        let used = public.filter(|public| *public != found)?;
                        format!("another key than the one in use, {}", hex::encode(used))
                    }
                    Err(failure) => format!("{}; {}", failure.causes.join(": "), failure.next),
                };
                Some(LostKey { path: path.clone(), reason })
            });
            lost.chain(config.tls_key_lost(&file)).collect()
        }))
    }
}

/// Whether a certificate is of this private key.
fn certifies(certificate_pem: &str, key_pem: &str) -> bool {
    let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
    let (Ok(chain), Ok(key)) = (chain, key) else { return false };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).is_ok_and(|certified| certified.keys_match().is_ok())
}

impl TlsFiles {
    pub(super) fn open(&self, file: &Path, secret: &OperatorSecret) -> Result<ServerTls> {
        let (ca_pem, certificate_pem, key_pem) = self.open_parts(file, secret)?;
        Ok(ServerTls { ca_pem, certificate_pem, key_pem })
    }

    /// The authority's certificate, ours, and our opened key.
    pub(crate) fn open_parts(
        &self,
        file: &Path,
        secret: &OperatorSecret,
    ) -> Result<(String, String, Zeroizing<String>)> {
        let key = from_folder(file, &self.key);
        let owner = principal_of(&from_folder(file, &self.certificate))?;
        let pem = secret.open(&key, TLS_KEY, &owner)?.expose(|bytes| String::from_utf8(bytes.to_vec()));
        let pem = pem.map_err(|error| {
            Failure::refused(format!("`{}` is not PEM", key.display()), "restore the file")
                .because(&error.utf8_error())
        })?;
        let (pem, certificate) =
            (Zeroizing::new(pem), files::read_text(&from_folder(file, &self.certificate))?);
        if !certifies(&certificate, &pem) {
            let what = format!(
                "`{}` does not certify the key in `{}`",
                self.certificate.display(),
                self.key.display()
            );
            return Err(Failure::refused(what, "give the certificate that was made of this key's request"));
        }
        Ok((files::read_text(&from_folder(file, &self.ca))?, certificate, pem))
    }
}
