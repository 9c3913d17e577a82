//! Consistency proofs (RFC 9162, sections 2.1.4.1 and 2.1.4.2): the log of a later size begins with the earlier one.

use super::proof::{split, subtree};
use super::{HashStore, ProofError, node_hash};
use crate::hash::Hash;

/// The hashes that show that the log of `new` leaves begins with that of `old`; none if `old` is 0 or `new`.
pub fn prove_consistency(store: &dyn HashStore, old: u64, new: u64) -> Result<Vec<Hash>, ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange { index: old, size: new });
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new);
    // Whether all of `start..end` up to here is a subtree of the old log that its verifier has already.
    let mut known = true;
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(subtree(store, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree(store, start, middle)?);
            (start, known) = (middle, false);
        }
    }
    if !known {
        proof.push(subtree(store, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Verifies that the log of `new` leaves and `new_root` begins with that of `old` leaves and `old_root`.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    let wrong_length = ProofError::Length { len: proof.len(), index: old, size: new };
    if old > new {
        return Err(ProofError::OutOfRange { index: old, size: new });
    }
    if old == 0 || old == new {
        let same = old == 0 || old_root == new_root;
        return match (proof.is_empty(), same) {
            (false, _) => Err(wrong_length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    // An old log that is one full subtree is the start of the walk itself.
    let mut hashes = old.is_power_of_two().then_some(old_root).into_iter().chain(proof);
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let first = hashes.next().ok_or_else(|| wrong_length.clone())?;
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(wrong_length);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// The root of the log's first `size` leaves.
pub fn root_at(store: &dyn HashStore, size: u64) -> Result<Hash, ProofError> {
    if size == 0 { Ok(super::empty_root()) } else { subtree(store, 0, size) }
}
