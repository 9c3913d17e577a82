//! Audits from the side of those who ask, approve and open: against an honest service, and against ones that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]

mod asking;
mod face;
mod opening;
#[path = "../toy/mod.rs"]
#[allow(dead_code, reason = "each face needs a part of it")]
mod toy;
mod world;
