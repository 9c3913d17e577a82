//! A world to guess in: many accounts, mixed batches, and challenges whose author is one of two by the flip of a coin.

use std::collections::HashMap;
use std::convert::Infallible;

use keyward_ledger_core::batch::mix::mix;
use keyward_ledger_core::ed25519;
use keyward_ledger_core::entry::{Custody, Entry, UseAddress};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::record::Record;

use super::beside::{Beside, CASE_BLOCKS, Sent, custody};
use crate::town::common::mutate::Random;
use crate::town::{END_STEP_BLOCKS, EPOCH_MS, Town};

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// What is added to the spending point follows from epoch and index alone, not from the viewing leaf.
    TweakWithoutLeaf,
    /// Half of the accounts' details end in padding that was not sealed.
    ClearPadding,
    /// The entries of a batch stand in the order of the accounts.
    SortedBatch,
    /// They stand in the order in which they arrived.
    NotMixed,
    /// Releases stand in the order in which what they release was asked for.
    ReleasesNotMixed,
    /// Releases are recorded as soon as what signs has answered.
    ReleasesAtOnce,
    /// The end of an intent is exactly so far from its begin, and own roots' devices differ in how long they take to sign for it.
    ExactEnds,
    /// It is rounded, and stays as it is where the ends have gone on before it is recorded.
    EndsFromBegin,
    /// The handle of a limit is the same in every window.
    EternalHandle,
}

/// Who the two of a challenge are. Which accounts have own roots stands on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Both have hosted roots, or both own ones.
    OneKind,
    /// One has a hosted root, the other one an own root.
    TwoKinds,
    /// Both have own roots.
    Own,
}

/// How large the world is, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub accounts: u8,
    pub epochs: u32,
    pub blocks: usize,
    /// Challenges of each block.
    pub challenges: usize,
    /// Acts of each block through the adversary's own app, whose authors it knows.
    pub labelled: usize,
    /// From this epoch on (from 0) the adversary's app is not used.
    pub silent_from: u32,
    pub flaw: Flaw,
    /// The window of a limit that every act counts against.
    pub window_ms: Option<u64>,
    /// Some accounts have own roots; services that count uses take none.
    pub own: bool,
    pub pairs: Pairs,
    /// Own roots' devices take some blocks more or less to sign, each its own number of them.
    pub devices_differ: bool,
}

/// How much later than the one before it each account's requests arrive while a batch gathers, for its way to the service is longer; and
/// by how much that varies.
const LATER_MS: u64 = 10;
const VARIES_MS: usize = 100;
/// From one block to the next.
const STEP_MS_MIN: u64 = 300;
const STEP_MS_MAX: u64 = 900;
/// One in so many acts is approved by others.
const CASES_ONE_IN: usize = 60;

/// A transaction that one of two accounts made.
#[derive(Clone, Copy, Debug)]
pub struct Challenge {
    pub leaf_index: u64,
    /// Of its block.
    pub height: u64,
    /// From 0.
    pub epoch: u32,
    pub pair: [usize; 2],
    /// Which of them.
    pub author: usize,
}

/// An act through the adversary's own app.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub leaf_index: u64,
    pub owner: usize,
    /// When it arrived at the service, from the beginning of its batch on.
    pub arrived_ms: u64,
    /// Its intent.
    pub intent: Hash,
}

pub struct Played {
    pub town: Town,
    /// The number of the first epoch.
    pub first: u32,
    pub challenges: Vec<Challenge>,
    /// What the adversary's app knows.
    pub labelled: Vec<Label>,
    beside: Beside,
}

/// An act that is about to be made.
#[derive(Clone, Copy)]
pub struct Planned {
    pub owner: usize,
    pub arrived_ms: u64,
    challenge: Option<([usize; 2], usize)>,
}

pub fn use_of(record: &Record) -> Option<UseAddress> {
    match Entry::decode(&record.entry) {
        Ok(Entry::UseAddress(used)) => Some(used),
        _ => None,
    }
}

