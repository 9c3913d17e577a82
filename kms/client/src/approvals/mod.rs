//! Approvals from the side of those who ask and those who approve.
//!
//! What the service carries is believed in nothing: from the full payload this side computes what is said in words and what the
//! case must be about, and compares it with the case on the ledger, proven against the client's own trust file. Who approves
//! signs exactly that, and a payload whose words and hash disagree is not shown at all.

mod blind;
mod entry;
mod error;
mod show;
mod sign;

pub use crate::delegation::Done;
pub(crate) use entry::{HAND_IN_TRIES, to_proto};
pub use entry::{Voice, Withdrawn};
pub use error::ApprovalError;
pub use keyward_domain::approval::{About, Publication, Published, Signing};
pub use keyward_ledger_core::entry::{ApprovalTerms, Case, Group, Party, PublishPolicy, RuleName};
pub use keyward_ledger_core::state::layout::{ApprovalCaseStatus, ApprovalState};
pub(crate) use show::of_proto;
pub use show::{ListedCase, Rule, ShownCase};
pub use sign::Approved;
