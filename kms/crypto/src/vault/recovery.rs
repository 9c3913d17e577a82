//! The user's side of a recovery, step by step: a blinded guess, t evaluations, a proof for the ledger, t parts of the
//! mask, the contents.
//!
//! ```text
//! Recovery --attempt id--> Evaluating --t answers--> Proven --t releases--> contents
//! ```
//!
//! A wrong password is seen at the second arrow, by A, which is public: nobody releases anything for it.

use std::fmt;

use keyward_domain::success_message;
use opaque_ke::rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::answers::{Answered, EvaluationAnswer, Evidence, ReleaseAnswer};
use super::contents::{self, Place, VaultedKey, ciphertext_hash};
use super::facts::Vault;
use super::group::{ELEMENT_BYTES, SecretScalar};
use super::keeper::{Grant, element_hash};
use super::keys::{Root, stretch};
use super::oprf::{self, Blinded};
use super::sharing;
use crate::hpke_box::BoxKey;
use crate::random::with_randomness;
use crate::secret::SecretBytes;
use crate::signing::SigningKey;

mod errors;

pub use errors::{AnswerError, RecoveryError};

/// A guess that waits for its attempt. Everything secret wipes itself.
pub struct Recovery {
    vault: Vault,
    stretched: Zeroizing<[u8; 32]>,
    blinded: Blinded,
    reply: BoxKey,
}

/// What an attempt on the ledger fixes, and what keepers are handed besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRequest {
    /// The blinded element, for the keepers.
    pub element: [u8; ELEMENT_BYTES],
    /// Its hash, for the ledger.
    pub element_hash: [u8; 32],
    /// The key that answers are sealed to, for the ledger.
    pub reply_key: [u8; 32],
}

impl Recovery {
    /// Stretches and blinds a password; takes as long as the stretching takes.
    pub fn begin(vault: Vault, password: &SecretBytes) -> Result<(Self, AttemptRequest), RecoveryError> {
        with_randomness(|random| Self::begin_with(vault, password, random))
    }

    pub(crate) fn begin_with(
        vault: Vault,
        password: &SecretBytes,
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, AttemptRequest), RecoveryError> {
        let facts = vault.facts();
        let stretched = stretch(password, &facts.account, &facts.vault, &facts.stretch)?;
        let blinded = Blinded::new(stretched.as_slice(), random)?;
        let reply = BoxKey::random(random)?;
        let element = *blinded.element();
        let request =
            AttemptRequest { element, element_hash: element_hash(&element), reply_key: reply.public() };
        Ok((Self { vault, stretched, blinded, reply }, request))
    }

    /// Goes on with what the ledger has granted, from a record that the caller has verified. Refused unless it is exactly
    /// this request: a proof for an attempt that names another's reply key would hand the mask to the other.
    pub fn granted(self, grant: &Grant) -> Result<Evaluating, RecoveryError> {
        let Self { vault, blinded, reply, .. } = &self;
        let same = grant.shares == vault.shares()
            && grant.element_hash == element_hash(blinded.element())
            && grant.reply_key == reply.public();
        if !same {
            return Err(RecoveryError::OtherAttempt);
        }
        Ok(Evaluating { recovery: self, grant: grant.clone(), evaluations: Vec::new() })
    }
}

/// A granted attempt that gathers evaluations.
pub struct Evaluating {
    recovery: Recovery,
    grant: Grant,
    evaluations: Vec<(u8, [u8; ELEMENT_BYTES])>,
}

impl Evaluating {
    /// Takes the sealed answer of a keeper and verifies it; answers whether there are enough now.
    pub fn answer(&mut self, index: u8, sealed: &[u8]) -> Result<bool, AnswerError> {
        let Recovery { vault, blinded, reply, .. } = &self.recovery;
        if vault.keeper(index).is_none() {
            return Err(AnswerError::Stranger { index });
        }
        if self.evaluations.iter().any(|(known, _)| *known == index) {
            return Err(AnswerError::Repeated { index });
        }
        let info = EvaluationAnswer::info(&self.grant, index);
        let plain = reply.open(&info, sealed, EvaluationAnswer::BYTES);
        let plain = plain.map_err(|source| AnswerError::Unreadable { index, source })?;
        let EvaluationAnswer { evaluation, signature } =
            plain.expose(EvaluationAnswer::parse).ok_or(AnswerError::Malformed { index })?;
        let element = evaluation.element;
        let answered = Answered::Evaluation { element: *blinded.element(), evaluation };
        judge(vault, evidence(&self.grant, index, answered, signature))?;
        self.evaluations.push((index, element));
        Ok(self.is_enough())
    }

    /// Whether as many keepers have answered as are needed.
    pub fn is_enough(&self) -> bool {
        self.evaluations.len() >= usize::from(self.recovery.vault.facts().threshold)
    }

