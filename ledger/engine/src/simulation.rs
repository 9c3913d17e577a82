//! The node's own code on the deterministic runtime over a simulated network: crashes, restarts, a
//! partition. One seed, one execution; `KEYWARD_SEED` chooses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[path = "../tests/support/mod.rs"]
pub(crate) mod support;

use crate::{
    Block, Certificate, Id, Kind, LeaderTerm, Role, Store, StoreError, Timing,
    block::{BlockCodec, Sealed},
    node::{self, CHANNELS, Settings},
};
use bytes::Bytes;
use commonware_actor::Feedback;
use commonware_consensus::{Reporter, marshal::Update};
use commonware_cryptography::{
    Signer as _,
    ed25519::{PrivateKey, PublicKey},
};
use commonware_glue::simulate::{
    action::{Action, Crash, Schedule},
    engine::{EngineDefinition, InitContext},
    exit::ProcessedHeightAtLeast,
    plan::{PlanBuilder, PlanResult},
    processed::ProcessedHeight,
    reporter::MonitorReporter,
};
use commonware_p2p::simulated::Link;
use commonware_runtime::{Handle, Quota};
use commonware_utils::{Acknowledgement as _, NZU32, NZU64, probability};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{NAMESPACE, Toy, ToyFormat, genesis, parse};

const SIZE: usize = 4;

fn key(index: usize) -> PrivateKey {
    PrivateKey::from_seed(index as u64)
}

/// A store in memory that loses what was not synced when its node crashes.
#[derive(Clone, Default)]
struct Memory {
    blocks: BTreeMap<u64, (Block, bool)>,
    certificates: BTreeMap<u64, (Certificate, bool)>,
    mark: Option<[u8; 32]>,
}

#[derive(Default)]
struct MemoryStore(Mutex<Memory>);

impl MemoryStore {
    fn crash(&self) {
        let mut memory = self.0.lock().unwrap();
        memory.blocks.retain(|_, (_, synced)| *synced);
        memory.certificates.retain(|_, (_, synced)| *synced);
    }

    fn contiguous(&self) -> Vec<Bytes> {
        let memory = self.0.lock().unwrap();
        (1..).map_while(|height| memory.blocks.get(&height).map(|(block, _)| block.bytes.clone())).collect()
    }
}

impl Memory {
    fn heights(&self, kind: Kind) -> Vec<u64> {
        match kind {
            Kind::Block => self.blocks.keys().copied().collect(),
            Kind::Certificate => self.certificates.keys().copied().collect(),
        }
    }
}

impl Store for MemoryStore {
    fn put_block(&self, block: &Block) -> Result<(), StoreError> {
        self.0.lock().unwrap().blocks.entry(block.height).or_insert((block.clone(), false));
        Ok(())
    }

    fn put_certificate(&self, height: u64, certificate: &Certificate) -> Result<bool, StoreError> {
        let mut memory = self.0.lock().unwrap();
        let new = !memory.certificates.contains_key(&height);
        memory.certificates.entry(height).or_insert((certificate.clone(), false));
        Ok(new)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut memory = self.0.lock().unwrap();
        memory.blocks.values_mut().for_each(|(_, synced)| *synced = true);
        memory.certificates.values_mut().for_each(|(_, synced)| *synced = true);
        Ok(())
    }

    fn block(&self, id: Id) -> Result<Option<Bytes>, StoreError> {
        let memory = self.0.lock().unwrap();
        let found = match id {
            Id::Height(height) => memory.blocks.get(&height),
            Id::Digest(digest) => memory.blocks.values().find(|(block, _)| block.digest == digest),
        };
        Ok(found.map(|(block, _)| block.bytes.clone()))
    }

    fn certificate(&self, id: Id) -> Result<Option<Certificate>, StoreError> {
        let memory = self.0.lock().unwrap();
        let found = match id {
            Id::Height(height) => memory.certificates.get(&height),
            Id::Digest(digest) => memory.certificates.values().find(|(found, _)| found.digest == digest),
        };
        Ok(found.map(|(certificate, _)| certificate.clone()))
    }

    fn range_at_or_after(&self, kind: Kind, height: u64) -> Option<(u64, u64)> {
        let heights = self.0.lock().unwrap().heights(kind);
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for height in heights {
            match runs.last_mut() {
                Some(run) if run.1 + 1 == height => run.1 = height,
                _ => runs.push((height, height)),
            }
        }
        runs.into_iter().find(|(_, last)| *last >= height)
    }

    fn last(&self, kind: Kind) -> Option<u64> {
        self.0.lock().unwrap().heights(kind).last().copied()
    }

    fn journal_mark(&self) -> Result<Option<[u8; 32]>, StoreError> {
        Ok(self.0.lock().unwrap().mark)
    }

    fn set_journal_mark(&self, mark: [u8; 32]) -> Result<(), StoreError> {
        self.0.lock().unwrap().mark = Some(mark);
        Ok(())
    }
}

