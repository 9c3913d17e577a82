//! Deriving key bytes from a key.

use cryptoki_sys as sys;
use cryptoki_sys::{CK_KEY_TYPE, CK_ULONG};
use zeroize::Zeroizing;

use crate::cipher;
use crate::error::{Refusal, Result};
use crate::hash::Hash;
use crate::key::{CurvePrivate, Key, octet_string};
use crate::mechanism::Derivation;

/// The longest derived key, in bytes.
const DERIVED_BYTES_MAX: CK_ULONG = 1 << 16;

/// How many bytes the template asks for; `None` leaves it to the mechanism.
pub(crate) fn wanted_bytes(key_type: CK_KEY_TYPE, given: Option<CK_ULONG>) -> Result<Option<usize>, Refusal> {
    match (key_type, given) {
        (sys::CKK_AES, Some(bytes)) if !matches!(bytes, 16 | 24 | 32) => Err(Refusal::KeySize),
        (_, Some(0)) => Err(Refusal::KeySize),
        (_, Some(bytes)) if bytes > DERIVED_BYTES_MAX => Err(Refusal::KeySize),
        (_, Some(bytes)) => usize::try_from(bytes).map(Some).or(Err(Refusal::KeySize)),
        (_, None) => Ok(None),
    }
}

/// The key's bytes. More than there are is [`Refusal::KeySize`], or the parameter's fault where it holds the text.
pub(crate) fn derive(how: &Derivation, base: &Key, wanted: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = match (how, base) {
        (Derivation::Ecdh { kdf, shared, public }, Key::CurvePrivate(key)) => {
            let secret = agree(key, public)?;
            match kdf {
                None => secret,
                Some(hash) => x963(*hash, &secret, shared, wanted.unwrap_or(hash.bytes()))?,
            }
        }
        (Derivation::Ecb(text), Key::Aes(key)) => {
            let mut data = Zeroizing::new(text.clone());
            cipher::run_blocks(&mut cipher::ecb(key, true)?, &mut data);
            data
        }
        (Derivation::Cbc { iv, text }, Key::Aes(key)) => {
            let mut data = Zeroizing::new(text.clone());
            cipher::run_blocks(&mut cipher::cbc(key, iv, true)?, &mut data);
            data
        }
        _ => return Err(Refusal::KeyType.into()),
    };
    match wanted {
        Some(wanted) if wanted > bytes.len() => return Err(short(how).into()),
        // A coordinate loses its leading bytes (PKCS#11 v2.40, section 2.3), anything else its last ones.
        Some(wanted) if matches!(how, Derivation::Ecdh { .. }) => {
            bytes = Zeroizing::new(bytes.iter().copied().skip(bytes.len() - wanted).collect());
        }
        Some(wanted) => bytes.truncate(wanted),
        None => {}
    }
    Ok(bytes)
}

/// A text that is too short is the parameter's fault.
fn short(how: &Derivation) -> Refusal {
    match how {
        Derivation::Ecdh { .. } => Refusal::KeySize,
        Derivation::Ecb(_) | Derivation::Cbc { .. } => Refusal::MechanismParameter,
    }
}

/// The other's point comes as it is or, from some callers, in a DER OCTET STRING as `CKA_EC_POINT` holds it.
fn agree(key: &CurvePrivate, public: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let raw = 2 * key.curve.field_bytes() + 1;
    let point = match octet_string(public) {
        Some(point) if public.len() != raw => point,
        _ => public,
    };
    key.agree(point)
}

/// The key derivation function of ANSI X9.63 (SEC 1, section 3.6.1).
fn x963(hash: Hash, secret: &[u8], shared: &[u8], wanted: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut output = Zeroizing::new(Vec::with_capacity(wanted.next_multiple_of(hash.bytes())));
    let mut counter = 1_u32;
    while output.len() < wanted {
        output.extend_from_slice(&hash.digest(&[secret, &counter.to_be_bytes(), shared]));
        counter = counter.checked_add(1).ok_or(Refusal::KeySize)?;
    }
    output.truncate(wanted);
    Ok(output)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn x963_gives_the_samples_of_cavp() {
        // NIST CAVP, ANS 9.63-2001, SHA-256: the first of 192 bits without shared information.
        let secret = hex::decode("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08").unwrap();
        let derived = x963(Hash::Sha256, &secret, &[], 16).unwrap();
        assert_eq!(hex::encode(&*derived), "443024c3dae66b95e6f5670601558f71");
    }
}
