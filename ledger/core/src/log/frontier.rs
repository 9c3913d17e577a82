//! The right edge of the log: enough to append and to know the root.

use super::{empty_root, node_hash};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;

/// The roots of the full subtrees on the right edge, largest first. Appending costs one hash on average.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// How many leaves the log has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash.
    pub fn append(&mut self, leaf: Hash) {
        self.append_with(leaf, |_, _, _| {});
    }

    /// Appends a leaf hash and reports each full subtree that it completes as `(level, index, hash)`,
    /// the leaf itself first as level 0. A store that keeps these can prove everything.
    pub fn append_with(&mut self, leaf: Hash, mut completed: impl FnMut(u32, u64, Hash)) {
        completed(0, self.size, leaf);
        let mut hash = leaf;
        for level in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            completed(level + 1, self.size >> (level + 1), hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The full subtrees on the right edge as `(level, index, hash)`, largest first: with these a store can prove
    /// everything that is appended from here on.
    pub fn peaks(&self) -> impl Iterator<Item = (u32, u64, Hash)> + '_ {
        let size = self.size;
        let levels = (0..u64::BITS).rev().filter(move |level| (size >> level) & 1 == 1);
        levels.zip(&self.peaks).map(move |(level, hash)| (level, (size >> level) - 1, *hash))
    }

    /// The log's root.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// The encoding, for snapshots: `size u64 || count u32 || hashes`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(12 + 32 * self.peaks.len());
        out.u64(self.size).count(self.peaks.len());
        for peak in &self.peaks {
            out.raw(peak);
        }
        out.finish()
    }

    /// Decodes a frontier.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let size = reader.u64("log size")?;
        let peaks = reader.list("log peaks", 64, |reader| reader.array("log peak"))?;
        reader.finish("log frontier")?;
        if peaks.len() == usize::try_from(size.count_ones()).unwrap_or(usize::MAX) {
            Ok(Self { size, peaks })
        } else {
            Err(DecodeError::Invalid { what: "log peaks", why: "do not fit the log size" })
        }
    }
}
