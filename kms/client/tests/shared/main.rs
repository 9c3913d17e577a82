//! Shared keys from the person's side: with honest keepers and service, and with ones that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]

mod apps;
mod devices;
mod ecdsa;
mod making;
mod renewing;
mod signing;
#[path = "../toy/mod.rs"]
#[allow(dead_code, reason = "each face needs a part of it")]
mod toy;
mod world;
