//! Ed25519 under one strict rule, on every path: batches, proposals, certificates, credentials, keys.
//!
//! The rule: `A` and `R` are canonical encodings of points that are not of small order, `S < L`, and the
//! cofactorless equation of RFC 8032 holds.

use std::fmt;

use ed25519_dalek::Signer as _;
use thiserror::Error;

/// Why an Ed25519 public key or signature is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Ed25519Error {
    /// The public key does not have 32 bytes.
    #[error("an ed25519 public key has 32 bytes, not {len}")]
    KeyLength {
        /// The length found.
        len: usize,
    },
    /// The signature does not have 64 bytes.
    #[error("an ed25519 signature has 64 bytes, not {len}")]
    SignatureLength {
        /// The length found.
        len: usize,
    },
    /// The bytes are no point of the curve.
    #[error("the ed25519 public key is not a point of the curve")]
    NotAPoint {
        /// What the curve library said.
        #[source]
        cause: SignatureCause,
    },
    /// The point has another, shorter encoding.
    #[error("the ed25519 public key is not encoded canonically")]
    NotCanonical,
    /// The point is of small order, so that it would verify almost anything.
    #[error("the ed25519 public key is of small order")]
    SmallOrder,
    /// The equation does not hold, or `R` or `S` is not canonical.
    #[error("the ed25519 signature does not verify")]
    Mismatch {
        /// What the curve library said.
        #[source]
        cause: SignatureCause,
    },
}

/// The curve library's own words, comparable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SignatureCause(pub String);

impl SignatureCause {
    /// Keeps the words of any error.
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// A public key that was parsed and checked once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Parses 32 bytes: canonical, on the curve, not of small order.
    pub fn parse(bytes: &[u8; 32]) -> Result<Self, Ed25519Error> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map_err(|error| Ed25519Error::NotAPoint { cause: SignatureCause::of(&error) })?;
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(Ed25519Error::NotCanonical);
        }
        if key.is_weak() {
            return Err(Ed25519Error::SmallOrder);
        }
        Ok(Self(key))
    }

    /// Verifies a signature over the message itself.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), Ed25519Error> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0
            .verify_strict(message, &signature)
            .map_err(|error| Ed25519Error::Mismatch { cause: SignatureCause::of(&error) })
    }

    /// The 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", hex::encode(self.to_bytes()))
    }
}

/// Parses the key and verifies a signature over the message itself.
pub fn verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Ed25519Error> {
    let key = public_key.try_into().ok().ok_or(Ed25519Error::KeyLength { len: public_key.len() })?;
    let signature =
        signature.try_into().ok().ok_or(Ed25519Error::SignatureLength { len: signature.len() })?;
    VerifyingKey::parse(key)?.verify(message, signature)
}

/// A private key; wiped on drop, never printed, never cloned.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs the message itself.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}
