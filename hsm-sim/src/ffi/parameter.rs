//! Reading a caller's mechanism: the type says which structure the parameter must be, its length whether it is.
#![allow(unsafe_code, reason = "the C boundary reads the caller's memory")]

use cryptoki_sys as sys;
use cryptoki_sys::{CK_BYTE, CK_MECHANISM, CK_ULONG};

use super::memory::{get, input};
use crate::error::Refusal;
use crate::mechanism::{AAD_BYTES_MAX, CKM_KEYWARD_SM2_SM3, Mechanism, Oaep, PARAMETER_BYTES_MAX, Parameter};

/// The longest nonce of AES-GCM, in bytes (PKCS#11 v2.40 allows no more).
const NONCE_BYTES_MAX: usize = 256;

/// A mechanism and its parameter, copied.
///
/// # Safety
/// `pointer` is null or valid for a mechanism, whose parameter is null or as its type and length say.
pub(super) unsafe fn mechanism(pointer: *const CK_MECHANISM) -> Result<Mechanism, Refusal> {
    // SAFETY: as promised by the caller.
    let given = unsafe { get(pointer)? };
    let parameter = match (given.pParameter.is_null(), given.ulParameterLen) {
        (_, 0) => Parameter::None,
        (true, _) => return Err(Refusal::MechanismParameter),
        // SAFETY: as promised by the caller.
        (false, _) => unsafe { parameter(&given)? },
    };
    Ok(Mechanism { kind: given.mechanism, parameter })
}

/// # Safety
/// As for [`mechanism`]; the parameter is neither null nor empty.
unsafe fn parameter(given: &CK_MECHANISM) -> Result<Parameter, Refusal> {
    // SAFETY: each structure is read only where the length is its own; the pointers in it are the caller's.
    unsafe {
        match given.mechanism {
            sys::CKM_RSA_PKCS_PSS
            | sys::CKM_SHA1_RSA_PKCS_PSS
            | sys::CKM_SHA224_RSA_PKCS_PSS
            | sys::CKM_SHA256_RSA_PKCS_PSS
            | sys::CKM_SHA384_RSA_PKCS_PSS
            | sys::CKM_SHA512_RSA_PKCS_PSS => {
                let pss = structure::<sys::CK_RSA_PKCS_PSS_PARAMS>(given)?;
                Ok(Parameter::Pss { hash: pss.hashAlg, mask: pss.mgf, salt_bytes: pss.sLen })
            }
            sys::CKM_RSA_PKCS_OAEP => Ok(Parameter::Oaep(oaep(structure(given)?)?)),
            sys::CKM_RSA_AES_KEY_WRAP => {
                let both = structure::<sys::CK_RSA_AES_KEY_WRAP_PARAMS>(given)?;
                let inner = get(both.pOAEPParams).or(Err(Refusal::MechanismParameter))?;
                Ok(Parameter::RsaAes { aes_bits: both.ulAESKeyBits, oaep: oaep(inner)? })
            }
            sys::CKM_AES_GCM => {
                let gcm = structure::<sys::CK_GCM_PARAMS>(given)?;
                let iv = owned(gcm.pIv, gcm.ulIvLen, NONCE_BYTES_MAX)?;
                Ok(Parameter::Gcm {
                    iv,
                    aad: owned(gcm.pAAD, gcm.ulAADLen, AAD_BYTES_MAX)?,
                    tag_bits: gcm.ulTagBits,
                })
            }
            sys::CKM_AES_CTR => {
                let counter = structure::<sys::CK_AES_CTR_PARAMS>(given)?;
                Ok(Parameter::Counter { bits: counter.ulCounterBits, block: counter.cb })
            }
            sys::CKM_ECDH1_DERIVE => {
                let ecdh = structure::<sys::CK_ECDH1_DERIVE_PARAMS>(given)?;
                let shared = owned(ecdh.pSharedData, ecdh.ulSharedDataLen, PARAMETER_BYTES_MAX)?;
                let public = owned(ecdh.pPublicData, ecdh.ulPublicDataLen, PARAMETER_BYTES_MAX)?;
                Ok(Parameter::Ecdh { kdf: ecdh.kdf, shared, public })
            }
            sys::CKM_EDDSA => {
                let eddsa = structure::<sys::CK_EDDSA_PARAMS>(given)?;
                let context = owned(eddsa.pContextData, eddsa.ulContextDataLen, PARAMETER_BYTES_MAX)?;
                Ok(Parameter::Eddsa { prehashed: eddsa.phFlag != 0, context })
            }
            sys::CKM_AES_ECB_ENCRYPT_DATA => {
                let text = structure::<sys::CK_KEY_DERIVATION_STRING_DATA>(given)?;
                Ok(Parameter::Text(owned(text.pData, text.ulLen, PARAMETER_BYTES_MAX)?))
            }
            sys::CKM_AES_CBC_ENCRYPT_DATA => {
                let text = structure::<sys::CK_AES_CBC_ENCRYPT_DATA_PARAMS>(given)?;
                Ok(Parameter::CbcText {
                    iv: text.iv,
                    text: owned(text.pData, text.length, PARAMETER_BYTES_MAX)?,
                })
            }
            sys::CKM_AES_CBC | sys::CKM_AES_CBC_PAD | sys::CKM_AES_KEY_WRAP | CKM_KEYWARD_SM2_SM3 => {
                let bytes = owned(given.pParameter.cast(), given.ulParameterLen, PARAMETER_BYTES_MAX)?;
                Ok(Parameter::Bytes(bytes))
            }
            _ => Ok(Parameter::Unknown),
        }
    }
}

/// # Safety
/// The parameter is valid for as many bytes as it says.
unsafe fn structure<T: Copy>(given: &CK_MECHANISM) -> Result<T, Refusal> {
    if given.ulParameterLen != size_of::<T>() as CK_ULONG {
        return Err(Refusal::MechanismParameter);
    }
    // SAFETY: the length is that of the structure, which any bytes may make up.
    unsafe { get(given.pParameter.cast::<T>()).or(Err(Refusal::MechanismParameter)) }
}

/// # Safety
/// The label's pointer is null or valid for its length.
unsafe fn oaep(given: sys::CK_RSA_PKCS_OAEP_PARAMS) -> Result<Oaep, Refusal> {
    // SAFETY: as promised by the caller.
    let label = unsafe { owned(given.pSourceData.cast(), given.ulSourceDataLen, PARAMETER_BYTES_MAX)? };
    Ok(Oaep { hash: given.hashAlg, mask: given.mgf, source: given.source, label })
}

/// # Safety
/// `pointer` is null or valid for `length` bytes.
unsafe fn owned(pointer: *const CK_BYTE, length: CK_ULONG, bound: usize) -> Result<Vec<u8>, Refusal> {
    if length > bound as CK_ULONG {
        return Err(Refusal::MechanismParameter);
    }
    // SAFETY: as promised by the caller.
    let bytes = unsafe { input(pointer, length) };
    bytes.map(<[u8]>::to_vec).or(Err(Refusal::MechanismParameter))
}
