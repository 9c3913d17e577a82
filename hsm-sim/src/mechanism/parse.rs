//! From a mechanism and its parameter to what is to be done. A parameter that does not belong to the mechanism, or
//! holds a value that it cannot have, is [`Refusal::MechanismParameter`].

use cryptoki_sys as sys;
use cryptoki_sys::{CK_FLAGS, CK_MECHANISM_TYPE};

use super::{
    AAD_BYTES_MAX, CKM_KEYWARD_BIP340, CKM_KEYWARD_SM2, CKM_KEYWARD_SM2_SM3, Mechanism, Oaep,
    PARAMETER_BYTES_MAX, Parameter,
};
use crate::cipher::{BLOCK_BYTES, TAG_BYTES};
use crate::error::Refusal;
use crate::hash::{Hash, MacKind};
use crate::key::{Envelope, Padding, sm2};

/// The longest salt of PSS, in bytes; what fits a key is checked with the key.
const SALT_BYTES_MAX: usize = 1024;

/// How a mechanism signs: what is hashed first, and with which key.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) enum Scheme {
    Ecdsa(Option<Hash>),
    Eddsa,
    Bip340,
    /// Over e.
    Sm2,
    /// Over a message of the signer with this identifier.
    Sm2Message(Vec<u8>),
    Rsa {
        padding: Padding,
        hash: Option<Hash>,
    },
    Mac(MacKind),
}

impl Scheme {
    pub(crate) fn parse(mechanism: &Mechanism) -> Result<Self, Refusal> {
        let kind = mechanism.kind;
        match (kind, &mechanism.parameter) {
            (sys::CKM_RSA_PKCS_PSS, parameter) => return pss(parameter, None),
            (CKM_KEYWARD_SM2_SM3, Parameter::None) => return Ok(Self::Sm2Message(sm2::DEFAULT_ID.to_vec())),
            (CKM_KEYWARD_SM2_SM3, Parameter::Bytes(id)) if id.len() <= sm2::ID_BYTES_MAX => {
                return Ok(Self::Sm2Message(id.clone()));
            }
            // Ed25519 itself (RFC 8032, section 5.1) has neither prehash nor context.
            (sys::CKM_EDDSA, Parameter::Eddsa { prehashed: false, context }) if context.is_empty() => {
                return Ok(Self::Eddsa);
            }
            _ => {}
        }
        if let Some(hash) = pss_hash(kind) {
            return pss(&mechanism.parameter, Some(hash));
        }
        let scheme = match kind {
            sys::CKM_ECDSA => Self::Ecdsa(None),
            sys::CKM_ECDSA_SHA224 => Self::Ecdsa(Some(Hash::Sha224)),
            sys::CKM_ECDSA_SHA256 => Self::Ecdsa(Some(Hash::Sha256)),
            sys::CKM_ECDSA_SHA384 => Self::Ecdsa(Some(Hash::Sha384)),
            sys::CKM_ECDSA_SHA512 => Self::Ecdsa(Some(Hash::Sha512)),
            sys::CKM_EDDSA => Self::Eddsa,
            CKM_KEYWARD_BIP340 => Self::Bip340,
            CKM_KEYWARD_SM2 => Self::Sm2,
            CKM_KEYWARD_SM2_SM3 => return Err(Refusal::MechanismParameter),
            sys::CKM_RSA_PKCS => Self::Rsa { padding: Padding::Raw, hash: None },
            sys::CKM_SHA224_RSA_PKCS => Self::pkcs1(Hash::Sha224),
            sys::CKM_SHA256_RSA_PKCS => Self::pkcs1(Hash::Sha256),
            sys::CKM_SHA384_RSA_PKCS => Self::pkcs1(Hash::Sha384),
            sys::CKM_SHA512_RSA_PKCS => Self::pkcs1(Hash::Sha512),
            _ => Self::Mac(MacKind::of_mechanism(kind).ok_or(Refusal::Mechanism)?),
        };
        no_parameter(mechanism)?;
        Ok(scheme)
    }

    fn pkcs1(hash: Hash) -> Self {
        Self::Rsa { padding: Padding::Digest(hash), hash: Some(hash) }
    }
}

fn pss_hash(kind: CK_MECHANISM_TYPE) -> Option<Hash> {
    Some(match kind {
        sys::CKM_SHA224_RSA_PKCS_PSS => Hash::Sha224,
        sys::CKM_SHA256_RSA_PKCS_PSS => Hash::Sha256,
        sys::CKM_SHA384_RSA_PKCS_PSS => Hash::Sha384,
        sys::CKM_SHA512_RSA_PKCS_PSS => Hash::Sha512,
        _ => return None,
    })
}

