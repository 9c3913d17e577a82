//! One machine: a validator and the keeper beside it, with one disk, that start and end together.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{Keeper, KeeperError, Keys};
use keyward_crypto::{MemoryKek, vault::BoxKey, vault::Grant};
use keyward_ledger_core::{
    certificate::ValidatorSet,
    ed25519::SigningKey,
    entry::RuleName,
    genesis::Genesis,
    hash::Hash,
    keeper::{Keeper as OnLedger, keeper_id},
};
use keyward_ledger_engine::{BoxFuture, EngineError, EngineHandle, Role};
use keyward_ledger_node::{
    Answers, Begun, CatchUp, Config, IDLE_BLOCK_INTERVAL, Machine, Peer, SNAPSHOT_BLOCKS, ScrubPace, Seat,
    ServerTls, StoreConfig, Timer, Work,
};
use keyward_ledger_simulation::{Boot, Booted, Running, Runtime, Voice, World};
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use super::{
    door::{Door, Way},
    hand::Hand,
    inline::Inline,
    loot::files,
    town::{Asked, Town, lock},
};

/// The time at which a simulation begins, in milliseconds since 1970.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;
/// Least time between two blocks of a validator. Slower than in earnest: more virtual time for the same work.
const BLOCK_INTERVAL: Duration = Duration::from_millis(150);
/// The pause between two rounds of a keeper over its shares: half of a turn to begin dealing, as in earnest.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// How often shares are dealt anew. In earnest it is a month.
pub(crate) const RENEWAL: Duration = Duration::from_secs(6);
/// How long who asks a node waits.
const PATIENCE: Duration = Duration::from_secs(4);

pub(crate) fn now_ms(runtime: &Runtime, skew_ms: i64) -> u64 {
    (EPOCH_MS + runtime.now().as_millis() as u64).checked_add_signed(skew_ms).unwrap()
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

fn machine(runtime: &Runtime, skew_ms: i64) -> Machine {
    let clock = runtime.clone();
    Machine {
        clock: Arc::new(move || now_ms(&clock, skew_ms)),
        timer: Arc::new(Virtual(runtime.clone())),
        begin: |work: Work| -> io::Result<_> {
            work();
            Ok(None)
        },
    }
}

/// The validator's key of a machine.
pub(crate) fn validator(index: usize) -> [u8; 32] {
    [index as u8 + 1; 32]
}

/// The keeper's keys of a machine.
fn signing_seed(index: usize) -> [u8; 32] {
    [0xa0 + index as u8; 32]
}

pub(crate) fn signing(index: usize) -> SigningKey {
    SigningKey::from_seed(&signing_seed(index))
}

pub(crate) fn sealing(index: usize) -> BoxKey {
    BoxKey::from_secret(&[0x10 + index as u8; 32]).unwrap()
}

pub(crate) fn storage(index: usize) -> MemoryKek {
    MemoryKek::new(&[0x70 + index as u8; 32]).unwrap()
}

fn name(index: usize) -> String {
    format!("keeper-{index}")
}

pub(crate) fn id(index: usize) -> Hash {
    keeper_id(&name(index))
}

fn address(index: usize) -> String {
    format!("https://{}.example:7600", name(index))
}

/// The keeper of a machine as the ledger knows it.
pub(crate) fn on_ledger(index: usize) -> OnLedger {
    OnLedger {
        name: name(index),
        key: signing(index).public_key(),
        hpke_key: sealing(index).public(),
        validator: Some(SigningKey::from_seed(&validator(index)).public_key()),
        rpc: address(index),
    }
}

/// A machine that runs.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) answers: Answers,
    pub(crate) keeper: Keeper,
    runtime: Runtime,
}

/// A machine.
pub(crate) struct Node {
    pub(crate) index: usize,
    folder: PathBuf,
    genesis: Arc<Genesis>,
    set: Arc<ValidatorSet>,
    skew_ms: i64,
    hand: Hand,
    live: Arc<Mutex<Option<Live>>>,
    stop: watch::Sender<bool>,
}

type Ready = Arc<Mutex<Option<(Begun, Runtime)>>>;

