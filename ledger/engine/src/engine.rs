//! The engine on its own thread: commonware's tokio runtime, authenticated TCP, real storage.
use crate::{
    Application, Block, EngineConfig, Peer, Store, StoreError,
    block::BlockCodec,
    disk,
    gossip::{self, Outgoing},
    journal,
    node::{self, CHANNELS, MarshalMailbox, Node, Progress, Settings, Silent, Variant},
    strict::{StrictScheme, strict_key},
};
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::{
    marshal::{self, core::CommitmentFallback},
    types::Height,
};
use commonware_cryptography::{ChaCha20Poly1305, ed25519::PublicKey, sha256::Digest};
use commonware_macros::select;
use commonware_p2p::{Address, AddressableManager as _, Receiver, Sender, authenticated::lookup, utils::mux};
use commonware_runtime::{Quota, Runner as _, Spawner as _, Supervisor as _, tokio};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize, TryCollect as _, ordered::Map};
use futures::channel::oneshot;
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering, mpsc},
    thread::JoinHandle,
    time::Duration,
};
use thiserror::Error;
use tracing::{error, info};

/// The process's exit code after a panic or a fatal failure inside the engine.
pub const EXIT_CODE_FAULT: i32 = 70;

/// Messages per second and peer on one channel. Queues are as long as this times the number of peers.
const MESSAGES_PER_S: Quota = Quota::per_second(NZU32!(4096));
/// Nodes of one network, observers included.
pub(crate) const PEERS_MAX: usize = 128;
/// Nodes that may join while an engine runs: queues have room for them from the start.
const PEERS_ROOM: usize = 8;
/// How long a graceful stop may take.
const STOP_TIME_OUT: Duration = Duration::from_secs(5);

