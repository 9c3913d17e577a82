//! A ledger in memory that runs the real contracts, and how each keeper sees it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use keyward_ledger_core::{
    contracts::{Context, StateView, dispatch},
    entry::{Act, Authored, Entry, RuleName},
    genesis::Role,
    hash::Hash,
    outcome::Outcome,
    question::subjects_of,
    state::layout::{End, end_of},
};

use crate::{Final, Ledger, LedgerError, Pending};

pub(super) const CHAIN: Hash = [0xcc; 32];

#[derive(Clone, Default)]
pub(super) struct Chain {
    pub(super) state: HashMap<Vec<u8>, Vec<u8>>,
    pub(super) log: Vec<(Vec<u8>, Outcome, u64)>,
    pub(super) now_ms: u64,
    /// Blocks since the tenth.
    pub(super) grown: u64,
}

/// What a keeper sees of the ledger.
#[derive(Default)]
pub(super) enum Sight {
    /// Everything.
    #[default]
    Clear,
    /// Nothing.
    Away,
    /// Everything, but nothing that it submits arrives.
    Mute,
    /// It is cut off: everything as it stood once.
    Past(Box<Chain>),
}

/// The ledger as one keeper sees it.
pub(super) struct Seen {
    pub(super) chain: Arc<Mutex<Chain>>,
    pub(super) submitter: Hash,
    pub(super) sight: Arc<Mutex<Sight>>,
    /// Questions about state, of all keepers.
    pub(super) asked: Arc<AtomicUsize>,
}

struct View<'a> {
    base: &'a HashMap<Vec<u8>, Vec<u8>>,
    writes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl StateView for View<'_> {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let written = self.writes.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value);
        written.or_else(|| self.base.get(key)).map(Vec::as_slice)
    }
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push((key, value));
    }
    fn put_until(&mut self, key: Vec<u8>, value: Vec<u8>, _: End) {
        self.writes.push((key, value));
    }
}

impl Chain {
    /// What stands under a key; what has ended is gone, as in the ledger.
    fn value(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.state.get(key).filter(|value| match end_of(key, value).unwrap() {
            Some(End::Height(last)) => 10 + self.grown <= last,
            Some(End::TimeMs(last)) => self.now_ms <= last,
            None => true,
        })
    }

    /// Executes an entry: its place in the log, and what became of it.
    pub(super) fn record(&mut self, submitter: &Hash, role: Role, entry: &Entry) -> (u64, Outcome) {
        let leaf_index = self.log.len() as u64;
        let context = Context { chain_id: &CHAIN, height: 10 + self.grown, time_ms: self.now_ms, leaf_index };
        let mut view = View { base: &self.state, writes: Vec::new() };
        let bytes = entry.encode();
        let outcome = dispatch(&mut view, submitter, role, &bytes, &context).unwrap();
        let writes = view.writes;
        if outcome.is_accepted() {
            self.state.extend(writes);
        }
        self.log.push((bytes, outcome.clone(), self.now_ms));
        (leaf_index, outcome)
    }
}

fn cut_off() -> LedgerError {
    LedgerError::Unavailable("no quorum".into())
}

impl Seen {
    fn look<T>(&self, at: impl FnOnce(&Chain) -> T) -> Result<T, LedgerError> {
        match &*self.sight.lock().unwrap() {
            Sight::Clear | Sight::Mute => Ok(at(&self.chain.lock().unwrap())),
            Sight::Past(chain) => Ok(at(chain)),
            Sight::Away => Err(cut_off()),
        }
    }
}

impl Ledger for Seen {
    fn chain_id(&self) -> Hash {
        CHAIN
    }
    fn record(&self, leaf_index: u64) -> Pending<'_, Final> {
        Box::pin(async move {
            let found = self.look(|chain| chain.log.get(leaf_index as usize).cloned())?;
            let (entry, outcome, time_ms) = found.ok_or(LedgerError::NoRecord { leaf_index })?;
            Ok(Final { entry, outcome, time_ms })
        })
    }
    fn state<'a>(&'a self, key: &'a [u8]) -> Pending<'a, (Option<Vec<u8>>, u64)> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { self.look(|chain| (chain.value(key).cloned(), chain.now_ms)) })
    }
    fn submit<'a>(&'a self, entry: &'a Entry) -> Pending<'a, Outcome> {
        Box::pin(async move {
            match &*self.sight.lock().unwrap() {
                Sight::Clear => Ok(self.chain.lock().unwrap().record(&self.submitter, Role::Keeper, entry).1),
                _ => Err(cut_off()),
            }
        })
    }
    fn vaults_of<'a>(
        &'a self,
        keeper: &'a Hash,
        from_leaf: u64,
    ) -> Pending<'a, (Vec<RuleName>, Option<u64>)> {
        Box::pin(async move {
            let entries = self.look(|chain| chain.log.clone())?.into_iter().skip(from_leaf as usize);
            let entries: Vec<_> = entries.map(|(entry, ..)| entry).collect();
            // Two to a page.
            let next = (entries.len() > 2).then_some(from_leaf + 2);
            let named = entries.iter().take(2).filter(|entry| subjects_of(entry).contains(keeper));
            Ok((named.filter_map(|entry| vault_named(entry)).collect(), next))
        })
    }
    fn now_ms(&self) -> u64 {
        self.chain.lock().unwrap().now_ms
    }
}

/// The vault that an entry is about, if it is about one.
fn vault_named(entry: &[u8]) -> Option<RuleName> {
    match Entry::decode(entry).unwrap() {
        Entry::Authored(Authored { act: Act::Vault(act), .. }) => Some(*act.vault()),
        _ => None,
    }
}
