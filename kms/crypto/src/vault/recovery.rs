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
use thiserror::Error;
use zeroize::Zeroizing;

use super::answers::{Answered, EvaluationAnswer, Evidence, ReleaseAnswer};
use super::contents::{self, ContentsError, Place, VaultedKey, ciphertext_hash};
use super::facts::Vault;
use super::group::{ELEMENT_BYTES, GroupError, SecretScalar};
use super::hpke_box::{BoxError, BoxKey};
use super::keeper::element_hash;
use super::keys::{Root, VaultKeyError, stretch};
use super::oprf::{self, Blinded, OprfError};
use super::sharing::{self, SharingError};
use crate::random::with_randomness;
use crate::secret::SecretBytes;
use crate::signing::{SignError, SigningKey};

/// Why a recovery does not go on.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// The password is wrong: t keepers evaluated honestly and the vault's proof key is another.
    #[error("the password is wrong")]
    WrongPassword,
    /// Fewer keepers than needed have answered.
    #[error("{found} keepers have answered where {needed} are needed")]
    TooFew {
        /// How many are needed.
        needed: u8,
        /// How many have answered.
        found: usize,
    },
    /// The keys could not be derived.
    #[error(transparent)]
    Keys(#[from] VaultKeyError),
    /// The oblivious function refused.
    #[error(transparent)]
    Oprf(#[from] OprfError),
    /// The mask does not come together.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// A release held a share that is none.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// There is no reply key.
    #[error("the reply key could not be made")]
    ReplyKey(#[from] BoxError),
    /// The proof could not be signed.
    #[error("the proof could not be signed")]
    Proof(#[source] SignError),
    /// The contents do not open: in mode `self`, the export key is not the one of the sealing.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

/// Why one keeper's answer does not count. The recovery goes on with the others.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// The vault has no keeper of this index.
    #[error("the vault has no keeper {index}")]
    Stranger {
        /// The index.
        index: u8,
    },
    /// This keeper's answer counts already.
    #[error("keeper {index} has answered already")]
    Repeated {
        /// The keeper.
        index: u8,
    },
    /// Sealed for another attempt, keeper or version, or changed on its way: nobody can say by whom.
    #[error("the answer of keeper {index} does not open")]
    Unreadable {
        /// The keeper.
        index: u8,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Opened, but not an answer.
    #[error("the answer of keeper {index} is malformed")]
    Malformed {
        /// The keeper.
        index: u8,
    },
    /// Not signed by that keeper: nobody can say by whom it was made.
    #[error("the answer in the name of keeper {index} is not signed by it")]
    Unsigned {
        /// The keeper.
        index: u8,
    },
    /// Signed by the keeper and wrong: evidence that others can check.
    #[error("keeper {index} has signed a wrong answer")]
    Wrong {
        /// The keeper.
        index: u8,
        /// What shows it.
        evidence: Box<Evidence>,
    },
}

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

    /// Goes on with the id of the attempt that the ledger has granted for the request.
    pub fn granted(self, attempt: [u8; 32]) -> Evaluating {
        Evaluating { recovery: self, attempt, evaluations: Vec::new() }
    }
}

/// A granted attempt that gathers evaluations.
pub struct Evaluating {
    recovery: Recovery,
    attempt: [u8; 32],
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
        let info = EvaluationAnswer::info(&vault.shares(), &self.attempt, index);
        let plain = reply.open(&info, sealed, EvaluationAnswer::BYTES);
        let plain = plain.map_err(|source| AnswerError::Unreadable { index, source })?;
        let EvaluationAnswer { evaluation, signature } =
            plain.expose(EvaluationAnswer::parse).ok_or(AnswerError::Malformed { index })?;
        let element = evaluation.element;
        let answered = Answered::Evaluation { element: *blinded.element(), evaluation };
        judge(vault, Evidence { index, attempt: self.attempt, answered, signature })?;
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
        Ok(Proven {
            vault,
            reply,
            attempt: self.attempt,
            root,
            proof_key,
            ciphertext: None,
            parts: Vec::new(),
        })
    }
}

/// A right password; gathers the mask.
pub struct Proven {
    vault: Vault,
    reply: BoxKey,
    attempt: [u8; 32],
    root: Root,
    proof_key: SigningKey,
    ciphertext: Option<Vec<u8>>,
    parts: Vec<(u8, SecretScalar)>,
}

impl Proven {
    /// The signature by a over the ledger's success message of this attempt (`contracts::attempts::success_message`).
    pub fn proof(&self) -> Result<[u8; 64], RecoveryError> {
        let message = success_message(&self.vault.facts().chain_id, &self.attempt);
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
        let info = ReleaseAnswer::info(&self.vault.shares(), &self.attempt, index);
        let plain = self.reply.open(&info, sealed, ReleaseAnswer::BYTES_MAX);
        let plain = plain.map_err(|source| AnswerError::Unreadable { index, source })?;
        let mut release = plain.expose(ReleaseAnswer::parse).ok_or(AnswerError::Malformed { index })?;
        let answered = Answered::Release {
            mask: Zeroizing::new(release.mask),
            blinder: Zeroizing::new(release.blinder),
            ciphertext_hash: ciphertext_hash(&release.ciphertext),
        };
        let signature = release.signature;
        judge(&self.vault, Evidence { index, attempt: self.attempt, answered, signature })?;
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