/// Four nodes whose stores outlive their crashes.
#[derive(Clone)]
struct Network {
    term: LeaderTerm,
    stores: Vec<Arc<MemoryStore>>,
}

impl Network {
    fn new(term: LeaderTerm) -> Self {
        Self { term, stores: (0..SIZE).map(|_| Arc::default()).collect() }
    }
}

struct State(Arc<Toy>);

impl ProcessedHeight for State {
    async fn processed_height(&self) -> u64 {
        self.0.height()
    }
}

/// Acknowledges what the monitor passes on.
#[derive(Clone)]
struct Acknowledge;

impl Reporter for Acknowledge {
    type Activity = Update<Sealed>;

    fn report(&mut self, update: Update<Sealed>) -> Feedback {
        if let Update::Block(_, ack) = update {
            ack.acknowledge();
        }
        Feedback::Ok
    }
}

impl EngineDefinition for Network {
    type PublicKey = PublicKey;
    type Engine = Handle<()>;
    type State = State;

    fn participants(&self) -> Vec<PublicKey> {
        (0..SIZE).map(|index| key(index).public_key()).collect()
    }

    fn channels(&self) -> Vec<(u64, Quota)> {
        CHANNELS.map(|channel| (channel, Quota::per_second(NZU32!(10_000)))).to_vec()
    }

    fn max_message_size(&self) -> u32 {
        1 << 20
    }

    async fn init(&self, context: InitContext<'_, PublicKey>) -> (Handle<()>, State) {
        let store = self.stores[context.index].clone();
        store.crash();
        let validators = self.participants().iter().map(|key| key.as_ref().try_into().unwrap()).collect();
        let toy = Arc::new(Toy::new(validators, self.term, context.index as u8, store.contiguous()));
        let settings = Settings {
            namespace: NAMESPACE.to_vec(),
            key: key(context.index),
            role: Role::Validator,
            genesis: parse(genesis()),
            floor: None,
            codec: BlockCodec(Arc::new(ToyFormat)),
            epoch_length: NZU64!(20),
            timing: Timing::default(),
            journal: None,
            track: Arc::new(|_, _| ()),
            prefix: format!("n{}-", context.index),
        };
        let Ok(networks) = context.channels.try_into() else { panic!("five channels") };
        let monitor = MonitorReporter::new(context.public_key.clone(), context.monitor, Acknowledge);
        let peers = (context.oracle.manager(), context.oracle.control(context.public_key.clone()));
        let node =
            node::start(context.context, settings, toy.clone(), store, peers, networks, Some(monitor)).await;
        (node.expect("a node starts").handle, State(toy))
    }

    fn start(engine: Handle<()>) -> Handle<()> {
        engine
    }
}

fn link(up: bool) -> Link {
    Link {
        latency: Duration::from_millis(15),
        jitter: Duration::from_millis(5),
        success_rate: if up { probability!(1.0) } else { probability!(0.0) },
    }
}

fn seed() -> u64 {
    let seed = std::env::var("KEYWARD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("KEYWARD_SEED={seed}");
    seed
}

/// Cuts nodes 0 and 1 off from 2 and 3, so that nobody has a quorum, then heals.
fn partition(nodes: &[PublicKey]) -> Schedule<PublicKey> {
    let mut schedule = Schedule::new();
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3), (2, 0), (3, 0), (2, 1), (3, 1)] {
        let (from, to) = (nodes[a].clone(), nodes[b].clone());
        schedule = schedule.at(Duration::from_secs(4), Action::UpdateLink { from, to, link: link(false) });
    }
    schedule.at(Duration::from_secs(9), Action::Heal(link(true)))
}

fn run(seed: u64, term: LeaderTerm, height: u64) -> PlanResult<Network> {
    let network = Network::new(term);
    let schedule = partition(&network.participants());
    let random =
        Crash::Random { frequency: Duration::from_secs(5), downtime: Duration::from_secs(2), count: 1 };
    let mut results = PlanBuilder::new(network)
        .seed(seed)
        .link(link(true))
        .crash(Crash::Schedule(schedule))
        .crash(random)
        .exit_condition(ProcessedHeightAtLeast::new(height))
        .timeout(Duration::from_secs(600))
        .run()
        .expect("no fork, and all nodes reach the height");
    results.remove(0)
}

#[test]
fn crashes_and_a_partition_cost_time_but_neither_safety_nor_progress() {
    let seed = seed();
    for term in [LeaderTerm::Rotating, LeaderTerm::Stable { views: 8 }] {
        let (first, second) = (run(seed, term, 300), run(seed, term, 300));
        println!("{term:?}: {} crashes, state {}", first.crashes, first.state);
        assert!(first.crashes > 0);
        assert_eq!(first.state, second.state, "same seed, same execution");
    }
}

#[test]
fn another_seed_is_another_execution() {
    let seed = seed();
    let term = LeaderTerm::Rotating;
    assert_ne!(run(seed, term, 200).state, run(seed + 1, term, 200).state);
}
