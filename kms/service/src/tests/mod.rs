//! The service in its own process: a real store in a temporary folder, the ledger's real contracts on a ledger in
//! memory that can refuse, stall, lose answers and be gone, a token in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod accounts;
mod acts;
mod agents;
mod approval_uses;
mod approvals;
mod approvers;
mod associations;
mod co_signers;
mod delegated_acts;
mod delegation;
mod faults;
mod keeper_channels;
mod keepers;
mod kek;
mod ledger;
mod life;
mod network;
mod notices;
mod own;
mod password;
mod policies;
mod profiles;
mod risk;
mod servers;
mod shared;
mod shared_approvals;
mod shared_apps;
mod shared_dealings;
mod shared_ecdsa;
mod shared_faults;
mod shared_keys;
mod signing;
mod token_faults;
mod tokens;
mod treasury;
mod vault_codes;
mod vault_ends;
mod vault_relay;
mod vault_signers;
mod vaults;
mod world;
