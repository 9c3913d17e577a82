//! What comes of a recovery: the keys, or why not and what it has cost.

use std::fmt;

use keyward_crypto::vault::{ContentsError, Grant, RecoveryError, VaultedKey};
use keyward_ledger_core::state::layout::KeyStatus;
use thiserror::Error;

use super::error::VaultError;
use super::fault::Fault;
use super::signers::Signer;
use super::status::{Attempts, VaultStatus};

/// What came out of a vault.
#[derive(Debug)]
pub struct Recovered {
    /// The keys; each belongs to its public key.
    pub keys: Vec<VaultedKey>,
    /// How the ledger has each of them, in their order.
    pub standings: Vec<Standing>,
    /// The attempt, and the vault as it was before.
    pub granted: Granted,
    /// The receipt of its proof: the count is full again.
    pub opened: Vec<u8>,
    /// Keepers that did not do their part.
    pub faults: Vec<Fault>,
}

/// How the ledger has a key that came out of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Under this very id, and so for this very public key, it is bound to the vault's account.
    Bound(KeyStatus),
    /// It is not bound: nobody ever showed to the ledger that he has it.
    Unbound,
    /// It is bound to another account: somebody else has shown that he has it as well.
    Foreign,
    /// Nothing is proven of it: the service showed nothing, or nothing that holds.
    Unproven,
}

impl Standing {
    pub(super) fn of(key: &VaultedKey, account: [u8; 32], signer: &Signer) -> Self {
        match signer {
            Signer::Key { state, .. } if state.account != account => Self::Foreign,
            Signer::Key { state, .. } if state.scheme == key.public_key.scheme() => Self::Bound(state.status),
            // The id is a hash over scheme and key: no honest ledger has it with another scheme.
            Signer::Key { .. } | Signer::Account { .. } | Signer::Hidden => Self::Unproven,
            Signer::Unknown => Self::Unbound,
        }
    }
}

/// What a recovery that failed has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spent {
    /// Nothing: no attempt was asked for, the ledger's record refuses it, or it was said to be refused and the count that
    /// was proven afterwards has not fallen. In the last case a service that holds back an attempt with the account's
    /// signature can still have it recorded, for 512 blocks.
    #[default]
    Nothing,
    /// Perhaps an attempt: nothing proves what became of it.
    Unknown,
    /// An attempt.
    Attempt,
    /// Nothing: the password was right and is recorded as such, so that the count is full again.
    Reset,
}

/// Why a recovery failed, and what it has cost.
#[derive(Debug)]
pub struct RecoverFailure {
    /// Why.
    pub error: RecoverError,
    /// What it has cost.
    pub spent: Spent,
    /// The guesses that are left, proven after the failure; none if that could not be proven.
    pub attempts: Option<Attempts>,
    /// Keepers that did not do their part.
    pub faults: Vec<Fault>,
    /// The attempt: what evidence is held against. None before one was granted.
    pub granted: Option<Box<Granted>>,
}

/// A granted attempt, as far as it is public.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The vault.
    pub status: VaultStatus,
    /// What it fixes.
    pub grant: Grant,
    /// The receipt of the attempt.
    pub receipt: Vec<u8>,
}

/// Why a recovery failed.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// The password is wrong: keepers evaluated it honestly, and another root came out.
    #[error("the password is not the vault's")]
    WrongPassword(#[source] RecoveryError),
    /// All guesses of a lifetime are spent.
    #[error("the vault is locked: every guess of its lifetime is spent")]
    Locked,
    /// No guess is left for now.
    #[error("no guess is left until one comes back")]
    Exhausted,
    /// The vault asks for somebody else's word, which is not there.
    #[error("an attempt at this vault needs the signatures of {needed} others")]
    FactorsMissing {
        /// How many.
        needed: u8,
    },
    /// The vault or its shares changed while others signed: what they signed counts no more.
    #[error("the vault was sealed anew, or its shares were dealt anew, since the request was made")]
    Stale,
    /// The attempt was granted before: it is spent.
    #[error("this attempt was granted and used before")]
    Used,
    /// Too few keepers evaluated.
    #[error("too few keepers have answered: {needed} are needed")]
    TooFewEvaluations {
        /// How many are needed.
        needed: u8,
    },
    /// Too few keepers released.
    #[error("the password is right, but too few keepers have released their part: {needed} are needed")]
    TooFewReleases {
        /// How many are needed.
        needed: u8,
    },
    /// The cryptography refused.
    #[error("the vault does not open")]
    Recovery(#[from] RecoveryError),
    /// What lay in it is not what the sealing says.
    #[error("what lies in the vault is not what was sealed")]
    Contents(#[source] ContentsError),
    /// What the service shows is not accepted, or an entry was not recorded.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl fmt::Display for RecoverFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for RecoverFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl RecoverError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::WrongPassword(_) => "VAULT_PASSWORD_WRONG",
            Self::Locked => "ATTEMPTS_LOCKED",
            Self::Exhausted => "ATTEMPTS_SPENT",
            Self::FactorsMissing { .. } => "AUTHORS_MISSING",
            Self::Stale => "VAULT_VERSION_STALE",
            Self::Used => "VAULT_ATTEMPT_USED",
            Self::TooFewEvaluations { .. } | Self::TooFewReleases { .. } => "VAULT_KEEPERS_TOO_FEW",
            Self::Recovery(_) | Self::Contents(_) => "VAULT_CONTENTS_WRONG",
            Self::Vault(error) => return error.code(),
        })
    }

    /// What to do next.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::WrongPassword(_) => "give the password that the vault was sealed with",
            Self::Locked => {
                "no guess opens this vault any more: seal a new one where the keys are still on a device, or have \
                 the account recovered by those appointed for it"
            }
            Self::Exhausted => "wait until a guess comes back: `keyward vault status` says when",
            Self::FactorsMissing { .. } => {
                "have those sign that `keyward vault status` names: `keyward vault recover --request FILE` waits for them"
            }
            Self::Stale => "begin again, and have the new request signed",
            Self::Used => "begin again",
            Self::TooFewEvaluations { .. } => {
                "look at `keyward vault check` for keepers that answer, and begin again: it costs another guess"
            }
            Self::TooFewReleases { .. } => {
                "look at `keyward vault check` for keepers that answer, and begin again: the count is full again"
            }
            Self::Recovery(_) => {
                "a vault of mode `self` opens under the account's password that it was sealed under: once that was \
                 changed, it cannot be opened any more; seal it anew where the keys are still on a device \
                 (`keyward vault seal --anew`)"
            }
            Self::Contents(_) => "do not use these keys, and tell the operator",
            Self::Vault(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached.
    pub fn unreachable(&self) -> bool {
        match self {
            Self::Vault(error) => error.unreachable(),
            _ => false,
        }
    }
}