/// Entries in the order in which they leave: the committer's own.
pub fn mixed<T>(random: &mut Random, items: Vec<T>, entry: impl Fn(&T) -> &Entry) -> Vec<T> {
    let mut encoded: Vec<_> = items.into_iter().map(|item| (entry(&item).encode(), item)).collect();
    let Ok(()) = mix(&mut encoded, |(bytes, _)| bytes, || Ok::<_, Infallible>(random.next()));
    encoded.into_iter().map(|(_, item)| item).collect()
}

impl Setup {
    pub fn play(self, random: Random) -> Played {
        let custody = |owner| if self.own { custody(owner) } else { Custody::Hosted };
        let mut town = Town::of(self.accounts, custody, random);
        let rule = self.window_ms.map(|window_ms| town.limit(window_ms));
        let beside = Beside::new(&mut town);
        // Ends of intents go on by a step in the middle of it all.
        let blocks = self.epochs as usize * (self.blocks + 1);
        if self.own {
            while !(town.world.ledger.height() + blocks as u64 / 2).is_multiple_of(END_STEP_BLOCKS) {
                town.world.block(&[]);
            }
        }
        // Windows begin with an epoch.
        let first = (town.epoch() / 4 + 1) * 4;
        let mut played = Played { town, first, challenges: Vec::new(), labelled: Vec::new(), beside };
        for epoch in 0..self.epochs {
            played.town.go(first + epoch, 1_000);
            for number in 0..self.blocks {
                let planned = self.plan(&mut played.town, epoch);
                self.block(&mut played, epoch, number, planned, rule);
            }
            // What was held back comes while nobody acts.
            while played.beside.holds_releases() && played.town.ends_ms() > STEP_MS_MAX {
                self.block(&mut played, epoch, self.blocks, Vec::new(), rule);
            }
            played.beside.end_epoch(&mut played.town, first + epoch);
        }
        played.town.go(first + self.epochs, 1_000);
        while !played.beside.is_empty() {
            self.block(&mut played, self.epochs, self.blocks, Vec::new(), rule);
        }
        played
    }

    /// What arrives while a block's batches gather, in its order.
    fn plan(self, town: &mut Town, epoch: u32) -> Vec<Planned> {
        let accounts = usize::from(self.accounts);
        let mut acts = Vec::new();
        for _ in 0..self.challenges {
            let pair = self.pair(town);
            let author = town.random.below(2);
            acts.push((pair[author], Some((pair, author))));
        }
        let labelled = if epoch < self.silent_from { self.labelled } else { 0 };
        for _ in 0..labelled {
            acts.push((town.random.below(accounts), None));
        }
        let arrives = |(owner, challenge)| {
            let arrived_ms = owner as u64 * LATER_MS + town.random.below(VARIES_MS) as u64;
            Planned { owner, arrived_ms, challenge }
        };
        acts.into_iter().map(arrives).collect()
    }

    /// Two accounts that could be meant.
    fn pair(self, town: &mut Town) -> [usize; 2] {
        let accounts = usize::from(self.accounts);
        loop {
            let [one, other] = [(); 2].map(|()| town.random.below(accounts));
            let kinds = [one, other].map(|owner| town.owners[owner].custody);
            let fits = match self.pairs {
                Pairs::OneKind => kinds[0] == kinds[1],
                Pairs::TwoKinds => kinds[0] != kinds[1],
                Pairs::Own => kinds == [Custody::Own; 2],
            };
            if fits && one != other {
                return [one, other];
            }
        }
    }

