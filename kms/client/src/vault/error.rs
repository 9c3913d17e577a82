//! Why a vault cannot be read, or an entry about it is not recorded.

use keyward_crypto::SignError;
use keyward_crypto::vault::FactsError;
use keyward_ledger_verify::Failure;
use thiserror::Error;

use crate::error::ClientError;
use crate::evidence::EvidenceError;

/// Why what a service shows or does about a vault is not accepted.
#[derive(Debug, Error)]
pub enum VaultError {
    /// Nothing can be verified.
    #[error("the client has no trust file: nothing that a service says of vaults can be believed")]
    TrustMissing,
    /// Vaults belong to accounts.
    #[error("nobody is logged in, and vaults belong to accounts")]
    AccountMissing,
    /// The login is not the session's.
    #[error("the login is for another account than the session's")]
    OtherAccount,
    /// What the service shows of the ledger is not accepted, or is a refusal.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A proof holds, but the ledger has gone on since.
    #[error("the service shows {what} as they were too long ago")]
    Stale {
        /// What.
        what: &'static str,
        /// How long ago.
        #[source]
        source: Failure,
    },
    /// The sealing's numbers do not fit together.
    #[error("the vault's public part is refused")]
    Facts(#[from] FactsError),
    /// It was never sealed.
    #[error("the account has no vault of this name")]
    Unknown,
    /// It has ended.
    #[error("the vault was destroyed")]
    Destroyed,
    /// The entry is longer than the ledger takes.
    #[error("the entry has {len} bytes, more than the ledger takes")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The account's word could not be given.
    #[error("the entry could not be signed")]
    Sign(#[source] SignError),
    /// The thread for long computations failed.
    #[error("the computation was broken off")]
    Thread(#[source] tokio::task::JoinError),
    /// The service refused, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl VaultError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::TrustMissing => "VAULT_TRUST_MISSING",
            Self::AccountMissing => "SESSION_REQUIRED",
            Self::OtherAccount => "VAULT_OTHER_ACCOUNT",
            Self::Evidence(error) => error.code("VAULT_UNPROVEN", "VAULT_SUBSTITUTED"),
            Self::Facts(_) => "VAULT_UNPROVEN",
            Self::Stale { .. } => "VAULT_STATE_STALE",
            Self::Unknown => "VAULT_UNKNOWN",
            Self::Destroyed => "VAULT_DESTROYED",
            Self::TooLong { .. } => "VAULT_TOO_LONG",
            Self::Sign(_) | Self::Thread(_) => return None,
            Self::Client(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::TrustMissing => "give the profile the ledger's trust file",
            Self::AccountMissing | Self::OtherAccount => "log in first (`keyward account login`)",
            Self::Evidence(error) => error.remedy("look at `keyward vault status`, and begin again"),
            Self::Facts(_) => {
                "do not rely on this service: compare the trust file with the ledger's operators, and tell them"
            }
            Self::Stale { .. } => {
                "see that this machine's clock is right and the ledger runs (`keyward ledger status`); a service \
                 that goes on showing old state is not to be relied on"
            }
            Self::Unknown => "look at the name (`--vault`), or seal one first (`keyward vault seal`)",
            Self::Destroyed => "seal another vault under another name: this one has ended",
            Self::TooLong { .. } => "seal to fewer keepers",
            Self::Sign(_) | Self::Thread(_) => "try again",
            Self::Client(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Client(error) if error.unreachable())
    }
}
