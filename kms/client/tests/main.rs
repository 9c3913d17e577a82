//! The client's side of every call, in one binary: against an honest service, and against ones that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]

mod addresses;
mod approvals;
mod associations;
mod audits;
mod client;
mod delegation;
mod own;
mod service;
mod shared;
mod toy;
mod vault;
