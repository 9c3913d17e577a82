//! The service in its own process: a real store in a temporary folder, the ledger's real contracts on a ledger in
//! memory that can refuse, stall, lose answers and be gone, a token in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod accounts;
mod acts;
mod agents;
mod faults;
mod kek;
mod ledger;
mod life;
mod network;
mod profiles;
mod servers;
mod signing;
mod token_faults;
mod tokens;
mod world;
