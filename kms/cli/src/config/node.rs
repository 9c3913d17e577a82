//! The configuration of `keyward node`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_node::{
    CatchUp, CatchUpFrom, Config, KeyCheck, LostKey, Peer, ScrubPace, ServerTls, StoreConfig,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cold::ColdFile;
use super::{Sources, TlsFiles, environment, from_folder, load};
use crate::certificate::principal_of;
use crate::failure::{Failure, Result};
use crate::files;
use crate::sealed::OperatorSecret;

/// What environment variables for a node begin with.
pub(crate) const PREFIX: &str = "KEYWARD_NODE_";
/// What a sealed validator key is sealed for.
pub(crate) const VALIDATOR_KEY: &str = "validator-key";
/// What a sealed checkpoint key is sealed for.
pub(crate) const CHECKPOINT_KEY: &str = "checkpoint-key";
/// What a sealed TLS key is sealed for.
pub(crate) const TLS_KEY: &str = "tls-key";

/// What stands in the file; relative paths count from its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeConfig {
    /// Everything of this validator lies below it.
    pub(crate) data_dir: PathBuf,
    /// The genesis document.
    pub(crate) genesis: PathBuf,
    /// The secret that keys are sealed under.
    pub(crate) operator_secret: PathBuf,
    /// The validator's sealed key.
    pub(crate) validator_key: PathBuf,
    /// The sealed key with which it signs checkpoints of the log; without one it makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint_key: Option<PathBuf>,
    /// Where other validators reach us.
    pub(crate) peer_listen: SocketAddr,
    /// Where callers reach us.
    pub(crate) rpc_listen: SocketAddr,
    /// How long a chain without entries waits for its next block, in milliseconds.
    #[serde(default = "idle_block_interval_ms")]
    pub(crate) idle_block_interval_ms: u64,
    /// The least time between two blocks, in milliseconds.
    #[serde(default = "block_interval_min_ms")]
    pub(crate) block_interval_min_ms: u64,
    /// The pause between two readings of everything that is stored, in seconds.
    #[serde(default = "scrub_pause_s")]
    pub(crate) scrub_pause_s: u64,
    /// How much of it is read in a second, in bytes.
    #[serde(default = "scrub_bytes_per_s")]
    pub(crate) scrub_bytes_per_s: u64,
    /// The greatest length of one file of blocks, in bytes.
    #[serde(default = "segment_bytes_max")]
    pub(crate) segment_bytes_max: u64,
    /// How many blocks lie between two snapshots of the state.
    #[serde(default = "snapshot_blocks")]
    pub(crate) snapshot_blocks: u64,
    /// From what a node with an empty folder gets in step.
    #[serde(default)]
    pub(crate) catch_up: CatchUpFile,
    /// A ledger shorter than this many blocks is replayed in any case.
    #[serde(default = "catch_up_blocks_min")]
    pub(crate) catch_up_blocks_min: u64,
    pub(crate) tls: TlsFiles,
    /// Where old blocks go; without it they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cold: Option<ColdFile>,
    /// Every validator, ourselves included.
    pub(crate) peers: Vec<PeerConfig>,
}

/// From what a node with an empty folder gets in step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CatchUpFile {
    /// A snapshot of the others', unless this key was a validator's before.
    #[default]
    Auto,
    /// A snapshot; a key that was a validator's before votes no more.
    Snapshot,
    /// Every block since genesis.
    Blocks,
}

/// A sealed key of a node.
#[derive(Clone, Copy, Debug)]
enum KeyFile {
    Validator,
    Checkpoint,
}

/// Lengths of files of blocks: smaller ones are too many, longer ones too long to move.
const SEGMENT_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 30;

/// What to do about a validator key that cannot be opened.
const VALIDATOR_KEY_LOST: &str = "restore the file or the operator's secret from their backup; if there is none, this \
     validator must not vote any more: make another key (`keyward genesis key`) and have the members put it in the place of \
     the old one (`keyward ledger member rotation`), until when the new one follows as an observer";
/// What to do about a checkpoint key that cannot be opened.
const CHECKPOINT_KEY_LOST: &str = "restore the file or the operator's secret from their backup; without `checkpoint_key` in \
     the configuration the node runs and signs no checkpoints";

/// One validator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerConfig {
    /// Its public key, 64 hex digits.
    pub(crate) key: String,
    /// Where it listens for other validators.
    pub(crate) address: SocketAddr,
}

pub(crate) const fn idle_block_interval_ms() -> u64 {
    keyward_ledger_node::IDLE_BLOCK_INTERVAL.as_millis() as u64
}

pub(crate) const fn block_interval_min_ms() -> u64 {
    keyward_ledger_node::BLOCK_INTERVAL_MIN.as_millis() as u64
}

pub(crate) fn scrub_pause_s() -> u64 {
    ScrubPace::default().pause.as_secs()
}

pub(crate) fn scrub_bytes_per_s() -> u64 {
    ScrubPace::default().bytes_per_s
}

pub(crate) fn segment_bytes_max() -> u64 {
    StoreConfig::default().segment_bytes_max
}

pub(crate) const fn snapshot_blocks() -> u64 {
    keyward_ledger_node::SNAPSHOT_BLOCKS
}

pub(crate) fn catch_up_blocks_min() -> u64 {
    CatchUp::default().blocks_min
}

