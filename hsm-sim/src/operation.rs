//! Operations under way in a session: signing, verifying, sealing, opening, hashing, searching.

use std::sync::Arc;

use aes_gcm::aead::{Aead, Payload};
use cryptoki_sys as sys;
use cryptoki_sys::{CK_MECHANISM_TYPE, CK_OBJECT_HANDLE};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::error::{Refusal, Result};
use crate::key::Key;
use crate::mechanism::{GCM_TAG_BYTES, Gcm, Mechanism, Parameter, Scheme};

/// The longest message gathered in parts for a mechanism that does not hash as it comes, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 24;

/// The room that a caller offers for an output.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Room {
    /// No buffer: the caller asks for the length.
    Query,
    /// A buffer of so many bytes.
    Bytes(usize),
}

/// The answer of an operation that has an output.
#[derive(Debug)]
pub enum Reply {
    /// The length asked for; the operation stays active.
    Length(usize),
    /// The buffer is too small, this much is needed; the operation stays active.
    TooSmall(usize),
    /// The output; the operation has ended.
    Bytes(Zeroizing<Vec<u8>>),
}

/// What a session is doing. Each kind of operation can be active once.
#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) signing: Option<Signing>,
    pub(crate) verifying: Option<Signing>,
    pub(crate) sealing: Option<Sealing>,
    pub(crate) opening: Option<Sealing>,
    pub(crate) hashing: Option<Hashing>,
    pub(crate) search: Option<std::vec::IntoIter<CK_OBJECT_HANDLE>>,
}

impl Operations {
    /// Ends everything that uses a key, as logging out does.
    pub(crate) fn end_keyed(&mut self) {
        self.signing = None;
        self.verifying = None;
        self.sealing = None;
        self.opening = None;
        self.search = None;
    }
}

/// Runs the last step of an operation under the length convention: a query or a small buffer leaves it
/// active; anything else ends it, whatever comes of it.
pub(crate) fn conclude<T>(
    active: &mut Option<T>,
    room: Room,
    length: impl FnOnce(&T) -> Result<usize, Refusal>,
    run: impl FnOnce(T) -> Result<Zeroizing<Vec<u8>>>,
) -> Result<Reply> {
    let operation = active.take().ok_or(Refusal::OperationMissing)?;
    let needed = length(&operation)?;
    match room {
        Room::Bytes(room) if room >= needed => run(operation).map(Reply::Bytes),
        Room::Bytes(_) => {
            *active = Some(operation);
            Ok(Reply::TooSmall(needed))
        }
        Room::Query => {
            *active = Some(operation);
            Ok(Reply::Length(needed))
        }
    }
}

/// A signature being made or checked.
pub(crate) struct Signing {
    scheme: Scheme,
    key: Arc<Key>,
    gathered: Gathered,
    in_parts: bool,
}

enum Gathered {
    Digest(Sha256),
    Bytes(Zeroizing<Vec<u8>>),
}

impl Signing {
    /// Starts with a private or secret key.
    pub(crate) fn sign(scheme: Scheme, key: Arc<Key>) -> Result<Self, Refusal> {
        let fits = matches!(
            (scheme, &*key),
            (Scheme::Ecdsa { .. }, Key::K256Private(_) | Key::P256Private(_))
                | (Scheme::Bip340, Key::K256Private(_))
                | (Scheme::Eddsa, Key::EdwardsPrivate(_))
                | (Scheme::Rsa { .. }, Key::RsaPrivate(_))
                | (Scheme::Hmac, Key::Generic(_))
        );
        if fits { Ok(Self::new(scheme, key)) } else { Err(Refusal::KeyType) }
    }

    /// Starts with a public or secret key.
    pub(crate) fn verify(scheme: Scheme, key: Arc<Key>) -> Result<Self, Refusal> {
        let fits = matches!(
            (scheme, &*key),
            (Scheme::Ecdsa { .. }, Key::K256Public(_) | Key::P256Public(_))
                | (Scheme::Bip340, Key::K256Public(_))
                | (Scheme::Eddsa, Key::EdwardsPublic(_))
                | (Scheme::Rsa { .. }, Key::RsaPublic(_))
                | (Scheme::Hmac, Key::Generic(_))
        );
        if fits { Ok(Self::new(scheme, key)) } else { Err(Refusal::KeyType) }
    }

    fn new(scheme: Scheme, key: Arc<Key>) -> Self {
        let gathered = match scheme.hashes() {
            true => Gathered::Digest(Sha256::new()),
            false => Gathered::Bytes(Zeroizing::default()),
        };
        Self { scheme, key, gathered, in_parts: false }
    }

    pub(crate) fn is_in_parts(&self) -> bool {
        self.in_parts
    }

    pub(crate) fn update(&mut self, part: &[u8]) -> Result<(), Refusal> {
        self.in_parts = true;
        self.gather(part)
    }

    fn gather(&mut self, part: &[u8]) -> Result<(), Refusal> {
        match &mut self.gathered {
            Gathered::Digest(digest) => digest.update(part),
            Gathered::Bytes(bytes) => {
                if part.len() > MESSAGE_BYTES_MAX - bytes.len() {
                    return Err(Refusal::DataLength);
                }
                bytes.extend_from_slice(part);
            }
        }
        Ok(())
    }

    pub(crate) fn signature_bytes(&self) -> usize {
        match &*self.key {
            Key::RsaPrivate(key) => key.signature_bytes(),
            Key::RsaPublic(key) => key.signature_bytes(),
            Key::Generic(_) => Sha256::output_size(),
            _ => 64,
        }
    }

