//! The ledger's real contracts on a ledger in memory, and its moods.

use std::{
    collections::HashMap,
    ops::{Range, RangeInclusive},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};

use keyward_ledger_core::{
    contracts::{Context, StateView, dispatch},
    entry::Entry,
    genesis::Role,
    outcome::Outcome,
    receipt::Released,
    record::Record,
    scheme::KeyId,
    state::layout::{End, KeyState as LedgerKey, key_key},
};
use tokio::sync::Notify;

use super::world::FakeClock;
use crate::ports::{Clock as _, Final, Later, Ledger, LedgerError, Page, Proven};

pub(super) const CHAIN: [u8; 32] = [0xcc; 32];
pub(super) const SUBMITTER: [u8; 32] = [0x55; 32];
pub(super) const OTHER_SUBMITTER: [u8; 32] = [0x66; 32];

/// How the ledger behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    /// Answers that it is unavailable, and records nothing.
    Gone,
    /// Records, but the answer is lost.
    Deaf,
    /// Is read, and records nothing: it answers that it is unavailable.
    ReadOnly,
    /// Never answers, and records nothing.
    Silent,
    /// Records, and shows a state from before everything.
    Old,
}

#[derive(Default)]
struct Chain {
    state: HashMap<Vec<u8>, Vec<u8>>,
    log: Vec<(Entry, Outcome)>,
    /// Of each entry of the log.
    heights: Vec<u64>,
    times: Vec<u64>,
}

pub(super) struct FakeLedger {
    chain: Mutex<Chain>,
    pub(super) mood: Mutex<Mood>,
    pub(super) height: AtomicU64,
    pub(super) asked: Notify,
    /// The first server's entries are recorded, and it hears of them when it is let go.
    pub(super) hold: AtomicBool,
    held: Notify,
    /// What a validator that lags answers.
    old: Mutex<Option<Old>>,
    /// The state keys that were asked for.
    questions: Mutex<Vec<Vec<u8>>>,
    /// Ledger time is that of the world.
    clock: Arc<FakeClock>,
    /// How far the validators' clocks are ahead of the services'.
    pub(super) ahead_ms: AtomicI64,
    /// Reads take a while; how many there are, and were at most at once.
    pub(super) slow: AtomicBool,
    reads: AtomicUsize,
    pub(super) reads_most: AtomicUsize,
}

/// A state that was, for keys that begin so.
pub(super) struct Old {
    state: HashMap<Vec<u8>, Vec<u8>>,
    height: u64,
    keys: &'static [u8],
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

impl FakeLedger {
    pub(super) fn new(clock: Arc<FakeClock>) -> Self {
        Self {
            clock,
            chain: Mutex::default(),
            mood: Mutex::new(Mood::Good),
            height: AtomicU64::new(10),
            asked: Notify::new(),
            hold: AtomicBool::new(false),
            held: Notify::new(),
            old: Mutex::default(),
            questions: Mutex::default(),
            ahead_ms: AtomicI64::new(0),
            slow: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            reads_most: AtomicUsize::new(0),
        }
    }

    /// The state keys that were asked for since the last call and hold these bytes.
    pub(super) fn questions_with(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut asked = std::mem::take(&mut *self.questions.lock().unwrap());
        asked.retain(|key| key.windows(bytes.len()).any(|part| part == bytes));
        asked
    }

    /// Block time.
    pub(super) fn time_ms(&self) -> u64 {
        self.clock.now_ms().saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Records an entry, as the validators would.
    pub(super) fn record(&self, entry: Entry) -> FakeFinal {
        self.record_as(&SUBMITTER, entry)
    }

    fn record_as(&self, submitter: &[u8; 32], entry: Entry) -> FakeFinal {
        let height = self.height.load(Ordering::Relaxed);
        let mut chain = self.chain.lock().unwrap();
        let time_ms = self.time_ms();
        let leaf_index = chain.log.len() as u64;
        let context = Context { chain_id: &CHAIN, height, time_ms, leaf_index };
        let mut view = View { base: &chain.state, writes: Vec::new() };
        let outcome = dispatch(&mut view, submitter, Role::Service, &entry.encode(), &context).unwrap();
        let (writes, bytes) = (view.writes, entry.encode());
        if outcome.is_accepted() {
            chain.state.extend(writes);
        }
        chain.log.push((entry, outcome.clone()));
        chain.heights.push(height);
        chain.times.push(time_ms);
        FakeFinal { entry: bytes, outcome, height, time_ms, leaf_index }
    }

    /// Puts what no entry of a service puts there.
    pub(super) fn set_state(&self, key: Vec<u8>, value: Vec<u8>) {
        self.chain.lock().unwrap().state.insert(key, value);
    }

    /// Takes away what the validators keep for a time alone.
    pub(super) fn remove(&self, key: &[u8]) {
        self.chain.lock().unwrap().state.remove(key);
    }

    /// The state as it is now, to be answered later for keys that begin so.
    pub(super) fn remember(&self, keys: &'static [u8]) -> Old {
        let height = self.height.load(Ordering::Relaxed);
        Old { state: self.chain.lock().unwrap().state.clone(), height, keys }
    }

    /// Lags, or no longer.
    pub(super) fn lag(&self, old: Option<Old>) {
        *self.old.lock().unwrap() = old;
    }

    /// What stands in the state.
    pub(super) fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.chain.lock().unwrap().state.get(key).cloned()
    }

