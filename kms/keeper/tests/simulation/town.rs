//! Everything at once: the machines, and what happened on them.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keyward_crypto::vault::Grant;
use keyward_ledger_core::{
    block::{Regime, SignedHeader},
    ed25519::SigningKey,
    entry::{Entry, RuleName, VaultAttempt},
    genesis::{Genesis, GenesisDocument, Role, Submitter},
    hash::Hash,
    outcome::Outcome,
    record::Record,
    state::{
        layout::{AttemptsState, attempts_key},
        vault::{VaultState, vault_key},
    },
    vault::vault_rule,
};
use keyward_ledger_engine::{EngineError, Role as Seated};
use keyward_ledger_node::{Answers, Seat};
use keyward_ledger_simulation::{Runtime, World, simulate};

use super::{
    checker::{Broken, Counted, Evaluated, Released, Seen},
    hand::{Hand, placed},
    loot::Loot,
    node::{EPOCH_MS, Live, Node, id, on_ledger, validator},
    vaults::VAULTS,
};

/// Machines, of which one may lose its disk.
pub(crate) const SIZE: usize = 4;
/// Submitting keys of services: the person's, and one that a thief has.
pub(crate) const SERVICES: [[u8; 32]; 2] = [[0x61; 32], [0x62; 32]];
/// How often a batch is handed in until it is given up.
const TURNS: usize = 40;

pub(crate) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a seed decides before anything runs.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) regime: Regime,
    /// How many shares are needed.
    pub(crate) threshold: u8,
    /// Machines whose keepers share everything with the thief. Their validators are honest.
    pub(crate) colluders: BTreeSet<usize>,
    /// The machine of a keeper that counts as honest and answers whatever it is asked.
    pub(crate) careless: Option<usize>,
    pub(crate) skews_ms: [i64; SIZE],
}

impl Plan {
    pub(crate) fn is_honest(&self, node: usize) -> bool {
        !self.colluders.contains(&node)
    }
}

/// What a keeper is asked: about which attempt, where its record stands, and for which element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) attempt: VaultAttempt,
    pub(crate) leaf: u64,
    pub(crate) element: [u8; 32],
}

/// The moment between the evaluations of a recovery and its releases.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Between {
    /// Nobody waits for it.
    #[default]
    Passed,
    /// The next recovery that comes to it waits.
    Awaited,
    /// A recovery stands there; this keeper has answered it.
    Reached(usize),
}

/// Everything.
pub(crate) struct Town {
    pub(crate) plan: Plan,
    pub(crate) nodes: Vec<Node>,
    pub(crate) runtime: Runtime,
    pub(crate) chain_id: Hash,
    pub(crate) services: [Hand; 2],
    pub(crate) between: Mutex<Between>,
    /// Who is cut off from the rest.
    island: Mutex<BTreeSet<usize>>,
    seen: Mutex<Seen>,
}

fn genesis(regime: Regime) -> Genesis {
    let mut validators: Vec<_> =
        (0..SIZE).map(|index| SigningKey::from_seed(&validator(index)).public_key()).collect();
    validators.sort_unstable();
    let public = |seed: &[u8; 32]| SigningKey::from_seed(seed).public_key();
    let mut submitters: Vec<_> =
        SERVICES.iter().map(|seed| Submitter::new(public(seed), Role::Service)).collect();
    submitters.sort_by_key(|submitter| submitter.key);
    let mut keepers: Vec<_> = (0..SIZE).map(on_ledger).collect();
    keepers.sort_by_key(|keeper| keeper.id());
    let (name, time_ms, clock_bound_ms) = ("simulated".into(), EPOCH_MS - 60_000, 5_000);
    let epoch_length = 24;
    let document = GenesisDocument {
        name,
        time_ms,
        validators,
        submitters,
        keepers,
        epoch_length,
        regime,
        clock_bound_ms,
    };
    Genesis::new(document).unwrap()
}

