//! What an engine is started with.
use crate::{Certificate, Format};
use bytes::Bytes;
use std::{fmt, net::SocketAddr, num::NonZeroU64, path::PathBuf, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// The Ed25519 seed a validator votes and authenticates with. Wiped on drop, never printed.
pub struct ConsensusKey(Zeroizing<[u8; 32]>);

impl ConsensusKey {
    /// Takes a 32-byte Ed25519 seed.
    pub fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(seed)
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        ed25519_dalek::SigningKey::from_bytes(&self.0).verifying_key().to_bytes()
    }

    pub(crate) fn expose<R>(&self, f: impl FnOnce(&[u8; 32]) -> R) -> R {
        f(&self.0)
    }
}

impl fmt::Debug for ConsensusKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsensusKey(redacted)")
    }
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its consensus public key, by which it authenticates.
    pub key: [u8; 32],
    /// Where it listens.
    pub address: SocketAddr,
}

/// Whether this node may vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Votes in epochs whose validator set holds its key.
    Validator,
    /// Follows and verifies, never votes: the role after a vote journal was lost, until the key is rotated.
    Observer,
}

/// Time-outs. All nodes should use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a view waits for its leader's proposal.
    pub leader_time_out: Duration,
    /// How long a view waits to be certified; more than `leader_time_out`.
    pub certification_time_out: Duration,
    /// How often a stuck view repeats its vote to skip.
    pub retry: Duration,
    /// After how long without a sign of life a leader's views are skipped at once; more than
    /// `certification_time_out` and `retry`.
    pub skip_after: Duration,
    /// How long a stable leader may keep a view unfinalized before its whole term is skipped.
    pub stall_time_out: Duration,
    /// How far a stable leader's proposals may run ahead of certified ones, in views.
    pub pipeline_views: u64,
    /// How long a request for missing data waits for one peer.
    pub fetch_time_out: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            leader_time_out: Duration::from_millis(800),
            certification_time_out: Duration::from_millis(1200),
            retry: Duration::from_millis(800),
            skip_after: Duration::from_millis(1500),
            stall_time_out: Duration::from_millis(2500),
            pipeline_views: 4,
            fetch_time_out: Duration::from_millis(1000),
        }
    }
}

impl Timing {
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let zero = Duration::ZERO;
        if self.leader_time_out == zero || self.retry == zero || self.fetch_time_out == zero {
            return Some("a time-out is zero");
        }
        if self.certification_time_out <= self.leader_time_out {
            return Some("certification time-out is not above the leader time-out");
        }
        if self.skip_after <= self.certification_time_out || self.skip_after <= self.retry {
            return Some("skip time-out is not above the certification time-out and the retry");
        }
        (self.stall_time_out == zero).then_some("stall time-out is zero")
    }
}

/// Where a node begins that holds no older blocks: the last block of an epoch.
///
/// The caller has verified the certificate, and its application stands at that block when the engine is first started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The block's height.
    pub height: u64,
    /// Its certificate.
    pub certificate: Certificate,
}

impl Floor {
    pub(crate) fn problem(&self, epoch_length: NonZeroU64) -> Option<&'static str> {
        let length = epoch_length.get();
        if !self.height.saturating_add(1).is_multiple_of(length) {
            return Some("the floor is not the last block of an epoch");
        }
        (self.certificate.epoch != self.height / length)
            .then_some("the floor's certificate is of another epoch")
    }
}

/// Everything an engine is started with.
pub struct EngineConfig {
    /// Base namespace of all votes; must name the chain (it holds the genesis hash).
    pub namespace: Vec<u8>,
    /// The genesis block's bytes; must parse to height 0.
    pub genesis: Bytes,
    /// Where the chain begins here, if not at genesis. It must not change while there is a store.
    pub floor: Option<Floor>,
    /// How block bytes are read.
    pub format: Arc<dyn Format>,
    /// The key this node votes and authenticates with.
    pub key: ConsensusKey,
    /// Whether this node may vote.
    pub role: Role,
    /// Where to listen for peers.
    pub listen: SocketAddr,
    /// The other nodes as far as they are known at the start, validators or not; epochs may name others. The own
    /// key may be among them.
    pub peers: Vec<Peer>,
    /// Folder of the engine's own files: votes not yet superseded, and caches.
    pub storage: PathBuf,
    /// Blocks per epoch: epoch `e` covers heights `e * length ..= e * length + length - 1`.
    pub epoch_length: NonZeroU64,
    /// Time-outs.
    pub timing: Timing,
    /// Threads of the engine's runtime.
    pub worker_threads: usize,
}

impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig")
            .field("role", &self.role)
            .field("floor", &self.floor.as_ref().map(|floor| floor.height))
            .field("listen", &self.listen)
            .field("peers", &self.peers.len())
            .field("storage", &self.storage)
            .field("epoch_length", &self.epoch_length)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}