    /// What stands under a key.
    pub(super) fn key(&self, key_id: &KeyId) -> Option<LedgerKey> {
        let chain = self.chain.lock().unwrap();
        chain.state.get(&key_key(key_id)).map(|value| LedgerKey::decode(value).unwrap())
    }

    fn commit_as(&self, submitter: [u8; 32], entry: Entry) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        Box::pin(async move {
            let mood = *self.mood.lock().unwrap();
            self.asked.notify_one();
            match mood {
                Mood::Good | Mood::Old => {
                    let recorded = self.record_as(&submitter, entry);
                    if submitter == SUBMITTER && self.hold.load(Ordering::Relaxed) {
                        self.held.notified().await;
                    }
                    Ok(Box::new(recorded) as Box<dyn Final>)
                }
                Mood::Gone | Mood::ReadOnly => Err(gone(self.height())),
                Mood::Deaf => {
                    self.record_as(&submitter, entry);
                    Err(gone(self.height()))
                }
                Mood::Silent => std::future::pending().await,
            }
        })
    }

    /// Ends `hold`.
    pub(super) fn let_go(&self) {
        self.hold.store(false, Ordering::Relaxed);
        self.held.notify_one();
    }

    /// What the validators do with claims whose last height has passed.
    pub(super) fn prune_intents(&self) {
        self.chain.lock().unwrap().state.retain(|key, _| !key.starts_with(b"intent/"));
    }

    pub(super) fn log(&self) -> Vec<(Entry, Outcome)> {
        self.chain.lock().unwrap().log.clone()
    }

    pub(super) fn count(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.log().iter().filter(|(entry, outcome)| outcome.is_accepted() && wanted(entry)).count()
    }
}

fn gone(until: u64) -> LedgerError {
    LedgerError::Unavailable { until, source: "no quorum".into() }
}

impl Ledger for FakeLedger {
    fn chain_id(&self) -> [u8; 32] {
        CHAIN
    }
    fn submitter(&self) -> [u8; 32] {
        SUBMITTER
    }
    fn height(&self) -> u64 {
        self.height.load(Ordering::Relaxed)
    }
    fn trust_line(&self) -> String {
        "keyward-trust-1 test".into()
    }
    fn commit(&self, entry: Entry) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        self.commit_as(SUBMITTER, entry)
    }
    fn accepted_within(
        &self,
        heights: RangeInclusive<u64>,
        entry: Entry,
    ) -> Later<'_, Result<Option<Box<dyn Final>>, LedgerError>> {
        Box::pin(async move {
            let chain = self.chain.lock().unwrap();
            let log = chain.log.iter().zip(&chain.heights).enumerate();
            let found = log
                .filter(|(_, (_, height))| heights.contains(height))
                .map(|(index, ((kept, outcome), height))| (index, kept, outcome.clone(), *height))
                .find(|(_, kept, outcome, _)| **kept == entry && outcome.is_accepted());
            Ok(found.map(|(index, _, outcome, height)| {
                let time_ms = chain.times[index];
                let (entry, leaf_index) = (entry.encode(), index as u64);
                Box::new(FakeFinal { entry, outcome, height, time_ms, leaf_index }) as Box<dyn Final>
            }))
        })
    }
    fn state(&self, key: Vec<u8>) -> Later<'_, Result<Option<Vec<u8>>, LedgerError>> {
        self.questions.lock().unwrap().push(key.clone());
        Box::pin(async move {
            match *self.mood.lock().unwrap() {
                Mood::Gone | Mood::Silent => Err(gone(0)),
                Mood::Old => Ok(None),
                Mood::Good | Mood::Deaf | Mood::ReadOnly => Ok(match &*self.old.lock().unwrap() {
                    Some(old) if key.starts_with(old.keys) => old.state.get(&key).cloned(),
                    _ => self.chain.lock().unwrap().state.get(&key).cloned(),
                }),
            }
        })
    }
    fn proven(&self, key: Vec<u8>) -> Later<'_, Result<Proven, LedgerError>> {
        Box::pin(async move {
            if self.slow.load(Ordering::Relaxed) {
                let now = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
                self.reads_most.fetch_max(now, Ordering::Relaxed);
                tokio::task::yield_now().await;
                self.reads.fetch_sub(1, Ordering::Relaxed);
            }
            let value = self.state(key.clone()).await?;
            let height = match &*self.old.lock().unwrap() {
                Some(old) if key.starts_with(old.keys) => old.height,
                _ => self.height(),
            };
            Ok(Proven {
                receipt: state_receipt(&key, value.as_deref()),
                value,
                height,
                time_ms: self.time_ms(),
            })
        })
    }
    fn of_kind(
        &self,
        kind: u16,
        times_ms: Range<u64>,
        from_leaf: u64,
    ) -> Later<'_, Result<Page, LedgerError>> {
        Box::pin(async move {
            if matches!(*self.mood.lock().unwrap(), Mood::Gone | Mood::Silent) {
                return Err(gone(0));
            }
            let chain = self.chain.lock().unwrap();
            let all = chain.log.iter().zip(&chain.times).enumerate().skip(from_leaf as usize);
            let fits = |(entry, outcome): &(Entry, Outcome), time_ms: &u64| {
                entry.kind() == kind && outcome.is_accepted() && times_ms.contains(time_ms)
            };
            let mut found: Vec<_> = all
                .filter(|(_, (logged, time_ms))| fits(logged, time_ms))
                .map(|(index, ((entry, outcome), time_ms))| {
                    let (entry, outcome, height) = (entry.encode(), outcome.clone(), chain.heights[index]);
                    FakeFinal { entry, outcome, height, time_ms: *time_ms, leaf_index: index as u64 }
                })
                .collect();
            let next = found.get(PAGE).map(|next| next.leaf_index);
            found.truncate(PAGE);
            Ok((found.into_iter().map(|one| Box::new(one) as Box<dyn Final>).collect(), next))
        })
    }
    fn record(&self, leaf_index: u64) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        Box::pin(async move {
            let chain = self.chain.lock().unwrap();
            let Some((entry, outcome)) = chain.log.get(leaf_index as usize).cloned() else {
                return Err(LedgerError::Refused { code: "RECORD_UNKNOWN".into(), source: "none".into() });
            };
            let (entry, height) = (entry.encode(), chain.heights[leaf_index as usize]);
            let time_ms = chain.times[leaf_index as usize];
            Ok(Box::new(FakeFinal { entry, outcome, height, time_ms, leaf_index }) as Box<dyn Final>)
        })
    }
    fn refresh(&self) -> Later<'_, Result<u64, LedgerError>> {
        Box::pin(async move { Ok(self.height()) })
    }
}

