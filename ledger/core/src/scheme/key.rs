//! Public keys in their one encoding, and the key ids made from them.

use std::fmt;

use k256::elliptic_curve::sec1::ToSec1Point as _;
use thiserror::Error;

use super::{Scheme, rsa, sm2};
use crate::codec::parse_hex32;
use crate::ed25519::{self, Ed25519Error, SignatureCause};
use crate::hash::{Hash, Tag};

/// Why bytes are not a public key of their scheme.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublicKeyError {
    /// The length does not fit the scheme's one encoding.
    #[error("a public key of `{scheme}` has {expected} bytes, not {len}")]
    Length {
        /// The scheme.
        scheme: Scheme,
        /// The length of the one encoding.
        expected: usize,
        /// The length found.
        len: usize,
    },
    /// The bytes are no point of the scheme's curve, or not in its one encoding.
    #[error("the public key is not a point for `{scheme}`")]
    NotAPoint {
        /// The scheme.
        scheme: Scheme,
        /// What the curve library said.
        #[source]
        cause: SignatureCause,
    },
    /// The Ed25519 rule refuses the key.
    #[error("the public key is refused")]
    Ed25519(#[from] Ed25519Error),
    /// The DER is not the one encoding of an RSA public key.
    #[error("the rsa public key {why}")]
    Rsa {
        /// What is wrong.
        why: &'static str,
    },
    /// The modulus is too short or too long.
    #[error("the rsa modulus has {bits} bits, {min} to {max} are allowed", min = rsa::RSA_BITS_MIN, max = rsa::RSA_BITS_MAX)]
    RsaBits {
        /// The length found.
        bits: usize,
    },
    /// The scheme has no such form.
    #[error("`{scheme}` keys have no such form")]
    OtherForm {
        /// The scheme.
        scheme: Scheme,
    },
}

