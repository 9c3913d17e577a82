//! What runs on the user's side: connection, password login, keys of people, receipts checked before use.
//!
//! The service is believed as little as possible: challenges are rebuilt here rather than signed as handed
//! over, signatures are verified against their public key, and receipts against the trust file where one is
//! given. Profiles, files and printing are the command line's business.

mod challenge;
mod client;
mod connection;
mod error;
mod keys;
mod password;
mod person;
mod receipts;
mod sign;
mod tokens;

pub use client::{CALL_DEADLINE, Client};
pub use connection::{Connection, Identity};
pub use error::{ClientError, Refusal};
pub use keys::KeyWithReceipt;
pub use password::{PASSWORD_BYTES_MAX, Password};
pub use person::{Login, Registered, Session};
pub use sign::Signature;
pub use tokens::Link;
