//! What keepers answer in a recovery: the bytes, what each signs, and what is evidence against one.
//!
//! HPKE does not say who sealed, so each answer carries the keeper's Ed25519 signature. An answer that it has signed
//! and that does not hold against the vault's commitments can be shown to anybody; one that does not open, or whose
//! signature is wrong, may be the work of whoever carried it and blames nobody.

use std::fmt;

use keyward_domain::scheme::{PublicKey, Scheme, verify};
use zeroize::{Zeroize as _, Zeroizing};

use super::contents::{CIPHERTEXT_BYTES_MAX, ciphertext_hash};
use super::facts::{ShareSet, Vault};
use super::group::{ELEMENT_BYTES, SecretScalar};
use super::keeper::{Grant, element_hash};
use super::oprf::{self, Evaluation, PROOF_BYTES};
use crate::labels;

const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = 64;

/// `version u8 (1) || evaluation[32] || proof[64] || signature[64]`.
pub(crate) struct EvaluationAnswer {
    pub(crate) evaluation: Evaluation,
    pub(crate) signature: [u8; SIGNATURE_BYTES],
}

impl EvaluationAnswer {
    pub(crate) const BYTES: usize = 1 + ELEMENT_BYTES + PROOF_BYTES + SIGNATURE_BYTES;

    pub(crate) fn new(
        grant: &Grant,
        index: u8,
        element: &[u8; ELEMENT_BYTES],
        evaluation: Evaluation,
        sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
    ) -> Self {
        let bound = Bound::of(grant, index);
        let signature = sign(&evaluation_statement(&bound, element, &evaluation));
        Self { evaluation, signature }
    }

    /// HPKE `info`: `context || attempt id[32] || index u8`.
    pub(crate) fn info(grant: &Grant, index: u8) -> Vec<u8> {
        [&grant.shares.context(labels::VAULT_ANSWER)[..], &grant.attempt, &[index]].concat()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        [&[VERSION][..], &self.evaluation.element, &self.evaluation.proof, &self.signature].concat()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (element, rest) = rest.split_first_chunk()?;
        let (proof, rest) = rest.split_first_chunk()?;
        let signature = rest.try_into().ok()?;
        Some(Self { evaluation: Evaluation { element: *element, proof: *proof }, signature })
    }
}

/// `version u8 (1) || m[32] || blinder[32] || signature[64] || ciphertext`. Wiped on drop.
pub(crate) struct ReleaseAnswer {
    pub(crate) mask: [u8; ELEMENT_BYTES],
    pub(crate) blinder: [u8; ELEMENT_BYTES],
    pub(crate) signature: [u8; SIGNATURE_BYTES],
    pub(crate) ciphertext: Vec<u8>,
}

impl ReleaseAnswer {
    pub(crate) const BYTES_MAX: usize = 1 + 2 * ELEMENT_BYTES + SIGNATURE_BYTES + CIPHERTEXT_BYTES_MAX;

    pub(crate) fn new(
        grant: &Grant,
        index: u8,
        [mask, blinder]: [&[u8; ELEMENT_BYTES]; 2],
        ciphertext: &[u8],
        sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
    ) -> Self {
        let hash = ciphertext_hash(ciphertext);
        let signature = sign(&release_statement(&Bound::of(grant, index), [mask, blinder], &hash));
        Self { mask: *mask, blinder: *blinder, signature, ciphertext: ciphertext.to_vec() }
    }

    /// HPKE `info`: `context || attempt id[32] || index u8`.
    pub(crate) fn info(grant: &Grant, index: u8) -> Vec<u8> {
        [&grant.shares.context(labels::VAULT_RELEASE)[..], &grant.attempt, &[index]].concat()
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let parts = [&[VERSION][..], &self.mask, &self.blinder, &self.signature, &self.ciphertext];
        Zeroizing::new(parts.concat())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (mask, rest) = rest.split_first_chunk()?;
        let (blinder, rest) = rest.split_first_chunk()?;
        let (signature, ciphertext) = rest.split_first_chunk()?;
        let ciphertext = (ciphertext.len() <= CIPHERTEXT_BYTES_MAX).then(|| ciphertext.to_vec())?;
        Some(Self { mask: *mask, blinder: *blinder, signature: *signature, ciphertext })
    }
}

impl Drop for ReleaseAnswer {
    fn drop(&mut self) {
        self.mask.zeroize();
        self.blinder.zeroize();
    }
}

