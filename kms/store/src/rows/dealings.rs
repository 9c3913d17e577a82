//! Dealings of closed address epochs.

use super::Id;

/// What is public of a dealing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewingDealing {
    /// Whose epochs.
    pub account: Id,
    /// The first of them.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// The hash of the bytes, as the ledger names them.
    pub hash: Id,
    /// The bytes.
    pub dealing: Vec<u8>,
    /// When it was first handed in here.
    pub kept_ms: u64,
}
