//! Execution: a ledger, and the ledger after one more block. Pure and deterministic.
//!
//! A [`Ledger`] is everything a node must know to check, propose and answer after a certain block; a clone is
//! cheap, so each unfinalised block has one. Notes cost one leaf hash each and leave the state alone.

mod admission;
mod boundary;
mod expiry;
mod overlay;
mod propose;
mod result;
mod snapshot;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

pub use admission::{BatchRefusal, MEMBER_ENTRIES_MAX, Submission};
pub use boundary::{EXECUTION_VERSION, SetChange, Term};
pub use propose::{BlockLimits, Proposal};
pub use result::{BatchResult, BlockOutcomes, Executed};
pub use snapshot::{LedgerHead, SnapshotError};
pub use validate::BlockRefusal;

use crate::batch::SignedBatch;
use crate::block::Header;
use crate::certificate::ValidatorSet;
use crate::codec::DecodeError;
use crate::contracts::{self, Context};
use crate::genesis::{Genesis, Role};
use crate::hash::Hash;
use crate::log::Frontier;
use crate::outcome::Outcome;
use crate::record::Place;
use crate::state::Tree;
use crate::state::layout::{self, Parameters};
use expiry::Expiry;
use overlay::Overlay;

/// The most entries of one block.
pub const BLOCK_ENTRIES_MAX: u32 = 65_536;

/// The state holds what no contract wrote: the node has to stop.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the state entry `{key}` is broken")]
pub struct StateBroken {
    /// The kind of state entry.
    pub key: &'static str,
    /// What is wrong with it.
    #[source]
    pub cause: DecodeError,
}

impl StateBroken {
    pub(crate) fn of(key: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |cause| Self { key, cause }
    }

    pub(crate) fn missing(key: &'static str) -> Self {
        Self { key, cause: DecodeError::Truncated { what: key, needed: 1, left: 0 } }
    }
}

/// The ledger after a certain block.
#[derive(Clone, Debug)]
pub struct Ledger {
    chain_id: Hash,
    tip: Hash,
    height: u64,
    time_ms: u64,
    log: Frontier,
    state: Tree,
    parameters: Parameters,
    set: Arc<ValidatorSet>,
    expiry: Expiry,
}

impl Ledger {
    /// The ledger after the genesis block.
    pub fn genesis(genesis: &Genesis) -> Self {
        let document = genesis.document();
        Self {
            chain_id: *genesis.chain_id(),
            tip: *genesis.block().digest(),
            height: 0,
            time_ms: document.time_ms,
            log: Frontier::default(),
            state: genesis.state(),
            parameters: Parameters {
                epoch_length: document.epoch_length,
                regime: document.regime,
                clock_bound_ms: document.clock_bound_ms,
            },
            set: Arc::new(genesis.set().clone()),
            expiry: Expiry::default(),
        }
    }

    /// The genesis hash.
    pub const fn chain_id(&self) -> &Hash {
        &self.chain_id
    }

    /// The digest of the last block.
    pub const fn tip(&self) -> &Hash {
        &self.tip
    }

    /// The height of the last block.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// The time of the last block.
    pub const fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The right edge of the log.
    pub const fn log(&self) -> &Frontier {
        &self.log
    }

    /// The state.
    pub const fn state(&self) -> &Tree {
        &self.state
    }

    /// The parameters in force.
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The validators that certify the next block.
    pub const fn set(&self) -> &Arc<ValidatorSet> {
        &self.set
    }

    /// The epoch of a height.
    pub const fn epoch_of(&self, height: u64) -> u64 {
        // INVARIANT: genesis and `Parameters::decode` refuse a length of 0.
        match height.checked_div(self.parameters.epoch_length) {
            Some(epoch) => epoch,
            None => 0,
        }
    }

    /// What stands under an account, if it was ever opened.
    pub fn account(&self, account: &Hash) -> Result<Option<layout::AccountState>, StateBroken> {
        let value = self.state.get(&layout::account_key(account));
        value.map(layout::AccountState::decode).transpose().map_err(StateBroken::of("account"))
    }

    /// What stands under a key, if it was ever bound.
    pub fn key(&self, key_id: &crate::scheme::KeyId) -> Result<Option<layout::KeyState>, StateBroken> {
        let value = self.state.get(&layout::key_key(key_id));
        value.map(layout::KeyState::decode).transpose().map_err(StateBroken::of("key"))
    }
}