fn segment_bytes(given: u64) -> Result<u64> {
    if SEGMENT_BYTES.contains(&given) {
        return Ok(given);
    }
    let next = format!("choose {} to {} bytes", SEGMENT_BYTES.start(), SEGMENT_BYTES.end());
    Err(Failure::usage(format!("`segment_bytes_max` is {given}"), next))
}

impl NodeConfig {
    /// Reads the file with environment and flags over it.
    pub(crate) fn load(file: &Path, flags: &[String]) -> Result<Self> {
        load(&Sources { file, prefix: PREFIX, environment: environment(), flags })
    }

    /// Opens what the file names.
    pub(crate) fn open(&self, file: &Path) -> Result<Config> {
        let at = |path: &Path| from_folder(file, path);
        let secret = OperatorSecret::load(&at(&self.operator_secret))?;
        Ok(Config {
            data_dir: at(&self.data_dir),
            genesis: files::read(&at(&self.genesis))?,
            validator_key: self.open_key(file, KeyFile::Validator)?,
            checkpoint_key: match &self.checkpoint_key {
                None => None,
                Some(_) => Some(self.open_key(file, KeyFile::Checkpoint)?),
            },
            peer_listen: self.peer_listen,
            peers: self.peers.iter().map(PeerConfig::open).collect::<Result<_>>()?,
            rpc_listen: self.rpc_listen,
            tls: self.tls.open(file, &secret)?,
            idle_block_interval: Duration::from_millis(self.idle_block_interval_ms),
            block_interval_min: Duration::from_millis(self.block_interval_min_ms),
            scrub: ScrubPace {
                pause: Duration::from_secs(self.scrub_pause_s),
                bytes_per_s: self.scrub_bytes_per_s.max(1),
            },
            store: StoreConfig {
                segment_bytes_max: segment_bytes(self.segment_bytes_max)?,
                cold: self.cold.as_ref().map(|cold| cold.open(file, &environment())).transpose()?,
            },
            snapshot_blocks: self.snapshot_blocks,
            catch_up: CatchUp {
                from: match self.catch_up {
                    CatchUpFile::Auto => CatchUpFrom::Auto,
                    CatchUpFile::Snapshot => CatchUpFrom::Snapshot,
                    CatchUpFile::Blocks => CatchUpFrom::Blocks,
                },
                blocks_min: self.catch_up_blocks_min,
            },
            keys: Some(self.key_check(file)?),
        })
    }

    fn key_path(&self, file: &Path, which: KeyFile) -> Option<PathBuf> {
        let path = match which {
            KeyFile::Validator => Some(&self.validator_key),
            KeyFile::Checkpoint => self.checkpoint_key.as_ref(),
        };
        path.map(|path| from_folder(file, path))
    }

    fn open_key(&self, file: &Path, which: KeyFile) -> Result<Zeroizing<[u8; 32]>> {
        let secret = OperatorSecret::load(&from_folder(file, &self.operator_secret))?;
        let owner = principal_of(&from_folder(file, &self.tls.certificate))?;
        let (purpose, next) = match which {
            KeyFile::Validator => (VALIDATOR_KEY, VALIDATOR_KEY_LOST),
            KeyFile::Checkpoint => (CHECKPOINT_KEY, CHECKPOINT_KEY_LOST),
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
    fn key_check(&self, file: &Path) -> Result<KeyCheck> {
        let mut keys = Vec::new();
        for which in [KeyFile::Validator, KeyFile::Checkpoint] {
            if let Some(path) = self.key_path(file, which) {
                keys.push((which, path, SigningKey::from_seed(&*self.open_key(file, which)?).public_key()));
            }
        }
        let (config, file) = (self.clone(), file.to_owned());
        Ok(KeyCheck::new(move || {
            let lost = keys.iter().filter_map(|(which, path, public)| {
                let reason = match config.open_key(&file, *which) {
                    Ok(seed) if SigningKey::from_seed(&seed).public_key() == *public => return None,
                    Ok(_) => format!("another key than the one in use, {}", hex::encode(public)),
                    Err(failure) => format!("{}; {}", failure.causes.join(": "), failure.next),
                };
                Some(LostKey { path: path.clone(), reason })
            });
            lost.chain(config.tls_key_lost(&file)).collect()
        }))
    }
}

impl PeerConfig {
    fn open(&self) -> Result<Peer> {
        let mut key = [0; 32];
        hex::decode_to_slice(&self.key, &mut key).map_err(|error| {
            Failure::usage(format!("peer key `{}` is not 64 hex digits", self.key), "correct it")
                .because(&error)
        })?;
        Ok(Peer { key, address: self.address })
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
    fn open(&self, file: &Path, secret: &OperatorSecret) -> Result<ServerTls> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn files_of_blocks_are_neither_tiny_nor_huge() {
        for good in [1 << 20, segment_bytes_max(), 1 << 30] {
            assert_eq!(segment_bytes(good).unwrap(), good);
        }
        for wrong in [0, (1 << 20) - 1, (1 << 30) + 1, u64::MAX] {
            let failure = segment_bytes(wrong).unwrap_err();
            assert_eq!(
                (failure.exit, failure.next.as_str()),
                (Exit::Usage, "choose 1048576 to 1073741824 bytes")
            );
        }
    }
}
