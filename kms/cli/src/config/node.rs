//! The configuration of `keyward node`.

mod keys;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_ledger_node::{CatchUp, CatchUpFrom, Config, Peer, ScrubPace, StoreConfig};
use serde::{Deserialize, Serialize};

use super::cold::ColdFile;
use super::keeper::KeeperSection;
use super::{Sources, TlsFiles, environment, from_folder, load};
use crate::failure::{Failure, Result};
use crate::files;
use crate::sealed::OperatorSecret;
use keys::KeyFile;

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
    /// The keeper beside it; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keeper: Option<KeeperSection>,
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

/// Lengths of files of blocks: smaller ones are too many, longer ones too long to move.
const SEGMENT_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 30;

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
        self.keeper.as_ref().map(KeeperSection::check).transpose()?;
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

    /// Where the keeper's shares lie.
    pub(crate) fn keeper_folder(&self, file: &Path, keeper: &KeeperSection) -> PathBuf {
        let below = || self.data_dir.join("keeper");
        from_folder(file, &keeper.folder.clone().unwrap_or_else(below))
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