/// A public key in its one encoding: what was parsed is valid and canonical.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    scheme: Scheme,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// The longest encoding: RSA with 8192 bits and a 4-byte exponent.
    pub const BYTES_MAX: usize = 1040;

    /// Parses the one encoding: SEC1 compressed (33 bytes) for ECDSA and SM2, x-only (32) for BIP340, 32 bytes
    /// for Ed25519, `RSAPublicKey` in DER for RSA.
    pub fn parse(scheme: Scheme, bytes: &[u8]) -> Result<Self, PublicKeyError> {
        match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 | Scheme::Sm2 => {
                expect_len(scheme, bytes, 33)?;
                // The libraries take "compact" points (5) too: a second key id for the same key.
                if !matches!(bytes, [2 | 3, ..]) {
                    return Err(PublicKeyError::OtherForm { scheme });
                }
                check_sec1(scheme, bytes)?;
            }
            Scheme::Bip340 => {
                expect_len(scheme, bytes, 32)?;
                k256::schnorr::VerifyingKey::from_slice(bytes).map_err(|e| not_a_point(scheme, &e))?;
            }
            Scheme::Ed25519 => {
                let key = bytes.try_into().ok().ok_or(Ed25519Error::KeyLength { len: bytes.len() })?;
                ed25519::VerifyingKey::parse(key)?;
            }
            Scheme::RsaPss | Scheme::RsaPkcs1 => {
                rsa::Parts::parse(bytes)?;
            }
        }
        Ok(Self { scheme, bytes: bytes.to_vec() })
    }

    /// From a SEC1 point, compressed or not, as tokens hand it out; BIP340 keeps x only.
    pub fn from_sec1(scheme: Scheme, point: &[u8]) -> Result<Self, PublicKeyError> {
        let compressed = match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => k256::PublicKey::from_sec1_bytes(point)
                .map_err(|error| not_a_point(scheme, &error))?
                .to_sec1_point(true)
                .as_bytes()
                .to_vec(),
            Scheme::EcdsaP256 => p256::PublicKey::from_sec1_bytes(point)
                .map_err(|error| not_a_point(scheme, &error))?
                .to_sec1_point(true)
                .as_bytes()
                .to_vec(),
            Scheme::Sm2 => sm2::compressed(point).map_err(|error| not_a_point(scheme, &error))?,
            Scheme::Ed25519 | Scheme::RsaPss | Scheme::RsaPkcs1 => {
                return Err(PublicKeyError::OtherForm { scheme });
            }
        };
        match scheme {
            Scheme::Bip340 => Self::parse(scheme, compressed.get(1..).unwrap_or_default()),
            _ => Self::parse(scheme, &compressed),
        }
    }

    /// From an RSA modulus and public exponent, big-endian, leading zeros ignored.
    pub fn from_rsa(scheme: Scheme, modulus: &[u8], exponent: &[u8]) -> Result<Self, PublicKeyError> {
        match scheme {
            Scheme::RsaPss | Scheme::RsaPkcs1 => Self::parse(scheme, &rsa::encode(modulus, exponent)),
            _ => Err(PublicKeyError::OtherForm { scheme }),
        }
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The one encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key's name on the ledger.
    pub fn id(&self) -> KeyId {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        KeyId(Tag::Key.hash(&[&[self.scheme.code()], &len, &self.bytes]))
    }

    /// The length of every signature under this key.
    pub fn signature_len(&self) -> usize {
        match self.scheme {
            Scheme::RsaPss | Scheme::RsaPkcs1 => {
                rsa::Parts::parse(&self.bytes).map_or(0, |parts| parts.modulus.len())
            }
            _ => 64,
        }
    }

    /// The point without compression: `4 || x || y`, 65 bytes; none for schemes whose key is not one whole point.
    pub fn to_uncompressed(&self) -> Option<[u8; 65]> {
        let point = match self.scheme {
            Scheme::EcdsaSecp256k1 => {
                k256::PublicKey::from_sec1_bytes(&self.bytes).ok()?.to_sec1_point(false).as_bytes().to_vec()
            }
            Scheme::EcdsaP256 => {
                p256::PublicKey::from_sec1_bytes(&self.bytes).ok()?.to_sec1_point(false).as_bytes().to_vec()
            }
            Scheme::Sm2 => {
                ::sm2::PublicKey::from_sec1_bytes(&self.bytes).ok()?.to_sec1_point(false).as_bytes().to_vec()
            }
            Scheme::Bip340 | Scheme::Ed25519 | Scheme::RsaPss | Scheme::RsaPkcs1 => return None,
        };
        point.try_into().ok()
    }

    /// Modulus and exponent of an RSA key, big-endian, without leading zeros.
    pub fn rsa_parts(&self) -> Option<(&[u8], &[u8])> {
        match self.scheme {
            Scheme::RsaPss | Scheme::RsaPkcs1 => {
                rsa::Parts::parse(&self.bytes).ok().map(|parts| (parts.modulus, parts.exponent))
            }
            _ => None,
        }
    }

    /// `SubjectPublicKeyInfo` in DER with the point uncompressed, as every library reads it (RFC 5480, section 2.2);
    /// none for BIP340.
    pub fn to_spki_uncompressed(&self) -> Option<Vec<u8>> {
        match self.to_uncompressed() {
            Some(point) => super::rsa::spki(self.scheme, &point),
            None => self.to_spki_der(),
        }
    }

    /// `SubjectPublicKeyInfo` in DER, as `openssl` reads it. BIP340 has no such form, so it gives none.
    pub fn to_spki_der(&self) -> Option<Vec<u8>> {
        super::rsa::spki(self.scheme, &self.bytes)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}:{})", self.scheme, hex::encode(&self.bytes))
    }
}

fn expect_len(scheme: Scheme, bytes: &[u8], expected: usize) -> Result<(), PublicKeyError> {
    if bytes.len() == expected {
        Ok(())
    } else {
        Err(PublicKeyError::Length { scheme, expected, len: bytes.len() })
    }
}

fn check_sec1(scheme: Scheme, bytes: &[u8]) -> Result<(), PublicKeyError> {
    match scheme {
        Scheme::EcdsaP256 => p256::PublicKey::from_sec1_bytes(bytes).map(|_| ()),
        Scheme::Sm2 => sm2::compressed(bytes).map(|_| ()),
        _ => k256::PublicKey::from_sec1_bytes(bytes).map(|_| ()),
    }
    .map_err(|error| not_a_point(scheme, &error))
}

fn not_a_point(scheme: Scheme, error: &dyn std::error::Error) -> PublicKeyError {
    PublicKeyError::NotAPoint { scheme, cause: SignatureCause::of(error) }
}

/// A key's name on the ledger: the tagged hash of its scheme and public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub Hash);

impl KeyId {
    /// Parses 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex32(text).map(Self)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &Hash {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
