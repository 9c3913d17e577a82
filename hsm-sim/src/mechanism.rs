//! The mechanisms: their names, their parameters as a caller gives them, and what they mean.

mod parse;
mod table;

use cryptoki_sys as sys;
use cryptoki_sys::{CK_FLAGS, CK_MECHANISM_TYPE, CK_ULONG};

pub(crate) use self::parse::{Cipher, Derivation, Scheme, Wrapping, no_parameter};
pub use self::table::MECHANISMS;
pub(crate) use self::table::info;

/// BIP340 over a 32-byte message: `CKM_VENDOR_DEFINED | 0x4B570001`, no parameter, key type `CKK_EC` on
/// secp256k1. Not part of PKCS#11, as the five below.
pub const CKM_KEYWARD_BIP340: CK_MECHANISM_TYPE = sys::CKM_VENDOR_DEFINED | 0x4B57_0001;
/// Makes an SM2 key pair: key type `CKK_EC`, `CKA_EC_PARAMS` 1.2.156.10197.1.301 (also if the template has none).
pub const CKM_KEYWARD_SM2_KEY_PAIR_GEN: CK_MECHANISM_TYPE = sys::CKM_VENDOR_DEFINED | 0x4B57_0010;
/// SM2 over a 32-byte e; r || s of 64 bytes, no parameter.
pub const CKM_KEYWARD_SM2: CK_MECHANISM_TYPE = sys::CKM_VENDOR_DEFINED | 0x4B57_0011;
/// SM2 with SM3 over a message; the parameter is the signer's identifier, none means `1234567812345678`.
pub const CKM_KEYWARD_SM2_SM3: CK_MECHANISM_TYPE = sys::CKM_VENDOR_DEFINED | 0x4B57_0012;
/// The SM3 digest (GB/T 32905), 32 bytes.
pub const CKM_KEYWARD_SM3: CK_MECHANISM_TYPE = sys::CKM_VENDOR_DEFINED | 0x4B57_0013;
/// HMAC over SM3, with a generic secret.
pub const CKM_KEYWARD_HMAC_SM3: CK_MECHANISM_TYPE = sys::CKM_VENDOR_DEFINED | 0x4B57_0014;

/// The longest additional data of AES-GCM, in bytes.
pub const AAD_BYTES_MAX: usize = 1 << 20;
/// The longest other part of a parameter (an IV, a label, shared data), in bytes.
pub const PARAMETER_BYTES_MAX: usize = 1 << 16;

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
    /// Plain bytes: an initialisation vector, an identifier.
    Bytes(Vec<u8>),
    /// `CK_RSA_PKCS_PSS_PARAMS`.
    Pss {
        /// `hashAlg`.
        hash: CK_MECHANISM_TYPE,
        /// `mgf`.
        mask: CK_ULONG,
        /// `sLen`, in bytes.
        salt_bytes: CK_ULONG,
    },
    /// `CK_RSA_PKCS_OAEP_PARAMS`.
    Oaep(Oaep),
    /// `CK_RSA_AES_KEY_WRAP_PARAMS`.
    RsaAes {
        /// `ulAESKeyBits`.
        aes_bits: CK_ULONG,
        /// `pOAEPParams`.
        oaep: Oaep,
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
    /// `CK_AES_CTR_PARAMS`.
    Counter {
        /// `ulCounterBits`.
        bits: CK_ULONG,
        /// `cb`.
        block: [u8; 16],
    },
    /// `CK_ECDH1_DERIVE_PARAMS`.
    Ecdh {
        /// `kdf`.
        kdf: CK_ULONG,
        /// `pSharedData`.
        shared: Vec<u8>,
        /// `pPublicData`.
        public: Vec<u8>,
    },
    /// `CK_EDDSA_PARAMS` of PKCS#11 v3.0.
    Eddsa {
        /// `phFlag`.
        prehashed: bool,
        /// `pContextData`.
        context: Vec<u8>,
    },
    /// `CK_KEY_DERIVATION_STRING_DATA`.
    Text(Vec<u8>),
    /// `CK_AES_CBC_ENCRYPT_DATA_PARAMS`.
    CbcText {
        /// `iv`.
        iv: [u8; 16],
        /// `pData`.
        text: Vec<u8>,
    },
    /// Something that this token cannot read.
    Unknown,
}

/// `CK_RSA_PKCS_OAEP_PARAMS`.
#[derive(Debug)]
pub struct Oaep {
    /// `hashAlg`.
    pub hash: CK_MECHANISM_TYPE,
    /// `mgf`.
    pub mask: CK_ULONG,
    /// `source`.
    pub source: CK_ULONG,
    /// `pSourceData`.
    pub label: Vec<u8>,
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
