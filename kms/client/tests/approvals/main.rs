//! Approvals from the side of those who ask and approve: against an honest service, and against ones that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]

mod face;
mod giving;
mod lying;
mod policies;
mod risk;
#[path = "../toy/mod.rs"]
#[allow(dead_code, reason = "each face needs a part of it")]
mod toy;
mod world;
