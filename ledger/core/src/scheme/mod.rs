//! Signature schemes, public keys and the one rule by which each signature is verified.

mod ecdsa;
mod key;
mod rsa;
mod secp256k1;
mod sm2;
mod taproot;
mod verify;

use std::fmt;

pub use ecdsa::{EcdsaFormError, ecdsa_der, normalise_ecdsa, signature_der};
pub use key::{KeyId, PublicKey, PublicKeyError};
pub use rsa::{RSA_BITS_MAX, RSA_BITS_MIN};
pub use sm2::SM2_ID;
pub use taproot::taproot_output;
pub use verify::{SignatureError, verify, verify_digest};

/// A signature scheme; its code stands in records, so it never changes meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scheme {
    /// ECDSA over secp256k1 with SHA-256, 64-byte `r || s`, low S.
    EcdsaSecp256k1 = 1,
    /// BIP340 Schnorr over secp256k1; the signed message is the SHA-256 digest.
    Bip340 = 2,
    /// ECDSA over P-256 with SHA-256, 64-byte `r || s`, low S.
    EcdsaP256 = 3,
    /// Ed25519 (RFC 8032) over the message itself.
    Ed25519 = 4,
    /// RSASSA-PSS with SHA-256 and a 32-byte salt, 2048 to 8192 bits.
    RsaPss = 5,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 8192 bits.
    RsaPkcs1 = 6,
    /// SM2 with SM3 over the message itself, id [`SM2_ID`], 64-byte `r || s`; keys in tokens only.
    Sm2 = 7,
}

impl Scheme {
    /// Every scheme, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::EcdsaSecp256k1,
        Self::Bip340,
        Self::EcdsaP256,
        Self::Ed25519,
        Self::RsaPss,
        Self::RsaPkcs1,
        Self::Sm2,
    ];

    /// Whether the scheme signs SHA-256 of the message (all but Ed25519 and SM2, which take the message).
    pub const fn signs_digest(self) -> bool {
        !matches!(self, Self::Ed25519 | Self::Sm2)
    }

    /// The code that stands in records.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The scheme of a code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.code() == code)
    }

    /// The name in commands, files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaSecp256k1 => "ecdsa-secp256k1",
            Self::Bip340 => "bip340",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::Ed25519 => "ed25519",
            Self::RsaPss => "rsa-pss",
            Self::RsaPkcs1 => "rsa-pkcs1",
            Self::Sm2 => "sm2",
        }
    }

    /// The scheme of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
