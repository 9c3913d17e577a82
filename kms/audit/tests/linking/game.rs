//! A world to guess in: many accounts, mixed batches, and challenges whose author is one of two by the flip of a coin.

use std::collections::HashMap;
use std::convert::Infallible;

use k256::Scalar;
use k256::elliptic_curve::ops::Reduce as _;
use keyward_crypto::SigningKey;
use keyward_ledger_core::batch::mix::mix;
use keyward_ledger_core::ed25519;
use keyward_ledger_core::entry::{Entry, UseAddress};
use keyward_ledger_core::hash::{Hash, sha256};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::scheme::Scheme;

use crate::town::common::mutate::Random;
use crate::town::{EPOCH_MS, Town};

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
    /// The handle of a limit is the same in every window.
    EternalHandle,
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
}

/// How much later than the one before it each account's requests arrive while a batch gathers, for its way to the service is longer; and
/// by how much that varies.
const LATER_MS: u64 = 10;
const VARIES_MS: usize = 100;

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
}

pub struct Played {
    pub town: Town,
    /// The number of the first epoch.
    pub first: u32,
    pub challenges: Vec<Challenge>,
    /// What the adversary's app knows.
    pub labelled: Vec<Label>,
}

/// An act that is about to be made.
struct Planned {
    owner: usize,
    arrived_ms: u64,
    challenge: Option<([usize; 2], usize)>,
}

/// An act in its batch.
struct Made {
    owner: usize,
    entry: Entry,
}

pub fn use_of(record: &Record) -> Option<UseAddress> {
    match Entry::decode(&record.entry) {
        Ok(Entry::UseAddress(used)) => Some(used),
        _ => None,
    }
}

/// Entries in the order in which they leave: the committer's own.
pub fn mixed(random: &mut Random, entries: Vec<Entry>) -> Vec<Entry> {
    let mut encoded: Vec<_> = entries.into_iter().map(|entry| (entry.encode(), entry)).collect();
    let Ok(()) = mix(&mut encoded, |(bytes, _)| bytes, || Ok::<_, Infallible>(random.next()));
    encoded.into_iter().map(|(_, entry)| entry).collect()
}

/// A scalar that everybody can compute.
pub fn public_scalar(parts: &[&[u8]]) -> Scalar {
    let (low, high) = (sha256(&[b"low", &parts.concat()]), sha256(&[b"high", &parts.concat()]));
    let wide: [u8; 64] = [low, high].concat().try_into().unwrap();
    let wide: k256::WideBytes = wide.into();
    Scalar::reduce(&wide)
}

/// What a flawed derivation adds for an index.
pub fn public_tweak(epoch: u32, index: u32) -> Scalar {
    public_scalar(&[b"tweak", &epoch.to_be_bytes(), &index.to_be_bytes()])
}

impl Setup {
    pub fn play(self, random: Random) -> Played {
        let mut town = Town::new(self.accounts, random);
        let rule = self.window_ms.map(|window_ms| town.limit(window_ms));
        // Windows begin with an epoch.
        let first = (town.epoch() / 4 + 1) * 4;
        let mut played = Played { town, first, challenges: Vec::new(), labelled: Vec::new() };
        for epoch in 0..self.epochs {
            played.town.go(first + epoch, 1_000);
            for _ in 0..self.blocks {
                self.block(&mut played, epoch, rule);
            }
        }
        played
    }

