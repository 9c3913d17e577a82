//! The service in its own process: a real store in a temporary folder, the ledger's real contracts on a ledger in
//! memory that can refuse, stall, lose answers and be gone, a token in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod accounts;
mod acts;
mod agents;
mod faults;
mod keeper_channels;
mod keepers;
mod kek;
mod ledger;
mod life;
mod network;
mod own;
mod password;
mod profiles;
mod servers;
mod signing;
mod token_faults;
mod tokens;
mod vault_codes;
mod vault_ends;
mod vault_relay;
mod vaults;
mod world;
