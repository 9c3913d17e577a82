//! The network, and the nodes that are started, ended and parted in it.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    Manager as _, Receiver, Recipients, Sender,
    simulated::{self, Link, Network, Oracle},
};
use commonware_runtime::{
    Clock as _, Handle, Quota, Runner as _, Spawner as _, Supervisor as _,
    deterministic::{self, Context},
};
use commonware_utils::{NZU32, NZUsize, Probability, TryCollect as _, ordered::Set, probability};
use futures::channel::oneshot;
use keyward_ledger_engine::{
    Application, EngineConfig, EngineError, EngineHandle, Format, Heard, Scout, Store,
    seat::{self, CHANNELS, VOTES},
};

use crate::{
    Dice, Runtime, Split, Traffic, Voice,
    voice::{Counts, Mouth, Said},
};

/// Longer than any script: one that hangs is an error.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(3600);
/// Messages per virtual second and peer on one channel: far more than nodes send. Inboxes have this much room, made
/// anew for each epoch of each node, so more would cost time.
const MESSAGES_PER_S: Quota = Quota::per_second(NZU32!(512));
/// How often a repeating node repeats a vote.
const REPEAT: Duration = Duration::from_millis(70);

/// A node's parts, before its engine runs.
pub struct Booted {
    /// What the engine is started with; the addresses in it are not used.
    pub config: EngineConfig,
    /// The state machine.
    pub application: Arc<dyn Application>,
    /// The block store.
    pub store: Arc<dyn Store>,
}

/// What a simulation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run<T> {
    /// What the script gave.
    pub value: T,
    /// A hash over every step of the scheduler: equal for equal executions.
    pub trace: String,
}

/// Runs a script in a world of these nodes, all linked. Equal seeds and scripts give equal executions.
///
/// # Panics
/// With whatever the script, a node or the runtime panics with, and after an hour of virtual time.
pub fn simulate<T, F>(
    seed: u64,
    keys: &[[u8; 32]],
    format: Arc<dyn Format>,
    script: impl FnOnce(World) -> F,
) -> Run<T>
where
    F: Future<Output = T>,
{
    let config = deterministic::Config::new().with_seed(seed).with_timeout(Some(VIRTUAL_TIME_MAX));
    deterministic::Runner::new(config).start(|context| async move {
        let auditor = context.auditor();
        let world = World::new(context, seed, keys, format).await;
        let value = script(world).await;
        Run { value, trace: auditor.state() }
    })
}

/// Makes a node's parts of its files, on the node's own runtime. Boxed, so that engine and runtime are compiled here
/// and not with every script.
pub type Boot = Box<dyn FnOnce(Runtime) -> Booted + Send>;
/// Takes a node's engine once it runs.
pub type Running = Box<dyn FnOnce(Arc<EngineHandle>) + Send>;

/// The simulated world.
pub struct World {
    context: Context,
    oracle: Oracle<PublicKey, Context>,
    keys: Arc<Vec<PublicKey>>,
    format: Arc<dyn Format>,
    running: BTreeMap<(usize, bool), Handle<()>>,
    counts: Arc<Vec<Arc<Counts>>>,
    /// How often each node lost its storage.
    lost: BTreeMap<usize, u64>,
    starts: u64,
    /// Choices for the script.
    pub dice: Dice,
}

impl World {
    async fn new(context: Context, seed: u64, keys: &[[u8; 32]], format: Arc<dyn Format>) -> Self {
        #[expect(clippy::expect_used, reason = "a script names its own nodes")]
        let keys: Vec<PublicKey> =
            keys.iter().map(|key| PublicKey::decode(Copying(key)).expect("an Ed25519 key")).collect();
        let config = simulated::Config {
            max_size: seat::message_bytes_max(format.clone()),
            max_peers_per_set: NZUsize!(16),
            disconnect_on_block: false,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) = Network::new(context.child("network"), config);
        network.start();
        #[expect(clippy::expect_used, reason = "a script names each node once")]
        let set: Set<PublicKey> = keys.iter().cloned().try_collect().expect("no key stands twice");
        let _ = oracle.manager().track(0, set);
        let world = Self {
            context,
            oracle,
            counts: Arc::new(keys.iter().map(|_| Arc::default()).collect()),
            keys: Arc::new(keys),
            format,
            running: BTreeMap::new(),
            lost: BTreeMap::new(),
            starts: 0,
            dice: Dice::new(seed),
        };
        world.heal().await;
        world
    }

