//! Ed25519.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::error::{Refusal, Result};
use crate::seal::random;

/// An Ed25519 private key.
pub(crate) struct EdwardsPrivate(SigningKey);

impl EdwardsPrivate {
    pub(crate) fn generate() -> Result<(Self, Zeroizing<[u8; 32]>)> {
        let seed = Zeroizing::new(random::<32>()?);
        Ok((Self(SigningKey::from_bytes(&seed)), seed))
    }

    pub(crate) fn from_seed(seed: &[u8]) -> Result<Self, Refusal> {
        Ok(Self(SigningKey::from_bytes(seed.as_array().ok_or(Refusal::AttributeValue)?)))
    }

    /// The 32-byte public key of RFC 8032.
    pub(crate) fn point(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// 64 bytes over the message itself.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).to_bytes().to_vec()
    }
}

/// An Ed25519 public key.
pub(crate) struct EdwardsPublic(VerifyingKey);

impl EdwardsPublic {
    pub(crate) fn from_point(point: &[u8]) -> Result<Self, Refusal> {
        let bytes = point.as_array().ok_or(Refusal::AttributeValue)?;
        VerifyingKey::from_bytes(bytes).map(Self).or(Err(Refusal::AttributeValue))
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let parsed = Signature::from_slice(signature).or(Err(Refusal::SignatureInvalid))?;
        self.0.verify_strict(message, &parsed).or(Err(Refusal::SignatureInvalid))
    }
}