    /// Puts the evaluations together and derives the vault's root. With another proof key than the vault's the password
    /// was wrong: the attempt is spent.
    pub fn derive(self) -> Result<Proven, RecoveryError> {
        let Recovery { vault, stretched, blinded, reply } = self.recovery;
        let needed = vault.facts().threshold;
        let found = self.evaluations.len();
        let evaluations =
            self.evaluations.get(..usize::from(needed)).ok_or(RecoveryError::TooFew { needed, found })?;
        let combined = oprf::combine(evaluations, needed)?;
        let root = Root::new(&*blinded.finalize(stretched.as_slice(), &combined)?)?;
        let proof_key = root.proof_key()?;
        // A is public, so an ordinary comparison tells nobody anything.
        if proof_key.public_key().as_bytes() != vault.facts().proof_key {
            return Err(RecoveryError::WrongPassword);
        }
        Ok(Proven { vault, reply, grant: self.grant, root, proof_key, ciphertext: None, parts: Vec::new() })
    }
}

/// A right password; gathers the mask.
pub struct Proven {
    vault: Vault,
    reply: BoxKey,
    grant: Grant,
    root: Root,
    proof_key: SigningKey,
    ciphertext: Option<Vec<u8>>,
    parts: Vec<(u8, SecretScalar)>,
}

impl Proven {
    /// The signature by a over the ledger's success message of this attempt (`contracts::attempts::success_message`).
    pub fn proof(&self) -> Result<[u8; 64], RecoveryError> {
        let message = success_message(&self.vault.facts().chain_id, &self.grant.attempt);
        let signature = self.proof_key.sign_message(&message).map_err(RecoveryError::Proof)?;
        let mut proof = [0; 64];
        proof.copy_from_slice(&signature); // an Ed25519 signature has 64 bytes
        Ok(proof)
    }

    /// Takes a keeper's sealed release and holds it against the commitments; answers whether there are enough now.
    pub fn release(&mut self, index: u8, sealed: &[u8]) -> Result<bool, AnswerError> {
        if self.vault.keeper(index).is_none() {
            return Err(AnswerError::Stranger { index });
        }
        if self.parts.iter().any(|(known, _)| *known == index) {
            return Err(AnswerError::Repeated { index });
        }
        let info = ReleaseAnswer::info(&self.grant, index);
        let plain = self.reply.open(&info, sealed, ReleaseAnswer::BYTES_MAX);
        let plain = plain.map_err(|source| AnswerError::Unreadable { index, source })?;
        let mut release = plain.expose(ReleaseAnswer::parse).ok_or(AnswerError::Malformed { index })?;
        let answered = Answered::Release {
            mask: Zeroizing::new(release.mask),
            blinder: Zeroizing::new(release.blinder),
            ciphertext_hash: ciphertext_hash(&release.ciphertext),
        };
        let signature = release.signature;
        judge(&self.vault, evidence(&self.grant, index, answered, signature))?;
        // It was read a moment ago, when it was held against the commitments.
        let part = SecretScalar::parse(&release.mask).ok().ok_or(AnswerError::Malformed { index })?;
        self.parts.push((index, part));
        self.ciphertext.get_or_insert(std::mem::take(&mut release.ciphertext));
        Ok(self.is_enough())
    }

    /// Whether as many keepers have released as are needed.
    pub fn is_enough(&self) -> bool {
        self.parts.len() >= usize::from(self.vault.facts().threshold)
    }

    /// Opens the contents; in mode `self` with the OPAQUE export key.
    pub fn open(&self, export_key: Option<&SecretBytes>) -> Result<Vec<VaultedKey>, RecoveryError> {
        let facts = self.vault.facts();
        let (needed, found) = (facts.threshold, self.parts.len());
        let too_few = || RecoveryError::TooFew { needed, found };
        let parts = self.parts.get(..usize::from(needed)).ok_or_else(too_few)?;
        let parts: Vec<_> = parts.iter().map(|(index, part)| (*index, part)).collect();
        let mask = sharing::combine(&parts, needed)?;
        let key = self.root.data_key(&mask, facts.mode, export_key)?;
        let place =
            Place { account: &facts.account, vault: &facts.vault, version: facts.version, mode: facts.mode };
        Ok(contents::open(&key, &place, self.ciphertext.as_deref().ok_or_else(too_few)?)?)
    }
}

/// What a keeper says to have answered in this recovery.
const fn evidence(grant: &Grant, index: u8, answered: Answered, signature: [u8; 64]) -> Evidence {
    Evidence { index, attempt: grant.attempt, reply_key: grant.reply_key, answered, signature }
}

/// Lets an answer through that its keeper has signed and that holds.
fn judge(vault: &Vault, evidence: Evidence) -> Result<(), AnswerError> {
    let index = evidence.index;
    if !evidence.is_signed(vault) {
        return Err(AnswerError::Unsigned { index });
    }
    if !evidence.is_right(vault) {
        return Err(AnswerError::Wrong { index, evidence: Box::new(evidence) });
    }
    Ok(())
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recovery(redacted)")
    }
}

impl fmt::Debug for Evaluating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evaluating(redacted)")
    }
}

impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proven(redacted)")
    }
}