    /// The script's own runtime.
    pub fn runtime(&self) -> Runtime {
        Runtime::new(self.context.child("script"))
    }

    /// How many nodes there are.
    pub fn size(&self) -> usize {
        self.keys.len()
    }

    /// Lets virtual time pass.
    pub async fn wait(&self, duration: Duration) {
        self.context.sleep(duration).await;
    }

    /// Starts a node with the parts that `boot` makes of its files.
    pub async fn start(
        &mut self,
        node: usize,
        voice: Voice,
        boot: Boot,
        running: Running,
    ) -> Result<(), EngineError> {
        let [networks, _] = self.networks(node, voice, None).await;
        self.launch(node, false, boot, running, networks).await
    }

    /// Starts two nodes with one key, each of which talks with its part of the others. Together they vote twice and
    /// propose twice.
    pub async fn start_twins(
        &mut self,
        node: usize,
        split: Split,
        boots: [Boot; 2],
        running: [Running; 2],
    ) -> Result<(), EngineError> {
        let networks = self.networks(node, Voice::Plain, Some(Arc::new(split))).await;
        for (twin, ((boot, running), networks)) in boots.into_iter().zip(running).zip(networks).enumerate() {
            self.launch(node, twin == 1, boot, running, networks).await?;
        }
        Ok(())
    }

    /// Connects a node that is down with the others beside consensus; what they say there goes to `heard`. It ends
    /// with [`World::crash`].
    ///
    /// # Panics
    /// When the runtime has ended.
    #[expect(clippy::expect_used, reason = "the runtime outlives the script")]
    pub async fn scout(&mut self, node: usize, heard: Heard) -> Scout {
        let [networks, _] = self.networks(node, Voice::Plain, None).await;
        self.starts += 1;
        let context = self.context.child("scout").with_attribute("start", self.starts);
        let (format, (told, scout)) = (self.format.clone(), oneshot::channel());
        let handle = context.spawn(move |context| async move {
            let (listening, scout) = seat::scout_on(context.child("line"), format, heard, networks);
            let _waited_for = told.send(scout);
            let _ended = listening.await;
        });
        self.running.insert((node, false), handle);
        scout.await.expect("the task sends it first")
    }

    /// Ends a node where it stands: its tasks are dropped, what it had not made durable is for the caller to undo.
    pub fn crash(&mut self, node: usize) {
        for twin in [false, true] {
            if let Some(handle) = self.running.remove(&(node, twin)) {
                handle.abort();
            }
        }
    }

    /// Takes away what a node that is down has in the runtime's storage: its votes and the engine's own notes.
    pub fn lose_storage(&mut self, node: usize) {
        *self.lost.entry(node).or_default() += 1;
    }

    /// What a node said and heard so far.
    pub fn traffic(&self, node: usize) -> Traffic {
        self.counts.get(node).map(|counts| counts.traffic()).unwrap_or_default()
    }

    /// Nodes listen again to those whom they caught voting twice.
    pub async fn forgive(&self) {
        for from in self.keys.iter() {
            for to in self.keys.iter().filter(|to| *to != from) {
                let _unblocked = self.oracle.unblock(from.clone(), to.clone()).await;
            }
        }
    }

    /// Links every node with every other, with few milliseconds between them.
    pub async fn heal(&self) {
        self.links(|_, _| Some(0), Duration::from_millis(12), Duration::from_millis(5)).await;
    }

    /// Links with another latency and with a part of the messages lost.
    pub async fn degrade(&self, latency: Duration, jitter: Duration, lost_percent: u64) {
        self.links(|_, _| Some(lost_percent), latency, jitter).await;
    }

    /// Cuts the nodes of `island` off from the rest.
    pub async fn part(&self, island: &[usize]) {
        self.link_where(|a, b| island.contains(&a) == island.contains(&b)).await;
    }

    /// Links those pairs of nodes alone.
    pub async fn link_where(&self, linked: impl Fn(usize, usize) -> bool) {
        let lost = |a, b| linked(a, b).then_some(0);
        self.links(lost, Duration::from_millis(12), Duration::from_millis(5)).await;
    }

