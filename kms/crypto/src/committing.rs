//! Sealing once under a fresh key, with a commitment to the key in front.
//!
//! AES-256-GCM does not commit to its key: what it sealed could be made to open under two. So the key's commitment stands in
//! front and is compared first (Bellare and Hoang: Efficient schemes for committing authenticated encryption, 2022, section 5).

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

/// How much longer a message is sealed than plain: `commitment[32] || .. || tag[16]`.
pub(crate) const OVERHEAD_BYTES: usize = 32 + 16;

/// Why nothing was sealed or opened.
#[derive(Debug, Error)]
pub(crate) enum CommittingError {
    /// Sealed under another key, or too short for a commitment.
    #[error("it was sealed under another key")]
    OtherKey,
    /// Changed, or sealed with other public fields; or it could not be sealed.
    #[error("it, or its public fields, were changed")]
    Cipher(#[source] aes_gcm::Error),
}

/// A key that seals one message, and what commits to it: two halves of pseudo-random bytes.
pub(crate) struct CommittedKey {
    key: Zeroizing<[u8; 32]>,
    commitment: [u8; 32],
}

impl CommittedKey {
    /// `key[32] || commitment[32]`.
    pub(crate) fn new(both: &[u8; 64]) -> Self {
        let (key, commitment) = both.split_at(32);
        let mut of = Self { key: Zeroizing::new([0; 32]), commitment: [0; 32] };
        of.key.copy_from_slice(key);
        of.commitment.copy_from_slice(commitment);
        of
    }

    /// Whether what was sealed begins with this key's commitment.
    pub(crate) fn has_sealed(&self, sealed: &[u8]) -> bool {
        sealed.first_chunk().is_some_and(|found| self.is_committed(found))
    }

    fn is_committed(&self, found: &[u8; 32]) -> bool {
        self.commitment.ct_eq(found).into()
    }

    /// `commitment[32] || ciphertext || tag[16]`. The nonce is zero: the key seals nothing else.
    pub(crate) fn seal(&self, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, CommittingError> {
        let payload = Payload { msg: plain, aad: associated };
        let sealed = self.cipher().encrypt(&[0; 12].into(), payload).map_err(CommittingError::Cipher)?;
        Ok([&self.commitment[..], &sealed].concat())
    }

    /// Opens what [`Self::seal`] sealed.
    pub(crate) fn open(
        &self,
        associated: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CommittingError> {
        let (found, ciphertext) = sealed.split_first_chunk::<32>().ok_or(CommittingError::OtherKey)?;
        if !self.is_committed(found) {
            return Err(CommittingError::OtherKey);
        }
        let payload = Payload { msg: ciphertext, aad: associated };
        let plain = self.cipher().decrypt(&[0; 12].into(), payload).map_err(CommittingError::Cipher)?;
        Ok(Zeroizing::new(plain))
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.key).into())
    }
}
