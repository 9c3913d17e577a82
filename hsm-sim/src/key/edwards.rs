//! Ed25519.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::error::{Refusal, Result};
use crate::seal::random;

/// What stands before the 32 bytes of the seed in a `PrivateKeyInfo`: DER leaves no choice.
const PKCS8_HEAD: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// An Ed25519 private key.
pub(crate) struct EdwardsPrivate(SigningKey);

impl EdwardsPrivate {
    pub(crate) fn generate() -> Result<(Self, Zeroizing<Vec<u8>>)> {
        let seed = Zeroizing::new(random::<32>()?);
        Ok((Self(SigningKey::from_bytes(&seed)), Zeroizing::new(seed.to_vec())))
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

    /// `PrivateKeyInfo` of RFC 5958 version 0, the seed as RFC 8410, section 7 has it.
    pub(crate) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([PKCS8_HEAD, self.0.as_bytes()].concat())
    }

    /// The seed in what [`Self::to_pkcs8`] writes; a public key after it (version 1) is not read.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<&[u8], Refusal> {
        let seed = der.strip_prefix(PKCS8_HEAD).filter(|seed| seed.len() == 32);
        seed.ok_or(Refusal::WrappedKeyInvalid)
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
