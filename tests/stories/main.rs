//! Stories: what users of the whole see, told against real parts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod addresses;
mod agent;
mod approvals;
mod association;
mod attack;
mod audit;
mod ceremony;
mod checkpoints;
mod command;
// Waits for what other people build: beside the stories that costs hardly any time.
mod conformance;
mod consortium;
mod custody;
mod delegation;
mod desk;
mod disk;
mod exports;
mod face;
mod factors;
mod faults;
mod find;
mod founding;
mod investigation;
mod joining;
mod ledger;
mod members;
mod operation;
mod password;
mod policies;
mod ports;
mod projection;
mod proofs;
mod proxy;
mod python_app;
mod receipts;
mod refusals;
mod regimes;
mod regulators;
mod renewal;
mod risk;
mod self_keys;
mod servers;
mod shared_keys;
mod storage;
mod support;
mod takeover;
mod vault;
