//! What a person's side keeps of its own address root: nothing of the epochs that were erased.
//!
//! A viewing tree without its first leaves (a punctured pseudo-random function: Boneh and Waters, Constrained pseudorandom
//! functions and their applications, 2013). Before anything is erased it is the root in another form.

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

use super::cover::{ViewingCover, nodes, read_nodes, write_nodes};
use super::epoch::{SpendingLeaf, ViewingLeaf};
use super::error::{AddressError, behind_version};
use super::tree::{AddressRoot, Bytes, DEPTH, Node, spending_leaf};
use crate::secret::SecretBytes;

const VERSION: u8 = 1;
const WHAT: &str = "punctured viewing tree";

/// The viewing nodes from one epoch on, and the roots of spending and of handles. Whoever holds it sees and spends everything from
/// there on, and sees nothing before.
pub struct PuncturedViewing {
    first: u32,
    viewing: Vec<Node>,
    spending: Bytes,
    handles: Bytes,
}

impl PuncturedViewing {
    /// Everything of a root: nothing is erased yet.
    pub fn from_root(root: &AddressRoot) -> Self {
        Self { first: 0, viewing: vec![root.viewing()], spending: root.spending(), handles: root.handles() }
    }

    /// What is left when all epochs up to `last` are erased; itself, if they are already. No epoch would be left after the last one.
    pub fn after(self, last: u32) -> Result<Self, AddressError> {
        if last < self.first {
            return Ok(self);
        }
        let first = last.checked_add(1).ok_or(AddressError::Erased { epoch: last })?;
        let viewing = nodes(&self.viewing, first, u32::MAX).ok_or(AddressError::Erased { epoch: first })?;
        Ok(Self { first, viewing, spending: self.spending, handles: self.handles })
    }

    /// The first epoch that is not erased.
    pub const fn first(&self) -> u32 {
        self.first
    }

    /// What recognises addresses of an epoch and reads their details, unless it is erased.
    pub fn viewing_leaf(&self, epoch: u32) -> Option<ViewingLeaf> {
        let leaf = nodes(&self.viewing, epoch, epoch)?.pop()?;
        Some(ViewingLeaf::new(epoch, leaf.secret))
    }

    /// What signs with the addresses of an epoch, together with its viewing leaf.
    pub fn spending_leaf(&self, epoch: u32) -> Result<SpendingLeaf, AddressError> {
        spending_leaf(&self.spending, epoch)
    }

    /// The cover of a range of epochs, if none of them is erased and there is one.
    pub fn cover(&self, epochs: RangeInclusive<u32>) -> Option<ViewingCover> {
        let (first, last) = (*epochs.start(), *epochs.end());
        let found = nodes(&self.viewing, first, last).filter(|nodes| !nodes.is_empty())?;
        Some(ViewingCover::new(first, last, found))
    }

    /// `version u8 (1) || first u32 || spending root[32] || key of handles[32] || node[32]*`, the nodes by ascending epoch. How deep
    /// each is follows from the first epoch.
    pub fn encode(&self) -> SecretBytes {
        // One allocation: growing would leave copies that nobody wipes.
        let mut out = Zeroizing::new(Vec::with_capacity(5 + 32 * (2 + usize::from(DEPTH))));
        out.push(VERSION);
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(self.spending.as_slice());
        out.extend_from_slice(self.handles.as_slice());
        write_nodes(&mut out, &self.viewing);
        out.into()
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed { what: WHAT, len: bytes.len() };
        let rest = behind_version(VERSION, WHAT, bytes)?;
        let (first, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (spending, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (handles, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let first = u32::from_be_bytes(*first);
        let viewing = read_nodes(first, u32::MAX, rest).ok_or_else(malformed)?;
        Ok(Self { first, viewing, spending: Zeroizing::new(*spending), handles: Zeroizing::new(*handles) })
    }
}

impl fmt::Debug for PuncturedViewing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PuncturedViewing(from {}, redacted)", self.first)
    }
}
