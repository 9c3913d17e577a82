//! Grant files, relinking and reports in one binary, and the game of who would link without a grant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod approvals;
mod grant_file;
#[path = "linking/main.rs"]
mod linking;
mod relink;
mod report;
mod town;
