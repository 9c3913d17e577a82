//! What was found, by subject: each kind of finding with the rule by which it is found.

mod account;
mod act;
mod approval;
mod epoch;
mod lie;
mod payment;
mod run;
mod transaction;
mod unopened;

use keyward_ledger_core::hash::Hash;

pub use account::AccountFinding;
pub use act::{GrantAct, GrantStep};
pub(crate) use approval::Cases;
pub use approval::{Approval, ApprovalCase, Approver};
pub(crate) use epoch::Epoch;
pub use epoch::{Completeness, EpochFinding};
pub use lie::Lie;
pub(crate) use payment::Announced;
pub use payment::PaymentReceived;
pub use run::{RunFinding, RunSource};
pub(crate) use transaction::Live;
pub use transaction::{AddressCheck, Release, Transaction};
pub use unopened::Unopened;

/// Where a record stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its index.
    pub leaf_index: u64,
    /// Its leaf hash.
    pub leaf_hash: Hash,
    /// The height of its block.
    pub height: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
}

/// An account's address epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountEpoch {
    /// The account.
    pub account: Hash,
    /// The epoch.
    pub epoch: u32,
}
