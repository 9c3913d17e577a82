//! What must hold in every moment: elements that were evaluated, attempts that were granted, and the limit, counted from
//! the log, from the machines' own state and from what keepers answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use keyward_crypto::vault::element_hash;
use keyward_ledger_core::{
    entry::{RuleName, VaultAct, VaultAttempt},
    hash::Hash,
    record::Record,
};

use super::vaults::{LIFETIME, LIMIT, REFILL_MS, act_of};

/// An honest keeper evaluated an element for the attempt of a record.
#[derive(Clone, Debug)]
pub(crate) struct Evaluated {
    pub(crate) keeper: usize,
    pub(crate) leaf: u64,
    pub(crate) element: [u8; 32],
    /// Its own validator had said before that the vault has ended or has other shares.
    pub(crate) stale: bool,
}

/// An honest keeper gave its part for the attempt of a record, shown the record of a success.
#[derive(Clone, Debug)]
pub(crate) struct Released {
    pub(crate) keeper: usize,
    pub(crate) leaf: u64,
    pub(crate) opened: u64,
}

/// Somebody has as many evaluations of an element as are needed.
#[derive(Clone, Debug)]
pub(crate) struct Combined {
    pub(crate) vault: Hash,
    pub(crate) element: [u8; 32],
    /// The record of the attempt that granted it, where there was one.
    pub(crate) leaf: Option<u64>,
}

/// What a machine's state said of a vault's counter at a height.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counted {
    pub(crate) height: u64,
    pub(crate) vault: Hash,
    pub(crate) node: usize,
    pub(crate) number: u64,
    pub(crate) spent: u32,
    pub(crate) granted: u32,
}

/// Everything that was seen.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// The final records, from the first one on, and up to which height.
    pub(crate) log: Vec<Record>,
    pub(crate) log_height: u64,
    pub(crate) counters: BTreeSet<Counted>,
    pub(crate) evaluated: Vec<Evaluated>,
    pub(crate) released: Vec<Released>,
    pub(crate) combined: Vec<Combined>,
    /// A thief knows the password of a vault.
    pub(crate) guessed: bool,
    /// What the ledger took from colluders although it is not theirs to say.
    pub(crate) taken: Option<&'static str>,
    /// How often each thing happened.
    pub(crate) deeds: BTreeMap<&'static str, u64>,
    /// What happened, with the virtual time of each.
    pub(crate) story: Vec<String>,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// More attempts were granted since the last success than the terms allow.
    Limit { found: u64, allowed: u64 },
    /// A machine's counter is not what the log up to its height says.
    Count { node: usize, height: u64, said: u64, found: u64 },
    /// A counter lies above its own terms.
    Above { node: usize, height: u64 },
    /// An honest keeper evaluated what no granted attempt fixes.
    NotGranted { keeper: usize, leaf: u64 },
    /// An honest keeper evaluated for a vault that its own validator had said to have ended or to have other shares.
    Stale { keeper: usize, leaf: u64 },
    /// More elements were evaluated often enough than attempts were granted.
    Elements { combined: usize, granted: u64 },
    /// An element that no granted attempt fixes was evaluated often enough.
    Combined,
    /// An honest keeper gave its part without a success.
    NotOpened { keeper: usize, leaf: u64, opened: u64 },
    /// A thief found the password, which comes after more guesses than were granted.
    Guessed,
    /// The ledger took from colluders what is not theirs to say.
    Taken { what: &'static str },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {self:?}")
    }
}

/// The history of one vault, from the log.
#[derive(Default)]
struct History {
    /// Ids of granted attempts, and the element that each fixes, by its hash.
    granted: BTreeMap<Hash, Hash>,
    /// When each was granted since the last success, in block time.
    since_ms: Vec<u64>,
    /// How many were granted up to and with a height.
    counts: BTreeMap<u64, u64>,
}

impl History {
    fn grant(&mut self, id: Hash, attempt: &VaultAttempt, record: &Record) -> Result<(), Broken> {
        // Asked again within a day, it is the same attempt.
        if self.granted.insert(id, attempt.element).is_some() {
            return Ok(());
        }
        self.counts.insert(record.height, self.granted.len() as u64);
        self.since_ms.push(record.time_ms);
        let found = self.since_ms.len() as u64;
        let back = (record.time_ms - self.since_ms[0]) / REFILL_MS;
        let allowed = (u64::from(LIMIT) + back).min(u64::from(LIFETIME));
        if found > allowed { Err(Broken::Limit { found, allowed }) } else { Ok(()) }
    }

    /// How many were granted up to and with a height.
    fn at(&self, height: u64) -> u64 {
        self.counts.range(..=height).next_back().map_or(0, |(_, count)| *count)
    }
}

/// A record that grants an attempt: which one, and its id.
fn granted(record: &Record) -> Option<(VaultAttempt, Hash)> {
    match act_of(&record.entry)? {
        VaultAct::Attempt(attempt) if record.outcome.is_accepted() => {
            Some((attempt, record.outcome.data.as_slice().try_into().ok()?))
        }
        _ => None,
    }
}

