//! A keeper's share of a vault: opened, held against the sealing, kept.

use std::fmt;
use std::sync::OnceLock;

use thiserror::Error;
use zeroize::Zeroizing;

use super::contents::ciphertext_hash;
use super::facts::{ShareSet, Vault};
use super::group::SecretScalar;
use super::keeper::KeeperError;
use super::oprf::{Evaluator, OprfError};
use super::parts::{MESSAGE_BYTES_MAX, Parts};
use crate::hpke_box::{BoxError, BoxKey};
use crate::labels;
use crate::secret::SecretBytes;

const VERSION: u8 = 1;
/// What is kept before the share's own bytes: `version u8 || share set || A[32] || index u8`.
const KEPT_HEAD_BYTES: usize = 1 + ShareSet::BYTES + 32 + 1;

/// Why a keeper does not acknowledge a share. Nobody else can tell a dealer's fault from a keeper's lie: a complaint
/// stops the sealing and blames nobody.
#[derive(Debug, Error)]
pub enum Complaint {
    /// The vault does not name this keeper.
    #[error("the vault does not name this keeper")]
    NotAKeeper,
    /// Sealed to another key or for another sealing, or changed.
    #[error("the sealed share does not open")]
    Unreadable(#[source] BoxError),
    /// Opened, but not the encoding of a share.
    #[error("the share is malformed")]
    Malformed,
    /// The share of the evaluation key does not fit the commitments (Feldman).
    #[error("the share of the evaluation key does not fit the commitments")]
    KeyShare,
    /// The share of the mask does not fit the commitments (Pedersen).
    #[error("the share of the mask does not fit the commitments")]
    MaskShare,
    /// The ciphertext is not the one of the sealing.
    #[error("the ciphertext is not the one that the sealing names")]
    Ciphertext,
}

impl Complaint {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAKeeper => "VAULT_NOT_A_KEEPER",
            Self::Unreadable(_) => "VAULT_SHARE_UNREADABLE",
            Self::Malformed => "VAULT_SHARE_MALFORMED",
            Self::KeyShare => "VAULT_KEY_SHARE_WRONG",
            Self::MaskShare => "VAULT_MASK_SHARE_WRONG",
            Self::Ciphertext => "VAULT_CIPHERTEXT_WRONG",
        }
    }
}

/// A keeper's share of a vault: secret, wiped on drop.
pub struct KeeperShare {
    shares: ShareSet,
    proof_key: [u8; 32],
    index: u8,
    parts: Parts,
    evaluator: OnceLock<Evaluator>,
    ciphertext: Vec<u8>,
}

impl KeeperShare {
    pub(crate) fn new(vault: &Vault, index: u8, parts: Parts, ciphertext: Vec<u8>) -> Self {
        Self::with(vault.shares(), vault.facts().proof_key, index, parts, ciphertext)
    }

    fn with(shares: ShareSet, proof_key: [u8; 32], index: u8, parts: Parts, ciphertext: Vec<u8>) -> Self {
        Self { shares, proof_key, index, parts, evaluator: OnceLock::new(), ciphertext }
    }

    /// Opens a share that was sealed to this keeper and holds it against the sealing; only then it is acknowledged.
    pub fn open(vault: &Vault, keeper: &[u8; 32], key: &BoxKey, sealed: &[u8]) -> Result<Self, Complaint> {
        let index = vault.index_of(keeper).ok_or(Complaint::NotAKeeper)?;
        let plain = key.open(&share_info(vault, keeper), sealed, MESSAGE_BYTES_MAX);
        let plain = plain.map_err(Complaint::Unreadable)?;
        let (parts, ciphertext) = plain.expose(Parts::parse).ok_or(Complaint::Malformed)?;
        let share = Self::new(vault, index, parts, ciphertext);
        share.check(vault)?;
        Ok(share)
    }

    /// Holds the share against the vault's commitments again: after a restart, and before a drill.
    pub fn check(&self, vault: &Vault) -> Result<(), Complaint> {
        let same = self.shares == vault.shares() && self.proof_key == vault.facts().proof_key;
        if !same || vault.keeper(self.index).is_none() {
            return Err(Complaint::NotAKeeper);
        }
        let [key, mask, blinder] = self.parts();
        if !vault.evaluation().holds(self.index, key) {
            return Err(Complaint::KeyShare);
        }
        if !vault.mask().holds_blinded(self.index, mask, blinder) {
            return Err(Complaint::MaskShare);
        }
        if ciphertext_hash(&self.ciphertext) != vault.facts().ciphertext_hash {
            return Err(Complaint::Ciphertext);
        }
        Ok(())
    }

    /// Which shares it is one of.
    pub const fn shares(&self) -> &ShareSet {
        &self.shares
    }

    /// Its index, from 1.
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// A, under which a success is proven.
    pub(crate) const fn proof_key(&self) -> &[u8; 32] {
        &self.proof_key
    }

    /// What evaluates under k_i: made at the first use, so that only the first pays for K_i.
    pub(crate) fn evaluator(&self) -> Result<&Evaluator, OprfError> {
        if let Some(evaluator) = self.evaluator.get() {
            return Ok(evaluator);
        }
        let evaluator = Evaluator::new(self.parts()[0])?;
        Ok(self.evaluator.get_or_init(|| evaluator))
    }

    /// k_i, m_i and the blinder m'_i.
    pub(crate) const fn parts(&self) -> [&SecretScalar; 3] {
        self.parts.0.each_ref()
    }

    /// The same as one.
    pub(crate) const fn whole(&self) -> &Parts {
        &self.parts
    }

    /// The vault's ciphertext, which is no secret of this keeper's: every holder has it.
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// What is sealed to the keeper.
    pub(crate) fn message(&self) -> Zeroizing<Vec<u8>> {
        self.parts.message(&self.ciphertext)
    }

    /// The whole share, only so that it can be kept sealed: `version u8 (1) || share set || A[32] || index u8 || message`.
    pub fn to_secret(&self) -> SecretBytes {
        let message = self.message();
        let mut out = Zeroizing::new(Vec::with_capacity(KEPT_HEAD_BYTES + message.len()));
        out.push(VERSION);
        out.extend_from_slice(&self.shares.encode());
        out.extend_from_slice(&self.proof_key);
        out.push(self.index);
        out.extend_from_slice(&message);
        SecretBytes::from(out)
    }

    /// From the bytes of [`Self::to_secret`]. Whether the share is still the one of the vault says [`Self::check`].
    pub fn from_secret(bytes: &[u8]) -> Result<Self, KeeperError> {
        parse_kept(bytes).ok_or(KeeperError::Kept)
    }
}

impl fmt::Debug for KeeperShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeeperShare(redacted)")
    }
}

/// HPKE `info` of a share: `context || keeper id[32]`.
pub(crate) fn share_info(vault: &Vault, keeper: &[u8; 32]) -> Vec<u8> {
    [&vault.shares().context(labels::VAULT_SHARE)[..], keeper].concat()
}

fn parse_kept(bytes: &[u8]) -> Option<KeeperShare> {
    let (shares, rest) = ShareSet::read(bytes.strip_prefix(&[VERSION])?)?;
    let (proof_key, rest) = rest.split_first_chunk()?;
    let (&index, rest) = rest.split_first()?;
    let (parts, ciphertext) = Parts::parse(rest)?;
    Some(KeeperShare::with(shares, *proof_key, index, parts, ciphertext))
}
