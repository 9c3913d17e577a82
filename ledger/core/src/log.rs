//! The log: the Merkle tree of RFC 9162 (section 2.1) over every record since genesis.

mod consistency;
mod frontier;
mod proof;
mod range;

pub use consistency::{prove_consistency, root_at, verify_consistency};
pub use frontier::Frontier;
pub use proof::{HashStore, PROOF_HASHES_MAX, ProofError, prove_inclusion, verify_inclusion};
pub use range::{RANGE_HASHES_MAX, prove_range, verify_range};

use crate::hash::{Hash, Hasher, sha256};

/// The root of the empty log: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// `SHA-256(0x00 || data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    sha256(&[&[0], data])
}

/// `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

pub(crate) fn leaf_hasher() -> Hasher {
    let mut hasher = Hasher::plain();
    hasher.update(&[0]);
    hasher
}