/// One hash for message and mask, never SHA-1. `hashed` is the hash in the mechanism's name, if it has one.
fn pss(parameter: &Parameter, hashed: Option<Hash>) -> Result<Scheme, Refusal> {
    let Parameter::Pss { hash, mask, salt_bytes } = parameter else {
        return Err(Refusal::MechanismParameter);
    };
    let hash = sha2(*hash)?;
    let fits = Hash::of_mask(*mask) == Some(hash) && hashed.is_none_or(|hashed| hashed == hash);
    let salt_bytes = usize::try_from(*salt_bytes).ok().filter(|bytes| fits && *bytes <= SALT_BYTES_MAX);
    let salt_bytes = salt_bytes.ok_or(Refusal::MechanismParameter)?;
    Ok(Scheme::Rsa { padding: Padding::Pss { hash, salt_bytes }, hash: hashed })
}

fn sha2(kind: CK_MECHANISM_TYPE) -> Result<Hash, Refusal> {
    match Hash::of_mechanism(kind) {
        Some(hash) if !matches!(hash, Hash::Sha1 | Hash::Sm3) => Ok(hash),
        _ => Err(Refusal::MechanismParameter),
    }
}

/// How a mechanism encrypts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    Ecb,
    Cbc { iv: [u8; BLOCK_BYTES], padded: bool },
    Counter { bits: u32, block: [u8; BLOCK_BYTES] },
    Gcm { nonce: Vec<u8>, aad: Vec<u8>, tag_bytes: usize },
    Rsa(Envelope),
}

impl Cipher {
    pub(crate) fn parse(mechanism: &Mechanism) -> Result<Self, Refusal> {
        Ok(match (mechanism.kind, &mechanism.parameter) {
            (sys::CKM_AES_ECB, Parameter::None) => Self::Ecb,
            (sys::CKM_AES_CBC, Parameter::Bytes(iv)) => Self::Cbc { iv: block(iv)?, padded: false },
            (sys::CKM_AES_CBC_PAD, Parameter::Bytes(iv)) => Self::Cbc { iv: block(iv)?, padded: true },
            (sys::CKM_AES_CTR, Parameter::Counter { bits: bits @ 1..=128, block }) => Self::Counter {
                bits: u32::try_from(*bits).or(Err(Refusal::MechanismParameter))?,
                block: *block,
            },
            (sys::CKM_AES_GCM, Parameter::Gcm { iv, aad, tag_bits }) => gcm(iv, aad, *tag_bits)?,
            (sys::CKM_RSA_PKCS, Parameter::None) => Self::Rsa(Envelope::Pkcs1),
            (sys::CKM_RSA_PKCS_OAEP, Parameter::Oaep(given)) => Self::Rsa(oaep(given)?),
            (kind, _) => return Err(refusal(kind, sys::CKF_ENCRYPT)),
        })
    }
}

fn gcm(nonce: &[u8], aad: &[u8], tag_bits: u64) -> Result<Cipher, Refusal> {
    let tag_bytes = usize::try_from(tag_bits / 8).unwrap_or(0);
    let fits = !nonce.is_empty()
        && aad.len() <= AAD_BYTES_MAX
        && tag_bits.is_multiple_of(8)
        && TAG_BYTES.contains(&tag_bytes);
    match fits {
        true => Ok(Cipher::Gcm { nonce: nonce.to_vec(), aad: aad.to_vec(), tag_bytes }),
        false => Err(Refusal::MechanismParameter),
    }
}

fn block(iv: &[u8]) -> Result<[u8; BLOCK_BYTES], Refusal> {
    iv.as_array().copied().ok_or(Refusal::MechanismParameter)
}

/// SHA-1 is allowed here: OAEP does not need collisions to be hard to find, and clients' defaults use it.
fn oaep(given: &Oaep) -> Result<Envelope, Refusal> {
    let hash = Hash::of_mechanism(given.hash).filter(|hash| *hash != Hash::Sm3);
    let mask = Hash::of_mask(given.mask);
    let labelled = given.source == sys::CKZ_DATA_SPECIFIED || (given.source == 0 && given.label.is_empty());
    match (hash, mask) {
        (Some(hash), Some(mask)) if labelled && given.label.len() <= PARAMETER_BYTES_MAX => {
            Ok(Envelope::Oaep { hash, mask, label: given.label.clone() })
        }
        _ => Err(Refusal::MechanismParameter),
    }
}

/// How a mechanism wraps keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// RFC 3394, or RFC 5649 with padding.
    AesKeyWrap {
        padded: bool,
    },
    AesCbcPad {
        iv: [u8; BLOCK_BYTES],
    },
    Rsa(Envelope),
    /// A fresh AES key under RSA-OAEP, the key under that with RFC 5649.
    RsaAes {
        aes_bytes: usize,
        envelope: Envelope,
    },
}

