//! Keepers beside validators in one seeded world: the ledger node's own code and the keepers' own code, each pair on a
//! machine with one disk, under faults and beside keepers that collude with a thief.
//!
//! A seed decides everything but the secrets themselves: who colludes, how many shares are needed, what fails and when,
//! what people and the thief try. A failure prints the one command that repeats it from its seed. What must hold in every
//! moment stands in `checker.rs`; `broken.rs` breaks each of its rules on purpose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod broken;
mod checker;
mod door;
mod faults;
mod hand;
mod inline;
mod loot;
mod node;
mod person;
mod seeds;
mod thief;
mod town;
mod vaults;
