//! The rules of the ledger from outside, in one binary: blocks, contracts, formats and what others have written about them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod blocks;
mod common;
mod contracts;
#[path = "decoders/main.rs"]
mod decoders;
#[path = "golden/main.rs"]
mod golden;
mod life;
mod members;
mod properties;
mod regime;
mod smoke;
#[path = "standard/main.rs"]
mod standard;
mod third_party;
