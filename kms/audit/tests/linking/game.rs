//! A world to guess in: many accounts, mixed batches, and challenges whose author is one of two by the flip of a coin.

use std::collections::HashMap;

use k256::Scalar;
use k256::elliptic_curve::ops::Reduce as _;
use keyward_crypto::SigningKey;
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

/// A transaction that one of two accounts made.
#[derive(Clone, Copy, Debug)]
pub struct Challenge {
    pub leaf_index: u64,
    /// From 0.
    pub epoch: u32,
    pub pair: [usize; 2],
    /// Which of them.
    pub author: usize,
}

pub struct Played {
    pub town: Town,
    /// The number of the first epoch.
    pub first: u32,
    pub challenges: Vec<Challenge>,
    /// What the adversary's app knows: place and account.
    pub labelled: Vec<(u64, usize)>,
}

/// An act that is about to be made.
struct Planned {
    owner: usize,
    challenge: Option<([usize; 2], usize)>,
}

pub fn use_of(record: &Record) -> Option<UseAddress> {
    match Entry::decode(&record.entry) {
        Ok(Entry::UseAddress(used)) => Some(used),
        _ => None,
    }
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
    pub fn play(self, test: &str) -> Played {
        let mut town = Town::new(self.accounts, Random::seeded(test));
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

    fn plan(self, town: &mut Town, epoch: u32) -> Vec<Planned> {
        let accounts = usize::from(self.accounts);
        let mut planned = Vec::new();
        for _ in 0..self.challenges {
            let one = town.random.below(accounts);
            let other = (one + 1 + town.random.below(accounts - 1)) % accounts;
            let author = town.random.below(2);
            let pair = [one, other];
            planned.push(Planned { owner: pair[author], challenge: Some((pair, author)) });
        }
        let labelled = if epoch < self.silent_from { self.labelled } else { 0 };
        for _ in 0..labelled {
            planned.push(Planned { owner: town.random.below(accounts), challenge: None });
        }
        for at in (1..planned.len()).rev() {
            planned.swap(at, town.random.below(at + 1));
        }
        planned
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
        for (server, mut batch) in servers.iter().zip(batches) {
            if self.flaw == Flaw::SortedBatch {
                batch.sort_by_key(|planned| planned.owner);
            }
            let mut entries = Vec::new();
            for planned in batch {
                let entry = self.act(town, planned.owner, server.public_key(), rule);
                acts.insert(entry.id, planned);
                entries.push(Entry::UseAddress(entry));
            }
            signed.push(town.world.batch(server, &entries));
        }
        town.world.step_ms = 300 + town.random.below(600) as u64;
        let before = town.world.records.len();
        town.world.block(&signed);
        for (at, record) in (0..).zip(&town.world.records).skip(before) {
            assert!(record.outcome.is_accepted(), "{}", record.outcome.name());
            let planned = acts.remove(&use_of(record).unwrap().id).unwrap();
            match planned.challenge {
                Some((pair, author)) => {
                    played.challenges.push(Challenge { leaf_index: at, epoch, pair, author });
                }
                None => played.labelled.push((at, planned.owner)),
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
