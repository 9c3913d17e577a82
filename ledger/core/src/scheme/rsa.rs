//! The DER of RSA public keys (RFC 8017, appendix A.1.1), strict, and of `SubjectPublicKeyInfo` (RFC 5280).

use super::{PublicKeyError, Scheme};

/// The shortest modulus.
pub const RSA_BITS_MIN: usize = 2048;
/// The longest modulus.
pub const RSA_BITS_MAX: usize = 8192;
/// The longest exponent: 33 bits would already be slow for nothing.
const EXPONENT_BYTES_MAX: usize = 4;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// Modulus and exponent, big-endian, without leading zeros.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) exponent: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Reads the one encoding of an acceptable key.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, PublicKeyError> {
        let (body, rest) = element(SEQUENCE, der)?;
        if !rest.is_empty() {
            return Err(rsa("is followed by more bytes"));
        }
        let (modulus, body) = integer(body)?;
        let (exponent, body) = integer(body)?;
        if !body.is_empty() {
            return Err(rsa("holds more than modulus and exponent"));
        }
        let bits = bit_len(modulus);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(PublicKeyError::RsaBits { bits });
        }
        if !is_odd(modulus) {
            return Err(rsa("has an even modulus"));
        }
        if exponent.len() > EXPONENT_BYTES_MAX || !is_odd(exponent) || exponent == [1] {
            return Err(rsa("has an exponent that is not odd and between 3 and 2^32"));
        }
        Ok(Self { modulus, exponent })
    }
}

/// Writes `RSAPublicKey` from big-endian numbers.
pub(super) fn encode(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let mut body = unsigned(modulus);
    body.extend(unsigned(exponent));
    wrap(SEQUENCE, &body)
}

/// Writes `SubjectPublicKeyInfo`; none for schemes that X.509 does not know.
pub(super) fn spki(scheme: Scheme, key: &[u8]) -> Option<Vec<u8>> {
    const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
    const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const SM2: &[u8] = &[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];
    const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
    const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let algorithm = match scheme {
        Scheme::EcdsaSecp256k1 => [EC, SECP256K1].concat(),
        Scheme::EcdsaP256 => [EC, P256].concat(),
        Scheme::Sm2 => [EC, SM2].concat(),
        Scheme::Ed25519 => ED25519.to_vec(),
        Scheme::RsaPss | Scheme::RsaPkcs1 => RSA.to_vec(),
        Scheme::Bip340 => return None,
    };
    let mut body = wrap(SEQUENCE, &algorithm);
    body.extend(wrap(BIT_STRING, &[&[0], key].concat()));
    Some(wrap(SEQUENCE, &body))
}

const fn rsa(why: &'static str) -> PublicKeyError {
    PublicKeyError::Rsa { why }
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|byte| byte & 1 == 1)
}

fn bit_len(number: &[u8]) -> usize {
    let zeros = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len() * 8 - usize::try_from(zeros).unwrap_or(0)
}

/// A positive INTEGER without needless zeros; gives the number and what follows.
fn integer(der: &[u8]) -> Result<(&[u8], &[u8]), PublicKeyError> {
    let (number, rest) = element(INTEGER, der)?;
    match number {
        [] => Err(rsa("holds an empty integer")),
        [0, high, ..] if high & 0x80 != 0 => Ok((number.get(1..).unwrap_or_default(), rest)),
        [0, ..] => Err(rsa("holds an integer with needless zeros")),
        [high, ..] if high & 0x80 != 0 => Err(rsa("holds a negative integer")),
        _ => Ok((number, rest)),
    }
}

/// One DER element with a minimal length; gives its content and what follows.
fn element(tag: u8, der: &[u8]) -> Result<(&[u8], &[u8]), PublicKeyError> {
    let (len, rest) = match der {
        [found, ..] if *found != tag => return Err(rsa("is not the DER of an RSAPublicKey")),
        [_, len @ 0..=0x7f, rest @ ..] => (usize::from(*len), rest),
        [_, 0x81, len @ 0x80..=0xff, rest @ ..] => (usize::from(*len), rest),
        [_, 0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return Err(rsa("has a length that is not minimal DER")),
    };
    rest.split_at_checked(len).ok_or(rsa("ends inside an element"))
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..).unwrap_or_default();
    let pad: &[u8] = if digits.first().is_none_or(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    wrap(INTEGER, &[pad, digits].concat())
}

fn wrap(tag: u8, body: &[u8]) -> Vec<u8> {
    let [.., high, low] = body.len().to_be_bytes();
    let mut der = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => der.push(low),
        (0, _) => der.extend([0x81, low]),
        _ => der.extend([0x82, high, low]),
    }
    der.extend_from_slice(body);
    der
}
