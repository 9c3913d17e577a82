//! The ledger's pure core: canonical bytes, hashes, trees, contracts, execution and receipts.
//!
//! Nothing here reads a clock, draws randomness or touches a disk or a network. The page below defines
//! every byte; the modules implement it.
#![doc = include_str!("../SPEC.md")]

pub mod address;
pub mod batch;
pub mod block;
pub mod certificate;
pub mod change;
pub mod codec;
pub mod contracts;
pub mod ed25519;
pub mod entry;
pub mod execute;
pub mod export;
pub mod genesis;
pub mod hash;
pub mod keeper;
pub mod log;
pub mod outcome;
pub mod question;
pub mod receipt;
pub mod record;
pub mod scheme;
pub mod shared;
pub mod state;
pub mod trust;
pub mod unlinkable;
pub mod vault;
pub mod vote;
