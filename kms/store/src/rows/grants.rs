//! Rows of grants that were asked for here.

use std::fmt;

use super::Id;

/// A grant, and what it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// The grant's id.
    pub grant: Id,
    /// Who asked: the grantee's account.
    pub account: Id,
    /// The purpose, sealed.
    pub purpose: Vec<u8>,
    /// When it was asked for.
    pub requested_ms: u64,
}

impl fmt::Debug for GrantRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantRow").field("grant", &self.grant).finish_non_exhaustive()
    }
}
