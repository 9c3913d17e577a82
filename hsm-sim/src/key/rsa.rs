//! RSA: PKCS#1 v1.5, PSS and OAEP. The crate's timing advisory is why this stays in a simulator; private
//! operations are blinded.

use cryptoki_sys as sys;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use rsa::pkcs8::EncodePrivateKey;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BoxedUint, Oaep, Pkcs1v15Encrypt, Pkcs1v15Sign, Pss, RsaPrivateKey, RsaPublicKey};
use zeroize::Zeroizing;

use super::required;
use crate::attribute::Attributes;
use crate::error::{Refusal, Result};
use crate::hash::{Hash, with_sha};

/// Sizes of the modulus of keys that are used, in bits.
const MODULUS_BITS: std::ops::RangeInclusive<u64> = 1024..=8192;
/// Sizes of the modulus of keys that are made, in bits.
pub(crate) const MADE_BITS: std::ops::RangeInclusive<u64> = 1024..=4096;

/// How an RSA signature is padded. SM3 has no place here.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Padding {
    /// The data goes in as it is (a DigestInfo, by custom).
    Raw,
    /// DigestInfo of a digest.
    Digest(Hash),
    /// PSS with this hash, also in MGF1.
    Pss { hash: Hash, salt_bytes: usize },
}

/// How a message is padded for RSA encryption.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    Pkcs1,
    /// The hash of the label and the one in MGF1 may differ.
    Oaep {
        hash: Hash,
        mask: Hash,
        label: Vec<u8>,
    },
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

    pub(super) fn from_key(key: RsaPrivateKey) -> Result<Self, Refusal> {
        check_size(key.n())?;
        Ok(Self(key))
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

    pub(crate) fn modulus_bytes(&self) -> usize {
        self.0.size()
    }

    /// `data` is the digest, or what goes in raw.
    pub(crate) fn sign(&self, padding: Padding, data: &[u8]) -> Result<Vec<u8>> {
        check_data(padding, data, self.0.size())?;
        let mut rng = UnwrapErr(SysRng);
        Ok(match padding {
            Padding::Raw => self.0.sign_with_rng(&mut rng, Pkcs1v15Sign::new_unprefixed(), data)?,
            Padding::Digest(hash) => with_sha!(hash, D =>
                self.0.sign_with_rng(&mut rng, Pkcs1v15Sign::new::<D>(), data)?,
                return Err(Refusal::Mechanism.into())),
            Padding::Pss { hash, salt_bytes } => with_sha!(hash, D =>
                self.0.sign_with_rng(&mut rng, Pss::<D>::new_with_salt(salt_bytes), data)?,
                return Err(Refusal::Mechanism.into())),
        })
    }

    /// PKCS#1 v1.5 rejects implicitly: bad padding gives a wrong message, not an error.
    pub(crate) fn decrypt(&self, envelope: &Envelope, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        if sealed.len() != self.0.size() {
            return Err(Refusal::CiphertextLength);
        }
        let mut rng = UnwrapErr(SysRng);
        let opened = match envelope {
            Envelope::Pkcs1 => self.0.decrypt_blinded(&mut rng, Pkcs1v15Encrypt, sealed),
            Envelope::Oaep { hash, mask, label } => with_sha!(*hash, D => with_sha!(*mask, M =>
                self.0.decrypt_blinded(&mut rng, oaep::<D, M>(label), sealed),
                return Err(Refusal::MechanismParameter)), return Err(Refusal::MechanismParameter)),
        };
        opened.map(Zeroizing::new).or(Err(Refusal::CiphertextInvalid))
    }

    /// `PrivateKeyInfo` of RFC 5958, the key as PKCS#1 has it.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let document = self.0.to_pkcs8_der().or(Err(Refusal::KeyNotWrappable))?;
        Ok(Zeroizing::new(document.as_bytes().to_vec()))
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

    pub(crate) fn modulus_bytes(&self) -> usize {
        self.0.size()
    }

    pub(crate) fn verify(&self, padding: Padding, data: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        check_data(padding, data, self.0.size())?;
        let verified = match padding {
            Padding::Raw => self.0.verify(Pkcs1v15Sign::new_unprefixed(), data, signature),
            Padding::Digest(hash) => with_sha!(hash, D =>
                self.0.verify(Pkcs1v15Sign::new::<D>(), data, signature),
                return Err(Refusal::Mechanism)),
            Padding::Pss { hash, salt_bytes } => with_sha!(hash, D =>
                self.0.verify(Pss::<D>::new_with_salt(salt_bytes), data, signature),
                return Err(Refusal::Mechanism)),
        };
        verified.or(Err(Refusal::SignatureInvalid))
    }

    pub(crate) fn encrypt(&self, envelope: &Envelope, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let overhead = match envelope {
            Envelope::Pkcs1 => 11,
            Envelope::Oaep { hash, .. } => 2 * hash.bytes() + 2,
        };
        if plain.len() + overhead > self.0.size() {
            return Err(Refusal::DataLength.into());
        }
        let mut rng = UnwrapErr(SysRng);
        Ok(Zeroizing::new(match envelope {
            Envelope::Pkcs1 => self.0.encrypt(&mut rng, Pkcs1v15Encrypt, plain)?,
            Envelope::Oaep { hash, mask, label } => with_sha!(*hash, D => with_sha!(*mask, M =>
                self.0.encrypt(&mut rng, oaep::<D, M>(label), plain)?,
                return Err(Refusal::MechanismParameter.into())),
                return Err(Refusal::MechanismParameter.into())),
        }))
    }
}

fn oaep<D, M>(label: &[u8]) -> Oaep<D, M>
where
    D: sha2::Digest + sha2::digest::FixedOutputReset,
    M: sha2::Digest + sha2::digest::FixedOutputReset,
{
    Oaep::<D, M>::new_with_mgf_hash_and_label(label)
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
        Padding::Digest(hash) => data.len() == hash.bytes(),
        Padding::Pss { hash, salt_bytes } => {
            data.len() == hash.bytes() && data.len() + salt_bytes + 2 <= modulus_bytes
        }
    };
    if fits { Ok(()) } else { Err(Refusal::DataLength) }
}
