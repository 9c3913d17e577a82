//! What is to be sealed, and what comes of it.

use keyward_crypto::vault::{DraftError, VaultMode, VaultStretch, VaultedKey};
use keyward_ledger_core::vault::Sealing;
use thiserror::Error;

use super::error::VaultError;
use super::factors::{Factors, FactorsError};
use super::fault::Fault;
use super::keepers::LedgerKeeper;

/// Who is to keep shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperChoice {
    /// So many of the ledger's keepers, chosen at random.
    Any(usize),
    /// These, by name.
    Named(Vec<String>),
}

/// How guesses are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultTerms {
    /// How many there are when none is spent, 1 to `lifetime`.
    pub limit: u32,
    /// How many there may be between two right ones, 10,000 at most; then the vault is locked.
    pub lifetime: u32,
    /// The least time between two, in milliseconds; 366 days at most.
    pub cool_down_ms: u64,
    /// The time in which one comes back, in milliseconds: 0 for never, or from a second to 366 days.
    pub refill_ms: u64,
    /// Whose signatures an attempt needs: with any, not even the service can use up guesses.
    pub factors: Factors,
}

/// What a vault is to be.
#[derive(Debug)]
pub struct SealOrder {
    /// What goes in, 1 to 16 keys.
    pub keys: Vec<VaultedKey>,
    /// Who keeps shares.
    pub keepers: KeeperChoice,
    /// How many of them are needed, at least 2.
    pub threshold: u8,
    /// How guesses are counted.
    pub terms: VaultTerms,
    /// What opens it: with `Own` the login is needed too, and a vault is sealed anew after a change of password.
    pub mode: VaultMode,
    /// How the password is stretched.
    pub stretch: VaultStretch,
    /// Whether a vault that is there already is sealed anew; what lies in it and does not go in again is lost.
    pub anew: bool,
}

/// A vault that was sealed.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// 1, then one more each time.
    pub version: u32,
    /// What is public of it.
    pub sealing: Sealing,
    /// Who keeps shares, in the order of their indices.
    pub keepers: Vec<LedgerKeeper>,
    /// The receipt of its record.
    pub receipt: Vec<u8>,
    /// Where the record stands in the log.
    pub leaf_index: u64,
}

/// Why a vault was not sealed. Nothing has changed then, as far as is known: where the entry was handed in already
/// ([`SealError::Vault`]), whoever held it back can have it recorded as long as its signature counts, 8,192 blocks.
#[derive(Debug, Error)]
pub enum SealError {
    /// It is there already.
    #[error("the vault is there already, sealed {version} times")]
    Exists {
        /// Its version.
        version: u32,
    },
    /// The ledger has no keeper of that name.
    #[error("the ledger has no keeper `{name}`")]
    KeeperUnknown {
        /// The name.
        name: String,
    },
    /// Fewer keepers than wanted, or fewer than two of them needed.
    #[error("{threshold} of {keepers} keepers cannot be: the ledger has {known}, and at least 2 are needed")]
    Keepers {
        /// How many were to be needed.
        threshold: u8,
        /// How many were to keep shares.
        keepers: usize,
        /// How many the ledger has.
        known: usize,
    },
    /// A number is out of its bounds.
    #[error("the terms of the vault are out of their bounds")]
    Terms,
    /// The factors could not be met, or would lock the person out.
    #[error("the factors of the vault are refused")]
    Factors(#[from] FactorsError),
    /// A key that is to go in is somebody else's on the ledger.
    #[error("key {} is bound to another account", hex::encode(.key_id))]
    KeyForeign {
        /// Which.
        key_id: [u8; 32],
    },
    /// The secrets could not be made.
    #[error("the vault could not be drafted")]
    Draft(#[from] DraftError),
    /// Some keepers did not acknowledge their shares: the sealing was given up, and nobody is to blame before others.
    #[error("{} of the keepers did not take their shares: {}", .faults.len(), names(.faults))]
    NotAcknowledged {
        /// Those who did not, and why.
        faults: Vec<Fault>,
        /// The names of those who did: to them it can be sealed.
        willing: Vec<String>,
        /// How many are needed.
        threshold: u8,
    },
    /// What the service shows is not accepted, or the entry was not recorded.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

fn names(faults: &[Fault]) -> String {
    faults.iter().map(|fault| fault.keeper.as_str()).collect::<Vec<_>>().join(", ")
}
