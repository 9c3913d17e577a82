//! Verified batches that wait for a block: bounded in bytes, bounded and served in turn per submitter.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    ops::Bound,
};

use keyward_ledger_core::{batch::SignedBatch, hash::Hash};
use thiserror::Error;

/// Bytes that wait in all.
pub const POOL_BYTES_MAX: usize = 64 << 20;
/// Bytes of one submitter that wait: a quarter of the pool, so that one cannot push out the others.
pub const SUBMITTER_BYTES_MAX: usize = POOL_BYTES_MAX / 4;
/// Batches of one submitter that wait.
pub const SUBMITTER_BATCHES_MAX: usize = 4096;

/// Why a batch cannot wait here now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PoolError {
    /// The pool holds as much as it may.
    #[error("the pool is full")]
    Full,
    /// The submitter has as much waiting as it may.
    #[error("the submitter's share of the pool is full")]
    SubmitterFull,
    /// Another batch with this sequence waits.
    #[error("another batch with this sequence is waiting")]
    SequenceTaken,
}

/// What to do with a waiting batch when a block is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    /// Not in this block (it stands in a block below that is not final yet).
    Leave,
}

#[derive(Default)]
struct Queue {
    batches: BTreeMap<u64, SignedBatch>,
    bytes: usize,
}

/// The pool.
#[derive(Default)]
pub(crate) struct Pool {
    queues: BTreeMap<[u8; 32], Queue>,
    /// Submitters in the order in which they are served next.
    turns: VecDeque<[u8; 32]>,
    ids: HashSet<Hash>,
    bytes: usize,
    count: usize,
}

impl Pool {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether the batch with this id waits here, which means that its signature was verified.
    pub(crate) fn holds(&self, id: &Hash) -> bool {
        self.ids.contains(id)
    }

    /// Whether this batch of a submitter waits here.
    pub(crate) fn waits(&self, submitter: &[u8; 32], sequence: u64, digest: &Hash) -> bool {
        let waiting = self.queues.get(submitter).and_then(|queue| queue.batches.get(&sequence));
        waiting.is_some_and(|batch| batch.digest() == digest)
    }

    /// Takes a batch in. `false` when this very batch waits already.
    pub(crate) fn insert(&mut self, batch: SignedBatch) -> Result<bool, PoolError> {
        let size = batch.bytes().len();
        let queue = self.queues.entry(*batch.submitter()).or_default();
        if let Some(waiting) = queue.batches.get(&batch.sequence()) {
            return if waiting.digest() == batch.digest() {
                Ok(false)
            } else {
                Err(PoolError::SequenceTaken)
            };
        }
        if queue.bytes + size > SUBMITTER_BYTES_MAX || queue.batches.len() >= SUBMITTER_BATCHES_MAX {
            return Err(PoolError::SubmitterFull);
        }
        if self.bytes + size > POOL_BYTES_MAX {
            return Err(PoolError::Full);
        }
        if queue.batches.is_empty() {
            self.turns.push_back(*batch.submitter());
        }
        queue.bytes += size;
        self.bytes += size;
        self.count += 1;
        self.ids.insert(*batch.id());
        queue.batches.insert(batch.sequence(), batch);
        Ok(true)
    }

    /// Chooses batches for a block: one of each submitter in turn, lowest sequence first, until the next
    /// would pass `bytes_max`. They go on waiting until a finalized block holds them.
    pub(crate) fn select(
        &mut self,
        bytes_max: usize,
        mut verdict: impl FnMut(&SignedBatch) -> Verdict,
    ) -> Vec<SignedBatch> {
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        let mut waiting: VecDeque<_> = self
            .turns
            .iter()
            .filter_map(|submitter| Some(self.queues.get(submitter)?.batches.values()))
            .collect();
        while let Some(mut batches) = waiting.pop_front() {
            let Some(batch) = batches.find(|batch| verdict(batch) == Verdict::Take) else { continue };
            // A block entry costs its bytes and a length.
            let size = batch.bytes().len() + 4;
            if bytes + size > bytes_max {
                break;
            }
            bytes += size;
            chosen.push(batch.clone());
            waiting.push_back(batches);
        }
        self.turns.rotate_left(usize::from(!self.turns.is_empty()));
        chosen
    }

    /// At most `count` waiting batches, the oldest of each submitter in turn, beginning with the submitters whose keys
    /// come after `after`.
    pub(crate) fn first(&self, after: &[u8; 32], count: usize) -> Vec<SignedBatch> {
        let behind = self.queues.range::<[u8; 32], _>((Bound::Excluded(after), Bound::Unbounded));
        let in_turn = behind.chain(self.queues.range::<[u8; 32], _>(..=after));
        let mut waiting: VecDeque<_> = in_turn.map(|(_, queue)| queue.batches.values()).collect();
        let mut found = Vec::new();
        while let Some(mut batches) = waiting.pop_front().filter(|_| found.len() < count) {
            let Some(batch) = batches.next() else { continue };
            found.push(batch.clone());
            waiting.push_back(batches);
        }
        found
    }

    /// What `find` finds in the `count` newest waiting batches of each submitter that has some, newest first.
    pub(crate) fn newest_of_each<T>(
        &self,
        count: usize,
        find: impl Fn(&SignedBatch) -> Option<T>,
    ) -> Vec<Vec<T>> {
        let newest = |queue: &Queue| queue.batches.values().rev().take(count).filter_map(&find).collect();
        self.queues.values().map(newest).filter(|found: &Vec<T>| !found.is_empty()).collect()
    }