    async fn links(&self, lost: impl Fn(usize, usize) -> Option<u64>, latency: Duration, jitter: Duration) {
        for (a, from) in self.keys.iter().enumerate() {
            for (b, to) in self.keys.iter().enumerate().filter(|(b, _)| *b != a) {
                let _none_yet = self.oracle.remove_link(from.clone(), to.clone()).await;
                if let Some(lost) = lost(a, b) {
                    let success_rate =
                        Probability::new(100_u64.saturating_sub(lost), 100).unwrap_or(probability!(0.0));
                    let link = Link { latency, jitter, success_rate };
                    let _linked = self.oracle.add_link(from.clone(), to.clone(), link).await;
                }
            }
        }
    }

    /// A node's channels, for each of its two instances.
    async fn networks(
        &self,
        node: usize,
        voice: Voice,
        split: Option<Arc<Split>>,
    ) -> [[(impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>); 6]; 2] {
        let said = (voice == Voice::Repeating).then(Arc::<Said>::default);
        #[expect(clippy::indexing_slicing, reason = "a script names its own nodes")]
        let (key, counts) = (self.keys[node].clone(), self.counts[node].clone());
        let (votes, all, everyone) = (false, self.keys.clone(), self.counts.clone());
        let mouth =
            Mouth { voice, said: None, split, votes, me: node, all, counts: counts.clone(), everyone };
        let (mut first, mut other) = (Vec::new(), Vec::new());
        for channel in CHANNELS {
            let control = self.oracle.control(key.clone());
            #[expect(clippy::expect_used, reason = "the network outlives the script")]
            let (sender, receiver) =
                control.register(channel, MESSAGES_PER_S).await.expect("the network runs");
            let said = said.clone().filter(|_| channel == VOTES);
            if let Some(said) = said.as_ref().map(Arc::downgrade) {
                let (mut sender, mut number, counts) = (sender.clone(), 0, counts.clone());
                self.context.child("repeating").spawn(move |context| async move {
                    // What was said goes with the node that said it, and so does this.
                    while let Some(said) = said.upgrade() {
                        number += 1;
                        if let Some(message) = said.at(number) {
                            counts.says_again(&message);
                            let _taken = sender.send(Recipients::All, message, false);
                        }
                        drop(said);
                        context.sleep(REPEAT).await;
                    }
                });
            }
            let mouth = Mouth { votes: channel == VOTES, ..mouth.clone() };
            let receivers = receiver.split_with(self.context.child("split"), mouth.clone().router());
            let senders = sender.split_with(Mouth { said, ..mouth }.forwarder());
            first.push((senders.0, receivers.0));
            other.push((senders.1, receivers.1));
        }
        [first, other].map(|networks| networks.try_into().unwrap_or_else(|_| unreachable!("six channels")))
    }

    async fn launch<S, R>(
        &mut self,
        node: usize,
        twin: bool,
        boot: Boot,
        running: Running,
        networks: [(S, R); 6],
    ) -> Result<(), EngineError>
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        self.starts += 1;
        let context = self.context.child("node").with_attribute("start", self.starts);
        let Some(key) = self.keys.get(node).cloned() else { return Err(EngineError::Genesis) };
        let peers = (self.oracle.manager(), self.oracle.control(key));
        let lost = self.lost.get(&node).copied().unwrap_or(0);
        let prefix = format!("n{node}{}-{lost}-", if twin { "twin" } else { "" });
        let (told, outcome) = oneshot::channel();
        // Tasks end with the task that spawned them: aborting this one ends the whole node.
        let handle = context.spawn(move |context| async move {
            let Booted { config, application, store } = boot(Runtime::new(context.child("own")));
            let started =
                seat::start_on(context.child("engine"), config, prefix, application, store, peers, networks);
            match started.await {
                Ok((engine, handle)) => {
                    running(Arc::new(handle));
                    let _waited_for = told.send(Ok(()));
                    let _ended = engine.await;
                }
                Err(error) => drop(told.send(Err(error))),
            }
        });
        self.running.insert((node, twin), handle);
        outcome.await.unwrap_or(Err(EngineError::Genesis))
    }
}
