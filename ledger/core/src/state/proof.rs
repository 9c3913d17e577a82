//! Proofs of what stands under a key: a value, or nothing.

use thiserror::Error;

use super::node::Link;
use super::{STATE_VALUE_BYTES_MAX, leaf_hash, node_hash, path_of, turns_right, value_hash};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Hash, ZERO};

/// The deepest leaf.
pub const DEPTH_MAX: usize = 256;

/// What lies at the end of a key's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The leaf of another key, so that this key has none.
    Other {
        /// The other key's path.
        path: Hash,
        /// The hash of its value.
        value_hash: Hash,
    },
    /// The key's value.
    Value(Vec<u8>),
}

/// What lies at the end of a key's path, and the siblings on the way, from the root down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// The end of the path.
    pub found: Found,
    /// The hashes beside the path, root first.
    pub siblings: Vec<Hash>,
}

/// Why a state proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateProofError {
    /// The path is longer than a path can be.
    #[error("the state proof is {len} levels deep, at most {max} exist", max = DEPTH_MAX)]
    TooDeep {
        /// The number of siblings.
        len: usize,
    },
    /// The leaf that is shown does not lie on the key's path, or is the key's own.
    #[error("the leaf in the state proof does not show that the key is absent")]
    NotOnPath,
    /// The proof leads to another root.
    #[error("the state proof leads to another root")]
    Root,
}

impl StateProof {
    /// Verifies the proof for a key under a root. Gives the value, or none if the key is absent.
    pub fn verify(&self, key: &[u8], root: &Hash) -> Result<Option<&[u8]>, StateProofError> {
        let path = path_of(key);
        let depth = self.siblings.len();
        if depth > DEPTH_MAX {
            return Err(StateProofError::TooDeep { len: depth });
        }
        let end = match &self.found {
            Found::Nothing => ZERO,
            Found::Value(value) => leaf_hash(&path, &value_hash(value)),
            Found::Other { path: other, value_hash } => {
                if *other == path || (0..depth).any(|d| turns_right(other, d) != turns_right(&path, d)) {
                    return Err(StateProofError::NotOnPath);
                }
                leaf_hash(other, value_hash)
            }
        };
        let climb = |below: Hash, (depth, sibling): (usize, &Hash)| {
            if turns_right(&path, depth) { node_hash(sibling, &below) } else { node_hash(&below, sibling) }
        };
        if self.siblings.iter().enumerate().rev().fold(end, climb) != *root {
            return Err(StateProofError::Root);
        }
        match &self.found {
            Found::Value(value) => Ok(Some(value)),
            Found::Nothing | Found::Other { .. } => Ok(None),
        }
    }

    /// Appends the encoding.
    pub fn write(&self, out: &mut Writer) {
        match &self.found {
            Found::Nothing => out.u8(0),
            Found::Other { path, value_hash } => out.u8(1).raw(path).raw(value_hash),
            Found::Value(value) => out.u8(2).bytes(value),
        };
        out.count(self.siblings.len());
        for sibling in &self.siblings {
            out.raw(sibling);
        }
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(128 + 32 * self.siblings.len());
        self.write(&mut out);
        out.finish()
    }

    /// Reads an encoding from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let found = match reader.u8("state proof's end")? {
            0 => Found::Nothing,
            1 => Found::Other { path: reader.array("path")?, value_hash: reader.array("value hash")? },
            2 => Found::Value(reader.bytes("state value", STATE_VALUE_BYTES_MAX)?.to_vec()),
            code => {
                return Err(DecodeError::UnknownCode { what: "state proof's end", code: u64::from(code) });
            }
        };
        let siblings = reader.list("state siblings", DEPTH_MAX, |reader| reader.array("state sibling"))?;
        Ok(Self { found, siblings })
    }

    /// Decodes exactly one proof.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let proof = Self::read(&mut reader)?;
        reader.finish("state proof")?;
        Ok(proof)
    }
}

pub(super) fn prove(mut link: &Link, path: &Hash) -> StateProof {
    let mut siblings = Vec::new();
    loop {
        let found = match link {
            Link::Empty => Found::Nothing,
            Link::Leaf(leaf) if leaf.path == *path => Found::Value(leaf.value.to_vec()),
            Link::Leaf(leaf) => Found::Other { path: leaf.path, value_hash: leaf.value_hash },
            Link::Branch(branch) => {
                let right = turns_right(path, siblings.len());
                let (next, beside) =
                    if right { (&branch.right, &branch.left) } else { (&branch.left, &branch.right) };
                siblings.push(beside.hash());
                link = next;
                continue;
            }
        };
        return StateProof { found, siblings };
    }
}
