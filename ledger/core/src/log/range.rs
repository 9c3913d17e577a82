//! One proof for consecutive leaves: the hashes of the largest subtrees beside the range, left to right.
//!
//! Whoever knows the leaves and these hashes can compute the root and each leaf's own inclusion proof, so
//! a batch travels with one short proof instead of one proof per record.

use std::ops::Range;

use super::proof::{split, subtree};
use super::{HashStore, ProofError, node_hash};
use crate::hash::Hash;

/// The longest range proof: both edges of the range, one hash per level.
pub const RANGE_HASHES_MAX: usize = 128;

/// The hashes beside the leaves `range` in the log of that size.
pub fn prove_range(store: &dyn HashStore, range: Range<u64>, size: u64) -> Result<Vec<Hash>, ProofError> {
    check(&range, size)?;
    let mut proof = Vec::new();
    collect(store, &range, 0, size, &mut proof)?;
    Ok(proof)
}

fn collect(
    store: &dyn HashStore,
    range: &Range<u64>,
    start: u64,
    end: u64,
    proof: &mut Vec<Hash>,
) -> Result<(), ProofError> {
    if range.start <= start && end <= range.end {
        return Ok(());
    }
    if end <= range.start || range.end <= start {
        proof.push(subtree(store, start, end)?);
        return Ok(());
    }
    let middle = start + split(end - start);
    collect(store, range, start, middle, proof)?;
    collect(store, range, middle, end, proof)
}

/// Verifies that `leaves` stand from leaf `first` on in the log of that size and root, and returns the
/// inclusion proof of each leaf.
pub fn verify_range(
    leaves: &[Hash],
    first: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<Vec<Vec<Hash>>, ProofError> {
    let outside = ProofError::OutOfRange { index: first, size };
    let end = first.checked_add(leaves.len() as u64).ok_or(outside)?;
    check(&(first..end), size)?;
    let mut walk = Walk { leaves, first, end, proof: proof.iter(), paths: vec![Vec::new(); leaves.len()] };
    let wrong_length = ProofError::Length { len: proof.len(), index: first, size };
    let computed = walk.hash(0, size).ok_or_else(|| wrong_length.clone())?;
    if walk.proof.next().is_some() {
        return Err(wrong_length);
    }
    if computed == *root { Ok(walk.paths) } else { Err(ProofError::Root) }
}

struct Walk<'a> {
    leaves: &'a [Hash],
    first: u64,
    end: u64,
    proof: std::slice::Iter<'a, Hash>,
    paths: Vec<Vec<Hash>>,
}

impl Walk<'_> {
    /// The hash over the leaves `start..end`; each leaf of the range below gets its siblings appended,
    /// deepest first. `None` when the proof is too short.
    fn hash(&mut self, start: u64, end: u64) -> Option<Hash> {
        if end <= self.first || self.end <= start {
            return self.proof.next().copied();
        }
        if end - start == 1 {
            return self.leaves.get(usize::try_from(start - self.first).ok()?).copied();
        }
        let middle = start + split(end - start);
        let left = self.hash(start, middle)?;
        let right = self.hash(middle, end)?;
        self.add_sibling(start, middle, right);
        self.add_sibling(middle, end, left);
        Some(node_hash(&left, &right))
    }

    fn add_sibling(&mut self, start: u64, end: u64, sibling: Hash) {
        let place =
            |leaf: u64| usize::try_from(leaf.clamp(self.first, self.end) - self.first).unwrap_or(usize::MAX);
        let (from, to) = (place(start), place(end));
        for path in self.paths.get_mut(from..to).unwrap_or_default() {
            path.push(sibling);
        }
    }
}

fn check(range: &Range<u64>, size: u64) -> Result<(), ProofError> {
    if range.start < range.end && range.end <= size {
        Ok(())
    } else {
        Err(ProofError::OutOfRange { index: range.end.saturating_sub(1), size })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::{Frontier, prove_inclusion, verify_inclusion};
    use super::*;
    use std::collections::HashMap;

    #[derive(Default)]
    struct Store(HashMap<(u32, u64), Hash>);
    impl HashStore for Store {
        fn node(&self, level: u32, index: u64) -> Option<Hash> {
            self.0.get(&(level, index)).copied()
        }
    }

    #[test]
    fn every_range_of_every_small_log_proves_and_yields_the_inclusion_proofs() {
        let (mut store, mut frontier, mut leaves) = (Store::default(), Frontier::default(), Vec::new());
        for size in 1..=20u64 {
            let leaf = [u8::try_from(size).unwrap(); 32];
            leaves.push(leaf);
            frontier.append_with(leaf, |level, index, hash| {
                store.0.insert((level, index), hash);
            });
            let root = frontier.root();
            for first in 0..size {
                for end in first + 1..=size {
                    let proof = prove_range(&store, first..end, size).unwrap();
                    let range = &leaves[usize::try_from(first).unwrap()..usize::try_from(end).unwrap()];
                    let paths = verify_range(range, first, size, &proof, &root).unwrap();
                    for (path, index) in paths.iter().zip(first..end) {
                        assert_eq!(*path, prove_inclusion(&store, index, size).unwrap());
                        verify_inclusion(&leaves[usize::try_from(index).unwrap()], index, size, path, &root)
                            .unwrap();
                    }
                    refuses_what_was_changed(range, first, size, &proof, &root);
                }
            }
        }
    }

    fn refuses_what_was_changed(range: &[Hash], first: u64, size: u64, proof: &[Hash], root: &Hash) {
        let mut longer = proof.to_vec();
        longer.push([0; 32]);
        assert!(verify_range(range, first, size, &longer, root).is_err());
        if let Some((_, shorter)) = proof.split_last() {
            assert!(verify_range(range, first, size, shorter, root).is_err());
            let mut other = proof.to_vec();
            other[0][0] ^= 1;
            assert_eq!(verify_range(range, first, size, &other, root), Err(ProofError::Root));
        }
        assert!(verify_range(&[], first, size, proof, root).is_err());
        assert!(verify_range(range, size, size, proof, root).is_err());
    }
}