/// Runs a script in a world of its own, whose files lie below a temporary folder.
pub(crate) fn town<T, F>(seed: u64, plan: Plan, script: impl FnOnce(Arc<Town>, World) -> F) -> T
where
    F: Future<Output = T>,
{
    let genesis = Arc::new(genesis(plan.regime));
    // In memory where there is some: thousands of syncs would cost time and show nothing. A keeper wants 256 MiB free.
    let memory = Path::new("/dev/shm");
    let roomy = rustix::fs::statvfs(memory).is_ok_and(|found| found.f_bavail * found.f_frsize > 1 << 30);
    let folder = if roomy { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let keys: Vec<_> = (0..SIZE).map(|index| SigningKey::from_seed(&validator(index)).public_key()).collect();
    let run = simulate(seed, &keys, Seat::format(), |world| {
        let chain_id = *genesis.chain_id();
        let nodes = (0..SIZE).map(|index| Node::new(index, folder.path(), plan.skews_ms[index], &genesis));
        let town = Town {
            nodes: nodes.collect(),
            plan,
            runtime: world.runtime(),
            chain_id,
            services: SERVICES.map(|seed| Hand::new(seed, chain_id)),
            between: Mutex::default(),
            island: Mutex::default(),
            seen: Mutex::default(),
        };
        script(Arc::new(town), world)
    });
    run.value
}

impl Town {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Writes down what happened.
    pub(crate) fn tell(&self, what: &str) {
        let at = self.runtime.now().as_micros();
        self.seen().story.push(format!("{at} {what}"));
    }

    /// Counts that something happened.
    pub(crate) fn count(&self, what: &'static str) {
        *self.seen().deeds.entry(what).or_default() += 1;
    }

    pub(crate) async fn wait(&self, ms: u64) {
        self.runtime.sleep(Duration::from_millis(ms)).await;
    }

    /// Whether two machines hear each other.
    pub(crate) fn hears(&self, one: usize, other: usize) -> bool {
        let island = lock(&self.island);
        island.contains(&one) == island.contains(&other)
    }

    /// Notes who is cut off.
    pub(crate) fn part(&self, island: &[usize]) {
        *lock(&self.island) = island.iter().copied().collect();
    }

    /// Starts a machine. Whose votes are lost follows as an observer, as the program does.
    pub(crate) async fn start(self: &Arc<Self>, world: &mut World, node: usize) {
        let node = &self.nodes[node];
        let started = match node.start(self, world, Seated::Validator).await {
            Err(EngineError::VoteJournalLost { .. } | EngineError::VoteJournalReplaced { .. }) => {
                self.count("observers");
                node.crash(world).await;
                node.start(self, world, Seated::Observer).await
            }
            started => started,
        };
        started.unwrap_or_else(|error| panic!("node {} does not start: {error}", node.index));
    }

    /// The machine with the newest certified state.
    pub(crate) fn newest(&self) -> Option<&Node> {
        let height = |node: &&Node| node.live().and_then(|live| live.answers.certified());
        self.nodes.iter().filter(|node| height(node).is_some()).max_by_key(height)
    }

    /// What stands under a key in the newest certified state.
    pub(crate) async fn state(&self, key: Vec<u8>) -> Option<Vec<u8>> {
        let found = self.newest()?.ask(self, |live| async move { live.answers.state(&key).await.ok() });
        found.await??.value.map(Vec::from)
    }

    /// A vault as the newest certified state has it.
    pub(crate) async fn vault(&self, vault: &RuleName) -> Option<VaultState> {
        let value = self.state(vault_key(&vault_rule(vault))).await?;
        Some(VaultState::decode(&value).unwrap())
    }

    /// Hands an entry in until it is final: first at one machine, then at one after another. Its place, and what became of
    /// it.
    pub(crate) async fn record(&self, hand: &Hand, entry: &Entry, via: usize) -> Option<(u64, Outcome)> {
        let batch = hand.batch(entry);
        for turn in 0..TURNS {
            let (node, batch) = (&self.nodes[(via + turn) % SIZE], batch.clone());
            let answer = node.ask(self, |live| async move { live.answers.submit(batch).await.ok() }).await;
            if let Some(placed) = answer.flatten().and_then(placed) {
                return Some(placed);
            }
            self.wait(150).await;
        }
        None
    }

    /// Whether a machine's own validator said before that a vault has ended, or has newer shares than an attempt names.
    pub(crate) async fn is_stale(&self, live: &Live, asked: &Asked) -> bool {
        let key = vault_key(&vault_rule(&asked.attempt.vault));
        let Ok(found) = live.answers.state(&key).await else { return false };
        let vault = found.value.map(|value| VaultState::decode(&value).unwrap());
        vault.is_some_and(|vault| {
            vault.destroyed
                || (vault.version, vault.share_version) > (asked.attempt.version, asked.attempt.share_version)
        })
    }

    /// What the keeper of a machine would say that answers everything.
    pub(crate) fn loot(&self, node: usize, grant: &Grant, element: &[u8; 32]) -> Option<Vec<u8>> {
        let mut loot = Loot::default();
        loot.take(&self.nodes[node]);
        loot.evaluate(node, grant, element)
    }

    /// An honest keeper has evaluated an element.
    pub(crate) fn evaluated(&self, keeper: usize, asked: &Asked, stale: bool) {
        if self.plan.is_honest(keeper) {
            let Asked { leaf, element, .. } = *asked;
            self.seen().evaluated.push(Evaluated { keeper, leaf, element, stale });
        }
    }

    /// An honest keeper has given its part.
    pub(crate) fn released(&self, keeper: usize, leaf: u64, opened: u64) {
        if self.plan.is_honest(keeper) {
            self.seen().released.push(Released { keeper, leaf, opened });
        }
    }

    /// Reads on in the log and in every machine's counters, and holds everything against everything.
    pub(crate) async fn look(&self) -> Result<(), Broken> {
        self.read_log().await;
        for node in &self.nodes {
            let counted = node.ask(self, |live| async move { counters(&live.answers).await }).await;
            for (place, (height, state)) in counted.into_iter().flatten() {
                let AttemptsState { number, spent, granted, .. } = state;
                let (node, vault) = (node.index, VAULTS[place].name);
                self.seen().counters.insert(Counted { height, vault, node, number, spent, granted });
            }
        }
        self.seen().check()
    }

    async fn read_log(&self) {
        let Some(node) = self.newest() else { return };
        let next = self.seen().log.len() as u64;
        let read = node.ask(self, move |live| async move {
            let (height, mut records) = (live.answers.certified()?, Vec::new());
            while let Ok(found) = live.answers.record(next + records.len() as u64).await {
                records.push(Record::decode(&found.record?.leaf).ok()?);
            }
            Some((height, records))
        });
        let Some(Some((height, records))) = read.await else { return };
        let mut seen = self.seen();
        seen.log.extend(records);
        seen.log_height = seen.log_height.max(height);
    }

    /// Whether every machine runs and is as high.
    pub(crate) fn have_reached(&self, height: u64) -> bool {
        let reached = |node: &Node| {
            node.live().and_then(|live| live.answers.certified()).is_some_and(|found| found >= height)
        };
        self.nodes.iter().all(reached)
    }

    /// The newest certified height.
    pub(crate) fn height(&self) -> u64 {
        self.newest().and_then(Node::live).and_then(|live| live.answers.certified()).unwrap_or(0)
    }

    /// The place of a keeper in a vault's list.
    pub(crate) fn index_of(&self, vault: &VaultState, node: usize) -> Option<u8> {
        let place = vault.keepers.iter().position(|keeper| *keeper == id(node))?;
        Some(u8::try_from(place).unwrap() + 1)
    }
}

/// The counters of both vaults, as one machine has them, and at which height.
async fn counters(answers: &Answers) -> Vec<(usize, (u64, AttemptsState))> {
    let mut found = Vec::new();
    for (place, vault) in VAULTS.iter().enumerate() {
        let key = attempts_key(&vault_rule(vault));
        let Ok(answer) = answers.state(&key).await else { continue };
        let (Some(anchor), Some(value)) = (answer.anchor, answer.value) else { continue };
        let height = SignedHeader::decode(&anchor.header).unwrap().header.height;
        found.push((place, (height, AttemptsState::decode(&value).unwrap())));
    }
    found
}
