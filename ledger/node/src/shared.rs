//! What the executor, the engine's application and the face share.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicBool},
};

use keyward_ledger_core::{
    block::SignedHeader,
    certificate::{Certificate, ValidatorSet},
    execute::Ledger,
    genesis::Genesis,
    hash::Hash,
    outcome::Outcome,
};
use keyward_ledger_engine::{EngineHandle, Peer, Reader, Segments};
use keyward_proto::ledger as proto;
use tokio::sync::{Notify, oneshot, watch};

use crate::{
    alarms::Alarms,
    duties::Reports,
    floor::Floor,
    index::Index,
    links::Links,
    lookup::Lookup,
    machine::{Machine, Timer},
    pool::Pool,
    repair::Others,
    scrub::Scrub,
};

/// A certified header: proof for every record and state entry up to it.
#[derive(Debug)]
pub(crate) struct Anchor {
    pub(crate) header: SignedHeader,
    pub(crate) certificate: Certificate,
    /// The ledger after that block, for proofs.
    pub(crate) ledger: Ledger,
    /// The changes of the validator set below that block.
    pub(crate) links: Vec<proto::SetLink>,
}

/// The ledger after the newest finalized block, and the newest certified header at or below it.
pub(crate) struct View {
    pub(crate) ledger: Ledger,
    pub(crate) anchor: Option<Arc<Anchor>>,
}

/// Where a batch became final.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
    pub(crate) first_leaf: u64,
    pub(crate) outcomes: Vec<Outcome>,
}

/// What a caller that waits for a batch is told.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    Final(Placed, Arc<Anchor>),
    /// The last height at which it could have become final has passed.
    Expired,
}

/// Callers that wait, by batch digest.
#[derive(Default)]
pub(crate) struct Waiters(BTreeMap<Hash, (u64, Vec<oneshot::Sender<Settled>>)>);

impl Waiters {
    /// Waits for a batch; `not_after` bounds how long the entry is kept.
    pub(crate) fn wait(&mut self, digest: Hash, not_after: u64) -> oneshot::Receiver<Settled> {
        let (sender, receiver) = oneshot::channel();
        let (_, senders) = self.0.entry(digest).or_insert((not_after, Vec::new()));
        senders.retain(|sender| !sender.is_closed());
        senders.push(sender);
        receiver
    }

    pub(crate) fn is_awaited(&self, digest: &Hash) -> bool {
        self.0.contains_key(digest)
    }

    pub(crate) fn settle(&mut self, digest: &Hash, settled: &Settled) {
        for sender in self.0.remove(digest).map(|(_, senders)| senders).unwrap_or_default() {
            // The caller may have hung up.
            let _gone = sender.send(settled.clone());
        }
    }

    /// Tells everybody whose batch can no longer stand in a block above `height`, but for those in `keep`.
    /// Whoever hung up is forgotten too.
    pub(crate) fn expire(&mut self, height: u64, keep: impl Fn(&Hash) -> bool) {
        self.0.retain(|_, (_, senders)| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        let late: Vec<_> = self
            .0
            .iter()
            .filter(|(digest, (last, _))| *last <= height && !keep(digest))
            .map(|(digest, _)| *digest)
            .collect();
        for digest in late {
            self.settle(&digest, &Settled::Expired);
        }
    }
}

/// Shared by every part of one validator.
pub(crate) struct Shared {
    pub(crate) genesis: Genesis,
    pub(crate) validator: [u8; 32],
    /// The nodes of the configuration.
    pub(crate) peers: Vec<Peer>,
    pub(crate) links: Links,
    pub(crate) reports: Reports,
    pub(crate) blocks: Reader,
    pub(crate) store: Arc<Segments>,
    pub(crate) index: Index,
    pub(crate) lookup: Lookup,
    pub(crate) timer: Arc<dyn Timer>,
    /// The engine once it runs. Weak, because the engine holds the application, which holds this.
    pub(crate) others: watch::Sender<Weak<dyn Others>>,
    pub(crate) alarms: Alarms,
    pub(crate) scrub: Scrub,
    /// Where this node's history begins, if not at genesis.
    pub(crate) floor: Option<Floor>,
    /// Blocks between snapshots.
    pub(crate) snapshot_blocks: u64,
    /// The executor should write a snapshot soon.
    pub(crate) snapshot_wanted: AtomicBool,
    pub(crate) view: watch::Sender<Arc<View>>,
    /// A batch came into the pool.
    pub(crate) arrived: Notify,
    pool: Mutex<Pool>,
    waiters: Mutex<Waiters>,
    /// Ids of the batches in blocks that are not final yet.
    in_flight: Mutex<HashSet<Hash>>,
}

impl Shared {
    pub(crate) fn new(
        genesis: Genesis,
        validator: [u8; 32],
        peers: Vec<Peer>,
        store: Arc<Segments>,
        (index, lookup): (Index, Lookup),
        machine: &Machine,
        view: View,
    ) -> Self {
        let no_engine: Weak<dyn Others> = Weak::<EngineHandle>::new();
        Self {
            genesis,
            validator,
            peers,
            links: Links::default(),
            reports: Reports::default(),
            blocks: store.reader(),
            store,
            index,
            lookup,
            timer: machine.timer.clone(),
            others: watch::Sender::new(no_engine),
            alarms: Alarms::new(machine.clock.clone()),
            scrub: Scrub::default(),
            floor: None,
            snapshot_blocks: crate::SNAPSHOT_BLOCKS,
            snapshot_wanted: AtomicBool::new(false),
            view: watch::Sender::new(Arc::new(view)),
            arrived: Notify::new(),
            pool: Mutex::default(),
            waiters: Mutex::default(),
            in_flight: Mutex::default(),
        }
    }

    /// The height above which this node holds blocks: 0 if it began at genesis.
    pub(crate) fn floor_height(&self) -> u64 {
        self.floor.as_ref().map_or(0, Floor::height)
    }

    /// The log's size below the first block that this node holds.
    pub(crate) fn floor_leaf(&self) -> u64 {
        self.floor.as_ref().map_or(0, |floor| floor.log.size())
    }

    /// The validator set with a hash, if it is known here.
    pub(crate) fn set_with(&self, hash: &Hash) -> Option<Arc<ValidatorSet>> {
        let set = self.view().ledger.set().clone();
        if set.hash() == hash {
            return Some(set);
        }
        let genesis = self.genesis.set();
        if genesis.hash() == hash {
            return Some(Arc::new(genesis.clone()));
        }
        let changes = self.view().ledger.set_changes(0).ok()?.into_iter();
        changes.map(|change| change.set).find(|set| set.hash() == hash).map(Arc::new)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn in_flight(&self) -> MutexGuard<'_, HashSet<Hash>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hung_up_is_forgotten_with_the_next_block() {
        let mut waiters = Waiters::default();
        drop(waiters.wait([1; 32], u64::MAX));
        let waiting = waiters.wait([2; 32], u64::MAX);
        waiters.expire(1, |_| false);
        assert!(!waiters.is_awaited(&[1; 32]), "a batch without end would be awaited for ever");
        assert!(waiters.is_awaited(&[2; 32]));
        drop(waiting);
    }
}
