//! Rows of approvals: what a case is about while it lasts, and the names of rules.

use std::fmt;

use super::Id;

/// What is kept of a case for its approvers, until it ends.
#[derive(Clone, PartialEq, Eq)]
pub struct Approval {
    /// The hash of the entry that asked.
    pub id: Id,
    /// Who asked.
    pub account: Id,
    /// Whose certificate brought it: `role/name`.
    pub principal: String,
    /// The case on the ledger, once it stands there.
    pub case: Option<Id>,
    /// What it is about, sealed; empty once who asked has taken it back here.
    pub sealed: Vec<u8>,
    /// The entry that is to use the approvals up, once one was shown; of a blind case what they pay for: the id
    /// of an intent; of an own address root nothing at first, then no bytes while they are being used up, then the id.
    pub used: Option<Vec<u8>>,
    /// When it was asked.
    pub created_ms: u64,
    /// When it ends.
    pub ends_ms: u64,
}

impl Approval {
    /// Whether who asked has taken the case back here.
    pub const fn is_withdrawn(&self) -> bool {
        self.sealed.is_empty()
    }
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval").field("id", &self.id).field("case", &self.case).finish_non_exhaustive()
    }
}

/// A case that stands on the ledger, without what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalLine {
    /// The case.
    pub case: Id,
    /// Who asked.
    pub account: Id,
    /// When it was asked.
    pub created_ms: u64,
    /// When it ends.
    pub ends_ms: u64,
}

/// How much of it there may be for one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalRoom {
    /// Cases at once.
    pub cases: u64,
    /// Sealed bytes of all of them.
    pub bytes: u64,
}

/// A rule that was defined here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalRule {
    /// Its id on the ledger.
    pub rule: Id,
    /// Whose it is.
    pub owner: Id,
    /// What its owner calls it.
    pub name: Id,
    /// When it was first defined here.
    pub created_ms: u64,
}
