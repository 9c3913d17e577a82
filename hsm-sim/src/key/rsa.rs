//! RSA: PKCS#1 v1.5 and PSS. The crate's timing advisory is why this stays in a simulator; signing is blinded.

use cryptoki_sys as sys;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPrivateKey, RsaPublicKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::required;
use crate::attribute::Attributes;
use crate::error::{Refusal, Result};

/// Sizes of the modulus, in bits.
pub(crate) const MODULUS_BITS: std::ops::RangeInclusive<u64> = 2048..=4096;

/// How an RSA signature is padded.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Padding {
    /// The data goes in as it is (a DigestInfo, by custom).
    Raw,
    /// DigestInfo of the SHA-256 digest.
    Sha256,
    /// PSS with SHA-256 and MGF1-SHA-256.
    Pss { salt_bytes: usize },
}

/// An RSA private key.
pub(crate) struct RsaPrivate(RsaPrivateKey);

impl RsaPrivate {
    pub(crate) fn generate(bits: usize, exponent: &[u8]) -> Result<Self> {
        let exponent = BoxedUint::from_be_slice_vartime(exponent);
        let generated = RsaPrivateKey::new_with_exp(&mut UnwrapErr(SysRng), bits, exponent);
        Ok(Self(generated?))
    }

    pub(crate) fn from_attributes(attributes: &Attributes) -> Result<Self> {
        let number = |attribute| required(attributes, attribute).map(integer);
        let modulus = number(sys::CKA_MODULUS)?;
        check_size(&modulus)?;
        let primes = vec![number(sys::CKA_PRIME_1)?, number(sys::CKA_PRIME_2)?];
        let exponents = (number(sys::CKA_PUBLIC_EXPONENT)?, number(sys::CKA_PRIVATE_EXPONENT)?);
        let key = RsaPrivateKey::from_components(modulus, exponents.0, exponents.1, primes);
        key.map(Self).or(Err(Refusal::AttributeValue.into()))
    }

    /// Writes the eight numbers of PKCS#1.
    pub(crate) fn to_attributes(&self, attributes: &mut Attributes) {
        RsaPublic(self.0.to_public_key()).to_attributes(attributes);
        attributes.remove(sys::CKA_MODULUS_BITS);
        let mut put = |attribute, number: &BoxedUint| {
            attributes.set_bytes(attribute, &Zeroizing::new(number.to_be_bytes_trimmed_vartime().into_vec()));
        };
        put(sys::CKA_PRIVATE_EXPONENT, self.0.d());
        for (attribute, prime) in [sys::CKA_PRIME_1, sys::CKA_PRIME_2].into_iter().zip(self.0.primes()) {
            put(attribute, prime.as_ref());
        }
        for (attribute, number) in [(sys::CKA_EXPONENT_1, self.0.dp()), (sys::CKA_EXPONENT_2, self.0.dq())] {
            number.into_iter().for_each(|number| put(attribute, number));
        }
        self.0.crt_coefficient().iter().for_each(|number| put(sys::CKA_COEFFICIENT, number));
    }

    pub(crate) fn public(&self) -> RsaPublic {
        RsaPublic(self.0.to_public_key())
    }

    pub(crate) fn signature_bytes(&self) -> usize {
        self.0.size()
    }

    /// `data` is the digest, or what goes in raw.
    pub(crate) fn sign(&self, padding: Padding, data: &[u8]) -> Result<Vec<u8>> {
        check_data(padding, data, self.0.size())?;
        let mut rng = UnwrapErr(SysRng);
        Ok(match padding {
            Padding::Raw => self.0.sign_with_rng(&mut rng, Pkcs1v15Sign::new_unprefixed(), data)?,
            Padding::Sha256 => self.0.sign_with_rng(&mut rng, Pkcs1v15Sign::new::<Sha256>(), data)?,
            Padding::Pss { salt_bytes } => {
                self.0.sign_with_rng(&mut rng, Pss::<Sha256>::new_with_salt(salt_bytes), data)?
            }
        })
    }
}

/// An RSA public key.
pub(crate) struct RsaPublic(RsaPublicKey);

impl RsaPublic {
    pub(crate) fn from_attributes(attributes: &Attributes) -> Result<Self, Refusal> {
        let modulus = integer(required(attributes, sys::CKA_MODULUS)?);
        check_size(&modulus)?;
        let exponent = integer(required(attributes, sys::CKA_PUBLIC_EXPONENT)?);
        RsaPublicKey::new(modulus, exponent).map(Self).or(Err(Refusal::AttributeValue))
    }

    pub(crate) fn to_attributes(&self, attributes: &mut Attributes) {
        let modulus = self.0.n().to_be_bytes_trimmed_vartime();
        attributes.set_number(sys::CKA_MODULUS_BITS, u64::from(self.0.n().bits()));
        attributes.set_bytes(sys::CKA_MODULUS, &modulus);
        attributes.set_bytes(sys::CKA_PUBLIC_EXPONENT, &self.0.e().to_be_bytes_trimmed_vartime());
    }

    pub(crate) fn signature_bytes(&self) -> usize {
        self.0.size()
    }

    pub(crate) fn verify(&self, padding: Padding, data: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        check_data(padding, data, self.0.size())?;
        let verified = match padding {
            Padding::Raw => self.0.verify(Pkcs1v15Sign::new_unprefixed(), data, signature),
            Padding::Sha256 => self.0.verify(Pkcs1v15Sign::new::<Sha256>(), data, signature),
            Padding::Pss { salt_bytes } => {
                self.0.verify(Pss::<Sha256>::new_with_salt(salt_bytes), data, signature)
            }
        };
        verified.or(Err(Refusal::SignatureInvalid))
    }
}

fn integer(bytes: &[u8]) -> BoxedUint {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    BoxedUint::from_be_slice_vartime(bytes.get(zeros..).unwrap_or_default())
}

fn check_size(modulus: &BoxedUint) -> Result<(), Refusal> {
    if MODULUS_BITS.contains(&u64::from(modulus.bits())) { Ok(()) } else { Err(Refusal::KeySize) }
}

fn check_data(padding: Padding, data: &[u8], modulus_bytes: usize) -> Result<(), Refusal> {
    let fits = match padding {
        Padding::Raw => data.len() + 11 <= modulus_bytes,
        Padding::Sha256 => data.len() == Sha256::output_size(),
        Padding::Pss { salt_bytes } => {
            data.len() == Sha256::output_size() && data.len() + salt_bytes + 2 <= modulus_bytes
        }
    };
    if fits { Ok(()) } else { Err(Refusal::DataLength) }
}
