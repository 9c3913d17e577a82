//! Look-up of records: by entry id, submitter, kind and subject, in a range of time.
//!
//! A thread of its own follows the finalized blocks and notes under 16 bytes of a hash of what is looked up
//! in which blocks it stands; whoever looks reads these blocks and compares, so a collision costs time and
//! nothing else. Derived: without its folder it is made again from the blocks, and it never holds them up.

mod runs;

use std::{io, path::Path, sync::Arc, sync::PoisonError, sync::RwLock};

use keyward_ledger_core::{
    block::{Block, SIGNED_HEADER_BYTES, SignedHeader},
    entry::{Entry, Intent, RotateKey, kind, kind_of},
    hash::Hash,
    log::HashStore as _,
    scheme::PublicKey,
};
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, sync::watch};

use crate::{
    alarms::{Alarm, Code},
    repair,
    shared::Shared,
};
use runs::{Key, Run, Runs};

/// References in memory before they are written out.
const FRESH_MAX: usize = 1 << 18;
/// Blocks that one question may read.
const BLOCKS_READ_MAX: usize = 16;
/// Records in one answer.
pub(crate) const FOUND_MAX: usize = 256;
/// How long to wait for a block that is missing here.
const MISSING_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A record's id: its leaf hash.
    Id(Hash),
    /// Who submitted it.
    Submitter([u8; 32]),
    /// The kind of its entry.
    Kind(u16),
    /// An account, key, credential or intent that its entry names.
    Subject([u8; 32]),
    /// Everything.
    All,
}

/// A question: records from a leaf on, of blocks whose time lies in a range, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) by: By,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) from_leaf: u64,
    pub(crate) limit: usize,
}

/// A record that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) leaf_index: u64,
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
    pub(crate) submitter: [u8; 32],
    pub(crate) kind: u16,
    pub(crate) id: Hash,
}

/// A part of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) found: Vec<Found>,
    /// From which leaf to ask for more; `None` when nothing more stands up to `covered`.
    pub(crate) next_leaf: Option<u64>,
    /// The height up to which everything was looked at.
    pub(crate) covered: u64,
}

impl By {
    fn key(&self) -> Option<Key> {
        let (class, value): (u8, &[u8]) = match self {
            Self::Id(id) => (1, id),
            Self::Submitter(submitter) => (2, submitter),
            Self::Kind(kind) => (3, &kind.to_be_bytes()),
            Self::Subject(subject) => (4, subject),
            Self::All => return None,
        };
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"keyward/look-up/v1")
            .chain_update([class])
            .chain_update(value)
            .finalize()
            .into();
        hash.first_chunk().copied()
    }

    fn fits(&self, submitter: &[u8; 32], entry: &[u8], id: &Hash) -> bool {
        match self {
            Self::Id(wanted) => wanted == id,
            Self::Submitter(wanted) => wanted == submitter,
            Self::Kind(wanted) => kind_of(entry) == Some(*wanted),
            Self::Subject(wanted) => subjects(entry).contains(wanted),
            Self::All => true,
        }
    }
}

/// The 32-byte names that an entry is about.
fn subjects(entry: &[u8]) -> Vec<[u8; 32]> {
    if kind_of(entry) == Some(kind::NOTE) {
        return Vec::new();
    }
    let key_id = |scheme, bytes: &[u8]| PublicKey::parse(scheme, bytes).ok().map(|key| key.id().0);
    match Entry::decode(entry) {
        Ok(Entry::OpenAccount { account } | Entry::CloseAccount { account }) => vec![account],
        Ok(Entry::BindCredential(bind)) => vec![bind.account, bind.public_key],
        Ok(Entry::BindKey(bind)) => {
            [bind.account].into_iter().chain(key_id(bind.scheme, &bind.public_key)).collect()
        }
        Ok(Entry::RotateKey(RotateKey { previous, bind })) => {
            [bind.account, previous.0].into_iter().chain(key_id(bind.scheme, &bind.public_key)).collect()
        }
        Ok(
            Entry::FreezeKey { key_id }
            | Entry::UnfreezeKey { key_id }
            | Entry::ScheduleDestroyKey { key_id, .. }
            | Entry::CancelDestroyKey { key_id }
            | Entry::DestroyKey { key_id },
        ) => vec![key_id.0],
        Ok(Entry::Intent(Intent { id, key_id, .. })) => vec![id, key_id.0],
        Ok(Entry::Release(release)) => vec![release.intent_id],
        _ => Vec::new(),
    }
}

