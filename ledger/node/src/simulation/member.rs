//! One node of a simulation: its files, its clock, how it is started, ended and damaged.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keyward_ledger_core::{block::Regime, ed25519::SigningKey, genesis::Genesis};
use keyward_ledger_engine::{BoxFuture, EngineError, EngineHandle, Peer, Role};
use keyward_ledger_simulation::{Boot, Booted, Running, Runtime, Split, World};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{
    adversary::{Character, Played},
    disk::{BLOCKS, Disk, Durable},
    history::{Broken, Kept, Seen},
};
use crate::{
    Begun, Config, IDLE_BLOCK_INTERVAL, ScrubPace, Seat, ServerTls,
    face::Face,
    machine::{Machine, Timer, Work},
    shared::Shared,
};

/// The time at which a simulation begins, in milliseconds since 1970.
pub(super) const EPOCH_MS: u64 = 1_800_000_000_000;

/// What the parts of a simulation write down.
pub(super) type Record = Arc<Mutex<Seen>>;

pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Virtual(Runtime);

impl Timer for Virtual {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

pub(super) fn machine(runtime: &Runtime, skew_ms: i64) -> Machine {
    let clock = runtime.clone();
    Machine {
        clock: Arc::new(move || {
            (EPOCH_MS + clock.now().as_millis() as u64).checked_add_signed(skew_ms).unwrap()
        }),
        timer: Arc::new(Virtual(runtime.clone())),
        begin: |work: Work| -> io::Result<_> {
            work();
            Ok(None)
        },
    }
}

/// What a node's boot leaves for the moment when its engine runs.
type Ready = Arc<Mutex<Option<(Begun, Runtime)>>>;

/// A node that runs: what its callers reach.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) shared: Arc<Shared>,
    pub(super) face: Face,
    pub(super) runtime: Runtime,
}

/// A node.
pub(super) struct Member {
    pub(super) index: usize,
    pub(super) seed: [u8; 32],
    pub(super) dir: PathBuf,
    nature: Mutex<(Character, i64)>,
    /// Blocks between two snapshots of its state.
    pub(super) snapshot_blocks: Mutex<u64>,
    /// Least time between two blocks of this node. Slower than in earnest: more virtual time for the same work.
    pub(super) block_interval_min: Mutex<Duration>,
    pub(super) durable: Durable,
    pub(super) genesis: Arc<Genesis>,
    pub(super) record: Record,
    live: Arc<Mutex<Option<Live>>>,
    _stop: watch::Sender<bool>,
}

impl Member {
    pub(super) fn new(
        index: usize,
        seed: [u8; 32],
        dir: PathBuf,
        genesis: Arc<Genesis>,
        record: Record,
    ) -> Self {
        let (_stop, _) = watch::channel(false);
        let (nature, live) = (Mutex::new((Character::Honest, 0)), Arc::default());
        let block_interval_min = Mutex::new(Duration::from_millis(100));
        Self {
            block_interval_min,
            snapshot_blocks: Mutex::new(crate::SNAPSHOT_BLOCKS),
            index,
            seed,
            dir,
            nature,
            durable: Arc::default(),
            genesis,
            record,
            live,
            _stop,
        }
    }

    pub(super) fn live(&self) -> Option<Live> {
        lock(&self.live).clone()
    }

    pub(super) fn height(&self) -> u64 {
        self.live().map_or(0, |live| live.shared.view().ledger.height())
    }

    /// Who it is from its next start on, and how far its clock is ahead of the simulation's.
    pub(super) fn become_of(&self, character: Character, skew_ms: i64) {
        *lock(&self.nature) = (character, skew_ms);
    }

    pub(super) fn character(&self) -> Character {
        lock(&self.nature).0
    }

    pub(super) fn is_honest(&self) -> bool {
        self.character().is_honest()
    }

    pub(super) fn key(&self) -> [u8; 32] {
        SigningKey::from_seed(&self.seed).public_key()
    }

    pub(super) async fn start(&self, world: &mut World) -> Result<(), EngineError> {
        self.start_as(world, Role::Validator).await
    }

    pub(super) async fn start_as(&self, world: &mut World, role: Role) -> Result<(), EngineError> {
        let voice = self.character().voice();
        let (boot, running) = self.instance(self.dir.clone(), role);
        world.start(self.index, voice, boot, running).await
    }

    /// Starts this node twice, with files of its own for each.
    pub(super) async fn start_twins(&self, world: &mut World, split: Split) -> Result<(), EngineError> {
        let (boot, running) = self.instance(self.dir.clone(), Role::Validator);
        let (boot_twin, running_twin) = self.instance(self.dir.join("twin"), Role::Validator);
        world.start_twins(self.index, split, [boot, boot_twin], [running, running_twin]).await
    }

