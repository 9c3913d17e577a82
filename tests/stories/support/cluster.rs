//! Four validators in this process, over real TCP and real files.

use std::{net::SocketAddr, path::Path, time::Duration};

use keyward_ledger_client::{Client, Identity};
use keyward_ledger_core::{
    block::Regime,
    ed25519::SigningKey,
    genesis::{Genesis, GenesisDocument, Role, Submitter},
    trust::Trust,
};
use keyward_ledger_node::{Beside, CatchUp, Config, Peer, ServerTls, StoreConfig};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use zeroize::Zeroizing;

use super::{authority::Authority, free_address};

pub struct Cluster {
    pub genesis: Genesis,
    pub authority: Authority,
    dir: TempDir,
    peers: Vec<Peer>,
    /// What stands in each node's own configuration.
    known: Vec<Vec<Peer>>,
    seeds: Vec<[u8; 32]>,
    nodes: Vec<Option<Running>>,
    rpc: Vec<SocketAddr>,
    /// How often nodes write snapshots, and how they get in step, from their next start on.
    pub snapshot_blocks: u64,
    pub catch_up: CatchUp,
    /// Where each node keeps its blocks, from its next start on.
    pub stores: Vec<StoreConfig>,
}

/// A story that failed leaves its folder: nodes that still run would end the process, and every other story with it.
impl Drop for Cluster {
    fn drop(&mut self) {
        self.dir.disable_cleanup(std::thread::panicking());
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// The seed of the n-th submitter.
pub fn submitter(n: u8) -> SigningKey {
    SigningKey::from_seed(&[100 + n; 32])
}

impl Cluster {
    pub async fn start(epoch_length: u64) -> Self {
        Self::start_some(epoch_length, &[0, 1, 2, 3]).await
    }

    /// Starts these of the four validators.
    pub async fn start_some(epoch_length: u64, nodes: &[usize]) -> Self {
        let mut seeds: Vec<[u8; 32]> = (1..=4).map(|n| [n; 32]).collect();
        seeds.sort_by_key(|seed| SigningKey::from_seed(seed).public_key());
        let validators: Vec<_> = seeds.iter().map(|seed| SigningKey::from_seed(seed).public_key()).collect();
        let mut submitters: Vec<_> =
            (0..4).map(|n| Submitter::new(submitter(n).public_key(), Role::Service)).collect();
        submitters.sort_by_key(|submitter| submitter.key);
        let genesis = Genesis::new(GenesisDocument {
            name: "story".into(),
            time_ms: 1_700_000_000_000,
            validators: validators.clone(),
            submitters,
            keepers: Vec::new(),
            epoch_length,
            regime: Regime::Fast,
            clock_bound_ms: 10_000,
        });
        let peers: Vec<_> =
            validators.iter().map(|key| Peer { key: *key, address: free_address() }).collect();
        let rpc = (0..4).map(|_| free_address()).collect();
        let mut cluster = Self {
            genesis: genesis.unwrap(),
            authority: Authority::new(),
            dir: tempfile::tempdir().unwrap(),
            known: vec![peers.clone(); 4],
            peers,
            seeds,
            nodes: (0..4).map(|_| None).collect(),
            rpc,
            stores: vec![StoreConfig::default(); 4],
            snapshot_blocks: keyward_ledger_node::SNAPSHOT_BLOCKS,
            catch_up: CatchUp::default(),
        };
        for n in nodes {
            cluster.start_node(*n).await;
        }
        cluster
    }

    /// The key of a node, for what its organisation signs.
    pub fn key(&self, n: usize) -> SigningKey {
        SigningKey::from_seed(&self.seeds[n])
    }

    /// Where a node listens for the others.
    pub fn peer_address(&self, n: usize) -> SocketAddr {
        self.peers[n].address
    }

    /// Another node, not started yet; of the others it knows those in `known`, and they do not know it.
    pub fn add_node(&mut self, seed: [u8; 32], known: &[usize]) -> usize {
        let key = SigningKey::from_seed(&seed).public_key();
        let known = known.iter().map(|n| self.peers[*n].clone()).collect();
        self.peers.push(Peer { key, address: free_address() });
        self.seeds.push(seed);
        self.known.push(known);
        self.rpc.push(free_address());
        self.stores.push(StoreConfig::default());
        self.nodes.push(None);
        self.nodes.len() - 1
    }

    /// Gives a node, which is stopped, another key.
    pub fn replace_key(&mut self, n: usize, seed: [u8; 32]) {
        self.seeds[n] = seed;
    }

    pub fn node_dir(&self, n: usize) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(format!("node-{n}"))
    }

    pub async fn start_node(&mut self, n: usize) {
        let (certificate_pem, key_pem) = self.authority.server();
        let config = Config {
            data_dir: self.node_dir(n),
            genesis: self.genesis.encode(),
            validator_key: Zeroizing::new(self.seeds[n]),
            checkpoint_key: Some(Zeroizing::new(self.seeds[n].map(|byte| !byte))),
            peer_listen: self.peers[n].address,
            peers: self.known[n].clone(),
            rpc_listen: self.rpc[n],
            tls: ServerTls { ca_pem: self.authority.pem.clone(), certificate_pem, key_pem },
            idle_block_interval: keyward_ledger_node::IDLE_BLOCK_INTERVAL,
            block_interval_min: keyward_ledger_node::BLOCK_INTERVAL_MIN,
            scrub: keyward_ledger_node::ScrubPace::default(),
            store: self.stores[n].clone(),
            keys: None,
            snapshot_blocks: self.snapshot_blocks,
            catch_up: self.catch_up,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        // What still waits for a second location that is away holds the folder: a process would have ended, a node in the
        // same process must wait for it.
        let blocks = config.data_dir.join("blocks");
        super::until("the folder to be free", async || !is_locked(&blocks)).await;
        let task = tokio::spawn(async move {
            let shutdown = async move {
                let _ = stopped.await;
            };
            keyward_ledger_node::run(config, Beside::default(), shutdown, |address| {
                ready.send(address).unwrap()
            })
            .await
            .unwrap();
        });
        is_ready.await.unwrap();
        self.nodes[n] = Some(Running { stop, task });
    }

    pub async fn stop_node(&mut self, n: usize) {
        let Running { stop, task } = self.nodes[n].take().unwrap();
        stop.send(()).unwrap();
        task.await.unwrap();
    }

    pub async fn stop(mut self) {
        for n in 0..self.nodes.len() {
            if self.nodes[n].is_some() {
                self.stop_node(n).await;
            }
        }
    }

    pub fn trust(&self) -> Trust {
        Trust::genesis(self.genesis.name().to_owned(), *self.genesis.chain_id())
    }

    /// Where a validator listens for callers.
    pub fn rpc_socket(&self, n: usize) -> SocketAddr {
        self.rpc[n]
    }

    /// Where a validator answers callers.
    pub fn rpc_address(&self, n: usize) -> String {
        format!("https://127.0.0.1:{}", self.rpc[n].port())
    }

    /// A client that asks these validators in this order, with the certificate of a service.
    pub async fn client(&self, nodes: &[usize]) -> Client {
        self.client_as("keyward://service/story", nodes).await
    }

    /// The same with a certificate of this name. It waits as long as a busy machine may need.
    pub async fn client_as(&self, principal: &str, nodes: &[usize]) -> Client {
        let nodes = nodes.iter().map(|n| self.rpc_address(*n)).collect();
        self.client_at(principal, nodes, Duration::from_secs(60)).await
    }

    /// A client that asks at these addresses, and waits so long.
    pub async fn client_at(&self, principal: &str, nodes: Vec<String>, deadline: Duration) -> Client {
        let (certificate_pem, key_pem) = self.authority.client(principal);
        let config = keyward_ledger_client::Config {
            nodes,
            identity: Identity { ca_pem: self.authority.pem.clone(), certificate_pem, key_pem },
            trust: self.trust(),
            deadline,
            dial: None,
        };
        Client::connect(config).await.unwrap()
    }
}

fn is_locked(blocks: &Path) -> bool {
    let file = std::fs::File::open(blocks.join("lock"));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}
