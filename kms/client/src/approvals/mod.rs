//! Approvals from the side of those who ask and those who approve.
//!
//! What the service carries is believed in nothing: from the full payload this side computes what is said in words and what the
//! case must be about, and compares it with the case on the ledger, proven against the client's own trust file. Who approves
//! signs exactly that, and a payload whose words and hash disagree is not shown at all.

mod entry;
mod error;
mod show;
mod sign;

pub use entry::Voice;
pub use error::ApprovalError;
pub use keyward_domain::approval::{About, Publication, Signing};
pub use keyward_ledger_core::entry::{ApprovalTerms, Case, Group, Party, PublishPolicy, RuleName};
pub use keyward_ledger_core::state::layout::{ApprovalCaseStatus, ApprovalState};
pub use show::{ListedCase, Rule, ShownCase};
pub use sign::Approved;

/// An entry that was recorded and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The receipt of its record.
    pub receipt: Vec<u8>,
    /// Where it stands in the log.
    pub leaf_index: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
}