/// A record of a success, and of which attempt.
fn succeeded(record: &Record) -> Option<VaultAttempt> {
    match act_of(&record.entry)? {
        VaultAct::Open { attempt, .. } if record.outcome.is_accepted() => Some(attempt),
        _ => None,
    }
}

impl Seen {
    /// Holds everything against everything, as far as the log is known.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let histories = self.histories()?;
        self.counters_are_the_logs(&histories)?;
        for evaluated in &self.evaluated {
            self.is_granted(evaluated)?;
        }
        for released in &self.released {
            self.is_opened(released)?;
        }
        self.elements_are_paid_for(&histories)?;
        match self.taken {
            Some(what) => Err(Broken::Taken { what }),
            None if self.guessed => Err(Broken::Guessed),
            None => Ok(()),
        }
    }

    fn histories(&self) -> Result<BTreeMap<Hash, History>, Broken> {
        let mut histories = BTreeMap::<Hash, History>::new();
        for record in &self.log {
            if let Some((attempt, id)) = granted(record) {
                histories.entry(attempt.vault.name).or_default().grant(id, &attempt, record)?;
            }
            if let Some(RuleName { name, .. }) = succeeded(record).map(|attempt| attempt.vault) {
                histories.entry(name).or_default().since_ms.clear();
            }
        }
        Ok(histories)
    }

    /// A count is that of the log at its height, on whichever machine, however often it was started again.
    fn counters_are_the_logs(&self, histories: &BTreeMap<Hash, History>) -> Result<(), Broken> {
        for counted in self.counters.iter().take_while(|counted| counted.height <= self.log_height) {
            let Counted { height, vault, node, number, spent, granted } = *counted;
            let found = histories.get(&vault).map_or(0, |history| history.at(height));
            if number != found {
                return Err(Broken::Count { node, height, said: number, found });
            }
            if spent > LIMIT || granted > LIFETIME {
                return Err(Broken::Above { node, height });
            }
        }
        Ok(())
    }

    fn is_granted(&self, evaluated: &Evaluated) -> Result<(), Broken> {
        let Evaluated { keeper, leaf, element, stale } = *evaluated;
        if stale {
            return Err(Broken::Stale { keeper, leaf });
        }
        let Some(record) = self.log.get(leaf as usize) else { return Ok(()) };
        match granted(record) {
            Some((attempt, _)) if attempt.element == element_hash(&element) => Ok(()),
            _ => Err(Broken::NotGranted { keeper, leaf }),
        }
    }

    fn is_opened(&self, released: &Released) -> Result<(), Broken> {
        let Released { keeper, leaf, opened } = *released;
        let (Some(of), Some(shown)) = (self.log.get(leaf as usize), self.log.get(opened as usize)) else {
            return Ok(());
        };
        let attempt = granted(of).map(|(attempt, _)| attempt);
        if attempt.is_some() && opened > leaf && succeeded(shown) == attempt {
            Ok(())
        } else {
            Err(Broken::NotOpened { keeper, leaf, opened })
        }
    }

    /// Distinct elements with as many evaluations as are needed, and also those that an honest keeper alone evaluated,
    /// are no more than attempts were granted; each is one that a granted attempt fixes.
    fn elements_are_paid_for(&self, histories: &BTreeMap<Hash, History>) -> Result<(), Broken> {
        let mut elements = BTreeMap::<Hash, BTreeSet<[u8; 32]>>::new();
        for Combined { vault, element, leaf } in &self.combined {
            if leaf.is_none_or(|leaf| (leaf as usize) < self.log.len()) {
                elements.entry(*vault).or_default().insert(*element);
            }
        }
        for Evaluated { leaf, element, .. } in &self.evaluated {
            if let Some((attempt, _)) = self.log.get(*leaf as usize).and_then(granted) {
                elements.entry(attempt.vault.name).or_default().insert(*element);
            }
        }
        for (vault, elements) in elements {
            let none = History::default();
            let history = histories.get(&vault).unwrap_or(&none);
            let (combined, granted) = (elements.len(), history.granted.len() as u64);
            if combined as u64 > granted {
                return Err(Broken::Elements { combined, granted });
            }
            let fixed: BTreeSet<_> = history.granted.values().collect();
            if !elements.iter().all(|element| fixed.contains(&element_hash(element))) {
                return Err(Broken::Combined);
            }
        }
        Ok(())
    }

    /// How often shares were dealt anew.
    pub(crate) fn dealt_anew(&self) -> u64 {
        let refreshed = |record: &&Record| {
            record.outcome.is_accepted()
                && act_of(&record.entry).is_some_and(|act| matches!(act, VaultAct::Refresh { .. }))
        };
        self.log.iter().filter(refreshed).count() as u64
    }

    /// What is final is known of everything that was answered.
    pub(crate) fn is_whole(&self) -> bool {
        let known = |leaf: u64| (leaf as usize) < self.log.len();
        self.evaluated.iter().all(|evaluated| known(evaluated.leaf))
            && self.released.iter().all(|released| known(released.leaf) && known(released.opened))
            && self.counters.iter().all(|counted| counted.height <= self.log_height)
    }
}
