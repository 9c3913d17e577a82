//! The projection into databases, in one binary: what it writes, whom it lets in, and what they cannot do there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod grants;
mod guard;
mod lease;
mod readers;
mod records;
mod sample;
mod support;
#[path = "../../audit/tests/town/mod.rs"]
mod town;
