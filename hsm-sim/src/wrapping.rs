//! Wrapping and unwrapping of key bytes.

use zeroize::Zeroizing;

use crate::cipher;
use crate::error::{Refusal, Result};
use crate::key::Key;
use crate::mechanism::Wrapping;

/// How long the wrapped key will be.
pub(crate) fn wrapped_bytes(how: &Wrapping, under: &Key, secret_bytes: usize) -> Result<usize, Refusal> {
    let padded = |bytes: usize| bytes.next_multiple_of(8) + 8;
    Ok(match (how, under) {
        (Wrapping::AesKeyWrap { padded: false }, Key::Aes(_)) if !is_plain_wrappable(secret_bytes) => {
            return Err(Refusal::KeySize);
        }
        (Wrapping::AesKeyWrap { .. }, Key::Aes(_)) => padded(secret_bytes),
        (Wrapping::AesCbcPad { .. }, Key::Aes(_)) => {
            (secret_bytes / cipher::BLOCK_BYTES + 1) * cipher::BLOCK_BYTES
        }
        (Wrapping::Rsa(_), Key::RsaPublic(key)) => key.modulus_bytes(),
        (Wrapping::RsaAes { .. }, Key::RsaPublic(key)) => key.modulus_bytes() + padded(secret_bytes),
        _ => return Err(Refusal::WrappingKeyType),
    })
}

/// RFC 3394 wraps whole 64-bit words, at least two of them.
fn is_plain_wrappable(bytes: usize) -> bool {
    bytes >= 16 && bytes.is_multiple_of(8)
}

pub(crate) fn wrap(how: &Wrapping, under: &Key, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    match (how, under) {
        (Wrapping::AesKeyWrap { padded }, Key::Aes(key)) => Ok(cipher::wrap(key, *padded, secret)?),
        (Wrapping::AesCbcPad { iv }, Key::Aes(key)) => {
            let mut data = Zeroizing::new(Vec::with_capacity(secret.len() + cipher::BLOCK_BYTES));
            data.extend_from_slice(secret);
            cipher::pad(&mut data);
            cipher::run_blocks(&mut cipher::cbc(key, iv, true)?, &mut data);
            Ok(data)
        }
        (Wrapping::Rsa(envelope), Key::RsaPublic(key)) => key.encrypt(envelope, secret).map_err(too_long),
        (Wrapping::RsaAes { aes_bytes, envelope }, Key::RsaPublic(key)) => {
            let mut fresh = Zeroizing::new(vec![0; *aes_bytes]);
            getrandom::fill(&mut fresh)?;
            let mut wrapped = key.encrypt(envelope, &fresh)?;
            wrapped.extend_from_slice(&cipher::wrap(&fresh, true, secret)?);
            Ok(wrapped)
        }
        _ => Err(Refusal::WrappingKeyType.into()),
    }
}

pub(crate) fn unwrap(how: &Wrapping, under: &Key, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    match (how, under) {
        (Wrapping::AesKeyWrap { padded }, Key::Aes(key)) => {
            // RFC 3394 has no key of one word, and what is wrapped so proves nothing.
            let least = if *padded { 16 } else { 24 };
            if wrapped.len() < least || !wrapped.len().is_multiple_of(8) {
                return Err(Refusal::WrappedKeyLength.into());
            }
            Ok(cipher::unwrap(key, *padded, wrapped)?)
        }
        (Wrapping::AesCbcPad { iv }, Key::Aes(key)) => {
            if wrapped.is_empty() || !wrapped.len().is_multiple_of(cipher::BLOCK_BYTES) {
                return Err(Refusal::WrappedKeyLength.into());
            }
            let mut data = Zeroizing::new(wrapped.to_vec());
            cipher::run_blocks(&mut cipher::cbc(key, iv, false)?, &mut data);
            let bytes = cipher::unpadded(&data).or(Err(Refusal::WrappedKeyInvalid))?;
            data.truncate(bytes);
            Ok(data)
        }
        (Wrapping::Rsa(envelope), Key::RsaPrivate(key)) => opened(key.decrypt(envelope, wrapped)),
        (Wrapping::RsaAes { aes_bytes, envelope }, Key::RsaPrivate(key)) => {
            let (sealed, rest) =
                wrapped.split_at_checked(key.modulus_bytes()).ok_or(Refusal::WrappedKeyLength)?;
            if rest.len() < 16 || !rest.len().is_multiple_of(8) {
                return Err(Refusal::WrappedKeyLength.into());
            }
            let inner = opened(key.decrypt(envelope, sealed))?;
            // INVARIANT: the key is of the size that the parameter says.
            if inner.len() != *aes_bytes {
                return Err(Refusal::WrappedKeyInvalid.into());
            }
            Ok(cipher::unwrap(&inner, true, rest)?)
        }
        _ => Err(Refusal::UnwrappingKeyType.into()),
    }
}

fn opened(opened: Result<Zeroizing<Vec<u8>>, Refusal>) -> Result<Zeroizing<Vec<u8>>> {
    opened.map_err(|refusal| match refusal {
        Refusal::CiphertextLength => Refusal::WrappedKeyLength.into(),
        Refusal::CiphertextInvalid => Refusal::WrappedKeyInvalid.into(),
        other => other.into(),
    })
}

/// A key that does not go into the envelope.
fn too_long(error: crate::error::Error) -> crate::error::Error {
    match error {
        crate::error::Error::Refused(Refusal::DataLength) => Refusal::KeySize.into(),
        other => other,
    }
}