/// What was noted so far.
pub(crate) struct Lookup(RwLock<State>);

struct State {
    runs: Runs,
    /// References of the blocks above the last run.
    fresh: Vec<(Key, u64)>,
    covered: u64,
}

impl Lookup {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let runs = Runs::open(dir)?;
        let covered = runs.covered();
        Ok(Self(RwLock::new(State { runs, fresh: Vec::new(), covered })))
    }

    /// The height up to which blocks are noted.
    pub(crate) fn covered(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).covered
    }

    /// Notes the block above the last one.
    fn note(&self, height: u64, keys: impl IntoIterator<Item = Key>) -> io::Result<()> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.fresh.extend(keys.into_iter().map(|key| (key, height)));
        state.covered = height;
        if state.fresh.len() >= FRESH_MAX {
            let mut fresh = std::mem::take(&mut state.fresh);
            fresh.sort_unstable();
            state.runs.write(height, &fresh)?;
        }
        Ok(())
    }

    /// At most `max` heights from `from` to `to` at which a key was noted, ascending.
    fn heights(&self, key: &Key, from: u64, to: u64, max: usize) -> io::Result<Vec<u64>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut heights = state.runs.find(key, from, to, max)?;
        let fresh = state.fresh.iter().filter(|(at, height)| at == key && (from..=to).contains(height));
        heights.extend(fresh.map(|(_, height)| *height).take(max.saturating_sub(heights.len())));
        Ok(heights)
    }

    /// Files that do not check are dropped with those above them; what they said is noted again.
    pub(crate) fn scrub(&self) -> io::Result<Vec<String>> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let damaged = state.runs.drop_damaged()?;
        if !damaged.is_empty() {
            (state.covered, state.fresh) = (state.runs.covered(), Vec::new());
        }
        Ok(damaged)
    }
}

/// Notes finalized blocks until the node stops.
pub(crate) fn follow(shared: &Arc<Shared>, runtime: &Handle, mut stopping: watch::Receiver<bool>) {
    let mut views = shared.view.subscribe();
    loop {
        let next = shared.lookup.covered() + 1;
        let wait = if next <= shared.view().ledger.height() {
            match note_block(shared, next) {
                Ok(true) => None,
                Ok(false) => Some(MISSING_WAIT),
                Err(error) => {
                    shared.alarms.raise(Alarm::new(Code::DiskFailed, format!("look-up: {error}")));
                    Some(MISSING_WAIT)
                }
            }
        } else {
            Some(std::time::Duration::MAX)
        };
        let stops = runtime.block_on(async {
            match wait {
                None => *stopping.borrow(),
                Some(wait) => tokio::select! {
                    biased;
                    _ = stopping.wait_for(|stopping| *stopping) => true,
                    changed = views.changed(), if wait == std::time::Duration::MAX => changed.is_err(),
                    () = tokio::time::sleep(wait.min(std::time::Duration::from_secs(60))) => false,
                },
            }
        });
        if stops {
            return;
        }
    }
}

/// `false` if the block or what is derived from it is not there now.
pub(crate) fn note_block(shared: &Shared, height: u64) -> io::Result<bool> {
    let Some(records) = Records::read(shared, height)? else { return Ok(false) };
    let mut keys = Vec::new();
    records.for_each(shared, |_, submitter, entry, id| {
        let subjects = subjects(entry).into_iter().map(By::Subject);
        let plain = [By::Id(*id), By::Submitter(*submitter), By::Kind(kind_of(entry).unwrap_or_default())];
        keys.extend(plain.into_iter().chain(subjects).filter_map(|by| by.key()));
        true
    });
    keys.sort_unstable();
    keys.dedup();
    shared.lookup.note(height, keys)?;
    Ok(true)
}