    /// Whether a batch waits for which `holds`.
    pub(crate) fn any(&self, holds: impl FnMut(&SignedBatch) -> bool) -> bool {
        self.queues.values().flat_map(|queue| queue.batches.values()).any(holds)
    }

    /// Drops the batch of a sequence, whoever signed what under it: the sequence is used up.
    pub(crate) fn remove(&mut self, submitter: &[u8; 32], sequence: u64) {
        let Some(queue) = self.queues.get_mut(submitter) else { return };
        if let Some(batch) = queue.batches.remove(&sequence) {
            queue.bytes -= batch.bytes().len();
            self.bytes -= batch.bytes().len();
            self.count -= 1;
            self.ids.remove(batch.id());
        }
        if queue.batches.is_empty() {
            self.queues.remove(submitter);
            self.turns.retain(|other| other != submitter);
        }
    }

    /// Drops every batch that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&SignedBatch) -> bool) {
        let unwanted: Vec<_> = self
            .queues
            .values()
            .flat_map(|queue| queue.batches.values())
            .filter(|batch| !keep(batch))
            .cloned()
            .collect();
        for batch in unwanted {
            self.remove(batch.submitter(), batch.sequence());
        }
    }

    /// Drops every batch that can no longer stand in a block above `height`, and returns them.
    pub(crate) fn expire(&mut self, height: u64) -> Vec<SignedBatch> {
        let expired: Vec<_> = self
            .queues
            .values()
            .flat_map(|queue| queue.batches.values())
            .filter(|batch| batch.not_after() <= height)
            .cloned()
            .collect();
        for batch in &expired {
            self.remove(batch.submitter(), batch.sequence());
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use keyward_ledger_core::{batch::Batch, ed25519::SigningKey};

    fn batch(submitter: u8, sequence: u64, not_after: u64, size: usize) -> SignedBatch {
        let key = SigningKey::from_seed(&[submitter; 32]);
        let entries = vec![vec![0; size]];
        Batch { chain_id: [7; 32], sequence, not_after, entries }.sign(&key).unwrap()
    }

    #[test]
    fn submitters_are_served_in_turn_whatever_they_queue() {
        let mut pool = Pool::default();
        for sequence in 1..=10 {
            assert!(pool.insert(batch(1, sequence, 9, 100)).unwrap());
        }
        pool.insert(batch(2, 1, 9, 100)).unwrap();
        let size = batch(1, 1, 9, 100).bytes().len() + 4;
        let chosen = pool.select(4 * size, |_| Verdict::Take);
        assert_eq!(chosen.len(), 4);
        assert_eq!(chosen.iter().filter(|b| b.submitter() == batch(2, 1, 9, 100).submitter()).count(), 1);
    }

    #[test]
    fn who_has_much_waiting_does_not_hide_the_others() {
        let mut pool = Pool::default();
        for sequence in 1..=10 {
            for submitter in 1..=2 {
                pool.insert(batch(submitter, sequence, 9, 10)).unwrap();
            }
        }
        pool.insert(batch(3, 7, 9, 10)).unwrap();
        let first: Vec<_> = pool.first(&[0; 32], 5).iter().map(SignedBatch::sequence).collect();
        assert_eq!((first.len(), first.iter().filter(|sequence| **sequence == 7).count()), (5, 1));
        let mut newest = pool.newest_of_each(3, |batch| (batch.sequence() > 8).then(|| batch.sequence()));
        newest.sort();
        assert_eq!(newest, [[10, 9], [10, 9]]);
    }

    #[test]
    fn every_submitter_has_its_turn_however_many_wait() {
        let mut pool = Pool::default();
        for submitter in 0..100 {
            pool.insert(batch(submitter, 1, 9, 10)).unwrap();
        }
        let (mut seen, mut after) = (HashSet::new(), [0; 32]);
        for _ in 0..2 {
            let found = pool.first(&after, 64);
            assert_eq!(found.len(), 64);
            after = *found.last().unwrap().submitter();
            seen.extend(found.iter().map(|batch| *batch.submitter()));
        }
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn one_submitter_cannot_fill_the_pool() {
        let mut pool = Pool::default();
        let mut refused = None;
        for sequence in 1..=100_000 {
            if let Err(error) = pool.insert(batch(1, sequence, 9, 4000)) {
                refused = Some(error);
                break;
            }
        }
        assert_eq!(refused, Some(PoolError::SubmitterFull));
        assert!(pool.insert(batch(2, 1, 9, 4000)).unwrap());
    }

    #[test]
    fn a_sequence_waits_once_and_leaves_when_used_or_expired() {
        let mut pool = Pool::default();
        assert!(pool.insert(batch(1, 1, 5, 10)).unwrap());
        assert!(!pool.insert(batch(1, 1, 5, 10)).unwrap());
        assert_eq!(pool.insert(batch(1, 1, 5, 11)), Err(PoolError::SequenceTaken));
        pool.insert(batch(1, 2, 6, 10)).unwrap();
        assert_eq!(pool.expire(5).len(), 1);
        assert_eq!(pool.len(), 1);
        let left = batch(1, 2, 6, 10);
        pool.remove(left.submitter(), 2);
        assert_eq!((pool.len(), pool.bytes()), (0, 0));
        assert!(!pool.any(|_| true));
    }
}
