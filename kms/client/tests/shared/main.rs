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

mod devices;
mod making;
mod renewing;
mod signing;
mod world;
