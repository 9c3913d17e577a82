//! The state: key/value bytes under a compact sparse Merkle tree with SHA-256.
//!
//! The tree is persistent: a clone costs nothing and shares everything that does not change, so each
//! unfinalised block has its own. Hashes are made when a root is asked for, and kept.

pub mod addresses;
pub mod association;
pub mod audit;
mod cases;
pub mod delegation;
pub mod keeper;
mod key;
pub mod layout;
pub mod member;
mod node;
pub mod policy;
mod proof;
pub mod regime;
pub mod shared;
pub mod vault;

use std::fmt;

use thiserror::Error;

use crate::hash::{Hash, Tag, sha256};
use node::{Leaf, Link};

pub use proof::{DEPTH_MAX, Found, StateProof, StateProofError};

/// The longest state key.
pub const STATE_KEY_BYTES_MAX: usize = 128;
/// The longest state value.
pub const STATE_VALUE_BYTES_MAX: usize = 64 << 10;

/// Where a key lies in the tree: `tagged("keyward/state-key/v1", key)`.
pub fn path_of(key: &[u8]) -> Hash {
    Tag::StateKey.hash(&[key])
}

/// `tagged("keyward/state-value/v1", value)`.
pub fn value_hash(value: &[u8]) -> Hash {
    Tag::StateValue.hash(&[value])
}

/// `SHA-256(0x10 || path || value hash)`.
pub fn leaf_hash(path: &Hash, value_hash: &Hash) -> Hash {
    sha256(&[&[0x10], path, value_hash])
}

/// `SHA-256(0x11 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x11], left, right])
}

/// Whether the path turns right at a depth (bit 0 is the highest bit of the first byte).
pub(crate) fn turns_right(path: &Hash, depth: usize) -> bool {
    path.get(depth / 8).is_some_and(|byte| byte >> (7 - depth % 8) & 1 == 1)
}

/// A snapshot holds a key twice.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the state key `{key}` stands twice")]
pub struct DuplicateKey {
    /// The key in hex.
    pub key: String,
}

/// The state tree. Equal contents have equal roots, in whatever order they came about.
#[derive(Clone, Default)]
pub struct Tree {
    root: Link,
    len: usize,
}

impl Tree {
    /// A tree of these entries; faster than inserting one after the other.
    pub fn build<K, V>(entries: impl IntoIterator<Item = (K, V)>) -> Result<Self, DuplicateKey>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut leaves: Vec<_> =
            entries.into_iter().map(|(key, value)| Leaf::new(key.as_ref(), value.as_ref())).collect();
        leaves.sort_unstable_by_key(|leaf| leaf.path);
        for (before, leaf) in leaves.iter().zip(leaves.iter().skip(1)) {
            if before.path == leaf.path {
                return Err(DuplicateKey { key: hex::encode(&leaf.key) });
            }
        }
        Ok(Self { len: leaves.len(), root: node::build(leaves, 0) })
    }

    /// How many keys there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        node::find(&self.root, &path_of(key)).map(|leaf| &*leaf.value)
    }

    /// Sets a key's value.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        if node::insert(&mut self.root, 0, Leaf::new(key, value)) {
            self.len += 1;
        }
    }

    /// Removes a key; says whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let path = path_of(key);
        let found = node::find(&self.root, &path).is_some();
        if found {
            node::remove(&mut self.root, 0, &path);
            self.len -= 1;
        }
        found
    }

    /// The root: 32 zero bytes for the empty tree.
    pub fn root(&self) -> Hash {
        self.root.hash()
    }

    /// Keys and values by ascending path.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        node::Leaves::of(&self.root).map(|leaf| (&*leaf.key, &*leaf.value))
    }

    /// Proves what stands under a key: its value, or that there is none.
    pub fn prove(&self, key: &[u8]) -> StateProof {
        proof::prove(&self.root, &path_of(key))
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} keys)", self.len)
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.root() == other.root()
    }
}

impl Eq for Tree {}
