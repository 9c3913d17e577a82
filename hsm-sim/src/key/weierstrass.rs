//! secp256k1 (ECDSA and BIP340) and P-256 (ECDSA).

use k256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use zeroize::Zeroizing;

use crate::error::{Error, Refusal, Result};
use crate::seal::random;

/// Digests that ECDSA takes, in bytes: at least half the field, cut to its leftmost 32 bytes.
const DIGEST_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

macro_rules! ecdsa_curve {
    ($curve:ident, $private:ident, $public:ident, { $($field:ident : $type:ty = $make:expr;)* }) => {
        /// A private key of this curve.
        pub(crate) struct $private {
            ecdsa: $curve::ecdsa::SigningKey,
            $($field: $type,)*
        }

        impl $private {
            pub(crate) fn generate() -> Result<(Self, Zeroizing<[u8; 32]>)> {
                loop {
                    let scalar = Zeroizing::new(random::<32>()?);
                    // Zero and values past the order (fewer than one in 2^32) are drawn again.
                    if let Ok(key) = Self::from_scalar(scalar.as_slice()) {
                        return Ok((key, scalar));
                    }
                }
            }

            /// A big-endian scalar; leading zeros may be missing or superfluous.
            pub(crate) fn from_scalar(value: &[u8]) -> Result<Self, Refusal> {
                let scalar = scalar(value)?;
                let ecdsa = $curve::ecdsa::SigningKey::from_slice(scalar.as_slice());
                let ecdsa = ecdsa.or(Err(Refusal::AttributeValue))?;
                $(let $field: $type = $make(&ecdsa);)*
                Ok(Self { ecdsa, $($field,)* })
            }

            /// The uncompressed point, 65 bytes.
            pub(crate) fn point(&self) -> Vec<u8> {
                self.ecdsa.verifying_key().to_sec1_point(false).as_bytes().to_vec()
            }

            /// Raw r || s, 64 bytes, RFC 6979.
            pub(crate) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>> {
                check_digest(digest)?;
                let signature: $curve::ecdsa::Signature = self.ecdsa.sign_prehash(digest)?;
                Ok(signature.to_bytes().to_vec())
            }
        }

        /// A public key of this curve.
        pub(crate) struct $public($curve::ecdsa::VerifyingKey);

        impl $public {
            pub(crate) fn from_point(point: &[u8]) -> Result<Self, Refusal> {
                $curve::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Self).or(Err(Refusal::AttributeValue))
            }

            /// Accepts high and low S alike, as PKCS#11 does.
            pub(crate) fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), Refusal> {
                check_digest(digest)?;
                let parsed = $curve::ecdsa::Signature::from_slice(signature).or(Err(Refusal::SignatureInvalid))?;
                let verified = self.0.verify_prehash(digest, &parsed.normalize_s());
                verified.or(Err(Refusal::SignatureInvalid))
            }
        }
    };
}

ecdsa_curve!(k256, K256Private, K256Public, {
    schnorr: k256::schnorr::SigningKey =
        |ecdsa: &k256::ecdsa::SigningKey| k256::schnorr::SigningKey::from(*ecdsa.as_nonzero_scalar());
});
ecdsa_curve!(p256, P256Private, P256Public, {});

impl K256Private {
    /// BIP340 over a 32-byte message, with fresh auxiliary randomness.
    pub(crate) fn sign_bip340(&self, message: &[u8]) -> Result<Vec<u8>> {
        check_bip340(message)?;
        let signature = self.schnorr.sign_raw(message, &random()?).map_err(Error::Signature)?;
        Ok(signature.to_bytes().to_vec())
    }
}

impl K256Public {
    pub(crate) fn verify_bip340(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        check_bip340(message)?;
        let point = self.0.to_sec1_point(true);
        let x_only = point.as_bytes().get(1..).unwrap_or_default();
        let key = k256::schnorr::VerifyingKey::from_slice(x_only).or(Err(Refusal::SignatureInvalid))?;
        let parsed = k256::schnorr::Signature::try_from(signature).or(Err(Refusal::SignatureInvalid))?;
        key.verify_raw(message, &parsed).or(Err(Refusal::SignatureInvalid))
    }
}

fn check_digest(digest: &[u8]) -> Result<(), Refusal> {
    if DIGEST_BYTES.contains(&digest.len()) { Ok(()) } else { Err(Refusal::DataLength) }
}

fn check_bip340(message: &[u8]) -> Result<(), Refusal> {
    if message.len() == 32 { Ok(()) } else { Err(Refusal::DataLength) }
}

fn scalar(value: &[u8]) -> Result<Zeroizing<[u8; 32]>, Refusal> {
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    let digits = value.get(zeros..).unwrap_or_default();
    let mut scalar = Zeroizing::new([0; 32]);
    let room = 32_usize.checked_sub(digits.len()).ok_or(Refusal::AttributeValue)?;
    scalar.iter_mut().skip(room).zip(digits).for_each(|(to, from)| *to = *from);
    Ok(scalar)
}
