//! A validator: executes blocks before it votes, keeps what is final, serves it with proofs.
//!
//! Threads: the engine has its own thread and runtime; one thread executes; gRPC runs on the caller's tokio
//! runtime. They meet over bounded channels. The order of stopping is: gRPC, engine, executor, stores.

mod alarms;
mod application;
mod beside;
mod catch_up;
mod checkpoint;
mod cold;
mod disk;
mod duties;
mod executor;
mod face;
mod floor;
mod index;
mod intake;
mod keys;
mod links;
mod lookup;
mod machine;
mod peers;
mod plan;
mod pool;
mod readers;
mod refusal;
mod repair;
mod restore;
mod scrub;
mod seat;
mod serve;
mod shared;
#[cfg(test)]
mod simulation;
mod snapshot;

use std::{fmt, io, net::SocketAddr, num::NonZeroU64, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{
    certificate::consensus_namespace,
    ed25519::SigningKey,
    execute::{BlockOutcomes, Ledger, StateBroken},
    genesis::{Genesis, GenesisError},
    log::Frontier,
};
use keyward_ledger_engine::{
    ConsensusKey, Engine, EngineConfig, EngineError, EngineHandle, Role, Segments, StoreError, Timing,
    disown, is_disk_error,
};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tracing::{error, info};
use zeroize::Zeroizing;

use application::{BlockFormat, LedgerApplication, Pace};
use catch_up::Offers;
use checkpoint::Checkpoints;
use cold::Mover;
use executor::{DiskGaveUp, Diverged, Executor, Job};
use floor::{Floor, FloorError};
use index::Index;
use links::Links;
use lookup::Lookup;
use scrub::{Folders, Scrubber};
use serve::{Calls, serve};
use shared::{Shared, View};
use snapshot::Snapshot;

pub use alarms::{Alarm, Code};
pub use beside::Beside;
pub use catch_up::{CatchUp, CatchUpFrom};
pub use cold::{ColdConfig, ColdPlace, StoreConfig};
pub use executor::{EXIT_CODE_DIVERGED, RecoverError};
pub use face::{
    FINDS_MAX, FINDS_PER_CONNECTION_MAX, FOLLOWS_MAX, FOLLOWS_PER_CONNECTION_MAX, WATCHES_MAX,
    WATCHES_PER_CONNECTION_MAX,
};
pub use keys::{KeyCheck, LostKey};
pub use keyward_ledger_engine::{
    BucketConfig, BucketError, BucketKey, DISK_REMEDY, EXIT_CODE_DISK, EXIT_CODE_FAULT, Peer,
};
pub use machine::{Clock, Machine, Timer, Work};
pub use plan::EXIT_CODE_OUTDATED;
pub use pool::{POOL_BYTES_MAX, PoolError, SUBMITTER_BATCHES_MAX, SUBMITTER_BYTES_MAX};
pub use refusal::{CODE_TRAILER, RETRY_TRAILER};
pub use restore::{Restore, RestoreError};
pub use scrub::{ScrubPace, ScrubStatus};
pub use seat::{Answers, Begun, Going, Seat};

/// Jobs that wait for the executor.
const JOBS_MAX: usize = 256;
/// How long open calls may go on after the node was asked to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// The server's side of TLS.
pub struct ServerTls {
    /// Authorities that sign the clients' certificates, PEM.
    pub ca_pem: String,
    /// The node's certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(redacted)")
    }
}

/// Everything a validator is started with.
#[derive(Debug)]
pub struct Config {
    /// The folder below which all of its files lie.
    pub data_dir: PathBuf,
    /// The canonical genesis document.
    pub genesis: Vec<u8>,
    /// The Ed25519 seed with which it votes, proposes and meets its peers.
    pub validator_key: Zeroizing<[u8; 32]>,
    /// The Ed25519 seed with which it signs checkpoints of the log; none: it makes none.
    pub checkpoint_key: Option<Zeroizing<[u8; 32]>>,
    /// Where it listens for peers.
    pub peer_listen: SocketAddr,
    /// The other nodes as far as the ledger does not name them; itself may be among them. Of those that joined by
    /// entry the address stands in the state.
    pub peers: Vec<Peer>,
    /// Where it listens for gRPC; port 0 for a free one.
    pub rpc_listen: SocketAddr,
    /// The gRPC server's TLS.
    pub tls: ServerTls,
    /// Time between blocks when nothing waits.
    pub idle_block_interval: Duration,
    /// Least time between two blocks of one proposer.
    pub block_interval_min: Duration,
    /// How hard the scrubber works, and whoever moves old blocks.
    pub scrub: ScrubPace,
    /// Where blocks lie.
    pub store: StoreConfig,
    /// Blocks between two snapshots of the state: a start executes what came after the last one again, and nodes that
    /// are new begin at one.
    pub snapshot_blocks: u64,
    /// How it gets in step when its folder is empty.
    pub catch_up: CatchUp,
    /// Looks whether the files of its keys can still be opened, where keys come from files.
    pub keys: Option<KeyCheck>,
}

