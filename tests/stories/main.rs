//! Stories: what users of the whole see, told against real parts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod agent;
mod ceremony;
mod checkpoints;
mod command;
mod custody;
mod desk;
mod disk;
mod exports;
mod face;
mod faults;
mod find;
mod founding;
mod joining;
mod ledger;
mod members;
mod operation;
mod password;
mod ports;
mod proofs;
mod proxy;
mod python_app;
mod receipts;
mod refusals;
mod regimes;
mod self_keys;
mod servers;
mod storage;
mod support;
mod vault;
