//! The table that `C_GetMechanismList` and `C_GetMechanismInfo` show.

use cryptoki_sys as sys;
use cryptoki_sys::{CK_FLAGS, CK_MECHANISM_TYPE, CK_ULONG};

use super::{
    CKM_KEYWARD_BIP340, CKM_KEYWARD_HMAC_SM3, CKM_KEYWARD_SM2, CKM_KEYWARD_SM2_KEY_PAIR_GEN,
    CKM_KEYWARD_SM2_SM3, CKM_KEYWARD_SM3, Info,
};
use crate::error::Refusal;

const SIGNS: CK_FLAGS = sys::CKF_SIGN | sys::CKF_VERIFY;
const SEALS: CK_FLAGS = sys::CKF_ENCRYPT | sys::CKF_DECRYPT;
const WRAPS: CK_FLAGS = sys::CKF_WRAP | sys::CKF_UNWRAP;
const PAIR: CK_FLAGS = sys::CKF_GENERATE_KEY_PAIR;
const CURVE: CK_FLAGS = sys::CKF_EC_F_P | sys::CKF_EC_NAMEDCURVE | sys::CKF_EC_UNCOMPRESS;
/// The longest key of a message authentication code, in bytes: what an attribute holds.
const MAC_KEY: CK_ULONG = crate::attribute::ATTRIBUTE_BYTES_MAX as CK_ULONG;

/// Every mechanism with smallest key, largest key and flags, in the order that `C_GetMechanismList` gives.
pub const MECHANISMS: [(CK_MECHANISM_TYPE, CK_ULONG, CK_ULONG, CK_FLAGS); 51] = [
    (sys::CKM_EC_KEY_PAIR_GEN, 256, 521, PAIR | CURVE),
    (sys::CKM_ECDSA, 256, 521, SIGNS | CURVE),
    (sys::CKM_ECDSA_SHA224, 256, 521, SIGNS | CURVE),
    (sys::CKM_ECDSA_SHA256, 256, 521, SIGNS | CURVE),
    (sys::CKM_ECDSA_SHA384, 256, 521, SIGNS | CURVE),
    (sys::CKM_ECDSA_SHA512, 256, 521, SIGNS | CURVE),
    (sys::CKM_ECDH1_DERIVE, 256, 521, sys::CKF_DERIVE | CURVE),
    (sys::CKM_EC_EDWARDS_KEY_PAIR_GEN, 255, 256, PAIR | CURVE),
    (sys::CKM_EDDSA, 255, 256, SIGNS | CURVE),
    (CKM_KEYWARD_BIP340, 256, 256, SIGNS | CURVE),
    (CKM_KEYWARD_SM2_KEY_PAIR_GEN, 256, 256, PAIR | CURVE),
    (CKM_KEYWARD_SM2, 256, 256, SIGNS | CURVE),
    (CKM_KEYWARD_SM2_SM3, 256, 256, SIGNS | CURVE),
    (sys::CKM_RSA_PKCS_KEY_PAIR_GEN, 1024, 4096, PAIR),
    (sys::CKM_RSA_PKCS, 1024, 8192, SIGNS | SEALS | WRAPS),
    (sys::CKM_SHA224_RSA_PKCS, 1024, 8192, SIGNS),
    (sys::CKM_SHA256_RSA_PKCS, 1024, 8192, SIGNS),
    (sys::CKM_SHA384_RSA_PKCS, 1024, 8192, SIGNS),
    (sys::CKM_SHA512_RSA_PKCS, 1024, 8192, SIGNS),
    (sys::CKM_RSA_PKCS_PSS, 1024, 8192, SIGNS),
    (sys::CKM_SHA224_RSA_PKCS_PSS, 1024, 8192, SIGNS),
    (sys::CKM_SHA256_RSA_PKCS_PSS, 1024, 8192, SIGNS),
    (sys::CKM_SHA384_RSA_PKCS_PSS, 1024, 8192, SIGNS),
    (sys::CKM_SHA512_RSA_PKCS_PSS, 1024, 8192, SIGNS),
    (sys::CKM_RSA_PKCS_OAEP, 1024, 8192, SEALS | WRAPS),
    (sys::CKM_RSA_AES_KEY_WRAP, 1024, 8192, WRAPS),
    (sys::CKM_AES_KEY_GEN, 16, 32, sys::CKF_GENERATE),
    (sys::CKM_AES_ECB, 16, 32, SEALS),
    (sys::CKM_AES_CBC, 16, 32, SEALS),
    (sys::CKM_AES_CBC_PAD, 16, 32, SEALS | WRAPS),
    (sys::CKM_AES_CTR, 16, 32, SEALS),
    (sys::CKM_AES_GCM, 16, 32, SEALS),
    (sys::CKM_AES_CMAC, 16, 32, SIGNS),
    (sys::CKM_AES_KEY_WRAP, 16, 32, WRAPS),
    (sys::CKM_AES_KEY_WRAP_PAD, 16, 32, WRAPS),
    (sys::CKM_AES_KEY_WRAP_KWP, 16, 32, WRAPS),
    (sys::CKM_AES_ECB_ENCRYPT_DATA, 16, 32, sys::CKF_DERIVE),
    (sys::CKM_AES_CBC_ENCRYPT_DATA, 16, 32, sys::CKF_DERIVE),
    (sys::CKM_GENERIC_SECRET_KEY_GEN, 16, 512, sys::CKF_GENERATE),
    (sys::CKM_SHA_1_HMAC, 1, MAC_KEY, SIGNS),
    (sys::CKM_SHA224_HMAC, 1, MAC_KEY, SIGNS),
    (sys::CKM_SHA256_HMAC, 1, MAC_KEY, SIGNS),
    (sys::CKM_SHA384_HMAC, 1, MAC_KEY, SIGNS),
    (sys::CKM_SHA512_HMAC, 1, MAC_KEY, SIGNS),
    (CKM_KEYWARD_HMAC_SM3, 1, MAC_KEY, SIGNS),
    (sys::CKM_SHA_1, 0, 0, sys::CKF_DIGEST),
    (sys::CKM_SHA224, 0, 0, sys::CKF_DIGEST),
    (sys::CKM_SHA256, 0, 0, sys::CKF_DIGEST),
    (sys::CKM_SHA384, 0, 0, sys::CKF_DIGEST),
    (sys::CKM_SHA512, 0, 0, sys::CKF_DIGEST),
    (CKM_KEYWARD_SM3, 0, 0, sys::CKF_DIGEST),
];

/// The table's row for one mechanism.
pub(crate) fn info(kind: CK_MECHANISM_TYPE) -> Result<Info, Refusal> {
    let row = MECHANISMS.iter().find(|(known, ..)| *known == kind).ok_or(Refusal::Mechanism)?;
    Ok(Info { key_min: row.1, key_max: row.2, flags: row.3 })
}
