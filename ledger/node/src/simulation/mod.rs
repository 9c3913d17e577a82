//! Whole clusters of this room's own code on the engine's seeded runtime, under faults and beside adversaries.
//!
//! A seed decides everything: who is dishonest and how, clocks, crashes, cuts, damage, what clients ask and when.
//! A failure prints the one command that repeats it from its seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod adversary;
mod checkers;
mod client;
mod disk;
mod faults;
mod floods;
pub(crate) mod fuzz;
mod history;
mod joining;
mod latency;
mod member;
mod regimes;
mod seeds;

use std::{path::PathBuf, sync::Arc, time::Duration};

use keyward_ledger_core::{
    block::Regime, certificate::ValidatorSet, ed25519::SigningKey, genesis::Genesis, hash::Hash,
};
use keyward_ledger_engine::{EngineError, Role};
use keyward_ledger_simulation::{Dice, Run, Split, Task, World, simulate};

use adversary::Character;
use client::Client;
use history::{Broken, Kept, Seen};
use member::{Member, Record, lock};

use crate::application::BlockFormat;

/// Validators, of which one may be dishonest.
const SIZE: usize = 4;
const CLIENTS: u8 = 3;
/// How long a healthy cluster may take to become final again, all time-outs of what was cut off included.
const RECOVERY_MAX: Duration = Duration::from_secs(90);

/// A cluster in a world.
struct Cluster {
    world: World,
    members: Vec<Arc<Member>>,
    record: Record,
    genesis: Arc<Genesis>,
    set: Arc<ValidatorSet>,
    clients: Vec<Task>,
    /// How those that lead two parts of the others differently part them.
    split: Option<Split>,
}

/// What a cluster came to.
#[derive(Clone)]
struct Outcome {
    seen: Seen,
    kept: Vec<Kept>,
}

fn validator(index: usize) -> [u8; 32] {
    [index as u8 + 1; 32]
}

fn submitter(index: u8) -> SigningKey {
    SigningKey::from_seed(&[100 + index; 32])
}

/// Runs a script over a cluster of four whose files lie below a folder of its own.
fn cluster<T, F>(seed: u64, regime: Regime, script: impl FnOnce(Cluster, PathBuf) -> F) -> Run<T>
where
    F: Future<Output = T>,
{
    cluster_of(SIZE, seed, regime, script)
}

fn cluster_of<T, F>(
    size: usize,
    seed: u64,
    regime: Regime,
    script: impl FnOnce(Cluster, PathBuf) -> F,
) -> Run<T>
where
    F: Future<Output = T>,
{
    cluster_with((size, 0), seed, regime, script)
}

/// A cluster beside which there are nodes that are no validators.
fn cluster_with<T, F>(
    (size, observers): (usize, usize),
    seed: u64,
    regime: Regime,
    script: impl FnOnce(Cluster, PathBuf) -> F,
) -> Run<T>
where
    F: Future<Output = T>,
{
    let all: Vec<_> = (0..size + observers).map(|index| SigningKey::from_seed(&validator(index))).collect();
    let keys = all.get(..size).unwrap_or_default();
    let submitters: Vec<_> = (0..CLIENTS).map(submitter).collect();
    let genesis = Arc::new(member::genesis(keys, &submitters, regime));
    let set = Arc::new(ValidatorSet::new(&genesis.document().validators).unwrap());
    let record = Record::default();
    // In memory where there is some: thousands of syncs would cost time and show nothing.
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let path = folder.path().to_owned();
    let members = (0..all.len()).map(|index| {
        let dir = path.join(format!("n{index}"));
        Arc::new(Member::new(index, validator(index), dir, genesis.clone(), record.clone()))
    });
    let members = members.collect();
    let public: Vec<_> = all.iter().map(SigningKey::public_key).collect();
    simulate(seed, &public, Arc::new(BlockFormat), |world| {
        script(Cluster { world, members, record, genesis, set, clients: Vec::new(), split: None }, path)
    })
}

impl Cluster {
    fn chain_id(&self) -> Hash {
        *self.genesis.chain_id()
    }