impl Node {
    pub(crate) fn new(index: usize, folder: &Path, skew_ms: i64, genesis: &Arc<Genesis>) -> Self {
        let set = Arc::new(ValidatorSet::new(&genesis.document().validators).unwrap());
        let folder = folder.join(format!("n{index}"));
        let hand = Hand::new(signing_seed(index), *genesis.chain_id());
        let (genesis, live, (stop, _)) = (genesis.clone(), Arc::default(), watch::channel(false));
        Self { index, folder, genesis, set, skew_ms, hand, live, stop }
    }

    pub(crate) fn live(&self) -> Option<Live> {
        lock(&self.live).clone()
    }

    /// The keeper as a submitter.
    pub(crate) fn hand(&self) -> &Hand {
        &self.hand
    }

    pub(crate) fn address(&self) -> String {
        address(self.index)
    }

    /// Where its shares lie.
    pub(crate) fn shares(&self) -> PathBuf {
        self.folder.join("keeper")
    }

    fn blocks(&self) -> PathBuf {
        self.folder.join("validator")
    }

    pub(crate) async fn start(
        &self,
        town: &Arc<Town>,
        world: &mut World,
        role: Role,
    ) -> Result<(), EngineError> {
        let (config, skew_ms) = (self.config(), self.skew_ms);
        let ready = Ready::default();
        let shown = ready.clone();
        let boot: Boot = Box::new(move |runtime: Runtime| {
            let seat = Seat::open(config, machine(&runtime, skew_ms)).unwrap();
            let (config, application, store) = (seat.engine(role).unwrap(), seat.application(), seat.store());
            let (executing, hearing, begun) = seat.begin();
            runtime.spawn(async move { assert!(executing.await, "a validator executes otherwise") });
            runtime.spawn(hearing);
            *lock(&shown) = Some((begun, runtime));
            Booted { config, application, store }
        });
        let (keeper, live, stopping) = (self.keeper(town), self.live.clone(), self.stop.subscribe());
        let running: Running = Box::new(move |engine: Arc<EngineHandle>| {
            let Some((begun, runtime)) = lock(&ready).take() else { return };
            let (going, answers) = begun.serve(engine, stopping);
            for task in going {
                runtime.spawn(task);
            }
            let keeper = keeper(&answers, &runtime);
            runtime.spawn(look_after(keeper.clone(), runtime.clone()));
            *lock(&live) = Some(Live { answers, keeper, runtime });
        });
        world.start(self.index, Voice::Plain, boot, running).await
    }

    /// Opens the keeper over its folder, beside a validator that runs.
    fn keeper(&self, town: &Arc<Town>) -> impl FnOnce(&Answers, &Runtime) -> Keeper + Send + use<> {
        let (hand, set, skew_ms, chain_id) =
            (self.hand.clone(), self.set.clone(), self.skew_ms, *self.genesis.chain_id());
        let (from, folder, town) = (self.index, self.shares(), Arc::downgrade(town));
        move |answers, runtime| {
            let (answers, runtime) = (answers.clone(), runtime.clone());
            let door = Door { answers, runtime, hand, set, chain_id, skew_ms };
            let keys =
                Keys { signing: signing(from), sealing: sealing(from), storage: Box::new(storage(from)) };
            let keeper = Keeper::open(&name(from), keys, &folder, Arc::new(door)).unwrap();
            keeper.join(Arc::new(Way { town, from }), RENEWAL);
            keeper
        }
    }

    fn config(&self) -> Config {
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let peers = self.genesis.document().validators.iter();
        Config {
            data_dir: self.blocks(),
            genesis: self.genesis.encode(),
            validator_key: Zeroizing::new(validator(self.index)),
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
            block_interval_min: BLOCK_INTERVAL,
            scrub: ScrubPace::default(),
            store: StoreConfig::default(),
            snapshot_blocks: SNAPSHOT_BLOCKS,
            catch_up: CatchUp::default(),
            keys: None,
        }
    }

    /// Ends the machine where it stands, and waits until nothing of it is left.
    pub(crate) async fn crash(&self, world: &mut World) {
        *lock(&self.live) = None;
        world.crash(self.index);
        world.wait(Duration::from_millis(20)).await;
    }

