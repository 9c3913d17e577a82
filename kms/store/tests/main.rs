//! Every adapter against one contract, in one binary, and what each of them survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod contract;
mod postgres;
mod sqlite;
