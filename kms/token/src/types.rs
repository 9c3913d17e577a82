//! The nouns of this room, without a trace of PKCS#11.

use std::fmt;

use cryptoki::types::AuthPin;
use keyward_domain::scheme::{PublicKey, Scheme};
use subtle::ConstantTimeEq as _;

use crate::error::TokenError;

/// The longest label of a token (PKCS#11 v2.40, `CK_TOKEN_INFO`).
pub const LABEL_BYTES_MAX: usize = 32;
/// The longest PIN that is passed on.
const PIN_BYTES_MAX: usize = 256;

/// What a caller calls a token: its label or its serial number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenName(String);

impl TokenName {
    /// A label or a serial number.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A PIN: wiped on drop, never printed.
pub struct Pin(AuthPin);

impl Pin {
    /// Takes the text over.
    pub fn new(pin: String) -> Result<Self, TokenError> {
        let len = pin.len();
        let pin = Self(AuthPin::from(pin));
        if len == 0 || len > PIN_BYTES_MAX { Err(TokenError::PinMalformed { len }) } else { Ok(pin) }
    }

    /// From UTF-8 bytes.
    pub fn from_bytes(pin: &[u8]) -> Result<Self, TokenError> {
        match std::str::from_utf8(pin) {
            Ok(text) => Self::new(text.to_owned()),
            Err(source) => Err(TokenError::PinEncoding { source }),
        }
    }

    pub(crate) fn auth(&self) -> &AuthPin {
        &self.0
    }

    /// A second copy, for whoever must log in again by himself.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// The bytes, lent.
    pub(crate) fn expose<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        use secrecy::ExposeSecret as _;
        f(self.0.expose_secret().as_bytes())
    }

    pub(crate) fn matches(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        self.0.expose_secret().as_bytes().ct_eq(other.0.expose_secret().as_bytes()).into()
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(redacted)")
    }
}

/// What a token says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Who made it.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Whether it was initialised.
    pub initialised: bool,
    /// Whether a user PIN was set.
    pub pin_set: bool,
    /// Whether the user PIN is locked.
    pub pin_locked: bool,
    /// Whether one more wrong PIN locks it.
    pub pin_final_try: bool,
    /// Whether a wrong PIN was given since the last right one.
    pub pin_count_low: bool,
    /// Whether this process is logged in to it.
    pub logged_in: bool,
}

/// What kind of key lies in a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// An elliptic-curve key on secp256k1.
    Secp256k1,
    /// An elliptic-curve key on P-256.
    P256,
    /// An Ed25519 key.
    Ed25519,
    /// An elliptic-curve key on the curve of SM2, where the token has a mechanism of its maker for it.
    Sm2,
    /// An RSA key.
    Rsa {
        /// The length of its modulus.
        bits: u32,
    },
}

impl KeyKind {
    /// The kind of a name: `secp256k1`, `p256`, `ed25519`, `rsa-2048`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "secp256k1" => Some(Self::Secp256k1),
            "p256" => Some(Self::P256),
            "ed25519" => Some(Self::Ed25519),
            "sm2" => Some(Self::Sm2),
            _ => Some(Self::Rsa { bits: name.strip_prefix("rsa-")?.parse().ok()? }),
        }
    }

    /// The schemes that a key of this kind can sign with, if the token offers them.
    pub const fn schemes(self) -> &'static [Scheme] {
        match self {
            Self::Secp256k1 => &[Scheme::EcdsaSecp256k1, Scheme::Bip340],
            Self::P256 => &[Scheme::EcdsaP256],
            Self::Ed25519 => &[Scheme::Ed25519],
            Self::Sm2 => &[Scheme::Sm2],
            Self::Rsa { .. } => &[Scheme::RsaPss, Scheme::RsaPkcs1],
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secp256k1 => f.write_str("secp256k1"),
            Self::P256 => f.write_str("p256"),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::Sm2 => f.write_str("sm2"),
            Self::Rsa { bits } => write!(f, "rsa-{bits}"),
        }
    }
}

