//! Signing keys of the service and of people: made, held in locked memory, used, never copied.

use std::fmt;

use keyward_domain::scheme::{PublicKey, PublicKeyError, Scheme};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::locked::{LockError, Locked};

/// Length of every secret key here.
pub const SECRET_BYTES: usize = 32;
/// A random 32-byte string is no secp256k1 or P-256 key with probability 2^-32 at most; so many tries in a
/// row mean a broken generator.
const GENERATE_TRIES_MAX: usize = 16;

/// Why there is no signing key.
#[derive(Debug, Error)]
pub enum SigningKeyError {
    /// Keys of this scheme live in tokens only.
    #[error("`{scheme}` keys live in tokens only")]
    SchemeNotHosted {
        /// The scheme.
        scheme: Scheme,
    },
    /// The secret has the wrong length.
    #[error("a secret key of `{scheme}` has {SECRET_BYTES} bytes, not {len}")]
    Length {
        /// The scheme.
        scheme: Scheme,
        /// The length found.
        len: usize,
    },
    /// The secret is zero or not below the group order.
    #[error("the bytes are no secret key of `{scheme}`")]
    OutOfRange {
        /// The scheme.
        scheme: Scheme,
        /// What the curve library said.
        #[source]
        source: k256::ecdsa::Error,
    },
    /// The public key was refused by the ledger's own rule.
    #[error("the public key is refused")]
    PublicKey(#[from] PublicKeyError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[source] getrandom::Error),
    /// The memory could not be locked.
    #[error(transparent)]
    Memory(#[from] LockError),
}

/// Why nothing was signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// Ed25519 signs messages, not digests.
    #[error("`ed25519` signs the message itself, not a digest")]
    DigestNotSigned,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[source] getrandom::Error),
    /// The curve library failed.
    #[error("signing failed")]
    Failed(#[source] k256::ecdsa::Error),
}

/// A signing key in locked memory, wiped on drop.
///
/// Signatures are 64 bytes: `r || s` with low S for ECDSA (deterministic, RFC 6979), BIP340 with fresh
/// auxiliary randomness, Ed25519 of RFC 8032.
pub struct SigningKey {
    public: PublicKey,
    held: Locked<Held>,
}

struct Held {
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    key: Key,
}

/// Each wipes itself on drop.
enum Key {
    Secp256k1(k256::ecdsa::SigningKey),
    Bip340(k256::schnorr::SigningKey),
    P256(p256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl SigningKey {
    /// Makes a key from the system's randomness.
    pub fn generate(scheme: Scheme) -> Result<Self, SigningKeyError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        let mut tries = 0;
        loop {
            getrandom::fill(secret.as_mut_slice()).map_err(SigningKeyError::Randomness)?;
            tries += 1;
            match Self::from_secret(scheme, secret.as_slice()) {
                Err(SigningKeyError::OutOfRange { .. }) if tries < GENERATE_TRIES_MAX => {}
                result => return result,
            }
        }
    }

    /// From 32 secret bytes: a scalar, big-endian, in `1..n`, or an Ed25519 seed (RFC 8032, section 5.1.5).
    pub fn from_secret(scheme: Scheme, secret: &[u8]) -> Result<Self, SigningKeyError> {
        let Ok(bytes) = <[u8; SECRET_BYTES]>::try_from(secret) else {
            return Err(SigningKeyError::Length { scheme, len: secret.len() });
        };
        let secret = Zeroizing::new(bytes);
        let key = parse(scheme, &secret)?;
        let public = public_key(scheme, &key)?;
        Ok(Self { public, held: Locked::new(Held { secret, key })? })
    }

    /// Lends the secret bytes, so that they can be sealed.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8; SECRET_BYTES]) -> R) -> R {
        f(&self.held.get().secret)
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.public.scheme()
    }

    /// The public key in its one encoding.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message: its SHA-256 digest, or under Ed25519 the message itself.
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.held.get().key {
            Key::Ed25519(key) => Ok(ed25519_dalek::Signer::sign(key, message).to_bytes().to_vec()),
            _ => self.sign_digest(&Sha256::digest(message).into()),
        }
    }

    /// Signs the message whose SHA-256 is `digest`; refused under Ed25519.
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Result<Vec<u8>, SignError> {
        use k256::ecdsa::signature::hazmat::PrehashSigner as _;
        match &self.held.get().key {
            Key::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature =
                    key.sign_prehash(digest).map_err(SignError::Failed)?;
                Ok(signature.normalize_s().to_bytes().to_vec())
            }
            Key::P256(key) => {
                let signature: p256::ecdsa::Signature =
                    key.sign_prehash(digest).map_err(SignError::Failed)?;
                Ok(signature.normalize_s().to_bytes().to_vec())
            }
            Key::Bip340(key) => {
                let mut auxiliary = Zeroizing::new([0; 32]);
                getrandom::fill(auxiliary.as_mut_slice()).map_err(SignError::Randomness)?;
                bip340(key, digest, &auxiliary)
            }
            Key::Ed25519(_) => Err(SignError::DigestNotSigned),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, redacted)", self.public.scheme())
    }
}

fn bip340(
    key: &k256::schnorr::SigningKey,
    digest: &[u8; 32],
    auxiliary: &[u8; 32],
) -> Result<Vec<u8>, SignError> {
    Ok(key.sign_raw(digest, auxiliary).map_err(SignError::Failed)?.to_bytes().to_vec())
}

fn parse(scheme: Scheme, secret: &[u8; SECRET_BYTES]) -> Result<Key, SigningKeyError> {
    let out_of_range = |source| SigningKeyError::OutOfRange { scheme, source };
    Ok(match scheme {
        Scheme::EcdsaSecp256k1 => {
            Key::Secp256k1(k256::ecdsa::SigningKey::from_slice(secret).map_err(out_of_range)?)
        }
        Scheme::Bip340 => Key::Bip340(k256::schnorr::SigningKey::from_slice(secret).map_err(out_of_range)?),
        Scheme::EcdsaP256 => Key::P256(p256::ecdsa::SigningKey::from_slice(secret).map_err(out_of_range)?),
        Scheme::Ed25519 => Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(secret)),
        Scheme::RsaPss | Scheme::RsaPkcs1 | Scheme::Sm2 => {
            return Err(SigningKeyError::SchemeNotHosted { scheme });
        }
    })
}

fn public_key(scheme: Scheme, key: &Key) -> Result<PublicKey, PublicKeyError> {
    match key {
        Key::Secp256k1(key) => PublicKey::parse(scheme, key.verifying_key().to_sec1_point(true).as_bytes()),
        Key::Bip340(key) => PublicKey::parse(scheme, &key.verifying_key().to_bytes()),
        Key::P256(key) => PublicKey::parse(scheme, key.verifying_key().to_sec1_point(true).as_bytes()),
        Key::Ed25519(key) => PublicKey::parse(scheme, key.verifying_key().as_bytes()),
    }
}

#[cfg(test)]
mod tests;