    /// Runs a call on the machine, so that it ends with it; `None` without an answer. One whose validator has certified
    /// nothing since its start gives none: those who wait for it would be woken in an order that no seed decides.
    pub(crate) async fn ask<T, F>(&self, town: &Town, call: impl FnOnce(Live) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let live = self.live().filter(|live| live.answers.certified().is_some())?;
        let (sender, answer) = oneshot::channel();
        let (runtime, call) = (live.runtime.clone(), call(live));
        let task = runtime.spawn(async move { drop(sender.send(call.await)) });
        drop(runtime);
        let answer = tokio::select! {
            biased;
            answer = answer => answer.ok(),
            () = town.runtime.sleep(PATIENCE) => None,
        };
        task.abort();
        answer
    }

    /// Asks the keeper for an evaluation. What an honest one answers is noted on its machine, whether or not the answer
    /// comes to somebody.
    pub(crate) async fn evaluate(
        &self,
        town: &Arc<Town>,
        asked: Asked,
        grant: Grant,
    ) -> Option<Result<Vec<u8>, KeeperError>> {
        let (from, town_of_it) = (self.index, town.clone());
        self.ask(town, move |live| async move {
            let town = town_of_it;
            let stale = town.is_stale(&live, &asked).await;
            let Asked { leaf, element, .. } = asked;
            let given = if town.plan.careless == Some(from) {
                town.loot(from, &grant, &element).ok_or(KeeperError::NoShare)
            } else {
                Inline::new(async move { live.keeper.evaluate(leaf, &element).await }).await
            };
            if given.is_ok() {
                town.evaluated(from, &asked, stale);
            }
            given
        })
        .await
    }

    /// Asks the keeper for its part.
    pub(crate) async fn release(
        &self,
        town: &Arc<Town>,
        leaf: u64,
        opened: u64,
    ) -> Option<Result<Vec<u8>, KeeperError>> {
        let (from, town_of_it) = (self.index, town.clone());
        self.ask(town, move |live| async move {
            let given = Inline::new(async move { live.keeper.release(leaf, opened).await }).await;
            if given.is_ok() {
                town_of_it.released(from, leaf, opened);
            }
            given
        })
        .await
    }

    /// Whether there is a file of a vault among its shares.
    pub(crate) fn holds(&self, vault: &RuleName) -> bool {
        let name = hex::encode(vault.name);
        files(&self.shares()).iter().any(|file| file.to_string_lossy().contains(&name))
    }

    /// Loses the shares of a machine that is down.
    pub(crate) fn lose_shares(&self) {
        lose(&self.shares());
    }

    /// Loses the whole disk of a machine that is down, the votes included.
    pub(crate) fn lose_everything(&self, world: &mut World) {
        lose(&self.folder);
        world.lose_storage(self.index);
    }

    /// A copy of the shares as they lie there now.
    pub(crate) fn copy_shares(&self) -> PathBuf {
        let copy = self.folder.with_extension("shares");
        lose(&copy);
        copy_folder(&self.shares(), &copy);
        copy
    }

    /// A copy of the whole disk of a machine that is down.
    pub(crate) fn copy_everything(&self) -> PathBuf {
        let copy = self.folder.with_extension("before");
        lose(&copy);
        copy_folder(&self.folder, &copy);
        copy
    }

    /// Puts a copy of the shares in their place.
    pub(crate) fn put_shares(&self, copy: &Path) {
        lose(&self.shares());
        copy_folder(copy, &self.shares());
    }

    /// Puts a copy of the whole disk in its place; the votes are not on it.
    pub(crate) fn put_everything(&self, copy: &Path, world: &mut World) {
        self.lose_everything(world);
        copy_folder(copy, &self.folder);
    }
}

/// Looks after the shares round by round, as `Keeper::tend` does in earnest.
async fn look_after(keeper: Keeper, runtime: Runtime) {
    loop {
        runtime.sleep(ROUND_PAUSE).await;
        let _comes_again = Inline::new(keeper.round()).await;
    }
}

fn lose(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).into_iter().flatten() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
