//! The offline verifier: trust file and receipt in, verdict or the first thing that does not hold out.
//!
//! Pure: no clock, no network, no file. The rules are those of `ledger/core/SPEC.md`.

mod base64;
pub mod checkpoint;
pub mod cose;
mod failure;
mod history;
mod intent;
mod receipt;
mod state;
mod tracker;
mod verifier;

pub use failure::{CertificateFailure, Failure};
pub use history::{Broken, Depth, Held, History, HistoryFailure, HistoryVerdict, records};
pub use intent::{Opening, ReadyIntent, chain_id, verify_intent};
pub use receipt::{SignatureCheck, Verdict, verify_receipt};
pub use state::{MaxAge, StateQuery, StateVerdict, verify_state};
pub use tracker::{Anchor, CertifiedBlock, SetTracker};
pub use verifier::Verifier;
