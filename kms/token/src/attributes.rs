//! What an object in a token says of itself: curves, points, moduli and claims.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use cryptoki::session::Session;
use keyward_domain::scheme::{PublicKey, Scheme};

use crate::types::{Claims, KeyKind, TokenName};
use crate::worker::{Fault, while_doing};

/// DER of the curve's object identifier 1.3.132.0.10.
pub(crate) const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
/// DER of the curve's object identifier 1.2.840.10045.3.1.7.
pub(crate) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// DER of the curve's object identifier 1.2.156.10197.1.301 (GM/T 0006).
pub(crate) const SM2: &[u8] = &[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];
/// DER of the object identifier 1.3.101.112 (RFC 8410).
pub(crate) const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// DER of the printable string `edwards25519` (PKCS#11 v3.0, section 2.3.5).
pub(crate) const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";
/// DER of the object identifier 1.3.6.1.4.1.11591.15.1, which some tokens still give.
const ED25519_OLD: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;

/// The attributes of one key object that are of use here.
pub(crate) struct Facts(Vec<Attribute>);

impl Facts {
    pub(crate) fn read(session: &Session, token: &TokenName, object: ObjectHandle) -> Result<Self, Fault> {
        let wanted = [
            AttributeType::Label,
            AttributeType::Id,
            AttributeType::KeyType,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::Local,
            AttributeType::AlwaysSensitive,
            AttributeType::NeverExtractable,
        ];
        let attributes = session.get_attributes(object, &wanted);
        Ok(Self(attributes.map_err(while_doing(token, "describe a key"))?))
    }

    pub(crate) fn label(&self) -> String {
        let label = self.find(|attribute| match attribute {
            Attribute::Label(label) => Some(label.as_slice()),
            _ => None,
        });
        String::from_utf8_lossy(label.unwrap_or_default()).trim_end_matches('\0').to_owned()
    }

    pub(crate) fn id(&self) -> &[u8] {
        let id = self.find(|attribute| match attribute {
            Attribute::Id(id) => Some(id.as_slice()),
            _ => None,
        });
        id.unwrap_or_default()
    }

    /// None for keys that we have no use for.
    pub(crate) fn kind(&self) -> Option<KeyKind> {
        let key_type = self.find(|attribute| match attribute {
            Attribute::KeyType(key_type) => Some(*key_type),
            _ => None,
        })?;
        if key_type == KeyType::RSA {
            let bits = bit_length(self.modulus()?);
            return Some(KeyKind::Rsa { bits });
        }
        if key_type != KeyType::EC && key_type != KeyType::EC_EDWARDS {
            return None;
        }
        let curve = self.find(|attribute| match attribute {
            Attribute::EcParams(curve) => Some(curve.as_slice()),
            _ => None,
        })?;
        match curve {
            SECP256K1 => Some(KeyKind::Secp256k1),
            P256 => Some(KeyKind::P256),
            SM2 => Some(KeyKind::Sm2),
            ED25519 | ED25519_NAME | ED25519_OLD => Some(KeyKind::Ed25519),
            _ => None,
        }
    }

    /// The public key in the one encoding of a scheme; none when the object does not show it, or shows no
    /// valid key.
    pub(crate) fn public_key(&self, scheme: Scheme) -> Option<PublicKey> {
        match self.kind()? {
            KeyKind::Rsa { .. } => {
                let exponent = self.find(|attribute| match attribute {
                    Attribute::PublicExponent(exponent) => Some(exponent.as_slice()),
                    _ => None,
                });
                PublicKey::from_rsa(scheme, self.modulus()?, exponent?).ok()
            }
            KeyKind::Ed25519 => PublicKey::parse(scheme, ed25519_point(self.point()?)?).ok(),
            KeyKind::Secp256k1 | KeyKind::P256 | KeyKind::Sm2 => {
                PublicKey::from_sec1(scheme, weierstrass_point(self.point()?)?).ok()
            }
        }
    }

