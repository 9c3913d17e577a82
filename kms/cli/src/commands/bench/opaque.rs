//! The engine alone: as many of it as there are validators, in this process, order blocks of opaque bytes that nobody
//! executes, over TCP and with durable votes and blocks, as the validators do.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyward_ledger_core::hash::sha256;
use keyward_ledger_engine::{
    Ancestors, Application, Block, BlockHeader, BoxFuture, Certificate, ConsensusKey, Engine, EngineConfig,
    EngineHandle, EpochPlan, Event, Format, LeaderTerm, Peer, ProposeContext, Role, Segments, SegmentsConfig,
    Timing,
};
use zeroize::Zeroizing;

use super::site::Folder;
use crate::failure::{Failure, Result};
use crate::local::ports::{Chooser, local};
use crate::sealed::random32;

/// `height u64 || parent[32] || body`.
const HEADER_BYTES: usize = 8 + 32;
/// As the ledger has them.
const EPOCH_BLOCKS: NonZeroU64 = NonZeroU64::new(256).unwrap();
const TERM_VIEWS: u32 = 64;
const THREADS: usize = 2;
/// How long the engines may take to order their first blocks.
const PATIENCE: Duration = Duration::from_secs(120);
const BLOCKS_FIRST: u64 = 20;

/// Blocks per second that so many engines make final, each block with a body of so many bytes.
pub(super) async fn blocks_per_s(validators: usize, body_bytes: usize, time: Duration) -> Result<f64> {
    Alone::start(Folder::make()?, validators, body_bytes)?.rate(time).await
}

/// Engines that run, in a folder of their own: both end with it, be it that something failed or was broken off.
struct Alone {
    engines: Vec<EngineHandle>,
    // INVARIANT: goes after the engines: one that loses its files ends the process.
    folder: Folder,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.engines.iter().for_each(EngineHandle::join);
    }
}

impl Alone {
    fn start(folder: Folder, validators: usize, body_bytes: usize) -> Result<Self> {
        let (members, peers, application) = members(validators, body_bytes)?;
        let mut alone = Self { engines: Vec::with_capacity(validators), folder };
        for (index, (seed, address)) in members.iter().enumerate() {
            let folder = alone.folder.0.join(index.to_string());
            let config = config(ConsensusKey::new(seed.clone()), *address, &peers, &folder, body_bytes);
            let blocks = folder.join("blocks");
            let (store, _recovery) =
                Segments::open(&blocks, SegmentsConfig::default()).map_err(|error| cannot(&error))?;
            let engine = Engine::start(config, application.clone(), Arc::new(store));
            alone.engines.push(engine.map_err(|error| cannot(&error))?);
        }
        Ok(alone)
    }

    /// Of the engine that is furthest behind, once all of them are at work.
    async fn rate(self, time: Duration) -> Result<f64> {
        let height = || self.engines.iter().map(EngineHandle::finalized_height).min().unwrap_or(0);
        let deadline = Instant::now() + PATIENCE;
        while height() < BLOCKS_FIRST {
            if Instant::now() > deadline {
                let what =
                    format!("the engine alone ordered {} blocks in {} s", height(), PATIENCE.as_secs());
                return Err(Failure::refused(what, "end other programs, then try again"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (before, started) = (height(), Instant::now());
        tokio::time::sleep(time).await;
        Ok((height() - before) as f64 / started.elapsed().as_secs_f64())
    }
}

type Members = (Vec<(Zeroizing<[u8; 32]>, SocketAddr)>, Vec<Peer>, Arc<Opaque>);

fn members(validators: usize, body_bytes: usize) -> Result<Members> {
    let mut ports = Chooser::default();
    let mut members = Vec::with_capacity(validators);
    for _ in 0..validators {
        members.push((random32()?, local(ports.choose(None)?.port)));
    }
    drop(ports);
    let key = |seed: &Zeroizing<[u8; 32]>| ConsensusKey::new(seed.clone());
    let peers: Vec<_> =
        members.iter().map(|(seed, address)| Peer { key: key(seed).public(), address: *address }).collect();
    let application = Arc::new(Opaque {
        body: Bytes::from(vec![0xA5; body_bytes]),
        validators: peers.iter().map(|peer| peer.key).collect(),
    });
    Ok((members, peers, application))
}

fn config(
    key: ConsensusKey,
    listen: SocketAddr,
    peers: &[Peer],
    folder: &Path,
    body_bytes: usize,
) -> EngineConfig {
    EngineConfig {
        namespace: b"keyward/bench/opaque/v1".to_vec(),
        genesis: block(0, [0; 32], &[]),
        floor: None,
        format: Arc::new(OpaqueFormat { bytes_max: HEADER_BYTES + body_bytes }),
        key,
        role: Role::Validator,
        listen,
        peers: peers.to_vec(),
        storage: folder.join("engine"),
        epoch_length: EPOCH_BLOCKS,
        timing: Timing::default(),
        worker_threads: THREADS,
    }
}

fn block(height: u64, parent: [u8; 32], body: &[u8]) -> Bytes {
    [height.to_be_bytes().as_slice(), &parent, body].concat().into()
}

fn cannot(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::refused("the engine alone cannot be measured", "see the cause").because(error)
}

struct OpaqueFormat {
    bytes_max: usize,
}

impl Format for OpaqueFormat {
    fn parse(&self, bytes: &[u8]) -> Option<BlockHeader> {
        let (height, rest) = bytes.split_first_chunk()?;
        let (parent, _body) = rest.split_first_chunk()?;
        Some(BlockHeader { height: u64::from_be_bytes(*height), parent: *parent, digest: sha256(&[bytes]) })
    }

    fn block_bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// Proposes at once, and agrees to everything.
struct Opaque {
    body: Bytes,
    validators: Vec<[u8; 32]>,
}

impl Application for Opaque {
    fn propose(&self, _: ProposeContext, parent: Block, _: Ancestors) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(async move { Some(block(parent.height + 1, parent.digest, &self.body)) })
    }

    fn verify(&self, _: ProposeContext, _: Block, _: Block, _: Ancestors) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    fn finalized(&self, _: Block) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn certificate(&self, _: u64, _: Certificate) {}

    fn plan(&self, _: u64) -> EpochPlan {
        EpochPlan::new(self.validators.clone(), LeaderTerm::Stable { views: TERM_VIEWS })
    }

    fn event(&self, _: Event) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[tokio::test]
    async fn a_measurement_that_fails_or_is_broken_off_leaves_no_engine_and_no_folder() {
        let folder = Folder::make().unwrap();
        let path = folder.0.clone();
        std::fs::write(path.join("2"), "no folder").unwrap();
        assert!(Alone::start(folder, 4, 1000).is_err());
        assert!(!path.exists());

        let folder = Folder::make().unwrap();
        let path = folder.0.clone();
        let alone = Alone::start(folder, 4, 1000).unwrap();
        assert!(path.join("3").exists());
        let endless = alone.rate(Duration::from_secs(3600));
        assert!(tokio::time::timeout(Duration::from_millis(100), endless).await.is_err());
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn engines_alone_make_blocks_final() {
        // On a busy machine the engine that is furthest behind may be told of no block for a while.
        for time in [500, 5_000, 30_000].map(Duration::from_millis) {
            if blocks_per_s(4, 1000, time).await.unwrap() > 0.0 {
                return;
            }
        }
        panic!("no block in half a minute");
    }
}
