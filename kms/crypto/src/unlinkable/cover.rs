//! What a grant delivers: the viewing nodes that cover a range of address epochs, and open nothing else.

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

use super::epoch::ViewingLeaf;
use super::error::{AddressError, behind_version};
use super::tree::{AddressRoot, DEPTH, Node, first_bits};
use crate::secret::SecretBytes;

/// The most nodes that a range needs.
pub const COVER_NODES_MAX: usize = 62;
const VERSION: u8 = 1;
const WHAT: &str = "viewing cover";
const NODE_BYTES: usize = 32;
/// `version u8 || first u32 || last u32`.
const HEAD_BYTES: usize = 9;
/// The longest encoding.
pub(crate) const COVER_BYTES_MAX: usize = HEAD_BYTES + NODE_BYTES * COVER_NODES_MAX;

/// The fewest nodes whose leaves are exactly those of a range. Secret: whoever holds it sees these epochs.
pub struct ViewingCover {
    first: u32,
    last: u32,
    nodes: Vec<Node>,
}

impl ViewingCover {
    pub(super) const fn new(first: u32, last: u32, nodes: Vec<Node>) -> Self {
        Self { first, last, nodes }
    }

    /// Of a range of epochs; none for an empty one.
    pub fn of(root: &AddressRoot, epochs: RangeInclusive<u32>) -> Self {
        let (first, last) = (*epochs.start(), *epochs.end());
        let top = root.viewing();
        let nodes = shape(first, last).into_iter().map(|(depth, epoch)| top.below(depth, epoch)).collect();
        Self { first, last, nodes }
    }

    /// The epochs that it opens.
    pub const fn epochs(&self) -> RangeInclusive<u32> {
        self.first..=self.last
    }

    /// The cover of a part of it; none for what it does not cover whole, and for an empty range.
    pub fn within(&self, epochs: RangeInclusive<u32>) -> Option<Self> {
        let (first, last) = (*epochs.start(), *epochs.end());
        let nodes = nodes(&self.nodes, first, last).filter(|nodes| !nodes.is_empty())?;
        Some(Self { first, last, nodes })
    }

    /// The leaf of an epoch, if it is covered.
    pub fn leaf(&self, epoch: u32) -> Option<ViewingLeaf> {
        let node = self.nodes.iter().find(|node| node.is_above(DEPTH, epoch))?;
        Some(ViewingLeaf::new(epoch, node.below(DEPTH, epoch).secret))
    }

    /// `version u8 (1) || first u32 || last u32 || node[32]*`, the nodes by ascending epoch. How deep each is follows from the range.
    pub fn encode(&self) -> SecretBytes {
        // One allocation: growing would leave copies that nobody wipes.
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + NODE_BYTES * self.nodes.len()));
        out.push(VERSION);
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.last.to_be_bytes());
        write_nodes(&mut out, &self.nodes);
        out.into()
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed { what: WHAT, len: bytes.len() };
        let rest = behind_version(VERSION, WHAT, bytes)?;
        let (first, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (last, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (first, last) = (u32::from_be_bytes(*first), u32::from_be_bytes(*last));
        let nodes = read_nodes(first, last, rest).ok_or_else(malformed)?;
        Ok(Self { first, last, nodes })
    }

    /// How long the encoding of a range's cover is.
    pub(crate) fn encoded_len(first: u32, last: u32) -> usize {
        HEAD_BYTES + NODE_BYTES * shape(first, last).len()
    }
}

impl fmt::Debug for ViewingCover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewingCover({}..={}, redacted)", self.first, self.last)
    }
}

/// Depth and first epoch of each node, by ascending epoch: always the largest that begins where the last one ended and ends
/// within the range.
fn shape(first: u32, last: u32) -> Vec<(u8, u32)> {
    let (mut nodes, mut at) = (Vec::new(), u64::from(first));
    while at <= u64::from(last) {
        let left = u64::from(last) - at + 1;
        // Both bounds are powers of two: how far `at` is aligned, and how much fits.
        let size_bits = at.trailing_zeros().min(left.ilog2()).min(u32::from(DEPTH));
        // INVARIANT: at most 32, and `at` at most `last`.
        let depth = DEPTH - u8::try_from(size_bits).unwrap_or(DEPTH);
        nodes.push((depth, u32::try_from(at).unwrap_or(last)));
        at += 1 << size_bits;
    }
    nodes
}

/// The nodes of a range of epochs, from nodes above them; nothing, if some epoch lies below none of those.
pub(super) fn nodes(above: &[Node], first: u32, last: u32) -> Option<Vec<Node>> {
    let node =
        |(depth, epoch)| Some(above.iter().find(|top| top.is_above(depth, epoch))?.below(depth, epoch));
    shape(first, last).into_iter().map(node).collect()
}

pub(super) fn write_nodes(out: &mut Vec<u8>, nodes: &[Node]) {
    nodes.iter().for_each(|node| out.extend_from_slice(node.secret.as_slice()));
}

/// Reads exactly the nodes of a range that is not empty.
pub(super) fn read_nodes(first: u32, last: u32, bytes: &[u8]) -> Option<Vec<Node>> {
    let shape = shape(first, last);
    let (secrets, behind) = bytes.as_chunks::<NODE_BYTES>();
    if shape.is_empty() || shape.len() != secrets.len() || !behind.is_empty() {
        return None;
    }
    let node = |((depth, epoch), secret): ((u8, u32), &[u8; NODE_BYTES])| Node {
        depth,
        prefix: first_bits(epoch, depth),
        secret: Zeroizing::new(*secret),
    };
    Some(shape.into_iter().zip(secrets).map(node).collect())
}
