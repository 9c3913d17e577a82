//! Four real engines over TCP in one process.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use super::support::{self, NAMESPACE, Toy, ToyFormat, genesis};
use keyward_ledger_engine::{
    ConsensusKey, Engine, EngineConfig, EngineError, EngineHandle, LeaderTerm, Peer, Role, Segments,
    SegmentsConfig, Timing,
};
use std::{
    net::SocketAddr,
    num::NonZeroU64,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[path = "../../../../tests/support/ports.rs"]
mod ports;
pub(crate) use ports::free_address;

pub struct Member {
    pub toy: Arc<Toy>,
    pub engine: EngineHandle,
    pub store: Arc<Segments>,
}

pub struct Cluster {
    pub folder: TempDir,
    pub addresses: Vec<SocketAddr>,
    pub epoch_length: u64,
    pub term: LeaderTerm,
    pub members: Vec<Option<Member>>,
}

pub fn key(index: usize) -> ConsensusKey {
    ConsensusKey::new(zeroize::Zeroizing::new([index as u8 + 1; 32]))
}

impl Cluster {
    pub fn new(size: usize, epoch_length: u64, term: LeaderTerm) -> Self {
        let addresses = (0..size).map(|_| free_address()).collect();
        let folder = tempfile::tempdir().unwrap();
        Self { folder, addresses, epoch_length, term, members: (0..size).map(|_| None).collect() }
    }

    pub fn start(size: usize, epoch_length: u64, term: LeaderTerm) -> Self {
        let mut cluster = Self::new(size, epoch_length, term);
        (0..size).for_each(|index| cluster.run(index));
        cluster
    }

    pub fn validators(&self) -> Vec<[u8; 32]> {
        (0..self.addresses.len()).map(|index| key(index).public()).collect()
    }

    pub fn blocks_folder(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("{index}/blocks"))
    }

    pub fn engine_folder(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("{index}/engine"))
    }

    pub fn config(&self, index: usize) -> EngineConfig {
        let peers = self.addresses.iter().enumerate();
        EngineConfig {
            namespace: NAMESPACE.to_vec(),
            genesis: genesis(),
            floor: None,
            format: Arc::new(ToyFormat),
            key: key(index),
            role: Role::Validator,
            listen: self.addresses[index],
            peers: peers.map(|(peer, address)| Peer { key: key(peer).public(), address: *address }).collect(),
            storage: self.engine_folder(index),
            epoch_length: NonZeroU64::new(self.epoch_length).unwrap(),
            timing: Timing::default(),
            worker_threads: 1,
        }
    }

    pub fn try_run(&mut self, index: usize, config: EngineConfig) -> Result<(), EngineError> {
        let (store, recovery) =
            Segments::open(&self.blocks_folder(index), SegmentsConfig::default()).unwrap();
        assert_eq!(recovery.damaged, vec![]);
        let store = Arc::new(store);
        let toy =
            Arc::new(Toy::new(self.validators(), self.term, index as u8, support::stored(&store.reader())));
        let engine = Engine::start(config, toy.clone(), store.clone())?;
        self.members[index] = Some(Member { toy, engine, store });
        Ok(())
    }

    pub fn run(&mut self, index: usize) {
        let config = self.config(index);
        self.try_run(index, config).unwrap();
    }

    pub fn stop(&mut self, index: usize) {
        self.members[index].take().unwrap().engine.join();
    }

    pub fn running(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    pub fn top(&self) -> u64 {
        self.running().map(|member| member.toy.height()).max().unwrap()
    }

    /// Waits until every running node finalized `height`.
    pub fn wait(&self, height: u64) {
        let deadline = Instant::now() + Duration::from_secs(600);
        while self.running().any(|member| member.toy.height() < height) {
            let heights: Vec<u64> = self.running().map(|member| member.toy.height()).collect();
            assert!(Instant::now() < deadline, "height {height} not reached: {heights:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn assert_one_chain(&self) {
        let chains: Vec<_> = self.running().map(|member| member.toy.finalized()).collect();
        for (height, digest) in &chains[0] {
            for other in &chains[1..] {
                assert!(other.get(height).is_none_or(|there| there == digest), "fork at {height}");
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The folder goes last: an engine that loses its files ends the process.
        self.members.iter().flatten().for_each(|member| member.engine.join());
    }
}
