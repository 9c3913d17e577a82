//! A signature or an authentication code being made or checked.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::MESSAGE_BYTES_MAX;
use crate::error::{Refusal, Result};
use crate::hash::{Authenticated, Hashed, MacKind};
use crate::key::{Curve, Key, sm2};
use crate::mechanism::Scheme;

/// How many leading zeros of r and of s a caller may have left away, in bytes. The standard sets no bound; this one
/// covers every signature that is met, and leaves a signature few other forms.
const SHORTENED_BYTES_MAX: usize = 8;

/// An ECDSA signature whose halves lack leading zeros, in full length: "for signatures passed to a token for
/// verification, the signature may have a shorter length" (PKCS#11 v2.40, section 2.3.1). Java sends such ones.
fn widened(signature: &[u8], full: usize) -> Option<Vec<u8>> {
    let missing = full.checked_sub(signature.len())? / 2;
    if missing == 0 || missing > SHORTENED_BYTES_MAX || !signature.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    let zeros = vec![0; missing];
    Some([&zeros, r, &zeros, s].concat())
}

/// A signature being made or checked.
pub(crate) struct Signing {
    scheme: Scheme,
    key: Arc<Key>,
    gathered: Gathered,
    in_parts: bool,
}

/// The message so far.
enum Gathered {
    Digest(Hashed),
    Tag(Authenticated),
    Bytes(Zeroizing<Vec<u8>>),
}

impl Signing {
    /// Starts with a private or secret key.
    pub(crate) fn sign(scheme: Scheme, key: Arc<Key>) -> Result<Self, Refusal> {
        let fits = match (&scheme, &*key) {
            (Scheme::Rsa { .. }, Key::RsaPrivate(_)) | (Scheme::Eddsa, Key::EdwardsPrivate(_)) => true,
            (_, Key::CurvePrivate(key)) => on_curve(&scheme, key.curve),
            _ => by_secret(&scheme, &key),
        };
        if fits { Self::new(scheme, key) } else { Err(Refusal::KeyType) }
    }

    /// Starts with a public or secret key.
    pub(crate) fn verify(scheme: Scheme, key: Arc<Key>) -> Result<Self, Refusal> {
        let fits = match (&scheme, &*key) {
            (Scheme::Rsa { .. }, Key::RsaPublic(_)) | (Scheme::Eddsa, Key::EdwardsPublic(_)) => true,
            (_, Key::CurvePublic(key)) => on_curve(&scheme, key.curve),
            _ => by_secret(&scheme, &key),
        };
        if fits { Self::new(scheme, key) } else { Err(Refusal::KeyType) }
    }

    fn new(scheme: Scheme, key: Arc<Key>) -> Result<Self, Refusal> {
        let gathered = match &scheme {
            Scheme::Ecdsa(Some(hash)) | Scheme::Rsa { hash: Some(hash), .. } => {
                Gathered::Digest(hash.start())
            }
            Scheme::Sm2Message(id) => Gathered::Digest(sm2::begin(id, &point(&key)?)?),
            Scheme::Mac(kind) => Gathered::Tag(kind.start(key.secret().ok_or(Refusal::KeyType)?)?),
            _ => Gathered::Bytes(Zeroizing::default()),
        };
        Ok(Self { scheme, key, gathered, in_parts: false })
    }

    pub(crate) fn is_in_parts(&self) -> bool {
        self.in_parts
    }

    pub(crate) fn update(&mut self, part: &[u8]) -> Result<(), Refusal> {
        self.in_parts = true;
        self.gathered.take_up(part)
    }

    pub(crate) fn signature_bytes(&self) -> usize {
        match (&self.scheme, &*self.key) {
            (_, Key::RsaPrivate(key)) => key.modulus_bytes(),
            (_, Key::RsaPublic(key)) => key.modulus_bytes(),
            (_, Key::CurvePrivate(key)) => 2 * key.curve.field_bytes(),
            (_, Key::CurvePublic(key)) => 2 * key.curve.field_bytes(),
            (Scheme::Mac(kind), _) => kind.bytes(),
            _ => 64,
        }
    }

    /// The signature over what was gathered and `rest`.
    pub(crate) fn finish(mut self, rest: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.gathered.take_up(rest)?;
        let data = self.gathered.end();
        let signature = match (&self.scheme, &*self.key) {
            (Scheme::Bip340, Key::CurvePrivate(key)) => key.sign_bip340(&data)?,
            (_, Key::CurvePrivate(key)) => key.sign(&data)?,
            (_, Key::EdwardsPrivate(key)) => key.sign(&data),
            (Scheme::Rsa { padding, .. }, Key::RsaPrivate(key)) => key.sign(*padding, &data)?,
            (Scheme::Mac(_), _) => return Ok(data),
            _ => return Err(Refusal::KeyType.into()),
        };
        Ok(Zeroizing::new(signature))
    }

    /// Whether `signature` is over what was gathered and `rest`.
    pub(crate) fn check(mut self, rest: &[u8], signature: &[u8]) -> Result<()> {
        let widened = match &self.scheme {
            Scheme::Ecdsa(_) => widened(signature, self.signature_bytes()),
            _ => None,
        };
        let signature = widened.as_deref().unwrap_or(signature);
        if signature.len() != self.signature_bytes() {
            return Err(Refusal::SignatureLength.into());
        }
        self.gathered.take_up(rest)?;
        let data = match self.gathered {
            Gathered::Tag(tag) => return Ok(tag.verify(signature)?),
            gathered => gathered.end(),
        };
        match (&self.scheme, &*self.key) {
            (Scheme::Bip340, Key::CurvePublic(key)) => key.verify_bip340(&data, signature)?,
            (_, Key::CurvePublic(key)) => key.verify(&data, signature)?,
            (_, Key::EdwardsPublic(key)) => key.verify(&data, signature)?,
            (Scheme::Rsa { padding, .. }, Key::RsaPublic(key)) => key.verify(*padding, &data, signature)?,
            _ => return Err(Refusal::KeyType.into()),
        }
        Ok(())
    }
}

impl Gathered {
    fn take_up(&mut self, part: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Digest(digest) => digest.update(part),
            Self::Tag(tag) => tag.update(part),
            Self::Bytes(bytes) => {
                if part.len() > MESSAGE_BYTES_MAX - bytes.len() {
                    return Err(Refusal::DataLength);
                }
                bytes.extend_from_slice(part);
            }
        }
        Ok(())
    }

    fn end(self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Digest(digest) => digest.finish(),
            Self::Tag(tag) => tag.finish(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

fn on_curve(scheme: &Scheme, curve: Curve) -> bool {
    match scheme {
        Scheme::Ecdsa(_) => curve != Curve::Sm2,
        Scheme::Bip340 => curve == Curve::Secp256k1,
        Scheme::Sm2 | Scheme::Sm2Message(_) => curve == Curve::Sm2,
        _ => false,
    }
}

fn by_secret(scheme: &Scheme, key: &Key) -> bool {
    matches!(
        (scheme, key),
        (Scheme::Mac(MacKind::Hmac(_)), Key::Generic(_)) | (Scheme::Mac(MacKind::Cmac), Key::Aes(_))
    )
}

fn point(key: &Key) -> Result<Vec<u8>, Refusal> {
    match key {
        Key::CurvePrivate(key) => Ok(key.point()),
        Key::CurvePublic(key) => Ok(key.point()),
        _ => Err(Refusal::KeyType),
    }
}
