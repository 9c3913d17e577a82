//! What is public of a vault, checked once: who its keepers are and what their shares are held against.
//!
//! The caller took it from a sealing that the ledger proves (and the keepers' keys from the ledger's state); the
//! canonical bytes of a sealing and its hash are the ledger's.

use thiserror::Error;

use super::group::ELEMENT_BYTES;
use super::sharing::{self, Commitments, SharingError};
use crate::labels;

/// What opens a vault; the codes are those of sealings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VaultMode {
    /// `self`: password, keepers and the OPAQUE export key.
    Own = 1,
    /// `vault`: password and keepers.
    Vault = 2,
}

/// How the password is stretched: Argon2id (RFC 9106), version 0x13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultStretch {
    /// Memory in KiB, at most 2 GiB.
    pub memory_kib: u32,
    /// Passes over it, at most 64.
    pub passes: u32,
    /// Lanes, at most 16.
    pub lanes: u32,
}

impl VaultStretch {
    /// RFC 9106, second recommended option, on one lane: 64 MiB and three passes.
    pub const STANDARD: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
}

/// A keeper of a vault, as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultKeeper {
    /// Its id on the ledger.
    pub id: [u8; 32],
    /// Its HPKE key (X25519): shares are sealed to it.
    pub sealing_key: [u8; 32],
    /// Its Ed25519 key: answers are signed with it.
    pub signing_key: [u8; 32],
}

/// What is public of a vault, as plain arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultFacts {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// The vault's id, 32 random bytes.
    pub vault: [u8; 32],
    /// The sealing's version.
    pub version: u32,
    /// The version of the shares, 1 at sealing.
    pub share_version: u32,
    /// What opens it.
    pub mode: VaultMode,
    /// How many keepers are needed.
    pub threshold: u8,
    /// Who holds shares: a keeper's index is its place here, from 1.
    pub keepers: Vec<VaultKeeper>,
    /// Feldman's commitments to the evaluation key, the constant term first.
    pub evaluation: Vec<[u8; ELEMENT_BYTES]>,
    /// Pedersen's commitments to the mask, the constant term first.
    pub mask: Vec<[u8; ELEMENT_BYTES]>,
    /// A, the Ed25519 key whose secret comes back with the right password.
    pub proof_key: [u8; 32],
    /// How the password is stretched.
    pub stretch: VaultStretch,
    /// SHA-256 of the ciphertext.
    pub ciphertext_hash: [u8; 32],
    /// The hash of the sealing or refresh that these shares belong to.
    pub shares_hash: [u8; 32],
}

/// Why what is said of a vault is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FactsError {
    /// Threshold or commitments are refused.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// One keeper holds two shares.
    #[error("keeper {index} stands twice")]
    KeeperTwice {
        /// The second place.
        index: u8,
    },
    /// Versions count from 1.
    #[error("a vault or its shares have version 0")]
    Version,
}

/// Refuses a keeper that stands twice.
pub(crate) fn check_keepers(keepers: &[VaultKeeper]) -> Result<(), FactsError> {
    for (index, keeper) in (1..).zip(keepers) {
        if keepers.iter().take(usize::from(index) - 1).any(|other| other.id == keeper.id) {
            return Err(FactsError::KeeperTwice { index });
        }
    }
    Ok(())
}

/// A vault whose public part was checked.
#[derive(Clone, Debug)]
pub struct Vault {
    facts: VaultFacts,
    evaluation: Commitments,
    mask: Commitments,
    keys: Vec<[u8; ELEMENT_BYTES]>,
}

impl Vault {
    /// Checks threshold, keepers and every commitment.
    pub fn check(facts: VaultFacts) -> Result<Self, FactsError> {
        if facts.version == 0 || facts.share_version == 0 {
            return Err(FactsError::Version);
        }
        let keepers = sharing::check_threshold(facts.threshold, facts.keepers.len())?;
        check_keepers(&facts.keepers)?;
        let evaluation = Commitments::parse(&facts.evaluation, facts.threshold)?;
        let mask = Commitments::parse(&facts.mask, facts.threshold)?;
        let keys = sharing::share_keys(&evaluation, keepers)?;
        Ok(Self { facts, evaluation, mask, keys })
    }

    /// What was checked.
    pub const fn facts(&self) -> &VaultFacts {
        &self.facts
    }

    /// The index of a keeper by its id.
    pub fn index_of(&self, keeper: &[u8; 32]) -> Option<u8> {
        (1..).zip(&self.facts.keepers).find(|(_, known)| known.id == *keeper).map(|(index, _)| index)
    }

    /// The keeper of an index.
    pub fn keeper(&self, index: u8) -> Option<&VaultKeeper> {
        self.facts.keepers.get(usize::from(index).checked_sub(1)?)
    }

    /// K of an index, which that keeper's evaluations are held against.
    pub fn evaluation_key(&self, index: u8) -> Option<&[u8; ELEMENT_BYTES]> {
        self.keys.get(usize::from(index).checked_sub(1)?)
    }

    pub(crate) const fn evaluation(&self) -> &Commitments {
        &self.evaluation
    }

    pub(crate) const fn mask(&self) -> &Commitments {
        &self.mask
    }

    /// Which shares these are.
    pub const fn shares(&self) -> ShareSet {
        let facts = &self.facts;
        ShareSet {
            chain_id: facts.chain_id,
            account: facts.account,
            vault: facts.vault,
            version: facts.version,
            share_version: facts.share_version,
            shares_hash: facts.shares_hash,
        }
    }
}

/// Which shares of which vault on which ledger: what everything about them is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareSet {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// The vault's id.
    pub vault: [u8; 32],
    /// The sealing's version.
    pub version: u32,
    /// The version of the shares.
    pub share_version: u32,
    /// The hash of the sealing or refresh that they belong to: two drafts of one version are not the same shares.
    pub shares_hash: [u8; 32],
}

impl ShareSet {
    /// Its length.
    pub(crate) const BYTES: usize = 3 * 32 + 2 * 4 + 32;

    /// `chain id[32] || account[32] || vault id[32] || version u32 || share version u32 || hash of the sealing or
    /// refresh[32]`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { chain_id, account, vault, version, share_version, shares_hash } = self;
        let (version, share_version) = (version.to_be_bytes(), share_version.to_be_bytes());
        [&chain_id[..], account, vault, &version, &share_version, shares_hash].concat()
    }

    /// Reads one, and gives back what stands behind it.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (chain_id, rest) = bytes.split_first_chunk()?;
        let (account, rest) = rest.split_first_chunk()?;
        let (vault, rest) = rest.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (share_version, rest) = rest.split_first_chunk()?;
        let (shares_hash, rest) = rest.split_first_chunk()?;
        let set = Self {
            chain_id: *chain_id,
            account: *account,
            vault: *vault,
            version: u32::from_be_bytes(*version),
            share_version: u32::from_be_bytes(*share_version),
            shares_hash: *shares_hash,
        };
        Some((set, rest))
    }

    /// `label || share set`, which begins whatever is sealed or signed about these shares.
    pub(crate) fn context(&self, label: &str) -> Vec<u8> {
        [labels::tagged(label), self.encode()].concat()
    }
}