/// Why an engine did not start or ended.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The genesis bytes are not a block of height 0.
    #[error("genesis bytes are not a block of height 0")]
    Genesis,
    /// The store holds another chain.
    #[error("store holds another chain's genesis block")]
    OtherChain,
    /// The configuration does not hold together.
    #[error("engine configuration: {reason}")]
    Config {
        /// What is wrong.
        reason: String,
    },
    /// The listen address cannot be bound.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The vote journal does not reach as far as votes this node is known to have signed. It must not vote:
    /// start it as [`Role::Observer`](crate::Role::Observer) until its key is rotated.
    #[error(
        "vote journal of epoch `{epoch}` is lost or rolled back: signed view `{signed}`, journal ends at `{journal:?}`"
    )]
    VoteJournalLost {
        /// The epoch.
        epoch: u64,
        /// The highest view this node is known to have voted in.
        signed: u64,
        /// The highest view of the journal, if there is one.
        journal: Option<u64>,
    },
    /// The engine's folder is not the one this store was written with; see [`EngineError::VoteJournalLost`].
    #[error("vote journal in `{}` does not belong to this store: it was lost or replaced", .path.display())]
    VoteJournalReplaced {
        /// The engine's folder.
        path: PathBuf,
    },
    /// The engine's own folder cannot be used.
    #[error("engine folder `{}` failed", .path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The engine's storage failed.
    #[error("engine storage failed: {reason}")]
    Storage {
        /// What the runtime said.
        reason: String,
    },
    /// The block store failed.
    #[error("block store failed")]
    Store(#[source] StoreError),
    /// The last block of an epoch is missing from the store.
    #[error("block `{height}`, the last of its epoch, is missing from the store")]
    BoundaryMissing {
        /// Its height.
        height: u64,
    },
    /// The application's plan cannot be run.
    #[error("plan of epoch `{epoch}`: {reason}")]
    Plan {
        /// The epoch.
        epoch: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// There are no epochs left.
    #[error("epoch `{epoch}` is past the last one")]
    EpochsOver {
        /// The epoch.
        epoch: u64,
    },
    /// The network refused a channel.
    #[error("network refused a channel")]
    Network(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The engine's thread could not be started.
    #[error("cannot start the engine's thread")]
    Thread(#[source] io::Error),
    /// The engine ended before it was ready.
    #[error("engine ended before it was ready")]
    Ended(#[source] mpsc::RecvError),
}

impl From<mux::Error> for EngineError {
    fn from(error: mux::Error) -> Self {
        Self::Network(Box::new(error))
    }
}

/// The consensus engine.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Starts an engine on its own thread and returns once it runs.
    ///
    /// A panic or a fatal storage failure inside it is logged and ends the process with
    /// [`EXIT_CODE_FAULT`], or with [`EXIT_CODE_DISK`](crate::EXIT_CODE_DISK) if its disk takes no writes: a node that lost its footing must not go on.
    pub fn start(
        config: EngineConfig,
        application: Arc<dyn Application>,
        store: Arc<dyn Store>,
    ) -> Result<EngineHandle, EngineError> {
        let mut prepared = Prepared::new(config)?;
        prepared.settings.journal = Some(journal::check(&prepared.storage, prepared.own.key, &*store)?);
        let (ready, started) = mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("ledger-engine".into())
            .spawn(move || {
                let storage = prepared.storage.clone();
                guard(&storage, || prepared.run(application, store, &ready, stopped));
            })
            .map_err(EngineError::Thread)?;
        let Started { marshal, progress, outgoing } = match started.recv().map_err(EngineError::Ended) {
            Ok(Ok(started)) => started,
            Ok(Err(error)) | Err(error) => {
                // Its port and files are free again once this returns.
                let _ = thread.join();
                return Err(error);
            }
        };
        Ok(EngineHandle {
            stop: Mutex::new(Some(stop)),
            thread: Mutex::new(Some(thread)),
            marshal,
            progress,
            outgoing,
        })
    }
}

/// Ends the process if `run` panics: half an engine is worse than none.
pub(crate) fn guard(storage: &Path, run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        error!("panic inside the engine: ending the process");
        std::process::exit(disk::exit_code(storage));
    }
}

pub(crate) type Oracle = lookup::Oracle<PublicKey>;

/// What the handle needs of an engine that runs.
struct Started {
    marshal: MarshalMailbox,
    progress: Arc<Progress>,
    outgoing: Outgoing,
}

type Ready = mpsc::SyncSender<Result<Started, EngineError>>;

/// A configuration that was checked.
pub(crate) struct Prepared {
    pub(crate) settings: Settings,
    pub(crate) storage: PathBuf,
    listen: SocketAddr,
    own: Peer,
    peers: Map<PublicKey, Address>,
    pub(crate) worker_threads: usize,
}

/// A peer network that was joined.
pub(crate) struct Joined<S, R> {
    /// The channels of consensus.
    pub(crate) networks: [(S, R); 5],
    /// The one beside it.
    pub(crate) messages: (S, R),
    /// Says who is connected.
    pub(crate) oracle: Oracle,
    /// The longest message.
    pub(crate) bytes_max: usize,
}

/// Ourselves and the others, as the network takes them.
fn known(own: &Peer, others: &[Peer]) -> Result<Map<PublicKey, Address>, String> {
    let others = others.iter().filter(|peer| peer.key != own.key);
    let known = others.chain([own]).map(|Peer { key, address }| {
        strict_key(key)
            .and_then(|_| PublicKey::decode(Copying(key)).ok())
            .map(|key| (key, Address::from(*address)))
            .ok_or_else(|| format!("peer key `{}` is not a canonical key", crate::block::hex(key)))
    });
    let known: Vec<_> = known.collect::<Result<_, _>>()?;
    known.into_iter().try_collect().map_err(|error| format!("a peer stands twice: {error}"))
}

/// Tracks the nodes of each epoch that names them; those it does not name are let go.
fn tracker(oracle: Oracle, own: Peer, room: usize) -> node::Track {
    let oracle = Mutex::new(oracle);
    Arc::new(move |epoch, peers| {
        if peers.is_empty() {
            return;
        }
        let kept = peers.get(..peers.len().min(room.saturating_sub(1))).unwrap_or_default();
        if kept.len() < peers.len() {
            error!(
                epoch,
                left_out = peers.len() - kept.len(),
                "alarm: more nodes than this network was started for; start this node again"
            );
        }
        match known(&own, kept) {
            Ok(peers) => {
                let _ = oracle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .track(epoch.saturating_add(1), peers);
            }
            Err(reason) => error!(epoch, reason, "alarm: an epoch's nodes are refused; the ones before stay"),
        }
    })
}

impl Prepared {
    pub(crate) fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let refuse = |reason: String| EngineError::Config { reason };
        if config.worker_threads == 0 {
            return Err(refuse("no worker threads".into()));
        }
        if config.peers.len() >= PEERS_MAX {
            return Err(refuse(format!("`{}` peers are more than `{PEERS_MAX}`", config.peers.len())));
        }
        let settings = Settings::new(&config, String::new())?;
        let own = config.key.public();
        let own = Peer { key: own, address: config.listen };
        let peers = known(&own, &config.peers).map_err(refuse)?;
        let (storage, listen, worker_threads) = (config.storage, config.listen, config.worker_threads);
        // commonware panics when it cannot bind, so a busy port is found here.
        TcpListener::bind(listen).map_err(|source| EngineError::Listen { address: listen, source })?;
        Ok(Self { settings, storage, listen, own, peers, worker_threads })
    }

    fn run(
        self,
        application: Arc<dyn Application>,
        store: Arc<dyn Store>,
        ready: &Ready,
        stopped: oneshot::Receiver<()>,
    ) {
        let storage = self.storage.clone();
        let runtime = tokio::Config::new()
            .with_storage_directory(storage.clone())
            .with_worker_threads(self.worker_threads);
        tokio::Runner::new(runtime).start(|context| async move {
            let (node, outgoing) = match self.start(&context, application, store).await {
                Ok(started) => started,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let Node { handle, marshal, progress } = node;
            let _ = ready.send(Ok(Started { marshal, progress: progress.clone(), outgoing }));
            select! {
                // A dropped handle stops the engine like a call does.
                _ = stopped => {},
                _ = handle => {
                    let fault = progress.fault.get();
                    error!(?fault, "the engine ended on its own: ending the process");
                    std::process::exit(disk::exit_code(&storage));
                },
            }
            info!("engine stops");
            if let Err(error) = context.stop(0, Some(STOP_TIME_OUT)).await {
                error!(%error, "engine tasks did not stop in time");
            }
        });
    }

    /// Joins the peer network.
    pub(crate) fn network(
        &self,
        context: &tokio::Context,
    ) -> Joined<impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>> {
        let payload = payload_bytes_max(&self.settings.codec);
        let handshake = Cups::<_, ChaCha20Poly1305>::new(
            Sake {
                signer: self.settings.key.clone(),
                synchrony_bound: Duration::from_secs(5),
                max_handshake_age: Duration::from_secs(10),
                version: sake::Version::V1,
            },
            cups::Version::V1,
        );
        let payload = commonware_p2p::max_message_size(&[payload]);
        let namespace = [self.settings.namespace.as_slice(), b"_P2P"].concat();
        let room = self.peers.len() + PEERS_ROOM;
        let peers_max = NonZeroUsize::new(room).unwrap_or(NZUsize!(1));
        let mut p2p =
            lookup::Config::local(handshake, &namespace, self.listen, peers_max, payload, node::MAILBOX_SIZE);
        // Each epoch names all of its nodes, those of the epoch before included.
        p2p.tracked_peer_sets = NZUsize!(1);
        p2p.peer_connection_cooldown = Duration::from_millis(250);
        p2p.dial_frequency = Duration::from_millis(200);
        p2p.ping_frequency = Duration::from_secs(2);
        p2p.dial_timeout = Duration::from_secs(5);
        p2p.allowed_handshake_rate_per_ip = Quota::per_second(NZU32!(64));
        p2p.allowed_handshake_rate_per_subnet = Quota::per_second(NZU32!(256));
        let (mut network, mut oracle) = lookup::Network::new(context.child("network"), p2p);
        let _ = oracle.track(0, self.peers.clone());
        let networks = CHANNELS.map(|channel| network.register(channel, MESSAGES_PER_S));
        let messages = network.register(gossip::CHANNEL, MESSAGES_PER_S);
        network.start();
        Joined { networks, messages, oracle, bytes_max: payload as usize }
    }

    async fn start(
        mut self,
        context: &tokio::Context,
        application: Arc<dyn Application>,
        store: Arc<dyn Store>,
    ) -> Result<(Node, Outgoing), EngineError> {
        let Joined { networks, messages, oracle, bytes_max } = self.network(context);
        self.settings.track = tracker(oracle.clone(), self.own, self.peers.len() + PEERS_ROOM);
        let outgoing = gossip::start(context.child("gossip"), messages, gossip::to(&application), bytes_max);
        let peers = (oracle.clone(), oracle);
        let context = context.child("ledger");
        let node = node::start(context, self.settings, application, store, peers, networks, None::<Silent>);
        Ok((node.await?, outgoing))
    }
}

/// The longest message on any channel.
pub(crate) fn payload_bytes_max(codec: &BlockCodec) -> usize {
    mux::prefixed(marshal::max_payload_size::<Variant, StrictScheme>(PEERS_MAX as u32, codec))
}

/// A running engine. Dropping it stops the engine without waiting; [`EngineHandle::join`] waits.
pub struct EngineHandle {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    marshal: MarshalMailbox,
    progress: Arc<Progress>,
    outgoing: Outgoing,
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineHandle")
            .field("finalized_height", &self.finalized_height())
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

impl EngineHandle {
    /// The handle of an engine whose tasks somebody else ends.
    pub(crate) fn on_foreign_runtime(
        marshal: MarshalMailbox,
        progress: Arc<Progress>,
        outgoing: Outgoing,
    ) -> Self {
        Self { stop: Mutex::new(None), thread: Mutex::new(None), marshal, progress, outgoing }
    }

    /// Height of the last block that the application took as finalized.
    pub fn finalized_height(&self) -> u64 {
        self.progress.height.load(Ordering::Acquire)
    }

    /// The epoch that runs.
    pub fn epoch(&self) -> u64 {
        self.progress.epoch.load(Ordering::Relaxed)
    }

    /// A block by digest: from this node, or from the others if it is missing here. `None` when the engine
    /// stops first; give it a time-out. Used to repair a damaged store: put the block back with
    /// [`Store::put_block`].
    pub async fn fetch(&self, digest: [u8; 32]) -> Option<Block> {
        // The height only says how long the request is kept: until the chain reaches it.
        let fallback = CommitmentFallback::FetchByCommitment { height: Height::new(u64::MAX) };
        let block = self.marshal.subscribe_by_commitment(Digest(digest), fallback).await.ok()?;
        Some(block.inner().0.clone())
    }

    /// Sends a message to the application of one peer if it is connected, best effort: it may be lost.
    pub fn tell(&self, peer: &[u8; 32], message: bytes::Bytes) {
        self.outgoing.send_to(peer, message);
    }

    /// Sends a message to the application of every connected peer, best effort: it may be lost.
    pub fn gossip(&self, message: bytes::Bytes) {
        self.outgoing.send(message);
    }

    /// Asks the engine to stop; it finishes what is being written.
    pub fn shutdown(&self) {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stop) = stop {
            let _ = stop.send(());
        }
    }

    /// Stops the engine if it still runs and waits for its thread to end.
    pub fn join(&self) {
        self.shutdown();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            error!("the engine's thread ended with a panic");
        }
    }
}