    pub(crate) fn claims(&self) -> Claims {
        let mut claims = Claims::default();
        for attribute in &self.0 {
            match attribute {
                Attribute::Sensitive(value) => claims.sensitive = Some(*value),
                Attribute::Extractable(value) => claims.extractable = Some(*value),
                Attribute::Local(value) => claims.local = Some(*value),
                Attribute::AlwaysSensitive(value) => claims.always_sensitive = Some(*value),
                Attribute::NeverExtractable(value) => claims.never_extractable = Some(*value),
                _ => {}
            }
        }
        claims
    }

    fn point(&self) -> Option<&[u8]> {
        self.find(|attribute| match attribute {
            Attribute::EcPoint(point) if !point.is_empty() => Some(point.as_slice()),
            _ => None,
        })
    }

    fn modulus(&self) -> Option<&[u8]> {
        self.find(|attribute| match attribute {
            Attribute::Modulus(modulus) if !modulus.is_empty() => Some(modulus.as_slice()),
            _ => None,
        })
    }

    fn find<'a, T>(&'a self, pick: impl Fn(&'a Attribute) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(pick)
    }
}

/// `CKA_EC_POINT` comes raw or as a DER octet string; the length tells which.
fn weierstrass_point(point: &[u8]) -> Option<&[u8]> {
    match (point.len(), point) {
        (65 | 33, _) => Some(point),
        (67, [OCTET_STRING, 65, raw @ ..]) | (35, [OCTET_STRING, 33, raw @ ..]) => Some(raw),
        _ => None,
    }
}

fn ed25519_point(point: &[u8]) -> Option<&[u8]> {
    match (point.len(), point) {
        (32, _) => Some(point),
        (34, [OCTET_STRING, 32, raw @ ..]) | (35, [BIT_STRING, 33, 0, raw @ ..]) => Some(raw),
        _ => None,
    }
}

fn bit_length(modulus: &[u8]) -> u32 {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let rest = modulus.get(zeros..).unwrap_or_default();
    let bits = rest.len() * 8 - rest.first().map_or(0, |byte| byte.leading_zeros() as usize);
    u32::try_from(bits).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(key_type: KeyType, curve: &[u8], point: Vec<u8>) -> Facts {
        Facts(vec![
            Attribute::KeyType(key_type),
            Attribute::EcParams(curve.to_vec()),
            Attribute::EcPoint(point),
        ])
    }

    const GENERATOR: &str = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";

    #[test]
    fn point_is_read_raw_der_and_compressed_alike() {
        let raw = hex::decode(GENERATOR).unwrap();
        let mut compressed = raw[..33].to_vec();
        compressed[0] = 2;
        let der = |bytes: &[u8]| [&[4, bytes.len() as u8], bytes].concat();
        let x_only = PublicKey::parse(Scheme::Bip340, &raw[1..33]).unwrap();
        for point in [raw.clone(), der(&raw), compressed.clone(), der(&compressed)] {
            let facts = facts(KeyType::EC, SECP256K1, point);
            assert_eq!(facts.public_key(Scheme::EcdsaSecp256k1).unwrap().as_bytes(), compressed);
            assert_eq!(facts.public_key(Scheme::Bip340).unwrap(), x_only);
        }
        for bad in [vec![], vec![4; 64], vec![4; 66], vec![5; 67], vec![9; 65]] {
            assert!(facts(KeyType::EC, SECP256K1, bad).public_key(Scheme::EcdsaSecp256k1).is_none());
        }
    }

    #[test]
    fn ed25519_key_is_read_in_every_spelling() {
        let raw = hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
        let spellings = [raw.clone(), [&[4, 32], &raw[..]].concat(), [&[3, 33, 0], &raw[..]].concat()];
        for point in spellings {
            for curve in [ED25519, ED25519_NAME, ED25519_OLD] {
                let facts = facts(KeyType::EC_EDWARDS, curve, point.clone());
                assert_eq!(facts.public_key(Scheme::Ed25519).unwrap().as_bytes(), raw);
            }
        }
    }

    #[test]
    fn rsa_bits_ignore_leading_zeros() {
        let mut modulus = vec![0xff; 256];
        assert_eq!(bit_length(&modulus), 2048);
        modulus.insert(0, 0);
        assert_eq!(bit_length(&modulus), 2048);
        assert_eq!(bit_length(&[0, 1]), 1);
        assert_eq!(bit_length(&[]), 0);
    }
}
