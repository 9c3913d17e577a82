//! Keys as the mechanisms use them, built once from an object's attributes.

mod edwards;
pub(crate) mod pkcs8;
mod rsa;
pub(crate) mod sm2;
mod weierstrass;

use std::fmt;

use cryptoki_sys as sys;
use zeroize::Zeroizing;

pub(crate) use self::edwards::{EdwardsPrivate, EdwardsPublic};
pub(crate) use self::rsa::{Envelope, MADE_BITS, Padding, RsaPrivate, RsaPublic};
pub(crate) use self::weierstrass::{CurvePrivate, CurvePublic};
use crate::attribute::Attributes;
use crate::error::{Refusal, Result};

/// A key ready for use. Private parts wipe themselves on drop.
pub(crate) enum Key {
    CurvePrivate(Box<CurvePrivate>),
    CurvePublic(Box<CurvePublic>),
    EdwardsPrivate(Box<EdwardsPrivate>),
    EdwardsPublic(Box<EdwardsPublic>),
    RsaPrivate(Box<RsaPrivate>),
    RsaPublic(Box<RsaPublic>),
    /// 16, 24 or 32 bytes.
    Aes(Zeroizing<Vec<u8>>),
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
    P384,
    P521,
    Sm2,
    Ed25519,
}

impl Curve {
    /// Reads a DER object identifier or, for Ed25519, the curve's name as a PrintableString.
    pub(crate) fn parse(params: &[u8]) -> Result<Self, Refusal> {
        let named = [Self::Secp256k1, Self::P256, Self::P384, Self::P521, Self::Sm2, Self::Ed25519];
        if let Some(curve) = named.into_iter().find(|curve| curve.params() == params) {
            return Ok(curve);
        }
        match params {
            // The older 1.3.6.1.4.1.11591.15.1 that OpenSC 0.23 sends, and the name.
            [0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01] => Ok(Self::Ed25519),
            [0x13, 0x0c, name @ ..] if name == b"edwards25519" => Ok(Self::Ed25519),
            _ => Err(Refusal::Curve),
        }
    }

    /// The object identifier in DER.
    pub(crate) fn params(self) -> &'static [u8] {
        match self {
            // 1.3.132.0.10
            Self::Secp256k1 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a],
            // 1.2.840.10045.3.1.7
            Self::P256 => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            // 1.3.132.0.34
            Self::P384 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
            // 1.3.132.0.35
            Self::P521 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23],
            // 1.2.156.10197.1.301
            Self::Sm2 => &[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d],
            // 1.3.101.112 (RFC 8410)
            Self::Ed25519 => &[0x06, 0x03, 0x2b, 0x65, 0x70],
        }
    }

    /// The length of a coordinate and of a scalar.
    pub(crate) fn field_bytes(self) -> usize {
        match self {
            Self::P384 => 48,
            Self::P521 => 66,
            _ => 32,
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
                if !matches!(value.len(), 16 | 24 | 32) {
                    return Err(Refusal::AttributeValue.into());
                }
                Self::Aes(Zeroizing::new(value.to_vec()))
            }
            (Some(sys::CKO_SECRET_KEY), Some(sys::CKK_GENERIC_SECRET)) => {
                let value = required(attributes, sys::CKA_VALUE)?;
                if value.is_empty() {
                    return Err(Refusal::AttributeValue.into());
                }
                Self::Generic(Zeroizing::new(value.to_vec()))
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
            Curve::Ed25519 => Self::EdwardsPrivate(Box::new(EdwardsPrivate::from_seed(value)?)),
            curve => Self::CurvePrivate(Box::new(CurvePrivate::from_scalar(curve, value)?)),
        })
    }

    fn ec_public(attributes: &Attributes) -> Result<Self> {
        let point = octet_string(required(attributes, sys::CKA_EC_POINT)?).ok_or(Refusal::AttributeValue)?;
        Ok(match Curve::of(attributes)? {
            Curve::Ed25519 => Self::EdwardsPublic(Box::new(EdwardsPublic::from_point(point)?)),
            curve => Self::CurvePublic(Box::new(CurvePublic::from_point(curve, point)?)),
        })
    }

    /// The bytes of a secret key.
    pub(crate) fn secret(&self) -> Option<&[u8]> {
        match self {
            Self::Aes(value) | Self::Generic(value) => Some(value),
            _ => None,
        }
    }
}

pub(crate) fn required(attributes: &Attributes, attribute: sys::CK_ATTRIBUTE_TYPE) -> Result<&[u8], Refusal> {
    attributes.bytes(attribute).ok_or(Refusal::TemplateIncomplete)
}

/// The content of a DER OCTET STRING of less than 256 bytes, as `CKA_EC_POINT` holds it.
pub(crate) fn octet_string(der: &[u8]) -> Option<&[u8]> {
    match der {
        [0x04, 0x81, length, content @ ..] if content.len() == usize::from(*length) && *length >= 0x80 => {
            Some(content)
        }
        [0x04, length, content @ ..] if content.len() == usize::from(*length) && *length < 0x80 => {
            Some(content)
        }
        _ => None,
    }
}

/// A DER OCTET STRING of a point; every point here is shorter than 256 bytes.
pub(crate) fn to_octet_string(point: &[u8]) -> Vec<u8> {
    match u8::try_from(point.len()).unwrap_or(u8::MAX) {
        length @ ..0x80 => [&[0x04, length], point].concat(),
        length => [&[0x04, 0x81, length], point].concat(),
    }
}