    /// Changes what a node is before it starts.
    fn play(&self, node: usize, character: Character, skew_ms: i64) {
        self.members[node].become_of(character, skew_ms);
    }

    async fn start(&mut self, node: usize) {
        let member = self.members[node].clone();
        let started = match member.character() {
            Character::EquivocatingLeader | Character::OverheardEquivocator => {
                // Its second instance talks with as many of the others as may be dishonest.
                let size = self.members.len();
                let second: Vec<usize> = (1..=size / 3).map(|step| (node + 2 * step - 1) % size).collect();
                let overheard = member.character() == Character::OverheardEquivocator;
                let overhears = second.first().copied().filter(|_| overheard);
                let split = Split { second, overhears, neither: Vec::new() };
                member.start_twins(&mut self.world, self.split.clone().unwrap_or(split)).await
            }
            _ => member.start(&mut self.world).await,
        };
        let started = match started {
            // As the program does: without its votes it follows.
            Err(EngineError::VoteJournalLost { .. } | EngineError::VoteJournalReplaced { .. }) => {
                lock(&self.record).observers.insert(node);
                self.crash(node).await;
                member.start_as(&mut self.world, Role::Observer).await
            }
            started => started,
        };
        started.unwrap_or_else(|error| panic!("node {node} does not start: {error}"));
    }

    async fn start_all(&mut self) {
        for node in 0..self.members.len() {
            self.start(node).await;
        }
    }

    fn start_clients(&mut self) {
        for index in 0..CLIENTS {
            let client = Client {
                key: submitter(index),
                members: self.members.clone(),
                set: self.set.clone(),
                chain_id: self.chain_id(),
                dice: Dice::new(self.world.dice.next()),
                record: self.record.clone(),
                runtime: self.world.runtime(),
                latest: None,
            };
            self.clients.push(client.start());
        }
    }

    /// The whole disk of a node that is down, its votes included.
    fn lose_everything(&mut self, node: usize) {
        let member = &self.members[node];
        disk::lose(&member.dir);
        disk::settle(&member.dir, &member.durable);
        self.world.lose_storage(node);
    }

    async fn crash(&mut self, node: usize) {
        let member = self.members[node].clone();
        member.crash(&mut self.world).await;
    }

    fn honest(&self) -> Vec<Arc<Member>> {
        self.members.iter().filter(|member| member.is_honest()).cloned().collect()
    }

    fn height(&self) -> u64 {
        self.honest().iter().map(|member| member.height()).max().unwrap_or(0)
    }

    /// Waits until every honest node is as high.
    async fn reach(&self, height: u64) -> Result<(), Broken> {
        let began = self.world.runtime().now();
        while self.honest().iter().any(|member| member.height() < height) {
            if self.world.runtime().now() - began > RECOVERY_MAX {
                return Err(Broken::NoProgress { height: self.height() });
            }
            self.world.wait(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Heals the network, waits until everybody goes on, takes what each honest node holds, and ends them all.
    async fn finish(mut self) -> Result<Outcome, Broken> {
        self.world.heal().await;
        let went_on = self.go_on().await;
        self.clients.drain(..).for_each(|client| client.abort());
        let kept = self.honest().iter().map(|member| member.kept()).collect::<Result<_, _>>();
        for node in 0..self.members.len() {
            self.crash(node).await;
        }
        let seen = std::mem::take(&mut *lock(&self.record));
        went_on.and_then(|()| Ok(Outcome { seen, kept: kept? }))
    }

    async fn go_on(&mut self) -> Result<(), Broken> {
        self.reach(self.height() + 12).await?;
        self.clients.iter().for_each(Task::abort);
        let highest = lock(&self.record).acknowledged.iter().map(|known| known.height).max();
        self.reach(highest.unwrap_or(0).max(self.height())).await
    }
}

impl Outcome {
    fn check(&self, set: &ValidatorSet, chain_id: &Hash) -> Result<(), Broken> {
        history::check(&self.seen, &self.kept, set, chain_id)
    }
}
