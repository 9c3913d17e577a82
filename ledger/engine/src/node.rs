//! One node, generic over runtime and network: the same code runs on tokio over TCP and on the
//! deterministic runtime over a simulated network.
use crate::{
    Application, Block, EngineConfig, EngineError, Floor, Id, Kind, Peer, Role, Store, StoreError, Timing,
    adapter::Archive,
    block::{BlockCodec, Sealed},
    bridge::Bridge,
    convert,
    epochs::{self, Epochs},
    journal::Journal,
    strict::StrictScheme,
};
use commonware_actor::Feedback;
use commonware_broadcast::buffered;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::{
    Reporter, Reporters,
    marshal::{
        self, Update,
        core::{Actor as Marshal, Mailbox},
        resolver::p2p as resolver,
        standard::{Inline, Standard},
    },
    types::{Epoch, FixedEpocher, ViewDelta},
};
use commonware_cryptography::{
    Digested, Signer as _,
    certificate::{Provider, Scoped},
    ed25519::{PrivateKey, PublicKey},
    sha256::Digest,
};
use commonware_p2p::{Blocker, Provider as Peers, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_utils::{NZU16, NZU64, NZUsize, NonZeroDuration, acknowledgement::Exact};
use futures::channel::mpsc;
use rand_core::CryptoRng;
use std::{
    collections::BTreeMap,
    num::{NonZeroU64, NonZeroUsize},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(crate) type Variant = Standard<Sealed>;
pub(crate) type MarshalMailbox = Mailbox<StrictScheme, Variant>;
pub(crate) type App<E> = Inline<E, StrictScheme, Bridge, Sealed, FixedEpocher>;

/// Votes, certificates, certificate requests, blocks, missing blocks.
pub(crate) const CHANNELS: [u64; 5] = [0, 1, 2, 3, 4];
/// Messages an actor's mailbox holds.
pub(crate) const MAILBOX_SIZE: NonZeroUsize = NZUsize!(1024);
/// Finalized blocks handed to the application and not yet acknowledged.
const UNACKNOWLEDGED_MAX: NonZeroUsize = NZUsize!(16);
/// Missing blocks asked for at a time.
const REPAIR_MAX: NonZeroUsize = NZUsize!(32);
/// Blocks of each peer kept for those that missed the broadcast.
const BROADCAST_DEPTH: usize = 32;
/// Views kept behind the finalized one.
pub(crate) const VIEW_RETENTION: u64 = 64;
/// Schemes of this many past epochs are kept, to check late certificates.
const SCHEMES_KEPT: u64 = 8;
pub(crate) const BUFFER_BYTES: NonZeroUsize = NZUsize!(1 << 20);
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Takes the number of an epoch that starts and its nodes.
pub(crate) type Track = Arc<dyn Fn(u64, &[Peer]) + Send + Sync>;

/// What a node is started with, beside runtime and network.
pub(crate) struct Settings {
    pub(crate) namespace: Vec<u8>,
    pub(crate) key: PrivateKey,
    pub(crate) role: Role,
    pub(crate) genesis: Block,
    pub(crate) floor: Option<Floor>,
    pub(crate) codec: BlockCodec,
    pub(crate) epoch_length: NonZeroU64,
    pub(crate) timing: Timing,
    /// The votes' folder, where there is one.
    pub(crate) journal: Option<Journal>,
    /// Says which nodes an epoch has.
    pub(crate) track: Track,
    /// Prefix of the storage partitions: one simulated storage holds many nodes.
    pub(crate) prefix: String,
}

impl Settings {
    /// What a configuration says, checked.
    pub(crate) fn new(config: &EngineConfig, prefix: String) -> Result<Self, EngineError> {
        let refuse = |reason: String| EngineError::Config { reason };
        if let Some(problem) = config.timing.problem() {
            return Err(refuse(problem.into()));
        }
        let genesis = Block::parse(&*config.format, config.genesis.clone()).ok_or(EngineError::Genesis)?;
        if let Some(problem) = config.floor.as_ref().and_then(|floor| floor.problem(config.epoch_length)) {
            return Err(refuse(problem.into()));
        }
        let key = config.key.expose(|seed| PrivateKey::decode(Copying(seed)));
        Ok(Self {
            namespace: config.namespace.clone(),
            key: key.map_err(|error| refuse(error.to_string()))?,
            role: config.role,
            genesis,
            floor: config.floor.clone(),
            codec: BlockCodec(config.format.clone()),
            epoch_length: config.epoch_length,
            timing: config.timing,
            journal: None,
            track: Arc::new(|_, _| ()),
            prefix,
        })
    }
}

/// Verification keys of certificates by epoch.
#[derive(Clone, Default)]
pub(crate) struct Schemes(Arc<Mutex<BTreeMap<u64, Arc<StrictScheme>>>>);

impl Schemes {
    pub(crate) fn install(&self, epoch: u64, scheme: StrictScheme) {
        let mut schemes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.insert(epoch, Arc::new(scheme));
        let oldest = epoch.saturating_sub(SCHEMES_KEPT);
        *schemes = schemes.split_off(&oldest);
    }
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = StrictScheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<StrictScheme>> {
        let schemes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.get(&epoch.get()).cloned().map(Scoped::scheme)
    }
}

/// Numbers a running node shows to other threads.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) height: AtomicU64,
    pub(crate) epoch: AtomicU64,
    pub(crate) fault: OnceLock<EngineError>,
}

/// A running node.
pub(crate) struct Node {
    pub(crate) handle: Handle<()>,
    pub(crate) marshal: MarshalMailbox,
    pub(crate) progress: Arc<Progress>,
}

/// Sends finalized blocks to the epoch loop, in height order.
///
/// The channel needs no bound of its own: marshal stops at [`UNACKNOWLEDGED_MAX`] blocks.
#[derive(Clone)]
pub(crate) struct Sink(mpsc::UnboundedSender<(Digested<Sealed>, Exact)>);

impl Reporter for Sink {
    type Activity = Update<Sealed>;

    fn report(&mut self, update: Update<Sealed>) -> Feedback {
        match update {
            Update::Block(block, ack) => match self.0.unbounded_send((block, ack)) {
                Ok(()) => Feedback::Ok,
                Err(_closed) => Feedback::Closed,
            },
            Update::Tip(..) => Feedback::Ok,
        }
    }
}

/// A reporter that reports nothing.
#[derive(Clone)]
pub(crate) struct Silent;

impl Reporter for Silent {
    type Activity = Update<Sealed>;

    fn report(&mut self, _: Update<Sealed>) -> Feedback {
        Feedback::Ok
    }
}

/// Where marshal begins when it has no progress of its own.
fn start_of(
    settings: &Settings,
) -> Result<marshal::Start<StrictScheme, Digest, Digested<Sealed>>, EngineError> {
    let Some(floor) = &settings.floor else {
        return Ok(marshal::Start::Genesis(Sealed::digested(settings.genesis.clone())));
    };
    let finalization = convert::finalization(&floor.certificate).ok_or_else(|| EngineError::Config {
        reason: "the floor's certificate names a signer twice or outside its set".into(),
    })?;
    Ok(marshal::Start::Floor(finalization))
}

/// Starts a node; `networks` are in the order of [`CHANNELS`].
pub(crate) async fn start<E, P, B, S, R, M>(
    context: E,
    settings: Settings,
    application: Arc<dyn Application>,
    store: Arc<dyn Store>,
    (peers, blocker): (P, B),
    networks: [(S, R); 5],
    monitor: Option<M>,
) -> Result<Node, EngineError>
where
    E: Spawner + Clock + CryptoRng + Metrics + Storage,
    P: Peers<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey> + Sync,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
    M: Reporter<Activity = Update<Sealed>>,
{
    let [votes, certificates, requests, blocks, backfill] = networks;
    let me = settings.key.public_key();
    let epocher = FixedEpocher::new(settings.epoch_length);
    let cache = CacheRef::new(NZU16!(4084), NZUsize!(4096));
    let schemes = Schemes::default();
    check_genesis(&*store, &settings)?;

    let resolver_config = resolver::Config {
        public_key: me.clone(),
        peer_provider: peers.clone(),
        blocker: blocker.clone(),
        mailbox_size: MAILBOX_SIZE,
        fetch_timeout: non_zero(settings.timing.fetch_time_out),
        fetch_retry_delay: RETRY_DELAY,
        priority_requests: false,
        priority_responses: false,
    };
    let backfill = resolver::init(context.child("resolver"), resolver_config, backfill);
    let (broadcast, buffer) = buffered::Engine::<_, _, Sealed, _, _>::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: me,
            mailbox_size: MAILBOX_SIZE,
            deque_size: BROADCAST_DEPTH,
            priority: false,
            codec_config: settings.codec.clone(),
            peer_provider: peers,
            strategy: Sequential,
        },
    );
    let broadcast = broadcast.start(blocks);

    let archive = |name: &'static str| Archive {
        context: context.child(name),
        store: store.clone(),
        application: application.clone(),
        codec: settings.codec.clone(),
    };
    let marshal_config = marshal::Config {
        provider: schemes.clone(),
        epocher: epocher.clone(),
        start: start_of(&settings)?,
        partition_prefix: format!("{}marshal", settings.prefix),
        mailbox_size: MAILBOX_SIZE,
        view_retention: ViewDelta::new(VIEW_RETENTION),
        prunable_items_per_section: NZU64!(64),
        page_cache: cache.clone(),
        replay_buffer: BUFFER_BYTES,
        key_write_buffer: BUFFER_BYTES,
        value_write_buffer: BUFFER_BYTES,
        block_codec_config: settings.codec.clone(),
        max_repair: REPAIR_MAX,
        max_pending_acks: UNACKNOWLEDGED_MAX,
        strategy: Sequential,
    };
    let (actor, marshal, floor) = Marshal::<_, Variant, _, _, _, _, _>::init(
        context.child("marshal"),
        archive("certificates"),
        archive("blocks"),
        marshal_config,
    )
    .await;
    let processed = floor.processed().map_or(0, |processed| processed.height().get());
    // The application stands there already; marshal hands the block itself over once more.
    let processed = processed.max(settings.floor.as_ref().map_or(0, |floor| floor.height));
    let progress = Arc::new(Progress::default());
    progress.height.store(processed, Ordering::Relaxed);

    let bridge = Bridge {
        application: application.clone(),
        codec: settings.codec.clone(),
        time_out: settings.timing.leader_time_out,
    };
    let automaton = Inline::new(context.child("inline"), bridge, marshal.clone(), epocher.clone());
    let (sender, finalized) = mpsc::unbounded();
    let unsound = settings.journal.as_ref().is_some_and(|journal| !journal.sound);
    let next = store.last(Kind::Block).map_or(0, |last| last.saturating_add(1));
    let quiet_through = unsound.then(|| next / settings.epoch_length.get());
    let epochs = Epochs {
        settings,
        epocher,
        cache,
        schemes,
        application,
        store,
        automaton,
        blocker,
        marshal: marshal.clone(),
        progress: progress.clone(),
        quiet_through,
    };
    // The schemes must be known before marshal asks for them.
    let first = epochs.first(&context, processed).await?;
    let actor = actor.start(Reporters::<M, Sink>::from((monitor, Some(Sink(sender)))), buffer, backfill);

    let fault = progress.clone();
    let handle = context.child("epochs").spawn(move |context| async move {
        let _children = (broadcast, actor);
        let networks = (votes, certificates, requests);
        if let Err(error) = epochs::run(context, epochs, first, networks, finalized).await {
            tracing::error!(%error, "the engine's epoch loop ended");
            let _ = fault.fault.set(error);
        }
    });
    Ok(Node { handle, marshal, progress })
}

/// A store of another chain must not be opened; commonware would panic on it.
fn check_genesis(store: &dyn Store, settings: &Settings) -> Result<(), EngineError> {
    if settings.genesis.height != 0 {
        return Err(EngineError::Genesis);
    }
    if store.range_at_or_after(Kind::Block, 0).is_none_or(|(first, _)| first != 0) {
        return Ok(());
    }
    let stored = match store.block(Id::Height(0)) {
        // It was looked at before it moved.
        Err(StoreError::Away { .. }) => return Ok(()),
        stored => stored.map_err(EngineError::Store)?,
    };
    match stored {
        Some(bytes) if bytes != settings.genesis.bytes => Err(EngineError::OtherChain),
        _ => Ok(()),
    }
}

pub(crate) fn non_zero(duration: Duration) -> NonZeroDuration {
    NonZeroDuration::new(duration).unwrap_or(commonware_utils::NZDuration!(Duration::from_secs(1)))
}
