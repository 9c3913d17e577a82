//! Inclusion proofs (RFC 9162, sections 2.1.3.1 and 2.1.3.2).

use thiserror::Error;

use super::node_hash;
use crate::hash::Hash;

/// The longest proof: one hash per bit of a leaf index.
pub const PROOF_HASHES_MAX: usize = 64;

/// Hashes of full subtrees: node `(level, index)` covers the leaves `index << level .. (index + 1) << level`.
pub trait HashStore {
    /// The hash of a full subtree, if it is there.
    fn node(&self, level: u32, index: u64) -> Option<Hash>;
}

/// Why a proof cannot be made or does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The log has no such leaf.
    #[error("leaf {index} is not in a log of {size}")]
    OutOfRange {
        /// The leaf's index.
        index: u64,
        /// The log's size.
        size: u64,
    },
    /// The store lacks a hash.
    #[error("the hash of the subtree {index} at level {level} is missing")]
    Missing {
        /// The subtree's level.
        level: u32,
        /// The subtree's index.
        index: u64,
    },
    /// The proof does not have the length for this leaf and size.
    #[error("the proof has {len} hashes, which does not fit leaf {index} in a log of {size}")]
    Length {
        /// The proof's length.
        len: usize,
        /// The leaf's index.
        index: u64,
        /// The log's size.
        size: u64,
    },
    /// The proof leads to another root.
    #[error("the proof leads to another log root")]
    Root,
}

/// The inclusion proof of a leaf in the log of that size.
pub fn prove_inclusion(store: &dyn HashStore, index: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(subtree(store, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree(store, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Verifies that the leaf stands at `index` in the log of that size and root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let wrong_length = ProofError::Length { len: proof.len(), index, size };
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(wrong_length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// The largest power of two below `size`, which is at least 2.
pub(super) const fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The hash over the leaves `start..end`, where `start` is a multiple of the enclosing power of two.
pub(super) fn subtree(store: &dyn HashStore, start: u64, end: u64) -> Result<Hash, ProofError> {
    let size = end - start;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        let index = start >> level;
        return store.node(level, index).ok_or(ProofError::Missing { level, index });
    }
    let middle = start + split(size);
    let left = subtree(store, start, middle)?;
    Ok(node_hash(&left, &subtree(store, middle, end)?))
}