/// The records of one block, as the look-up sees them.
struct Records {
    block: Block,
    first_leaf: u64,
}

impl Records {
    fn read(shared: &Shared, height: u64) -> io::Result<Option<Self>> {
        let Some(bytes) = repair::stored(shared, height) else { return Ok(None) };
        let Some((place, _)) = shared.index.entry(height)? else { return Ok(None) };
        let block = Block::decode(&bytes).map_err(io::Error::other)?;
        Ok(Some(Self { block, first_leaf: place.first_leaf }))
    }

    /// Calls `seen` with leaf, submitter, entry and id until it says `false`.
    fn for_each(&self, shared: &Shared, mut seen: impl FnMut(u64, &[u8; 32], &[u8], &Hash) -> bool) {
        let batches = self.block.batches.iter();
        let entries = batches.flat_map(|batch| batch.entries().map(|entry| (batch.submitter(), entry)));
        for (leaf, (submitter, entry)) in (self.first_leaf..).zip(entries) {
            let id = shared.index.node(0, leaf).unwrap_or_default();
            if !seen(leaf, submitter, entry, &id) {
                return;
            }
        }
    }
}

/// Answers a question.
pub(crate) fn find(shared: &Shared, question: &Question) -> io::Result<Page> {
    let covered = shared.lookup.covered();
    let mut page = Page { covered, ..Page::default() };
    let Some((from, to)) = heights_between(shared, question.from_ms, question.to_ms, covered)? else {
        return Ok(page);
    };
    let from = match shared.index.height_of_leaf(question.from_leaf, covered)? {
        Some(height) => from.max(height),
        None if question.from_leaf == 0 => from,
        None => return Ok(page),
    };
    let max = BLOCKS_READ_MAX + 1;
    let heights = match question.by.key() {
        Some(key) => shared.lookup.heights(&key, from, to, max)?,
        None => (from..=to).take(max).collect(),
    };
    let limit = question.limit.clamp(1, FOUND_MAX);
    for (read, height) in heights.into_iter().enumerate() {
        let Some(records) = Records::read(shared, height)? else {
            return Err(io::Error::other(format!("block {height} is missing here")));
        };
        if read == BLOCKS_READ_MAX {
            page.next_leaf = Some(records.first_leaf.max(question.from_leaf));
            break;
        }
        let time_ms = records.block.header().time_ms;
        records.for_each(shared, |leaf_index, submitter, entry, id| {
            if leaf_index < question.from_leaf || !question.by.fits(submitter, entry, id) {
                return true;
            }
            if page.found.len() >= limit {
                page.next_leaf = Some(leaf_index);
                return false;
            }
            let kind = kind_of(entry).unwrap_or_default();
            page.found.push(Found { leaf_index, height, time_ms, submitter: *submitter, kind, id: *id });
            true
        });
        if page.next_leaf.is_some() {
            break;
        }
    }
    Ok(page)
}

/// The first and last height up to `top` whose time lies in a range.
fn heights_between(shared: &Shared, from_ms: u64, to_ms: u64, top: u64) -> io::Result<Option<(u64, u64)>> {
    let from = if from_ms == 0 { 1 } else { first_height(shared, top, |time_ms| time_ms >= from_ms)? };
    let end = if to_ms == u64::MAX { top + 1 } else { first_height(shared, top, |time_ms| time_ms > to_ms)? };
    Ok((from < end).then_some((from, end - 1)))
}

/// The first height in `1..=top` whose time is late enough, or `top + 1`: times never go back.
fn first_height(shared: &Shared, top: u64, late: impl Fn(u64) -> bool) -> io::Result<u64> {
    let (mut low, mut high) = (1, top + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let bytes = repair::stored(shared, middle);
        let header =
            bytes.as_deref().and_then(|bytes| bytes.get(..SIGNED_HEADER_BYTES)).map(SignedHeader::decode);
        let Some(Ok(header)) = header else {
            return Err(io::Error::other(format!("block {middle} is missing here")));
        };
        if late(header.header.time_ms) { high = middle } else { low = middle + 1 }
    }
    Ok(low)
}
