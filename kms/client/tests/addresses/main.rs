//! Unlinkable addresses from the account's side: against an honest service, and against ones that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]

mod choosing;
mod closing;
mod dealing;
mod face;
mod gathering;
mod giving;
mod keepers;
mod own;
mod paying;
mod signing;
#[path = "../toy/mod.rs"]
#[allow(dead_code, reason = "each face needs a part of it")]
mod toy;
mod world;
