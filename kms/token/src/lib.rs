//! Tokens and HSMs behind PKCS#11: the only room that knows `cryptoki`.
//!
//! One operating-system thread owns a module; jobs reach it over a bounded channel and carry a deadline.
//! Tokens are chosen by label or serial, never by slot. After a removal, a lost session or a device error
//! the sessions are dropped, opened again, logged in again, and keys found again by `CKA_ID`; a PIN is never
//! tried twice. Signatures come out in their one encoding but unverified: whoever asked verifies.

mod attributes;
mod call;
mod canonical;
mod error;
mod find;
mod keys;
mod module;
mod offers;
mod sealing;
mod setup;
mod sign;
mod types;
mod worker;

pub use call::Call;
pub use error::{DeviceCause, PinTries, TokenError};
pub use find::{MODULE_FILE, find_module};
pub use module::{DEADLINE, Module, QUEUE_JOBS_MAX};
pub use types::{Claims, KeyKind, LABEL_BYTES_MAX, Payload, Pin, TokenInfo, TokenKey, TokenName};