/// The initial value of RFC 3394, which a parameter may repeat.
const KEY_WRAP_IV: [u8; 8] = [0xa6; 8];

impl Wrapping {
    pub(crate) fn parse(mechanism: &Mechanism) -> Result<Self, Refusal> {
        Ok(match (mechanism.kind, &mechanism.parameter) {
            (sys::CKM_AES_KEY_WRAP, Parameter::None) => Self::AesKeyWrap { padded: false },
            (sys::CKM_AES_KEY_WRAP, Parameter::Bytes(iv)) if *iv == KEY_WRAP_IV => {
                Self::AesKeyWrap { padded: false }
            }
            (sys::CKM_AES_KEY_WRAP_PAD | sys::CKM_AES_KEY_WRAP_KWP, Parameter::None) => {
                Self::AesKeyWrap { padded: true }
            }
            (sys::CKM_AES_CBC_PAD, Parameter::Bytes(iv)) => Self::AesCbcPad { iv: block(iv)? },
            (sys::CKM_RSA_PKCS, Parameter::None) => Self::Rsa(Envelope::Pkcs1),
            (sys::CKM_RSA_PKCS_OAEP, Parameter::Oaep(given)) => Self::Rsa(oaep(given)?),
            (sys::CKM_RSA_AES_KEY_WRAP, Parameter::RsaAes { aes_bits, oaep: given }) => {
                let aes_bytes = match aes_bits {
                    128 => 16,
                    192 => 24,
                    256 => 32,
                    _ => return Err(Refusal::MechanismParameter),
                };
                Self::RsaAes { aes_bytes, envelope: oaep(given)? }
            }
            (kind, _) => return Err(refusal(kind, sys::CKF_WRAP)),
        })
    }
}

/// How a mechanism derives a key from another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Derivation {
    /// With the key derivation function of ANSI X9.63 over this hash, or none.
    Ecdh {
        kdf: Option<Hash>,
        shared: Vec<u8>,
        public: Vec<u8>,
    },
    /// The key is the text, encrypted.
    Ecb(Vec<u8>),
    Cbc {
        iv: [u8; BLOCK_BYTES],
        text: Vec<u8>,
    },
}

impl Derivation {
    pub(crate) fn parse(mechanism: &Mechanism) -> Result<Self, Refusal> {
        match (mechanism.kind, &mechanism.parameter) {
            (sys::CKM_ECDH1_DERIVE, Parameter::Ecdh { kdf, shared, public }) => {
                let kdf = match *kdf {
                    // Without a function there is nothing that the shared data could go into.
                    sys::CKD_NULL if shared.is_empty() => None,
                    sys::CKD_SHA1_KDF => Some(Hash::Sha1),
                    sys::CKD_SHA224_KDF => Some(Hash::Sha224),
                    sys::CKD_SHA256_KDF => Some(Hash::Sha256),
                    sys::CKD_SHA384_KDF => Some(Hash::Sha384),
                    sys::CKD_SHA512_KDF => Some(Hash::Sha512),
                    _ => return Err(Refusal::MechanismParameter),
                };
                Ok(Self::Ecdh { kdf, shared: shared.clone(), public: public.clone() })
            }
            (sys::CKM_AES_ECB_ENCRYPT_DATA, Parameter::Text(text)) => Ok(Self::Ecb(whole(text)?)),
            (sys::CKM_AES_CBC_ENCRYPT_DATA, Parameter::CbcText { iv, text }) => {
                Ok(Self::Cbc { iv: *iv, text: whole(text)? })
            }
            (kind, _) => Err(refusal(kind, sys::CKF_DERIVE)),
        }
    }
}

/// Whole blocks, at least one.
fn whole(text: &[u8]) -> Result<Vec<u8>, Refusal> {
    let fits = !text.is_empty() && text.len().is_multiple_of(BLOCK_BYTES);
    if fits { Ok(text.to_vec()) } else { Err(Refusal::MechanismParameter) }
}

/// A known mechanism came with a parameter that is not its own; another has no place here.
fn refusal(kind: CK_MECHANISM_TYPE, purpose: CK_FLAGS) -> Refusal {
    let known = super::info(kind).is_ok_and(|info| info.flags & purpose != 0);
    if known { Refusal::MechanismParameter } else { Refusal::Mechanism }
}

/// Refuses a parameter where there is none.
pub(crate) fn no_parameter(mechanism: &Mechanism) -> Result<(), Refusal> {
    match mechanism.parameter {
        Parameter::None => Ok(()),
        _ => Err(Refusal::MechanismParameter),
    }
}
