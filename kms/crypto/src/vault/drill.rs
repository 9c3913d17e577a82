//! A drill: a keeper shows that it still holds its share, and nothing is opened.
//!
//! It evaluates an element that it makes itself from the drill's nonce, under a label of its own, so that nobody can
//! have a password evaluated this way; the proof shows k_i. That it also holds m_i and the ciphertext it has checked
//! against the commitments, and says so with its signature: SPEC.md says what that is worth.

use keyward_domain::scheme::{PublicKey, Scheme, verify};
use opaque_ke::rand::{CryptoRng, RngCore};
use thiserror::Error;

use super::facts::{ShareSet, Vault};
use super::group::{self, ELEMENT_BYTES};
use super::oprf::{self, Evaluation, OprfError, PROOF_BYTES};
use super::share::{Complaint, KeeperShare};
use crate::labels;
use crate::random::with_randomness;

/// Why a drill gave no answer, or a wrong one.
#[derive(Debug, Error)]
pub enum DrillError {
    /// The keeper's own share does not fit any more: it needs a repair.
    #[error("the keeper's share does not fit the vault")]
    Share(#[from] Complaint),
    /// The vault has no keeper of this index.
    #[error("the vault has no keeper {index}")]
    Stranger {
        /// The index.
        index: u8,
    },
    /// Not signed by that keeper.
    #[error("the answer in the name of keeper {index} is not signed by it")]
    Unsigned {
        /// The keeper.
        index: u8,
    },
    /// The proof does not hold.
    #[error(transparent)]
    Oprf(#[from] OprfError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

/// A keeper's answer to a drill; nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillAnswer {
    /// The evaluation of the drill's element, with its proof.
    pub evaluation: Evaluation,
    /// The keeper's signature.
    pub signature: [u8; 64],
}

impl DrillAnswer {
    /// Its length.
    pub const BYTES: usize = 1 + ELEMENT_BYTES + PROOF_BYTES + 64;

    /// `version u8 (1) || evaluation[32] || proof[64] || signature[64]`.
    pub fn encode(&self) -> Vec<u8> {
        [&[1][..], &self.evaluation.element, &self.evaluation.proof, &self.signature].concat()
    }

    /// Reads exactly one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (element, rest) = bytes.strip_prefix(&[1])?.split_first_chunk()?;
        let (proof, rest) = rest.split_first_chunk()?;
        let evaluation = Evaluation { element: *element, proof: *proof };
        Some(Self { evaluation, signature: rest.try_into().ok()? })
    }
}

impl KeeperShare {
    /// Answers a drill with a nonce of the asker's choice: checks the whole share, then proves the key's part.
    pub fn drill(
        &self,
        vault: &Vault,
        nonce: &[u8; 32],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<DrillAnswer, DrillError> {
        with_randomness(|random| self.drill_with(vault, nonce, sign, random))
    }

    pub(crate) fn drill_with(
        &self,
        vault: &Vault,
        nonce: &[u8; 32],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<DrillAnswer, DrillError> {
        self.check(vault)?;
        let evaluation = self.evaluator()?.evaluate(&element(self.shares(), nonce), random)?;
        let signature = sign(&statement(self.shares(), nonce, self.index(), &evaluation));
        Ok(DrillAnswer { evaluation, signature })
    }
}

/// Holds a keeper's answer to a drill against the vault.
pub fn verify_drill(
    vault: &Vault,
    nonce: &[u8; 32],
    index: u8,
    answer: &DrillAnswer,
) -> Result<(), DrillError> {
    let stranger = DrillError::Stranger { index };
    let (Some(keeper), Some(key)) = (vault.keeper(index), vault.evaluation_key(index)) else {
        return Err(stranger);
    };
    let statement = statement(&vault.shares(), nonce, index, &answer.evaluation);
    let signed = PublicKey::parse(Scheme::Ed25519, &keeper.signing_key)
        .is_ok_and(|key| verify(&key, &statement, &answer.signature).is_ok());
    if !signed {
        return Err(DrillError::Unsigned { index });
    }
    Ok(oprf::verify(&element(&vault.shares(), nonce), &answer.evaluation, key)?)
}

/// `one-way map(SHA-512(context || nonce[32]))`.
fn element(shares: &ShareSet, nonce: &[u8; 32]) -> [u8; ELEMENT_BYTES] {
    let context = shares.context(labels::VAULT_DRILL_ELEMENT);
    group::encode(&group::element_of(&[&context, nonce]))
}

/// `context || nonce[32] || index u8 || evaluation[32] || proof[64]`.
fn statement(shares: &ShareSet, nonce: &[u8; 32], index: u8, evaluation: &Evaluation) -> Vec<u8> {
    let context = shares.context(labels::VAULT_DRILL);
    [&context[..], nonce, &[index], &evaluation.element, &evaluation.proof].concat()
}
