//! What a verifier accepts and refuses, in one binary: receipts, histories, checkpoints, and second opinions in other languages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod addresses;
#[path = "../../core/tests/common/mod.rs"]
mod common;
mod fuzz;
mod history;
mod log_tools;
mod old_keys;
mod receipts;
mod second_verifier;
mod sets;
mod shared;