    /// What arrives while a block's batches gather, in its order.
    fn plan(self, town: &mut Town, epoch: u32) -> Vec<Planned> {
        let accounts = usize::from(self.accounts);
        let mut acts = Vec::new();
        for _ in 0..self.challenges {
            let one = town.random.below(accounts);
            let other = (one + 1 + town.random.below(accounts - 1)) % accounts;
            let author = town.random.below(2);
            let pair = [one, other];
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
        let mut planned: Vec<_> = acts.into_iter().map(arrives).collect();
        planned.sort_by_key(|planned| planned.arrived_ms);
        planned
    }

    /// A server's batch of what arrived, in its order.
    fn ordered(self, random: &mut Random, mut batch: Vec<Made>) -> Vec<Entry> {
        if self.flaw == Flaw::SortedBatch {
            batch.sort_by_key(|made| made.owner);
        }
        let entries = batch.into_iter().map(|made| made.entry).collect();
        if matches!(self.flaw, Flaw::SortedBatch | Flaw::NotMixed) { entries } else { mixed(random, entries) }
    }

    /// One block with a batch of each of two servers of the service.
    fn block(self, played: &mut Played, epoch: u32, rule: Option<Hash>) {
        let town = &mut played.town;
        let servers = [21, 22].map(|seed| ed25519::SigningKey::from_seed(&[seed; 32]));
        let mut batches = [Vec::new(), Vec::new()];
        for planned in self.plan(town, epoch) {
            batches[town.random.below(2)].push(planned);
        }
        let mut acts: HashMap<Hash, Planned> = HashMap::new();
        let mut signed = Vec::new();
        for (server, batch) in servers.iter().zip(batches) {
            let mut made = Vec::new();
            for planned in batch {
                let owner = planned.owner;
                let used = self.act(town, owner, server.public_key(), rule);
                acts.insert(used.id, planned);
                made.push(Made { owner, entry: Entry::UseAddress(used) });
            }
            let entries = self.ordered(&mut town.random, made);
            signed.push(town.world.batch(server, &entries));
        }
        town.world.step_ms = 300 + town.random.below(600) as u64;
        let before = town.world.records.len();
        town.world.block(&signed);
        for (leaf_index, record) in (0..).zip(&town.world.records).skip(before) {
            assert!(record.outcome.is_accepted(), "{}", record.outcome.name());
            let Planned { owner, arrived_ms, challenge } = acts.remove(&use_of(record).unwrap().id).unwrap();
            match challenge {
                Some((pair, author)) => {
                    let height = record.height;
                    played.challenges.push(Challenge { leaf_index, height, epoch, pair, author });
                }
                None => played.labelled.push(Label { leaf_index, owner, arrived_ms }),
            }
        }
        assert!(acts.is_empty());
    }

    fn act(self, town: &mut Town, owner: usize, server: [u8; 32], rule: Option<Hash>) -> UseAddress {
        let mut draft = town.draft(owner);
        draft.used.executor = server;
        if let (Some(rule), Some(window_ms)) = (rule, self.window_ms) {
            let mut limit = town.handle(owner, rule, window_ms);
            if self.flaw == Flaw::EternalHandle {
                limit.handle = town.owners[owner].root.handle(window_ms, 0);
            }
            draft.used.limit = Some(limit);
        }
        let flawed = match (self.flaw, draft.detail.source) {
            (Flaw::TweakWithoutLeaf, keyward_domain::detail::Source::Index(index)) => {
                let account = town.owners[owner].account();
                let epoch = draft.used.epoch;
                let secret = public_scalar(&[b"nobody knows this", &account, &epoch.to_be_bytes()])
                    + public_tweak(epoch, index);
                Some(SigningKey::from_secret(Scheme::EcdsaSecp256k1, &secret.to_bytes()).unwrap())
            }
            _ => None,
        };
        if let Some(key) = &flawed {
            draft.used.public_key = key.public_key().as_bytes().try_into().unwrap();
        }
        let Entry::UseAddress(mut used) = town.seal(owner, draft.clone()) else { unreachable!() };
        let clear = self.flaw == Flaw::ClearPadding && owner.is_multiple_of(2);
        if clear {
            let length = used.detail.len();
            used.detail[length - 64..].fill(0);
        }
        if flawed.is_none() && !clear {
            return used;
        }
        let key = flawed.unwrap_or_else(|| town.key_of(owner, &draft));
        let Entry::UseAddress(used) = town.signed(used, &key) else { unreachable!() };
        used
    }
}

/// The number of the epoch of a block's time.
pub fn offset_ms(time_ms: u64) -> u64 {
    time_ms % EPOCH_MS
}
