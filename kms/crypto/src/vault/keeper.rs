//! A keeper's side of a recovery: evaluates for a granted attempt, releases for an opened one.
//!
//! Whether an attempt is final and granted, or final and opened, the caller has seen in final state before it calls;
//! this module holds the answer to exactly what the attempt fixes, and releases only for a proof under A.

use keyward_domain::scheme::{PublicKey, Scheme, verify};
use keyward_domain::success_message;
use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::answers::{EvaluationAnswer, ReleaseAnswer};
use super::facts::ShareSet;
use super::group::{ELEMENT_BYTES, SecretScalar};
use super::oprf::OprfError;
use super::share::KeeperShare;
use crate::hpke_box::{self, BoxError};
use crate::labels;
use crate::random::with_randomness;

/// Why a keeper does not answer.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// The attempt names another vault, version, share version or sealing than the share at hand.
    #[error("the attempt is for other shares than this one")]
    OtherShares,
    /// The proof is not A's over the success of this attempt.
    #[error("the attempt's success is not proven under the vault's key")]
    Unproven,
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

/// What a final, granted attempt fixes: keepers answer to it, and the user compares it with what was asked for.
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

impl KeeperShare {
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
        let evaluation = self.evaluator()?.evaluate(element, random)?;
        let answer = EvaluationAnswer::new(grant, self.index(), element, evaluation, sign);
        let info = EvaluationAnswer::info(grant, self.index());
        Ok(hpke_box::seal(&grant.reply_key, &info, &answer.encode(), random)?)
    }

    /// Gives the share of the mask and the ciphertext away, signed and sealed to the attempt's reply key: only for an
    /// attempt that the ledger has recorded as opened, with the proof that it recorded, which is checked here again.
    pub fn release(
        &self,
        opened: &Grant,
        proof: &[u8; 64],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Vec<u8>, KeeperError> {
        with_randomness(|random| self.release_with(opened, proof, sign, random))
    }

    pub(crate) fn release_with(
        &self,
        opened: &Grant,
        proof: &[u8; 64],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, KeeperError> {
        self.answers(opened)?;
        let message = success_message(&opened.shares.chain_id, &opened.attempt);
        let proven = PublicKey::parse(Scheme::Ed25519, self.proof_key())
            .is_ok_and(|key| verify(&key, &message, proof).is_ok());
        if !proven {
            return Err(KeeperError::Unproven);
        }
        let [_, mask, blinder] = self.parts().map(SecretScalar::bytes);
        let answer = ReleaseAnswer::new(opened, self.index(), [mask, blinder], self.ciphertext(), sign);
        let info = ReleaseAnswer::info(opened, self.index());
        Ok(hpke_box::seal(&opened.reply_key, &info, &answer.encode(), random)?)
    }

    fn answers(&self, grant: &Grant) -> Result<(), KeeperError> {
        if grant.shares == *self.shares() { Ok(()) } else { Err(KeeperError::OtherShares) }
    }
}
