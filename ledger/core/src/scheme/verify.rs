//! The one rule by which a signature of each scheme is verified.

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use thiserror::Error;

use super::{PublicKey, Scheme, secp256k1};
use crate::ed25519::{self, Ed25519Error, SignatureCause};
use crate::hash::{Hash, sha256};

/// Why a signature is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The length does not fit the key.
    #[error("a signature under this `{scheme}` key has {expected} bytes, not {len}")]
    Length {
        /// The scheme.
        scheme: Scheme,
        /// The one length.
        expected: usize,
        /// The length found.
        len: usize,
    },
    /// The signature would verify, but its S lies in the upper half, so it is not the one encoding.
    #[error("the `{scheme}` signature has a high s")]
    HighS {
        /// The scheme.
        scheme: Scheme,
    },
    /// The signature does not fit key and message.
    #[error("the `{scheme}` signature does not verify")]
    Mismatch {
        /// The scheme.
        scheme: Scheme,
        /// What the library said.
        #[source]
        cause: SignatureCause,
    },
    /// The Ed25519 rule refuses it.
    #[error("the signature is refused")]
    Ed25519(#[from] Ed25519Error),
    /// The scheme signs the message itself, so a digest is not enough.
    #[error("`{scheme}` signs the message itself: the message is needed")]
    MessageNeeded {
        /// The scheme.
        scheme: Scheme,
    },
}

/// Verifies a signature over a message.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    match key.scheme() {
        Scheme::Ed25519 => Ok(ed25519::verify(key.as_bytes(), message, signature)?),
        Scheme::Sm2 => verify_sm2(key, message, signature),
        _ => verify_digest(key, &sha256(&[message]), signature),
    }
}

/// Verifies a signature over the message whose SHA-256 is `digest`; refused for Ed25519 and SM2.
pub fn verify_digest(key: &PublicKey, digest: &Hash, signature: &[u8]) -> Result<(), SignatureError> {
    let scheme = key.scheme();
    if !scheme.signs_digest() {
        return Err(SignatureError::MessageNeeded { scheme });
    }
    check_len(key, signature)?;
    match scheme {
        Scheme::EcdsaSecp256k1 => verify_secp256k1(key, digest, signature),
        Scheme::Bip340 => verify_bip340(key, digest, signature),
        Scheme::EcdsaP256 => verify_p256(key, digest, signature),
        Scheme::RsaPss => verify_foreign(key, &RSA_PSS_2048_8192_SHA256, digest, signature),
        Scheme::RsaPkcs1 => verify_foreign(key, &RSA_PKCS1_2048_8192_SHA256, digest, signature),
        Scheme::Ed25519 | Scheme::Sm2 => Err(SignatureError::MessageNeeded { scheme }),
    }
}

fn check_len(key: &PublicKey, signature: &[u8]) -> Result<(), SignatureError> {
    let expected = key.signature_len();
    if signature.len() == expected {
        Ok(())
    } else {
        Err(SignatureError::Length { scheme: key.scheme(), expected, len: signature.len() })
    }
}

fn verify_sm2(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    check_len(key, signature)?;
    super::sm2::verify(key.as_bytes(), message, signature).map_err(|e| mismatch(key.scheme(), &e))
}

fn verify_secp256k1(key: &PublicKey, digest: &Hash, signature: &[u8]) -> Result<(), SignatureError> {
    let scheme = key.scheme();
    let low = secp256k1::verify_ecdsa(key.as_bytes(), digest, signature).map_err(|e| mismatch(scheme, &e))?;
    if low { Ok(()) } else { Err(SignatureError::HighS { scheme }) }
}

fn verify_bip340(key: &PublicKey, digest: &Hash, signature: &[u8]) -> Result<(), SignatureError> {
    secp256k1::verify_bip340(key.as_bytes(), digest, signature).map_err(|e| mismatch(key.scheme(), &e))
}

fn verify_p256(key: &PublicKey, digest: &Hash, signature: &[u8]) -> Result<(), SignatureError> {
    let scheme = key.scheme();
    let parsed = p256::ecdsa::Signature::from_slice(signature).map_err(|e| mismatch(scheme, &e))?;
    verify_foreign(key, &ECDSA_P256_SHA256_FIXED, digest, signature)?;
    if parsed.normalize_s() == parsed { Ok(()) } else { Err(SignatureError::HighS { scheme }) }
}

fn verify_foreign(
    key: &PublicKey,
    algorithm: &'static dyn VerificationAlgorithm,
    digest: &Hash,
    signature: &[u8],
) -> Result<(), SignatureError> {
    Digest::import_less_safe(digest, &SHA256)
        .and_then(|digest| {
            UnparsedPublicKey::new(algorithm, key.as_bytes()).verify_digest(&digest, signature)
        })
        .map_err(|e| mismatch(key.scheme(), &e))
}

fn mismatch(scheme: Scheme, error: &dyn std::error::Error) -> SignatureError {
    SignatureError::Mismatch { scheme, cause: SignatureCause::of(error) }
}
