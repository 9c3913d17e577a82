//! The mechanisms: the table that `C_GetMechanismInfo` shows, and their parameters.

use cryptoki_sys as sys;
use cryptoki_sys::{CK_FLAGS, CK_MECHANISM_TYPE, CK_ULONG};

use crate::error::Refusal;
use crate::key::Padding;

/// BIP340 over a 32-byte message: `CKM_VENDOR_DEFINED | 0x4B570001`, no parameter, key type `CKK_EC` on
/// secp256k1. Not part of PKCS#11.
pub const CKM_KEYWARD_BIP340: CK_MECHANISM_TYPE = sys::CKM_VENDOR_DEFINED | 0x4B57_0001;

/// The longest additional data of AES-GCM, in bytes.
pub const AAD_BYTES_MAX: usize = 1 << 20;

/// A mechanism as a caller names it.
#[derive(Debug)]
pub struct Mechanism {
    /// `CKM_...`.
    pub kind: CK_MECHANISM_TYPE,
    /// Its parameter, read by the C boundary.
    pub parameter: Parameter,
}

/// A mechanism's parameter.
#[derive(Debug)]
pub enum Parameter {
    /// Null and of length zero.
    None,
    /// `CK_RSA_PKCS_PSS_PARAMS`.
    Pss {
        /// `hashAlg`.
        hash: CK_MECHANISM_TYPE,
        /// `mgf`.
        mask: CK_ULONG,
        /// `sLen`, in bytes.
        salt_bytes: CK_ULONG,
    },
    /// `CK_GCM_PARAMS`.
    Gcm {
        /// The nonce; `ulIvBits` is ignored, as most tokens do.
        iv: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// `ulTagBits`.
        tag_bits: CK_ULONG,
    },
    /// Something that this token cannot read.
    Unknown,
}

/// What a mechanism can do, for `C_GetMechanismInfo`.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Smallest key: bits for RSA and curves, bytes for AES and generic secrets.
    pub key_min: CK_ULONG,
    /// Largest key.
    pub key_max: CK_ULONG,
    /// `CKF_...`.
    pub flags: CK_FLAGS,
}

const SIGNS: CK_FLAGS = sys::CKF_SIGN | sys::CKF_VERIFY;
const CURVE: CK_FLAGS = sys::CKF_EC_F_P | sys::CKF_EC_NAMEDCURVE | sys::CKF_EC_UNCOMPRESS;

/// Every mechanism, in the order that `C_GetMechanismList` gives.
pub const MECHANISMS: [(CK_MECHANISM_TYPE, CK_ULONG, CK_ULONG, CK_FLAGS); 17] = [
    (sys::CKM_EC_KEY_PAIR_GEN, 256, 256, sys::CKF_GENERATE_KEY_PAIR | CURVE),
    (sys::CKM_ECDSA, 256, 256, SIGNS | CURVE),
    (sys::CKM_ECDSA_SHA256, 256, 256, SIGNS | CURVE),
    (sys::CKM_EC_EDWARDS_KEY_PAIR_GEN, 255, 256, sys::CKF_GENERATE_KEY_PAIR | CURVE),
    (sys::CKM_EDDSA, 255, 256, SIGNS | CURVE),
    (CKM_KEYWARD_BIP340, 256, 256, SIGNS | CURVE),
    (sys::CKM_RSA_PKCS_KEY_PAIR_GEN, 2048, 4096, sys::CKF_GENERATE_KEY_PAIR),
    (sys::CKM_RSA_PKCS, 2048, 4096, SIGNS),
    (sys::CKM_SHA256_RSA_PKCS, 2048, 4096, SIGNS),
    (sys::CKM_RSA_PKCS_PSS, 2048, 4096, SIGNS),
    (sys::CKM_SHA256_RSA_PKCS_PSS, 2048, 4096, SIGNS),
    (sys::CKM_AES_KEY_GEN, 32, 32, sys::CKF_GENERATE),
    (sys::CKM_AES_GCM, 32, 32, sys::CKF_ENCRYPT | sys::CKF_DECRYPT),
    (sys::CKM_GENERIC_SECRET_KEY_GEN, 16, 512, sys::CKF_GENERATE),
    (sys::CKM_SHA256_HMAC, 16, 512, SIGNS),
    (sys::CKM_SHA256, 0, 0, sys::CKF_DIGEST),
    (sys::CKM_SHA512, 0, 0, sys::CKF_DIGEST),
];

