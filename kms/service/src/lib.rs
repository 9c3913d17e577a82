//! The custody service: use cases, one file per verb, and the gRPC face.
//!
//! What may be done is decided in the domain and by the policies; SQL, PKCS#11 and cryptography have their own
//! rooms. Here they are arranged, and guarded: no signature without a final, accepted intent.

mod accounts;
mod acts;
mod adapters;
mod addresses;
mod admin;
mod agents;
mod approvals;
mod associations;
mod audit;
mod authorise;
mod caller;
mod config;
mod custody;
mod delegation;
mod face;
mod failure;
mod guard;
mod handed_in;
mod hex;
mod hosted;
mod kek;
mod keybook;
mod keys;
mod note;
mod notices;
mod once;
mod opened;
mod policies;
mod ports;
mod releases;
mod risk;
mod run;
mod secrets;
mod shared;
#[cfg(test)]
mod tests;
mod tokens;
mod unreleased;
mod upkeep;
mod vaults;
mod viewings;

pub use config::{
    AddressesConfig, AgentConfig, Config, KekConfig, LedgerConfig, Limits, MailConfig, MailTls,
    NoticesConfig, NoticesError, Tls, WebhookConfig,
};
pub use run::{Ready, RunError, run};
