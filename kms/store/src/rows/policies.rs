//! Rows of policies: versions of the tenant's set, and requests that were decided lately.

use super::Id;

/// A version of the tenant's set, as the ledger put it in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// From 1.
    pub version: u32,
    /// The hash of its text.
    pub hash: Id,
    /// Whose signature it has, where it was handed in here.
    pub account: Option<Id>,
    /// When it was first known here.
    pub kept_ms: u64,
}

/// Some requests that were decided lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRequests {
    /// Sealed.
    pub sealed: Vec<u8>,
    /// When the last of them was decided.
    pub kept_ms: u64,
}
