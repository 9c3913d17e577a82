//! What the holder of an audit grant finds in a ledger: its transactions with who, what, when and by whose approval, how far they
//! are complete, and what that does not show.
//!
//! Pure: records in the order of the log in, findings and reports out. Where records come from, and that they are proven, is the
//! caller's business (`ledger/verify`); nothing here reads a clock, a file or a network. The page below defines the grant file
//! and the reports.
#![doc = include_str!("../SPEC.md")]

mod error;
mod finding;
mod grant_file;
mod granted;
mod leaves;
mod receipts;
mod relink;
mod relinked;
mod report;

pub use error::AuditError;
pub use finding::{
    AccountEpoch, AccountFinding, AddressCheck, Approval, ApprovalCase, Approver, Completeness, EpochFinding,
    GrantAct, GrantStep, Lie, PaymentReceived, Place, Release, RunFinding, RunSource, Transaction, Unopened,
};
pub use grant_file::{
    COVERS_MAX, Dealt, Delivery, GRANT_FILE_BYTES_MAX, GrantFile, GrantFileError, OPENINGS_MAX, Opening,
};
pub use granted::Granted;
pub use receipts::{ReceiptError, Receipts};
pub use relink::Relinker;
pub use relinked::{Looked, Relinked};
pub use report::{Limit, REPORT_FORMAT, Report};