/// The table's row for one mechanism.
pub(crate) fn info(kind: CK_MECHANISM_TYPE) -> Result<Info, Refusal> {
    let row = MECHANISMS.iter().find(|(known, ..)| *known == kind).ok_or(Refusal::Mechanism)?;
    Ok(Info { key_min: row.1, key_max: row.2, flags: row.3 })
}

/// How a mechanism signs: what is hashed first, and with which key.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Scheme {
    Ecdsa { hashed: bool },
    Eddsa,
    Bip340,
    Rsa { padding: Padding, hashed: bool },
    Hmac,
}

impl Scheme {
    pub(crate) fn parse(mechanism: &Mechanism) -> Result<Self, Refusal> {
        let scheme = match mechanism.kind {
            sys::CKM_ECDSA => Self::Ecdsa { hashed: false },
            sys::CKM_ECDSA_SHA256 => Self::Ecdsa { hashed: true },
            sys::CKM_EDDSA => Self::Eddsa,
            CKM_KEYWARD_BIP340 => Self::Bip340,
            sys::CKM_RSA_PKCS => Self::Rsa { padding: Padding::Raw, hashed: false },
            sys::CKM_SHA256_RSA_PKCS => Self::Rsa { padding: Padding::Sha256, hashed: true },
            sys::CKM_RSA_PKCS_PSS => return pss(&mechanism.parameter, false),
            sys::CKM_SHA256_RSA_PKCS_PSS => return pss(&mechanism.parameter, true),
            sys::CKM_SHA256_HMAC => Self::Hmac,
            _ => return Err(Refusal::Mechanism),
        };
        match mechanism.parameter {
            Parameter::None => Ok(scheme),
            _ => Err(Refusal::MechanismParameter),
        }
    }

    /// Whether data is hashed as it comes, so that a message in parts needs no memory.
    pub(crate) fn hashes(self) -> bool {
        matches!(self, Self::Ecdsa { hashed: true } | Self::Rsa { hashed: true, .. })
    }
}

fn pss(parameter: &Parameter, hashed: bool) -> Result<Scheme, Refusal> {
    match parameter {
        Parameter::Pss { hash: sys::CKM_SHA256, mask: sys::CKG_MGF1_SHA256, salt_bytes }
            if *salt_bytes <= 64 =>
        {
            let salt_bytes = usize::try_from(*salt_bytes).or(Err(Refusal::MechanismParameter))?;
            Ok(Scheme::Rsa { padding: Padding::Pss { salt_bytes }, hashed })
        }
        _ => Err(Refusal::MechanismParameter),
    }
}

/// AES-256-GCM, checked: a 12-byte nonce and a tag of 16 bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gcm {
    pub(crate) nonce: [u8; 12],
    pub(crate) aad: Vec<u8>,
}

/// The tag's length in bytes.
pub(crate) const GCM_TAG_BYTES: usize = 16;

impl Gcm {
    pub(crate) fn parse(mechanism: Mechanism) -> Result<Self, Refusal> {
        if mechanism.kind != sys::CKM_AES_GCM {
            return Err(Refusal::Mechanism);
        }
        match mechanism.parameter {
            Parameter::Gcm { iv, aad, tag_bits: 128 } if aad.len() <= AAD_BYTES_MAX => {
                let nonce = *iv.as_array().ok_or(Refusal::MechanismParameter)?;
                Ok(Self { nonce, aad })
            }
            _ => Err(Refusal::MechanismParameter),
        }
    }
}