    /// The signature over what was gathered and `rest`.
    pub(crate) fn finish(mut self, rest: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.gather(rest)?;
        let data = self.gathered.end();
        let signature = match (self.scheme, &*self.key) {
            (Scheme::Ecdsa { .. }, Key::K256Private(key)) => key.sign(&data)?,
            (Scheme::Ecdsa { .. }, Key::P256Private(key)) => key.sign(&data)?,
            (Scheme::Bip340, Key::K256Private(key)) => key.sign_bip340(&data)?,
            (Scheme::Eddsa, Key::EdwardsPrivate(key)) => key.sign(&data),
            (Scheme::Rsa { padding, .. }, Key::RsaPrivate(key)) => key.sign(padding, &data)?,
            (Scheme::Hmac, Key::Generic(key)) => mac(key, &data)?.finalize().into_bytes().to_vec(),
            _ => return Err(Refusal::KeyType.into()),
        };
        Ok(Zeroizing::new(signature))
    }

    /// Whether `signature` is over what was gathered and `rest`.
    pub(crate) fn check(mut self, rest: &[u8], signature: &[u8]) -> Result<()> {
        if signature.len() != self.signature_bytes() {
            return Err(Refusal::SignatureLength.into());
        }
        self.gather(rest)?;
        let data = self.gathered.end();
        match (self.scheme, &*self.key) {
            (Scheme::Ecdsa { .. }, Key::K256Public(key)) => key.verify(&data, signature)?,
            (Scheme::Ecdsa { .. }, Key::P256Public(key)) => key.verify(&data, signature)?,
            (Scheme::Bip340, Key::K256Public(key)) => key.verify_bip340(&data, signature)?,
            (Scheme::Eddsa, Key::EdwardsPublic(key)) => key.verify(&data, signature)?,
            (Scheme::Rsa { padding, .. }, Key::RsaPublic(key)) => key.verify(padding, &data, signature)?,
            (Scheme::Hmac, Key::Generic(key)) => {
                mac(key, &data)?.verify_slice(signature).or(Err(Refusal::SignatureInvalid))?;
            }
            _ => return Err(Refusal::KeyType.into()),
        }
        Ok(())
    }
}

impl Gathered {
    fn end(self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Digest(digest) => Zeroizing::new(digest.finalize().to_vec()),
            Self::Bytes(bytes) => bytes,
        }
    }
}

fn mac(key: &[u8], data: &[u8]) -> Result<Hmac<Sha256>, Refusal> {
    let mac = Hmac::<Sha256>::new_from_slice(key).or(Err(Refusal::KeySize))?;
    Ok(mac.chain_update(data))
}

/// AES-256-GCM in one part.
pub(crate) struct Sealing {
    gcm: Gcm,
    key: Arc<Key>,
}

impl Sealing {
    pub(crate) fn new(gcm: Gcm, key: Arc<Key>) -> Result<Self, Refusal> {
        match &*key {
            Key::Aes(_) => Ok(Self { gcm, key }),
            _ => Err(Refusal::KeyType),
        }
    }

    pub(crate) fn sealed_bytes(plain: &[u8]) -> usize {
        plain.len() + GCM_TAG_BYTES
    }

    pub(crate) fn plain_bytes(sealed: &[u8]) -> Result<usize, Refusal> {
        sealed.len().checked_sub(GCM_TAG_BYTES).ok_or(Refusal::CiphertextLength)
    }

    /// `ciphertext || tag`.
    pub(crate) fn seal(self, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let Key::Aes(key) = &*self.key else { return Err(Refusal::KeyType.into()) };
        let payload = Payload { msg: plain, aad: &self.gcm.aad };
        Ok(Zeroizing::new(key.encrypt(&self.gcm.nonce.into(), payload)?))
    }

    pub(crate) fn open(self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let Key::Aes(key) = &*self.key else { return Err(Refusal::KeyType.into()) };
        let opened = key.decrypt(&self.gcm.nonce.into(), Payload { msg: sealed, aad: &self.gcm.aad });
        Ok(opened.map(Zeroizing::new).or(Err(Refusal::CiphertextInvalid))?)
    }
}

/// A digest under way.
pub(crate) enum Hashing {
    Sha256 { state: Sha256, in_parts: bool },
    Sha512 { state: Box<Sha512>, in_parts: bool },
}

impl Hashing {
    pub(crate) fn start(mechanism: &Mechanism) -> Result<Self, Refusal> {
        let kind: CK_MECHANISM_TYPE = mechanism.kind;
        let started = match kind {
            sys::CKM_SHA256 => Self::Sha256 { state: Sha256::new(), in_parts: false },
            sys::CKM_SHA512 => Self::Sha512 { state: Box::new(Sha512::new()), in_parts: false },
            _ => return Err(Refusal::Mechanism),
        };
        match mechanism.parameter {
            Parameter::None => Ok(started),
            _ => Err(Refusal::MechanismParameter),
        }
    }

    pub(crate) fn is_in_parts(&self) -> bool {
        match self {
            Self::Sha256 { in_parts, .. } | Self::Sha512 { in_parts, .. } => *in_parts,
        }
    }

    pub(crate) fn digest_bytes(&self) -> usize {
        match self {
            Self::Sha256 { .. } => Sha256::output_size(),
            Self::Sha512 { .. } => Sha512::output_size(),
        }
    }

    pub(crate) fn update(&mut self, part: &[u8]) {
        match self {
            Self::Sha256 { state, in_parts } => {
                *in_parts = true;
                state.update(part);
            }
            Self::Sha512 { state, in_parts } => {
                *in_parts = true;
                state.update(part);
            }
        }
    }

    pub(crate) fn finish(mut self, rest: &[u8]) -> Zeroizing<Vec<u8>> {
        self.update(rest);
        Zeroizing::new(match self {
            Self::Sha256 { state, .. } => state.finalize().to_vec(),
            Self::Sha512 { state, .. } => state.finalize().to_vec(),
        })
    }
}
