//! Keys on short Weierstrass curves: ECDSA on secp256k1, P-256, P-384 and P-521, BIP340 on the first, SM2 on its
//! own curve, and Diffie-Hellman on all of them.

use k256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use zeroize::Zeroizing;

use super::Curve;
use crate::error::{Error, Refusal, Result};
use crate::seal::random;

/// Digests that ECDSA takes, in bytes; they are cut to the leftmost bits of the group's order.
const DIGEST_BYTES: std::ops::RangeInclusive<usize> = 1..=64;
/// The longest field element here, in bytes.
const FIELD_BYTES_MAX: usize = 66;

/// A private key on one of the curves.
pub(crate) struct CurvePrivate {
    pub(crate) curve: Curve,
    key: Box<dyn Private>,
}

/// A public key on one of the curves.
pub(crate) struct CurvePublic {
    pub(crate) curve: Curve,
    key: Box<dyn Public>,
}

/// What a private key does, whatever its curve.
trait Private: Send + Sync {
    /// The uncompressed point.
    fn point(&self) -> Vec<u8>;
    fn sign(&self, digest: &[u8]) -> Result<Vec<u8>>;
    /// The x coordinate of the shared point (SEC 1, section 3.3.1).
    fn agree(&self, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal>;
    /// `PrivateKeyInfo` of RFC 5958, version 0.
    fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Refusal>;
    fn sign_bip340(&self, _message: &[u8]) -> Result<Vec<u8>> {
        Err(Refusal::KeyType.into())
    }
}

/// What a public key does, whatever its curve.
trait Public: Send + Sync {
    fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), Refusal>;
    /// The uncompressed point.
    fn point(&self) -> Vec<u8>;
}

impl CurvePrivate {
    pub(crate) fn generate(curve: Curve) -> Result<(Self, Zeroizing<Vec<u8>>)> {
        let bytes = curve.field_bytes();
        loop {
            let drawn = Zeroizing::new(random::<FIELD_BYTES_MAX>()?);
            let mut scalar = Zeroizing::new(drawn.iter().copied().take(bytes).collect::<Vec<u8>>());
            if curve == Curve::P521 {
                // 521 bits: seven of the first byte are always zero.
                scalar.iter_mut().take(1).for_each(|byte| *byte &= 1);
            }
            // Zero and values past the order are drawn again.
            if let Ok(key) = Self::from_scalar(curve, &scalar) {
                return Ok((key, scalar));
            }
        }
    }

    /// A big-endian scalar; leading zeros may be missing or superfluous.
    pub(crate) fn from_scalar(curve: Curve, value: &[u8]) -> Result<Self, Refusal> {
        let value = scalar(value, curve.field_bytes())?;
        let key: Box<dyn Private> = match curve {
            Curve::Secp256k1 => Box::new(K256Private::new(&value)?),
            Curve::P256 => Box::new(P256Private::new(&value)?),
            Curve::P384 => Box::new(P384Private::new(&value)?),
            Curve::P521 => Box::new(P521Private::new(&value)?),
            Curve::Sm2 => Box::new(Sm2Private::new(&value)?),
            Curve::Ed25519 => return Err(Refusal::Curve),
        };
        Ok(Self { curve, key })
    }

    /// The uncompressed point.
    pub(crate) fn point(&self) -> Vec<u8> {
        self.key.point()
    }

    /// Raw r || s, each as long as the field; nonces as RFC 6979 says (SM2: over SM3).
    pub(crate) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>> {
        self.key.sign(&prepared(self.curve, digest)?)
    }

    /// BIP340 over a 32-byte message, with fresh auxiliary randomness.
    pub(crate) fn sign_bip340(&self, message: &[u8]) -> Result<Vec<u8>> {
        check_bip340(message)?;
        self.key.sign_bip340(message)
    }

    pub(crate) fn agree(&self, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        self.key.agree(point)
    }

    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        self.key.to_pkcs8()
    }
}

impl CurvePublic {
    /// A SEC 1 point, compressed or not.
    pub(crate) fn from_point(curve: Curve, point: &[u8]) -> Result<Self, Refusal> {
        let key: Box<dyn Public> = match curve {
            Curve::Secp256k1 => Box::new(K256Public::new(point)?),
            Curve::P256 => Box::new(P256Public::new(point)?),
            Curve::P384 => Box::new(P384Public::new(point)?),
            Curve::P521 => Box::new(P521Public::new(point)?),
            Curve::Sm2 => Box::new(Sm2Public::new(point)?),
            Curve::Ed25519 => return Err(Refusal::Curve),
        };
        Ok(Self { curve, key })
    }

    /// The uncompressed point.
    pub(crate) fn point(&self) -> Vec<u8> {
        self.key.point()
    }

    /// Accepts high and low S alike, as PKCS#11 does.
    pub(crate) fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        self.key.verify(&prepared(self.curve, digest)?, signature)
    }

    pub(crate) fn verify_bip340(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        check_bip340(message)?;
        let point = self.point();
        let x_only = point.get(1..33).ok_or(Refusal::KeyType)?;
        let key = k256::schnorr::VerifyingKey::from_slice(x_only).or(Err(Refusal::SignatureInvalid))?;
        let parsed = k256::schnorr::Signature::try_from(signature).or(Err(Refusal::SignatureInvalid))?;
        key.verify_raw(message, &parsed).or(Err(Refusal::SignatureInvalid))
    }
}