/// Default of [`Config::idle_block_interval`].
pub const IDLE_BLOCK_INTERVAL: Duration = Duration::from_millis(450);
/// Default of [`Config::snapshot_blocks`].
pub const SNAPSHOT_BLOCKS: u64 = 1024;
/// Default of [`Config::block_interval_min`].
pub const BLOCK_INTERVAL_MIN: Duration = Duration::from_millis(12);

/// Why a validator did not start or ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// The genesis document is refused.
    #[error("the genesis document is refused")]
    Genesis(#[from] GenesisError),
    /// A file or folder failed.
    #[error("`{}` failed", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The block store failed.
    #[error("the block store failed")]
    Store(#[from] StoreError),
    /// The bucket for old blocks cannot be set up.
    #[error("the bucket for old blocks cannot be set up")]
    Bucket(#[from] BucketError),
    /// The ledger could not be recovered.
    #[error("the ledger cannot be recovered from its files")]
    Recover(#[from] RecoverError),
    /// Recovering was given up.
    #[error("recovering the ledger was given up")]
    Recovering(#[source] io::Error),
    /// The state holds what no contract wrote.
    #[error("the ledger's state is broken")]
    State(#[from] StateBroken),
    /// The folder belongs to another ledger.
    #[error("`{}` holds another ledger; name another folder or the genesis that made it", .path.display())]
    OtherLedger {
        /// The folder.
        path: PathBuf,
    },
    /// What this node began with does not check.
    #[error("`{}` does not check; restore it from a backup, or make another key, start it in an empty data folder, and have the members seat that key: this one may have voted", .path.display())]
    Floor {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine failed.
    #[error("the consensus engine failed")]
    Engine(#[from] EngineError),
    /// The gRPC address cannot be bound.
    #[error("cannot listen on `{address}`; choose another `rpc_listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The gRPC server failed.
    #[error("the grpc server failed")]
    Rpc(#[from] tonic::transport::Error),
    /// The disk is all but full.
    #[error("the disk of `{}` has {free_bytes} bytes left and {needed_bytes} are needed", .path.display())]
    DiskFull {
        /// The folder.
        path: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What must be.
        needed_bytes: u64,
    },
    /// The disk takes no writes.
    #[error("the disk of `{}` is read-only", .path.display())]
    DiskReadOnly {
        /// The folder.
        path: PathBuf,
    },
}

impl RunError {
    /// Whether the disk is the reason: see [`DISK_REMEDY`].
    pub fn is_of_disk(&self) -> bool {
        match self {
            Self::DiskFull { .. } | Self::DiskReadOnly { .. } => true,
            // A port may be forbidden too.
            Self::Listen { .. } | Self::Engine(EngineError::Listen { .. }) | Self::Rpc(_) => false,
            other => is_disk_error(other),
        }
    }
}

/// Runs a validator until `shutdown` completes. `ready` is called with the gRPC address once it serves. What runs beside
/// it is served as long, and its trouble is not the validator's.
pub async fn run(
    config: Config,
    beside: Beside,
    shutdown: impl Future<Output = ()> + Send,
    ready: impl FnOnce(SocketAddr) + Send,
) -> Result<(), RunError> {
    boxed(config, beside, Box::pin(shutdown), Box::new(ready)).await
}

/// What ends a run.
type Shutdown<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
/// What is called once the validator serves.
type OnReady<'a> = Box<dyn FnOnce(SocketAddr) + Send + 'a>;
type Running<'a> = Pin<Box<dyn Future<Output = Result<(), RunError>> + Send + 'a>>;

/// Not generic, so that a whole validator is compiled here and not once more in each program that runs it.
fn boxed<'a>(config: Config, beside: Beside, shutdown: Shutdown<'a>, ready: OnReady<'a>) -> Running<'a> {
    Box::pin(validate(config, beside, shutdown, ready))
}

async fn validate(
    config: Config,
    beside: Beside,
    mut shutdown: Shutdown<'_>,
    ready: OnReady<'_>,
) -> Result<(), RunError> {
    tokio::select! {
        biased;
        caught_up = catch_up::run(&config) => caught_up?,
        // What was begun is removed by the next start.
        () = &mut shutdown => return Ok(()),
    }
    let parts = {
        let recover =
            move || guard(|| Parts::assemble(&config, Machine::real()).map(|parts| (config, parts)));
        tokio::task::spawn_blocking(recover).await.map_err(io::Error::other).map_err(RunError::Recovering)?
    };
    let (config, Parts { shared, store, executor, queue, jobs, application, incoming }) = parts?;
    let executing = std::thread::Builder::new()
        .name("ledger-executor".into())
        .spawn(move || guard(|| executor.run(queue)))
        .map_err(io_error(&config.data_dir))?;
    let engine = Arc::new(start_engine(&config, &shared, application, store)?);
    let others: Arc<dyn repair::Others> = engine.clone();
    shared.others.send_replace(Arc::downgrade(&others));
    drop(others);
    let offers = Offers::new(config.data_dir.join("snapshots"));
    let intake = tokio::spawn(intake::run(shared.clone(), incoming, offers));
    let own_key = SigningKey::from_seed(&config.validator_key);
    let duties = tokio::spawn(duties::run(shared.clone(), engine.clone(), own_key));
    let passing_on = tokio::spawn(intake::pass_on_again(shared.clone(), engine.clone()));
    let comparing = tokio::spawn(peers::tell_of_blocks(shared.clone()));
    let folders = Folders {
        engine: config.data_dir.join("engine"),
        snapshots: config.data_dir.join("snapshots"),
        keys: config.keys.clone(),
    };
    let (stop_threads, stopping) = watch::channel(false);
    let runtime = tokio::runtime::Handle::current();
    let noting = {
        let (shared, runtime, stopping) = (shared.clone(), runtime.clone(), stopping.clone());
        std::thread::Builder::new()
            .name("ledger-look-up".into())
            .spawn(move || lookup::follow(&shared, &runtime, stopping))
            .map_err(io_error(&config.data_dir))?
    };
    let (pace, patience) = (config.scrub, scrub::PATIENCE);
    let moving = move_old_blocks(&config, &shared, &stopping)?;
    let scrubber = Scrubber { shared: shared.clone(), folders, pace, patience, runtime, stopping };
    let scrubbing = std::thread::Builder::new()
        .name("ledger-scrub".into())
        .spawn(move || scrubber.run())
        .map_err(io_error(&config.data_dir))?;
    let checkpoints = Checkpoints::new(&config, &shared).map(Arc::new);
    let checkpointing =
        tokio::spawn(checkpoint::run(checkpoints.clone(), shared.clone(), Machine::real().clock));

    let mut disk_gave_up = None;
    let watched = shared.clone();
    let end = async {
        tokio::select! {
            () = shutdown => {}
            error = disk::watch(&config.data_dir, &watched.alarms) => {
                error!(%error, "alarm: this node stops voting and ends: {DISK_REMEDY}");
                disk_gave_up = Some(error);
            }
        }
    };
    let Beside { routes, trouble } = beside;
    let hearing = tokio::spawn(beside::hear(trouble, shared.clone()));
    let calls = Calls { shared, engine: engine.clone(), checkpoints, beside: routes };
    let served = serve(&config, calls, end, ready).await;

    hearing.abort();
    checkpointing.abort();
    intake.abort();
    passing_on.abort();
    comparing.abort();
    duties.abort();
    stop_threads.send_replace(true);
    let _ended = tokio::task::spawn_blocking(move || noting.join()).await;
    // A second location that hangs must not keep the node from ending: both may be cut off anywhere.
    let joining = [Some(scrubbing), moving].into_iter().flatten();
    let joining = tokio::task::spawn_blocking(move || joining.for_each(|thread| drop(thread.join())));
    let _ended = tokio::time::timeout(DRAIN, joining).await;
    let stopped = tokio::task::spawn_blocking(move || engine.join()).await;
    let _already_gone = jobs.send(Job::Stop).await;
    let joined = tokio::task::spawn_blocking(move || executing.join()).await;
    info!(engine_stopped = stopped.is_ok(), executor_stopped = joined.is_ok(), "validator stopped");
    disk_gave_up.map_or(served, Err)
}

/// Starts the thread that moves old blocks, where there is a place for them.
fn move_old_blocks(
    config: &Config,
    shared: &Arc<Shared>,
    stopping: &watch::Receiver<bool>,
) -> Result<Option<std::thread::JoinHandle<()>>, RunError> {
    let Some(cold) = &config.store.cold else { return Ok(None) };
    let mover = Mover {
        shared: shared.clone(),
        after_blocks: cold.after_blocks,
        bytes_per_s: config.scrub.bytes_per_s,
        snapshots: config.data_dir.join("snapshots"),
        turn: cold::TURN,
        runtime: tokio::runtime::Handle::current(),
        stopping: stopping.clone(),
    };
    let moving = std::thread::Builder::new().name("ledger-cold".into()).spawn(move || mover.run());
    moving.map(Some).map_err(io_error(&config.data_dir))
}

/// A validator's parts, recovered from its files, before threads and network join them.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: Arc<Segments>,
    pub(crate) executor: Executor,
    /// What the executor is asked for: it does the jobs in this order.
    pub(crate) queue: mpsc::Receiver<Job>,
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) application: Arc<LedgerApplication>,
    /// What peers pass on, for [`intake::run`].
    pub(crate) incoming: mpsc::Receiver<intake::Message>,
}

impl Parts {
    pub(crate) fn assemble(config: &Config, machine: Machine) -> Result<Self, RunError> {
        let genesis = Genesis::decode(&config.genesis)?;
        std::fs::create_dir_all(&config.data_dir).map_err(io_error(&config.data_dir))?;
        disk::check(&config.data_dir)?;
        let key = SigningKey::from_seed(&config.validator_key);
        let blocks = config.data_dir.join("blocks");
        let (store, recovery) = Segments::open_with(&blocks, config.store.segments(), config.store.shelf()?)?;
        let store = Arc::new(store);
        let floor = open_floor(config, &genesis, &store)?;
        let (start, index) = starting_point(config, &genesis, floor.as_ref())?;
        let view = View { ledger: start.ledger.clone(), anchor: None };
        let (public_key, peers) = (key.public_key(), config.peers.clone());
        let look_up_dir = config.data_dir.join("look-up");
        let below = floor.as_ref().map_or(0, Floor::height);
        let layout = lookup::Layout::default();
        // Neither agreement nor execution waits for it, nor does the start.
        let (lookup, look_up_failed) =
            match Lookup::open_above(&look_up_dir, genesis.chain_id(), layout, below) {
                Ok(lookup) => (lookup, None),
                Err(error) => (Lookup::afresh(&look_up_dir, genesis.chain_id(), layout, below), Some(error)),
            };
        let derived = (index, lookup);
        let mut shared = Shared::new(genesis, public_key, peers, store.clone(), derived, &machine, view);
        shared.links = floor.as_ref().map(Links::of).unwrap_or_default();
        (shared.floor, shared.snapshot_blocks) = (floor, config.snapshot_blocks.max(1));
        let shared = Arc::new(shared);
        for (path, offset) in &recovery.damaged {
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let text = format!("`{file}` at byte {offset}; what it held counts as missing");
            shared.alarms.raise(Alarm::new(Code::StoreDamaged, text));
            shared.scrub.ask();
        }
        if let Some(error) = look_up_failed {
            let text = format!("the look-up's folder cannot be opened: {error}; mend it and start again");
            shared.alarms.raise(Alarm::new(Code::DiskFailed, text));
        }
        let snapshots = config.data_dir.join("snapshots");
        let executor = Executor::recover(shared.clone(), key, machine, snapshots, start)?;
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let (gossip, incoming) = intake::channel();
        let pace = Pace { idle: config.idle_block_interval, min: config.block_interval_min };
        let application = Arc::new(LedgerApplication::new(shared.clone(), jobs.clone(), pace, gossip));
        Ok(Self { shared, store, executor, queue, jobs, application, incoming })
    }
}

/// Starts the engine; as an observer if the votes that this key signed are not known any more.
fn start_engine(
    config: &Config,
    shared: &Shared,
    application: Arc<LedgerApplication>,
    store: Arc<Segments>,
) -> Result<EngineHandle, RunError> {
    let start = |role| {
        Engine::start(engine_config(config, shared, role)?, application.clone(), store.clone())
            .map_err(RunError::from)
    };
    match start(Role::Validator) {
        Err(RunError::Engine(
            lost @ (EngineError::VoteJournalLost { .. } | EngineError::VoteJournalReplaced { .. }),
        )) => {
            error!(%lost, "alarm: this node must not vote with its key any more; it follows as an observer until the members rotate the key");
            let text = format!("{lost}; this node follows as an observer until its key is rotated");
            shared.alarms.raise(Alarm::new(Code::EngineDamaged, text));
            start(Role::Observer)
        }
        started => started,
    }
}

/// Where this node's history begins, if not at genesis. A key that may have voted before has lost its journal.
fn open_floor(config: &Config, genesis: &Genesis, store: &Segments) -> Result<Option<Floor>, RunError> {
    let floor = Floor::open(&config.data_dir, genesis).map_err(floor_error(config))?;
    if floor.as_ref().is_some_and(|floor| floor.seated) {
        disown(store, &SigningKey::from_seed(&config.validator_key).public_key())?;
    }
    Ok(floor)
}

fn floor_error(config: &Config) -> impl Fn(FloorError) -> RunError {
    let path = Floor::dir(&config.data_dir);
    move |error| RunError::Floor { path: path.clone(), source: Box::new(error) }
}

/// The newest snapshot up to which the derived files are whole, or where the history begins here.
fn starting_point(
    config: &Config,
    genesis: &Genesis,
    floor: Option<&Floor>,
) -> Result<(Snapshot, Index), RunError> {
    let (dir, index_dir) = (config.data_dir.join("snapshots"), config.data_dir.join("index"));
    let index = Index::open(&index_dir).map_err(io_error(&index_dir))?;
    let whole = |found: &Snapshot| index.resume(found.ledger.height(), found.ledger.log().size());
    let start = match snapshot::newest(&dir, whole).map_err(io_error(&dir))? {
        Some(found) => found,
        None if let Some(floor) = floor => floor.begin(&index).map_err(floor_error(config))?,
        None => {
            let outcomes = BlockOutcomes::default().encode();
            index.write(0, &Frontier::default(), &[], &outcomes).map_err(io_error(&index_dir))?;
            Snapshot { signed_header: genesis.block().signed_header, ledger: Ledger::genesis(genesis) }
        }
    };
    if start.ledger.chain_id() != genesis.chain_id() {
        return Err(RunError::OtherLedger { path: config.data_dir.clone() });
    }
    Ok((start, index))
}

fn engine_config(config: &Config, shared: &Shared, role: Role) -> Result<EngineConfig, RunError> {
    let peers = plan::peers(shared, &shared.view().ledger)?;
    let peers = peers.into_iter().map(|(key, address)| Peer { key, address }).collect();
    Ok(engine_config_with(config, &shared.genesis, peers, role, shared.floor.as_ref()))
}

pub(crate) fn engine_config_with(
    config: &Config,
    genesis: &Genesis,
    peers: Vec<Peer>,
    role: Role,
    floor: Option<&Floor>,
) -> EngineConfig {
    EngineConfig {
        namespace: consensus_namespace(genesis.chain_id()),
        genesis: Bytes::from(genesis.block().encode()),
        floor: floor.map(Floor::for_engine),
        format: Arc::new(BlockFormat),
        key: ConsensusKey::new(config.validator_key.clone()),
        role,
        listen: config.peer_listen,
        peers,
        storage: config.data_dir.join("engine"),
        // INVARIANT: genesis refuses an epoch shorter than 2.
        epoch_length: NonZeroU64::new(genesis.document().epoch_length).unwrap_or(NonZeroU64::MIN),
        timing: Timing::default(),
        worker_threads: 2,
    }
}

/// Ends the process when the executor panics or no longer agrees: half a node is worse than none.
fn guard<T>(run: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let code = match () {
            () if panic.is::<Diverged>() => EXIT_CODE_DIVERGED,
            () if panic.is::<DiskGaveUp>() => EXIT_CODE_DISK,
            () => EXIT_CODE_FAULT,
        };
        tracing::error!(code, "the executor gave up: ending the process");
        std::process::exit(code)
    })
}

fn io_error(path: &std::path::Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_owned();
    move |source| RunError::Io { path, source }
}