/// What a keeper has signed.
#[derive(Clone, PartialEq, Eq)]
pub enum Answered {
    /// An evaluation of a blinded element.
    Evaluation {
        /// The blinded element; the attempt on the ledger fixes its hash.
        element: [u8; ELEMENT_BYTES],
        /// The keeper's evaluation.
        evaluation: Evaluation,
    },
    /// A share of the mask.
    Release {
        /// The share; wiped on drop.
        mask: Zeroizing<[u8; ELEMENT_BYTES]>,
        /// Its blinder; wiped on drop.
        blinder: Zeroizing<[u8; ELEMENT_BYTES]>,
        /// SHA-256 of the ciphertext that came with it.
        ciphertext_hash: [u8; 32],
    },
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evaluation { .. } => "Evaluation(..)",
            Self::Release { .. } => "Release(redacted)",
        })
    }
}

/// An answer that a keeper has signed and that is wrong: whoever knows the vault from the ledger can see both.
///
/// Evidence of a release holds what the keeper gave away; one keeper's part alone opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The keeper's index.
    pub index: u8,
    /// The attempt that it answered.
    pub attempt: [u8; 32],
    /// The key that it sealed its answer to.
    pub reply_key: [u8; 32],
    /// What it answered.
    pub answered: Answered,
    /// Its signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Evidence {
    /// Whether the vault's keeper of that index has signed this answer.
    pub fn is_signed(&self, vault: &Vault) -> bool {
        let Some(keeper) = vault.keeper(self.index) else { return false };
        let Self { index, attempt, reply_key, .. } = self;
        let bound = Bound { shares: &vault.shares(), attempt, index: *index, reply_key };
        let statement = match &self.answered {
            Answered::Evaluation { element, evaluation } => {
                Zeroizing::new(evaluation_statement(&bound, element, evaluation))
            }
            Answered::Release { mask, blinder, ciphertext_hash } => {
                release_statement(&bound, [mask, blinder], ciphertext_hash)
            }
        };
        PublicKey::parse(Scheme::Ed25519, &keeper.signing_key)
            .is_ok_and(|key| verify(&key, &statement, &self.signature).is_ok())
    }

    /// Whether the answer holds against the vault's commitments.
    pub fn is_right(&self, vault: &Vault) -> bool {
        match &self.answered {
            Answered::Evaluation { element, evaluation } => vault
                .evaluation_key(self.index)
                .is_some_and(|key| oprf::verify(element, evaluation, key).is_ok()),
            Answered::Release { mask, blinder, ciphertext_hash } => {
                let (Ok(mask), Ok(blinder)) = (SecretScalar::parse(mask), SecretScalar::parse(blinder))
                else {
                    return false;
                };
                vault.mask().holds_blinded(self.index, &mask, &blinder)
                    && *ciphertext_hash == vault.facts().ciphertext_hash
            }
        }
    }

    /// Whether this convicts the keeper: signed by it and wrong. `attempt` is what the attempt of that id fixes on the
    /// ledger: an answer about another element, or sealed to another key, was never asked for, and honest keepers make none.
    pub fn convicts(&self, vault: &Vault, attempt: &Grant) -> bool {
        if attempt.attempt != self.attempt || attempt.shares != vault.shares() || !self.is_signed(vault) {
            return false;
        }
        let other_element = match &self.answered {
            Answered::Evaluation { element, .. } => element_hash(element) != attempt.element_hash,
            Answered::Release { .. } => false,
        };
        other_element || self.reply_key != attempt.reply_key || !self.is_right(vault)
    }
}

/// What every signed answer is about.
struct Bound<'a> {
    shares: &'a ShareSet,
    attempt: &'a [u8; 32],
    index: u8,
    reply_key: &'a [u8; 32],
}

impl<'a> Bound<'a> {
    const fn of(grant: &'a Grant, index: u8) -> Self {
        Self { shares: &grant.shares, attempt: &grant.attempt, index, reply_key: &grant.reply_key }
    }

    /// `context || attempt id[32] || index u8 || reply key[32]`.
    fn head(&self, label: &str) -> Vec<u8> {
        [&self.shares.context(label)[..], self.attempt, &[self.index], self.reply_key].concat()
    }
}

/// `head || blinded element[32] || evaluation[32] || proof[64]`.
fn evaluation_statement(
    bound: &Bound<'_>,
    element: &[u8; ELEMENT_BYTES],
    evaluation: &Evaluation,
) -> Vec<u8> {
    let head = bound.head(labels::VAULT_EVALUATION);
    [&head[..], element, &evaluation.element, &evaluation.proof].concat()
}

/// `head || m[32] || blinder[32] || SHA-256 of the ciphertext[32]`.
fn release_statement(
    bound: &Bound<'_>,
    [mask, blinder]: [&[u8; ELEMENT_BYTES]; 2],
    ciphertext_hash: &[u8; 32],
) -> Zeroizing<Vec<u8>> {
    let head = bound.head(labels::VAULT_RELEASED);
    Zeroizing::new([&head[..], mask, blinder, ciphertext_hash].concat())
}