    fn instance(&self, dir: PathBuf, role: Role) -> (Boot, Running) {
        let index = self.index;
        let (character, skew_ms) = *lock(&self.nature);
        let (folder, durable) = (dir.join(BLOCKS), self.durable.clone());
        let (record, live) = (self.record.clone(), self.live.clone());
        let config = self.config(dir);
        let key = SigningKey::from_seed(&self.seed);
        let stopping = self._stop.subscribe();
        let ready = Ready::default();
        let shown = ready.clone();
        let boot = move |runtime: Runtime| {
            let seat = Seat::open(config, machine(&runtime, skew_ms)).unwrap();
            let engine = seat.engine(role).unwrap();
            let (timer, inner) = (seat.parts.shared.timer.clone(), seat.parts.application.clone());
            let store = Arc::new(Disk { inner: seat.parts.store.clone(), folder, durable });
            let (executing, hearing, begun) = seat.begin();
            let fallen = record.clone();
            runtime.spawn(async move {
                if !executing.await {
                    lock(&fallen).fallen.insert(index);
                }
            });
            runtime.spawn(hearing);
            let application = Played::new(inner, character, key, index, record, timer);
            *lock(&shown) = Some((begun, runtime));
            Booted { config: engine, application: Arc::new(application), store }
        };
        let running = move |engine: Arc<EngineHandle>| {
            let Some((begun, runtime)) = lock(&ready).take() else { return };
            let (going, answers) = begun.serve(engine, stopping);
            for task in going {
                runtime.spawn(task);
            }
            let (shared, face) = (answers.face.shared.clone(), answers.face);
            *lock(&live) = Some(Live { shared, face, runtime });
        };
        (Box::new(boot), Box::new(running))
    }

    pub(super) fn config(&self, data_dir: PathBuf) -> Config {
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let peers = self.genesis.document().validators.iter();
        Config {
            data_dir,
            genesis: self.genesis.encode(),
            validator_key: Zeroizing::new(self.seed),
            checkpoint_key: None,
            peer_listen: nowhere,
            peers: peers.map(|key| Peer { key: *key, address: nowhere }).collect(),
            rpc_listen: nowhere,
            tls: ServerTls {
                ca_pem: String::new(),
                certificate_pem: String::new(),
                key_pem: Zeroizing::default(),
            },
            idle_block_interval: IDLE_BLOCK_INTERVAL,
            scrub: ScrubPace::default(),
            store: crate::StoreConfig::default(),
            snapshot_blocks: *lock(&self.snapshot_blocks),
            catch_up: crate::CatchUp::default(),
            keys: None,
            block_interval_min: *lock(&self.block_interval_min),
        }
    }

    /// Ends the node where it stands.
    pub(super) fn fall(&self, world: &mut World) {
        *lock(&self.live) = None;
        world.crash(self.index);
    }

    /// Ends the node where it stands, and waits until nothing of it is left.
    pub(super) async fn crash(&self, world: &mut World) {
        self.fall(world);
        world.wait(Duration::from_millis(20)).await;
    }

    /// What the node holds, from its own files.
    pub(super) fn kept(&self) -> Result<Kept, Broken> {
        let missing = |height| Broken::Missing { node: self.index, height };
        let shared = self.live().ok_or(missing(0))?.shared;
        let mut blocks = Vec::new();
        for height in shared.floor_height() + 1..=shared.view().ledger.height() {
            let found = || {
                let bytes = shared.blocks.block(height).ok()??;
                let block = keyward_ledger_core::block::Block::decode(&bytes).ok()?;
                let (place, outcomes) = shared.index.entry(height).ok()??;
                Some((block, outcomes, place.first_leaf))
            };
            blocks.push(found().ok_or(missing(height))?);
        }
        Ok(Kept { node: self.index, blocks })
    }
}

/// The genesis of a simulation.
pub(super) fn genesis(validators: &[SigningKey], submitters: &[SigningKey], regime: Regime) -> Genesis {
    use keyward_ledger_core::genesis::{GenesisDocument, Role, Submitter};
    let mut validators: Vec<_> = validators.iter().map(SigningKey::public_key).collect();
    validators.sort_unstable();
    let mut submitters: Vec<_> =
        submitters.iter().map(|key| Submitter::new(key.public_key(), Role::Service)).collect();
    submitters.sort_by_key(|submitter| submitter.key);
    Genesis::new(GenesisDocument {
        name: "simulated".into(),
        time_ms: EPOCH_MS - 60_000,
        validators,
        submitters,
        keepers: Vec::new(),
        epoch_length: 24,
        regime,
        clock_bound_ms: 5_000,
    })
    .unwrap()
}