    /// A server's batch of what arrived, in its order.
    fn ordered(self, random: &mut Random, mut batch: Vec<Sent>) -> Vec<Entry> {
        batch.sort_by_key(|sent| sent.arrived_ms);
        match self.flaw {
            Flaw::SortedBatch => batch.sort_by_key(|sent| sent.owner),
            Flaw::NotMixed => {}
            _ => batch = mixed(random, batch, |sent| &sent.entry),
        }
        if self.flaw == Flaw::ReleasesNotMixed {
            let is_release = |sent: &Sent| matches!(sent.entry, Entry::Release(_));
            let (mut releases, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_release);
            releases.sort_by_key(|sent| sent.arrived_ms);
            batch = others.into_iter().chain(releases).collect();
        }
        batch.into_iter().map(|sent| sent.entry).collect()
    }

    /// One block with a batch of each of two servers of the service.
    fn block(
        self,
        played: &mut Played,
        epoch: u32,
        number: usize,
        planned: Vec<Planned>,
        rule: Option<Hash>,
    ) {
        let Played { town, beside, .. } = played;
        town.world.step_ms = STEP_MS_MIN + town.random.below((STEP_MS_MAX - STEP_MS_MIN) as usize) as u64;
        let (mut sent, mut signed) = beside.due(town);
        if number < self.blocks {
            sent.extend(beside.announce(town));
        }
        for planned in planned {
            let is_asked = number + CASE_BLOCKS < self.blocks && town.random.below(CASES_ONE_IN) == 0;
            if is_asked {
                sent.push(beside.ask(town, planned));
            } else {
                let draft = beside.draft(town, planned.owner);
                signed.push((planned, draft));
            }
        }
        let servers = [21, 22].map(|seed| ed25519::SigningKey::from_seed(&[seed; 32]));
        let mut acts: HashMap<Hash, (Planned, usize)> = HashMap::new();
        for (planned, draft) in signed {
            let Planned { owner, arrived_ms, .. } = planned;
            let server = town.random.below(2);
            let began = self.began(town, owner, number);
            let used = self.act(town, (owner, draft), (servers[server].public_key(), began), rule);
            acts.insert(used.id, (planned, server));
            sent.push(Sent { owner, server, arrived_ms, entry: Entry::UseAddress(used) });
        }
        let mut batches = [Vec::new(), Vec::new()];
        for sent in sent {
            batches[sent.server].push(sent);
        }
        let mut signed = Vec::new();
        for (server, batch) in servers.iter().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            let entries = self.ordered(&mut town.random, batch);
            signed.push(town.world.batch(server, &entries));
        }
        let before = town.world.records.len();
        town.world.block(&signed);
        self.follow(played, epoch, before, &mut acts);
        assert!(acts.is_empty());
    }

    /// What the records from one on mean for the game, and what comes of them.
    fn follow(
        self,
        played: &mut Played,
        epoch: u32,
        before: usize,
        acts: &mut HashMap<Hash, (Planned, usize)>,
    ) {
        let Played { town, beside, challenges, labelled, .. } = played;
        let records = town.world.records[before..].to_vec();
        for (leaf_index, record) in (before as u64..).zip(&records) {
            assert!(record.outcome.is_accepted(), "{}", record.outcome.name());
            let Some(UseAddress { id: intent, epoch: used_in, .. }) = use_of(record) else {
                beside.follow(town, record);
                continue;
            };
            let (Planned { owner, arrived_ms, challenge }, server) = acts.remove(&intent).unwrap();
            town.owners[owner].uses.entry(used_in).or_default().push(leaf_index);
            let (later_ms, height) = (self.released_after_ms(town, owner), record.height);
            let arrives = (self.flaw == Flaw::ReleasesNotMixed).then_some(arrived_ms);
            beside.release(town, (later_ms, arrives), (owner, server, intent));
            match challenge {
                Some((pair, author)) => {
                    challenges.push(Challenge { leaf_index, height, epoch, pair, author })
                }
                None => labelled.push(Label { leaf_index, owner, arrived_ms, intent }),
            }
        }
    }
}

/// The number of the epoch of a block's time.
pub fn offset_ms(time_ms: u64) -> u64 {
    time_ms % EPOCH_MS
}
