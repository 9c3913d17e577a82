//! Private keys as they travel wrapped: `PrivateKeyInfo` (RFC 5958, version 0), read into attributes.

use cryptoki_sys as sys;
use cryptoki_sys::CK_KEY_TYPE;
use rsa::RsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use zeroize::Zeroizing;

use super::{Curve, EdwardsPrivate, Key, RsaPrivate};
use crate::attribute::Attributes;
use crate::error::{Refusal, Result};

/// A private key's `PrivateKeyInfo`.
pub(crate) fn encode(key: &Key) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    match key {
        Key::CurvePrivate(key) => key.to_pkcs8(),
        Key::EdwardsPrivate(key) => Ok(key.to_pkcs8()),
        Key::RsaPrivate(key) => key.to_pkcs8(),
        _ => Err(Refusal::KeyNotWrappable),
    }
}

/// The key material in a `PrivateKeyInfo`, which must be of this type. What does not parse or fit is
/// [`Refusal::WrappedKeyInvalid`].
pub(crate) fn decode(key_type: CK_KEY_TYPE, der: &[u8]) -> Result<Attributes, Refusal> {
    let mut material = Attributes::default();
    match key_type {
        sys::CKK_RSA => {
            let key = RsaPrivateKey::from_pkcs8_der(der).or(Err(Refusal::WrappedKeyInvalid))?;
            RsaPrivate::from_key(key)?.to_attributes(&mut material);
        }
        sys::CKK_EC => decode_curve(der, &mut material)?,
        sys::CKK_EC_EDWARDS => {
            material.set_bytes(sys::CKA_EC_PARAMS, Curve::Ed25519.params());
            material.set_bytes(sys::CKA_VALUE, EdwardsPrivate::from_pkcs8(der)?);
        }
        _ => return Err(Refusal::KeyType),
    }
    Ok(material)
}

/// Each curve's reader refuses the others' object identifiers.
fn decode_curve(der: &[u8], material: &mut Attributes) -> Result<(), Refusal> {
    macro_rules! attempt {
        ($($curve:ident = $name:ident),*) => {$(
            if let Ok(key) = <$curve::SecretKey as $curve::pkcs8::DecodePrivateKey>::from_pkcs8_der(der) {
                material.set_bytes(sys::CKA_EC_PARAMS, Curve::$name.params());
                material.set_bytes(sys::CKA_VALUE, &Zeroizing::new(key.to_bytes()));
                return Ok(());
            }
        )*};
    }
    attempt!(k256 = Secp256k1, p256 = P256, p384 = P384, p521 = P521, sm2 = Sm2);
    Err(Refusal::WrappedKeyInvalid)
}