/// A block in the making: the ledger as far as it got, and what its batches made.
pub(crate) struct Run {
    ledger: Ledger,
    results: Vec<BatchResult>,
    leaf_hashes: Vec<Hash>,
    entries_by_submitter: BTreeMap<[u8; 32], u32>,
    entries: u32,
}

impl Run {
    /// Starts the block after `parent`: what has expired is removed first.
    pub(crate) fn start(parent: &Ledger, time_ms: u64) -> Self {
        let mut ledger = parent.clone();
        ledger.height += 1;
        ledger.time_ms = time_ms;
        ledger.expiry.prune(ledger.height, time_ms, &mut ledger.state);
        let entries_by_submitter = BTreeMap::new();
        Self { ledger, results: Vec::new(), leaf_hashes: Vec::new(), entries_by_submitter, entries: 0 }
    }

    /// Admits a batch and applies its entries. A refused batch has changed nothing.
    pub(crate) fn batch(&mut self, batch: &SignedBatch) -> Result<(), BatchRefusal> {
        let submitter = self.ledger.admit(batch, self.ledger.height)?;
        self.charge(batch, submitter.block_entries_max)?;
        let first_leaf = self.ledger.log.size();
        let mut outcomes = Vec::with_capacity(batch.entry_count());
        for (index, entry) in (0..).zip(batch.entries()) {
            let outcome = self.entry(batch, submitter.role, entry)?;
            let place = Place {
                height: self.ledger.height,
                time_ms: self.ledger.time_ms,
                submitter: batch.submitter(),
                sequence: batch.sequence(),
                index,
            };
            let leaf = place.leaf_hash(entry, &outcome);
            self.ledger.log.append(leaf);
            self.leaf_hashes.push(leaf);
            outcomes.push(outcome);
        }
        self.ledger.remember(batch, submitter, first_leaf);
        self.results.push(BatchResult { batch: batch.clone(), first_leaf, outcomes });
        Ok(())
    }

    fn charge(&mut self, batch: &SignedBatch, limit: u32) -> Result<(), BatchRefusal> {
        let count = u32::try_from(batch.entry_count()).unwrap_or(u32::MAX);
        let own =
            self.entries_by_submitter.get(batch.submitter()).copied().unwrap_or(0).saturating_add(count);
        let all = self.entries.saturating_add(count);
        if own > limit {
            return Err(BatchRefusal::SubmitterLimit { entries: own, limit });
        }
        if all > BLOCK_ENTRIES_MAX {
            return Err(BatchRefusal::BlockFull { entries: all, limit: BLOCK_ENTRIES_MAX });
        }
        self.entries_by_submitter.insert(*batch.submitter(), own);
        self.entries = all;
        Ok(())
    }

    fn entry(&mut self, batch: &SignedBatch, role: Role, entry: &[u8]) -> Result<Outcome, StateBroken> {
        if contracts::is_note(entry) {
            return Ok(Outcome::ACCEPTED);
        }
        let ledger = &mut self.ledger;
        let context = Context {
            chain_id: &ledger.chain_id,
            height: ledger.height,
            time_ms: ledger.time_ms,
            leaf_index: ledger.log.size(),
        };
        let mut overlay = Overlay::new(&ledger.state);
        let outcome = contracts::dispatch(&mut overlay, batch.submitter(), role, entry, &context)
            .map_err(StateBroken::of("contract state"))?;
        if outcome.is_accepted() {
            overlay.finish().commit(&mut ledger.state, &mut ledger.expiry);
        }
        Ok(outcome)
    }

    /// The header of this block; `body_hash` of its batches.
    pub(crate) fn header(&self, parent: &Ledger, proposer: [u8; 32]) -> Header {
        let ledger = &self.ledger;
        Header {
            chain_id: ledger.chain_id,
            height: ledger.height,
            epoch: ledger.epoch_of(ledger.height),
            parent: parent.tip,
            time_ms: ledger.time_ms,
            proposer,
            regime: parent.parameters.regime,
            body_hash: crate::block::body_hash(self.results.iter().map(|result| result.batch.id())),
            log_size: ledger.log.size(),
            log_root: ledger.log.root(),
            state_root: ledger.state.root(),
            set_hash: *parent.set.hash(),
            next_set_hash: *ledger.set.hash(),
        }
    }

    /// Ends the block under its digest.
    pub(crate) fn finish(self, digest: Hash) -> Executed {
        let mut ledger = self.ledger;
        ledger.tip = digest;
        Executed { ledger, batches: self.results, leaf_hashes: self.leaf_hashes }
    }
}