/// The keys of one curve; `$sign` and `$verify` make the crate's own keys, `$normal` the S that it accepts.
macro_rules! curve {
    ($curve:ident::$dsa:ident, $private:ident, $public:ident,
     |$secret:ident| $sign:expr, |$known:ident| $verify:expr, |$signature:ident| $normal:expr
     $(, $field:ident: $type:ty = |$scalar:ident| $make:expr, |$message:ident| $schnorr:expr)?) => {
        struct $private {
            secret: $curve::SecretKey,
            signing: $curve::$dsa::SigningKey,
            $($field: $type,)?
        }

        impl $private {
            fn new(scalar: &[u8]) -> Result<Self, Refusal> {
                let secret = $curve::SecretKey::from_slice(scalar).or(Err(Refusal::AttributeValue))?;
                let $secret = &secret;
                let signing = $sign;
                $(let $field = {
                    let $scalar = secret.to_nonzero_scalar();
                    $make
                };)?
                Ok(Self { secret, signing $(, $field)? })
            }
        }

        impl Private for $private {
            fn point(&self) -> Vec<u8> {
                use $curve::elliptic_curve::sec1::ToSec1Point;
                self.secret.public_key().to_sec1_point(false).as_bytes().to_vec()
            }

            fn sign(&self, digest: &[u8]) -> Result<Vec<u8>> {
                let signature: $curve::$dsa::Signature = self.signing.sign_prehash(digest)?;
                Ok(signature.to_bytes().to_vec())
            }

            fn agree(&self, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
                use $curve::elliptic_curve::point::AffineCoordinates;
                // A point off the curve and the point at infinity are refused here.
                let other = $curve::PublicKey::from_sec1_bytes(point).or(Err(Refusal::MechanismParameter))?;
                let shared = other.to_projective() * self.secret.to_nonzero_scalar().as_ref();
                Ok(Zeroizing::new(shared.to_affine().x().to_vec()))
            }

            fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Refusal> {
                use $curve::pkcs8::EncodePrivateKey;
                let document = self.secret.to_pkcs8_der().or(Err(Refusal::KeyNotWrappable))?;
                Ok(Zeroizing::new(document.as_bytes().to_vec()))
            }

            $(fn sign_bip340(&self, $message: &[u8]) -> Result<Vec<u8>> {
                let $field = &self.$field;
                $schnorr
            })?
        }

        struct $public {
            public: $curve::PublicKey,
            verifying: $curve::$dsa::VerifyingKey,
        }

        impl $public {
            fn new(point: &[u8]) -> Result<Self, Refusal> {
                let public = $curve::PublicKey::from_sec1_bytes(point).or(Err(Refusal::AttributeValue))?;
                let $known = &public;
                let verifying = $verify;
                Ok(Self { public, verifying })
            }
        }

        impl Public for $public {
            fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), Refusal> {
                let parsed = $curve::$dsa::Signature::from_slice(signature);
                let $signature = parsed.or(Err(Refusal::SignatureInvalid))?;
                self.verifying.verify_prehash(digest, &$normal).or(Err(Refusal::SignatureInvalid))
            }

            fn point(&self) -> Vec<u8> {
                use $curve::elliptic_curve::sec1::ToSec1Point;
                self.public.to_sec1_point(false).as_bytes().to_vec()
            }
        }
    };
}

curve!(
    k256::ecdsa, K256Private, K256Public,
    |secret| k256::ecdsa::SigningKey::from(secret),
    |public| k256::ecdsa::VerifyingKey::from(public),
    |signature| signature.normalize_s(),
    schnorr: k256::schnorr::SigningKey = |scalar| k256::schnorr::SigningKey::from(scalar),
    |message| Ok(schnorr.sign_raw(message, &random()?).map_err(Error::Signature)?.to_bytes().to_vec())
);
curve!(
    p256::ecdsa,
    P256Private,
    P256Public,
    |secret| p256::ecdsa::SigningKey::from(secret),
    |public| p256::ecdsa::VerifyingKey::from(public),
    |signature| signature
);
curve!(
    p384::ecdsa,
    P384Private,
    P384Public,
    |secret| p384::ecdsa::SigningKey::from(secret),
    |public| p384::ecdsa::VerifyingKey::from(public),
    |signature| signature
);
curve!(
    p521::ecdsa,
    P521Private,
    P521Public,
    |secret| p521::ecdsa::SigningKey::from(secret),
    |public| p521::ecdsa::VerifyingKey::from(public),
    |signature| signature
);
curve!(
    sm2::dsa,
    Sm2Private,
    Sm2Public,
    // The identifier plays no part in a signature over e itself.
    |secret| sm2::dsa::SigningKey::new("", secret).or(Err(Refusal::AttributeValue))?,
    |public| sm2::dsa::VerifyingKey::new("", *public).or(Err(Refusal::AttributeValue))?,
    |signature| signature
);

/// What is signed: e of 32 bytes for SM2; for ECDSA a digest. A short one is filled up with zeros on the left,
/// which leaves its value as it is (RFC 6979, section 2.3.2), but never so far that it would be shifted.
fn prepared(curve: Curve, digest: &[u8]) -> Result<Vec<u8>, Refusal> {
    let fits = match curve {
        Curve::Sm2 => digest.len() == 32,
        _ => DIGEST_BYTES.contains(&digest.len()),
    };
    if !fits {
        return Err(Refusal::DataLength);
    }
    let missing = curve.field_bytes().min(*DIGEST_BYTES.end()).saturating_sub(digest.len());
    Ok([&vec![0; missing], digest].concat())
}

fn check_bip340(message: &[u8]) -> Result<(), Refusal> {
    if message.len() == 32 { Ok(()) } else { Err(Refusal::DataLength) }
}

fn scalar(value: &[u8], bytes: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    let digits = value.get(zeros..).unwrap_or_default();
    let room = bytes.checked_sub(digits.len()).ok_or(Refusal::AttributeValue)?;
    let mut scalar = Zeroizing::new(vec![0; bytes]);
    scalar.iter_mut().skip(room).zip(digits).for_each(|(to, from)| *to = *from);
    Ok(scalar)
}