/// Records of a page.
const PAGE: usize = 4;

/// What stands for the proof of a state key.
pub(super) fn state_receipt(key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    [&[u8::from(value.is_some())][..], key, value.unwrap_or_default()].concat()
}

#[derive(Debug)]
pub(super) struct FakeFinal {
    entry: Vec<u8>,
    outcome: Outcome,
    height: u64,
    time_ms: u64,
    leaf_index: u64,
}

impl Final for FakeFinal {
    fn entry(&self) -> &[u8] {
        &self.entry
    }
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }
    fn leaf_index(&self) -> u64 {
        self.leaf_index
    }
    fn height(&self) -> u64 {
        self.height
    }
    fn time_ms(&self) -> u64 {
        self.time_ms
    }
    fn leaf_hash(&self) -> [u8; 32] {
        let Self { entry, outcome, height, time_ms, leaf_index } = self;
        let (entry, outcome) = (entry.clone(), outcome.clone());
        let (height, time_ms, sequence) = (*height, *time_ms, *leaf_index);
        Record { height, time_ms, submitter: SUBMITTER, sequence, index: 0, entry, outcome }.id()
    }
    fn receipt(&self, released: Option<Released>) -> Vec<u8> {
        let mut bytes = self.leaf_index.to_be_bytes().to_vec();
        if let Some(released) = released {
            bytes.extend(released.payload_hash);
            bytes.extend(released.signature);
        }
        bytes
    }
}

/// The ledger as another server's submitter sees it.
pub(super) struct Beside(pub(super) Arc<FakeLedger>);

impl Ledger for Beside {
    fn chain_id(&self) -> [u8; 32] {
        self.0.chain_id()
    }
    fn submitter(&self) -> [u8; 32] {
        OTHER_SUBMITTER
    }
    fn height(&self) -> u64 {
        self.0.height()
    }
    fn trust_line(&self) -> String {
        self.0.trust_line()
    }
    fn commit(&self, entry: Entry) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        self.0.commit_as(OTHER_SUBMITTER, entry)
    }
    fn accepted_within(
        &self,
        heights: RangeInclusive<u64>,
        entry: Entry,
    ) -> Later<'_, Result<Option<Box<dyn Final>>, LedgerError>> {
        self.0.accepted_within(heights, entry)
    }
    fn state(&self, key: Vec<u8>) -> Later<'_, Result<Option<Vec<u8>>, LedgerError>> {
        self.0.state(key)
    }
    fn proven(&self, key: Vec<u8>) -> Later<'_, Result<Proven, LedgerError>> {
        self.0.proven(key)
    }
    fn record(&self, leaf_index: u64) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        Ledger::record(self.0.as_ref(), leaf_index)
    }
    fn of_kind(
        &self,
        kind: u16,
        times_ms: Range<u64>,
        from_leaf: u64,
    ) -> Later<'_, Result<Page, LedgerError>> {
        self.0.of_kind(kind, times_ms, from_leaf)
    }
    fn refresh(&self) -> Later<'_, Result<u64, LedgerError>> {
        self.0.refresh()
    }
}