/// What a token says of a private key: unverified, and nothing where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `CKA_SENSITIVE`: cannot be read in plaintext.
    pub sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`: can be wrapped and exported.
    pub extractable: Option<bool>,
    /// `CKA_LOCAL`: was generated in the token.
    pub local: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: Option<bool>,
    /// For SM2, which PKCS#11 does not standardise: the signer's id, and that the token hashes the message itself.
    pub sm2: Option<Sm2Claims>,
}

/// How a token makes SM2 signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sm2Claims {
    /// The signer's id that goes into the hash (GB/T 32918.2).
    pub id: &'static str,
    /// Whether the token hashes the message with SM3 itself.
    pub hashes: bool,
}

impl Claims {
    /// The claims as words, for people: `sensitive`, `not-extractable`, ...
    pub fn names(&self) -> Vec<String> {
        let word = |value: Option<bool>, yes: &str, no: &str| {
            value.map(|value| String::from(if value { yes } else { no }))
        };
        [
            word(self.sensitive, "sensitive", "not-sensitive"),
            word(self.extractable, "extractable", "not-extractable"),
            word(self.local, "generated-in-token", "imported"),
            word(self.always_sensitive, "always-sensitive", "was-not-sensitive"),
            word(self.never_extractable, "never-extractable", "was-extractable"),
        ]
        .into_iter()
        .flatten()
        .chain(self.sm2.into_iter().flat_map(|sm2| {
            let hashes = if sm2.hashes { "sm3-by-token" } else { "sm3-by-service" };
            [format!("sm2-id-{}", sm2.id), String::from(hashes)]
        }))
        .collect()
    }
}

/// A key in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// Its label.
    pub label: String,
    /// Its `CKA_ID`.
    pub id: Vec<u8>,
    /// Its kind.
    pub kind: KeyKind,
    /// Its public key, once per scheme that the token can sign with; empty if the token does not show it.
    pub public_keys: Vec<PublicKey>,
    /// What the token says of it.
    pub claims: Claims,
}

impl TokenKey {
    /// The public key under a scheme, if the token can sign with it.
    pub fn public_key(&self, scheme: Scheme) -> Option<&PublicKey> {
        self.public_keys.iter().find(|key| key.scheme() == scheme)
    }
}

/// What is to be signed.
pub enum Payload {
    /// A message; all schemes but Ed25519 sign its SHA-256 digest.
    Message(Vec<u8>),
    /// The SHA-256 digest of a message; not for Ed25519.
    Digest([u8; 32]),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => write!(f, "Message({} bytes)", message.len()),
            Self::Digest(_) => f.write_str("Digest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_print_redacted_and_have_a_bounded_length() {
        let pin = Pin::new("1234".into()).unwrap();
        assert_eq!(format!("{pin:?}"), "Pin(redacted)");
        assert!(pin.matches(&Pin::from_bytes(b"1234").unwrap()));
        assert!(!pin.matches(&Pin::from_bytes(b"12345").unwrap()));
        for len in [0, PIN_BYTES_MAX + 1] {
            assert!(matches!(Pin::new("1".repeat(len)), Err(TokenError::PinMalformed { .. })));
        }
        assert!(matches!(Pin::from_bytes(&[0xff]), Err(TokenError::PinEncoding { .. })));
    }

    #[test]
    fn kinds_have_names_that_read_back() {
        let rsa = KeyKind::Rsa { bits: 3072 };
        for kind in [KeyKind::Secp256k1, KeyKind::P256, KeyKind::Ed25519, KeyKind::Sm2, rsa] {
            assert_eq!(KeyKind::from_name(&kind.to_string()), Some(kind));
        }
        for name in ["", "rsa", "rsa-", "rsa-x", "p384"] {
            assert_eq!(KeyKind::from_name(name), None);
        }
    }
}
