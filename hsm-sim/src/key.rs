//! Keys as the mechanisms use them, built once from an object's attributes.

mod edwards;
mod rsa;
mod weierstrass;

use std::fmt;

use aes_gcm::{Aes256Gcm, KeyInit};
use cryptoki_sys as sys;
use zeroize::Zeroizing;

pub(crate) use self::edwards::{EdwardsPrivate, EdwardsPublic};
pub(crate) use self::rsa::{MODULUS_BITS, Padding, RsaPrivate, RsaPublic};
pub(crate) use self::weierstrass::{K256Private, K256Public, P256Private, P256Public};
use crate::attribute::Attributes;
use crate::error::{Refusal, Result};

/// A key ready for use. Private parts wipe themselves on drop.
pub(crate) enum Key {
    K256Private(Box<K256Private>),
    K256Public(Box<K256Public>),
    P256Private(Box<P256Private>),
    P256Public(Box<P256Public>),
    EdwardsPrivate(Box<EdwardsPrivate>),
    EdwardsPublic(Box<EdwardsPublic>),
    RsaPrivate(Box<RsaPrivate>),
    RsaPublic(Box<RsaPublic>),
    Aes(Box<Aes256Gcm>),
    Generic(Zeroizing<Vec<u8>>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

/// The curves, as `CKA_EC_PARAMS` names them.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Curve {
    Secp256k1,
    P256,
    Ed25519,
}

impl Curve {
    /// Reads a DER object identifier or, for Ed25519, the curve's name as a PrintableString.
    pub(crate) fn parse(params: &[u8]) -> Result<Self, Refusal> {
        match params {
            // 1.3.132.0.10
            [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a] => Ok(Self::Secp256k1),
            // 1.2.840.10045.3.1.7
            [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => Ok(Self::P256),
            // 1.3.101.112 (RFC 8410), the older 1.3.6.1.4.1.11591.15.1 that OpenSC 0.23 sends, and the name
            [0x06, 0x03, 0x2b, 0x65, 0x70] => Ok(Self::Ed25519),
            [0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01] => Ok(Self::Ed25519),
            [0x13, 0x0c, name @ ..] if name == b"edwards25519" => Ok(Self::Ed25519),
            _ => Err(Refusal::Curve),
        }
    }

    /// The curve of an object, checked against its `CKA_KEY_TYPE`.
    fn of(attributes: &Attributes) -> Result<Self, Refusal> {
        let curve = Self::parse(attributes.bytes(sys::CKA_EC_PARAMS).ok_or(Refusal::TemplateIncomplete)?)?;
        let edwards = attributes.number(sys::CKA_KEY_TYPE) == Some(sys::CKK_EC_EDWARDS);
        if edwards == (curve == Self::Ed25519) { Ok(curve) } else { Err(Refusal::TemplateInconsistent) }
    }
}

impl Key {
    /// Builds the key of an object; `None` for classes that hold none.
    pub(crate) fn of(attributes: &Attributes) -> Result<Option<Self>> {
        let key_type = attributes.number(sys::CKA_KEY_TYPE);
        Ok(Some(match (attributes.number(sys::CKA_CLASS), key_type) {
            (Some(sys::CKO_PRIVATE_KEY), Some(sys::CKK_RSA)) => {
                Self::RsaPrivate(Box::new(RsaPrivate::from_attributes(attributes)?))
            }
            (Some(sys::CKO_PUBLIC_KEY), Some(sys::CKK_RSA)) => {
                Self::RsaPublic(Box::new(RsaPublic::from_attributes(attributes)?))
            }
            (Some(sys::CKO_PRIVATE_KEY), Some(sys::CKK_EC | sys::CKK_EC_EDWARDS)) => {
                Self::ec_private(attributes)?
            }
            (Some(sys::CKO_PUBLIC_KEY), Some(sys::CKK_EC | sys::CKK_EC_EDWARDS)) => {
                Self::ec_public(attributes)?
            }
            (Some(sys::CKO_SECRET_KEY), Some(sys::CKK_AES)) => {
                let value = required(attributes, sys::CKA_VALUE)?;
                let value = value.as_array::<32>().ok_or(Refusal::AttributeValue)?;
                Self::Aes(Box::new(Aes256Gcm::new(value.into())))
            }
            (Some(sys::CKO_SECRET_KEY), Some(sys::CKK_GENERIC_SECRET)) => {
                Self::Generic(Zeroizing::new(required(attributes, sys::CKA_VALUE)?.to_vec()))
            }
            (Some(sys::CKO_PRIVATE_KEY | sys::CKO_PUBLIC_KEY | sys::CKO_SECRET_KEY), _) => {
                return Err(Refusal::AttributeValue.into());
            }
            _ => return Ok(None),
        }))
    }

    fn ec_private(attributes: &Attributes) -> Result<Self> {
        let value = required(attributes, sys::CKA_VALUE)?;
        Ok(match Curve::of(attributes)? {
            Curve::Secp256k1 => Self::K256Private(Box::new(K256Private::from_scalar(value)?)),
            Curve::P256 => Self::P256Private(Box::new(P256Private::from_scalar(value)?)),
            Curve::Ed25519 => Self::EdwardsPrivate(Box::new(EdwardsPrivate::from_seed(value)?)),
        })
    }

    fn ec_public(attributes: &Attributes) -> Result<Self> {
        let point = octet_string(required(attributes, sys::CKA_EC_POINT)?)?;
        Ok(match Curve::of(attributes)? {
            Curve::Secp256k1 => Self::K256Public(Box::new(K256Public::from_point(point)?)),
            Curve::P256 => Self::P256Public(Box::new(P256Public::from_point(point)?)),
            Curve::Ed25519 => Self::EdwardsPublic(Box::new(EdwardsPublic::from_point(point)?)),
        })
    }
}

pub(crate) fn required(attributes: &Attributes, attribute: sys::CK_ATTRIBUTE_TYPE) -> Result<&[u8], Refusal> {
    attributes.bytes(attribute).ok_or(Refusal::TemplateIncomplete)
}

/// The content of a short-form DER OCTET STRING, as `CKA_EC_POINT` holds it.
fn octet_string(der: &[u8]) -> Result<&[u8], Refusal> {
    match der {
        [0x04, length, content @ ..] if *length < 0x80 && content.len() == usize::from(*length) => {
            Ok(content)
        }
        _ => Err(Refusal::AttributeValue),
    }
}

/// A DER OCTET STRING of a point; every point here is shorter than 128 bytes.
pub(crate) fn to_octet_string(point: &[u8]) -> Vec<u8> {
    let length = u8::try_from(point.len()).unwrap_or(u8::MAX);
    [&[0x04, length], point].concat()
}
