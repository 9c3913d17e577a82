//! A keeper's side of a vault: opens and checks its share, evaluates for a granted attempt, releases for an opened one.
//!
//! Whether an attempt is final and granted, or final and opened, the caller has seen in final state before it calls;
//! this module holds the answer to exactly what the attempt fixes.

use std::fmt;

use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::answers::{EvaluationAnswer, ReleaseAnswer};
use super::contents::{CIPHERTEXT_BYTES_MAX, ciphertext_hash};
use super::facts::{ShareSet, Vault};
use super::group::{ELEMENT_BYTES, SecretScalar};
use super::hpke_box::{self, BoxError, BoxKey};
use super::oprf::{self, OprfError};
use crate::labels;
use crate::random::with_randomness;
use crate::secret::SecretBytes;

const VERSION: u8 = 1;
/// `version u8 || k[32] || m[32] || blinder[32]`, before the ciphertext.
const HEAD_BYTES: usize = 1 + 3 * ELEMENT_BYTES;
/// What is kept stands behind the context of its shares: account, vault, versions and index.
const KEPT_HEAD_BYTES: usize = 1 + 32 + 32 + 32 + 4 + 4 + 1;

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

/// Why a keeper does not answer.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// The attempt names another vault, version or share version than the share at hand.
    #[error("the attempt is for other shares than this one")]
    OtherShares,
    /// The element is not the one whose hash the attempt fixes.
    #[error("the blinded element is not the one that the attempt fixes")]
    OtherElement,
    /// The element is none, or is the identity.
    #[error(transparent)]
    Oprf(#[from] OprfError),
    /// The answer could not be sealed to the reply key.
    #[error("the answer could not be sealed")]
    Seal(#[from] BoxError),
    /// What was kept is no share.
    #[error("the kept share is malformed")]
    Kept,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

/// What a final, granted attempt fixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The shares that are to answer.
    pub shares: ShareSet,
    /// The attempt's id.
    pub attempt: [u8; 32],
    /// The hash of the blinded element, see [`element_hash`].
    pub element_hash: [u8; 32],
    /// The HPKE key that answers are sealed to.
    pub reply_key: [u8; 32],
}

/// What an attempt fixes of its blinded element: `SHA-256(label || element[32])`.
pub fn element_hash(element: &[u8; ELEMENT_BYTES]) -> [u8; 32] {
    Sha256::digest([&labels::tagged(labels::VAULT_ELEMENT)[..], element].concat()).into()
}

/// A keeper's share of a vault: secret, wiped on drop.
pub struct KeeperShare {
    shares: ShareSet,
    index: u8,
    key: SecretScalar,
    mask: SecretScalar,
    blinder: SecretScalar,
    ciphertext: Vec<u8>,
}

impl KeeperShare {
    pub(crate) fn new(vault: &Vault, index: u8, parts: [SecretScalar; 3], ciphertext: Vec<u8>) -> Self {
        let [key, mask, blinder] = parts;
        Self { shares: vault.shares(), index, key, mask, blinder, ciphertext }
    }

    /// Opens a share that was sealed to this keeper and holds it against the sealing; only then it is acknowledged.
    pub fn open(vault: &Vault, keeper: &[u8; 32], key: &BoxKey, sealed: &[u8]) -> Result<Self, Complaint> {
        let index = vault.index_of(keeper).ok_or(Complaint::NotAKeeper)?;
        let plain = key.open(&share_info(vault, keeper), sealed, HEAD_BYTES + CIPHERTEXT_BYTES_MAX);
        let plain = plain.map_err(Complaint::Unreadable)?;
        let share = plain.expose(parse).ok_or(Complaint::Malformed)?;
        let (parts, ciphertext) = share;
        let share = Self::new(vault, index, parts, ciphertext);
        share.check(vault)?;
        Ok(share)
    }

    /// Holds the share against the vault's commitments again: after a restart, and before a drill.
    pub fn check(&self, vault: &Vault) -> Result<(), Complaint> {
        if self.shares != vault.shares() || vault.keeper(self.index).is_none() {
            return Err(Complaint::NotAKeeper);
        }
        if !vault.evaluation().holds(self.index, &self.key) {
            return Err(Complaint::KeyShare);
        }
        if !vault.mask().holds_blinded(self.index, &self.mask, &self.blinder) {
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

    pub(crate) const fn key(&self) -> &SecretScalar {
        &self.key
    }

    pub(crate) const fn parts(&self) -> [&SecretScalar; 3] {
        [&self.key, &self.mask, &self.blinder]
    }

    /// The vault's ciphertext, which is no secret of this keeper's: every holder has it.
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// `version u8 (1) || k[32] || m[32] || blinder[32] || ciphertext`: what is sealed to the keeper.
    pub(crate) fn message(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + self.ciphertext.len()));
        out.push(VERSION);
        for part in self.parts() {
            out.extend_from_slice(part.bytes());
        }
        out.extend_from_slice(&self.ciphertext);
        out
    }

    /// The whole share, only so that it can be kept sealed: `version u8 (1) || chain id[32] || account[32] || vault id[32]
    /// || version u32 || share version u32 || index u8 || message`.
    pub fn to_secret(&self) -> SecretBytes {
        let ShareSet { chain_id, account, vault, version, share_version } = &self.shares;
        let message = self.message();
        let mut out = Zeroizing::new(Vec::with_capacity(KEPT_HEAD_BYTES + message.len()));
        out.push(VERSION);
        out.extend_from_slice(chain_id);
        out.extend_from_slice(account);
        out.extend_from_slice(vault);
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&share_version.to_be_bytes());
        out.push(self.index);
        out.extend_from_slice(&message);
        SecretBytes::from(out)
    }

    /// From the bytes of [`Self::to_secret`]. Whether the share is still the one of the vault says [`Self::check`].
    pub fn from_secret(bytes: &[u8]) -> Result<Self, KeeperError> {
        parse_kept(bytes).ok_or(KeeperError::Kept)
    }

    /// Evaluates the element of a granted attempt, proves it, signs it with the keeper's Ed25519 key and seals the answer
    /// to the attempt's reply key. Repeating it for the same attempt tells nobody more.
    pub fn evaluate(
        &self,
        grant: &Grant,
        element: &[u8; ELEMENT_BYTES],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Vec<u8>, KeeperError> {
        with_randomness(|random| self.evaluate_with(grant, element, sign, random))
    }

    pub(crate) fn evaluate_with(
        &self,
        grant: &Grant,
        element: &[u8; ELEMENT_BYTES],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, KeeperError> {
        self.answers(grant)?;
        if !bool::from(element_hash(element).ct_eq(&grant.element_hash)) {
            return Err(KeeperError::OtherElement);
        }
        let evaluation = oprf::evaluate(&self.key, element, random)?;
        let answer =
            EvaluationAnswer::new(&grant.shares, &grant.attempt, self.index, element, evaluation, sign);
        let info = EvaluationAnswer::info(&grant.shares, &grant.attempt, self.index);
        Ok(hpke_box::seal(&grant.reply_key, &info, &answer.encode(), random)?)
    }

    /// Gives the share of the mask and the ciphertext away, signed and sealed to the attempt's reply key: only for an
    /// attempt that the ledger has recorded as opened.
    pub fn release(
        &self,
        opened: &Grant,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Vec<u8>, KeeperError> {
        with_randomness(|random| self.release_with(opened, sign, random))
    }

    pub(crate) fn release_with(
        &self,
        opened: &Grant,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, KeeperError> {
        self.answers(opened)?;
        let parts = [self.mask.bytes(), self.blinder.bytes()];
        let (shares, attempt) = (&opened.shares, &opened.attempt);
        let answer = ReleaseAnswer::new(shares, attempt, self.index, parts, &self.ciphertext, sign);
        let info = ReleaseAnswer::info(shares, attempt, self.index);
        Ok(hpke_box::seal(&opened.reply_key, &info, &answer.encode(), random)?)
    }

    fn answers(&self, grant: &Grant) -> Result<(), KeeperError> {
        if grant.shares == self.shares { Ok(()) } else { Err(KeeperError::OtherShares) }
    }
}

impl fmt::Debug for KeeperShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeeperShare(redacted)")
    }
}

/// HPKE `info` of a share: `context || keeper id[32] || hash of the sealing[32]`.
pub(crate) fn share_info(vault: &Vault, keeper: &[u8; 32]) -> Vec<u8> {
    [&vault.shares().context(labels::VAULT_SHARE)[..], keeper, &vault.facts().shares_hash].concat()
}

fn parse(bytes: &[u8]) -> Option<([SecretScalar; 3], Vec<u8>)> {
    let rest = bytes.strip_prefix(&[VERSION])?;
    let (key, rest) = rest.split_first_chunk()?;
    let (mask, rest) = rest.split_first_chunk()?;
    let (blinder, ciphertext) = rest.split_first_chunk()?;
    let parts = [key, mask, blinder].map(|part| SecretScalar::parse(part).ok());
    let [Some(key), Some(mask), Some(blinder)] = parts else { return None };
    (ciphertext.len() <= CIPHERTEXT_BYTES_MAX).then(|| ([key, mask, blinder], ciphertext.to_vec()))
}

fn parse_kept(bytes: &[u8]) -> Option<KeeperShare> {
    let rest = bytes.strip_prefix(&[VERSION])?;
    let (chain_id, rest) = rest.split_first_chunk()?;
    let (account, rest) = rest.split_first_chunk()?;
    let (vault, rest) = rest.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (share_version, rest) = rest.split_first_chunk()?;
    let (&index, rest) = rest.split_first()?;
    let ([key, mask, blinder], ciphertext) = parse(rest)?;
    let shares = ShareSet {
        chain_id: *chain_id,
        account: *account,
        vault: *vault,
        version: u32::from_be_bytes(*version),
        share_version: u32::from_be_bytes(*share_version),
    };
    Some(KeeperShare { shares, index, key, mask, blinder, ciphertext })
}
