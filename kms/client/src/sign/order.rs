//! Orders: what is to be signed with which key, under a mark that makes repeating it safe.

use std::fmt;

use keyward_crypto::SigningKey;
use keyward_domain::meaning::{Form, Meaning};
use keyward_domain::payload::is_reserved;
use keyward_domain::scheme::{verify, verify_digest};
use keyward_proto::custody::sign_request::Payload;
use keyward_proto::custody::{Shown, SignRequest, Word};
use sha2::{Digest as _, Sha256};
use tonic::codegen::Bytes;

use super::Signature;
use crate::client::{Client, idempotency_key};
use crate::error::ClientError;

/// The longest mark, in bytes.
pub const MARK_BYTES_MAX: usize = 64;

/// An order for one signature. Sent twice, it is done once: its mark is the request's idempotency key.
#[derive(Clone)]
pub struct Order {
    key: String,
    payload: Payload,
    shown: Option<Shown>,
    /// What a token agent is told of a message that is its key's word.
    word: Option<Word>,
    mark: Bytes,
}

impl Order {
    /// Signs a message (at most 1 MiB) with a key: its alias, or its id in hex. The mark is fresh.
    pub fn message(key: impl Into<String>, message: impl Into<Bytes>) -> Result<Self, ClientError> {
        let (payload, mark) = (Payload::Message(message.into()), idempotency_key()?);
        Ok(Self { key: key.into(), payload, shown: None, word: None, mark })
    }

    /// Signs the message whose SHA-256 is `digest`; not with Ed25519 keys. The mark is fresh.
    pub fn digest(key: impl Into<String>, digest: &[u8; 32]) -> Result<Self, ClientError> {
        let payload = Payload::Digest(Bytes::copy_from_slice(digest));
        Ok(Self { key: key.into(), payload, shown: None, word: None, mark: idempotency_key()? })
    }

    /// Signs a payload in a format that policies read amounts and destinations from: the digest of it that its signers sign,
    /// of several the one at this place, from 0. The mark is fresh.
    pub fn payload(
        key: impl Into<String>,
        form: Form,
        payload: impl Into<Bytes>,
        place: usize,
    ) -> Result<Self, ClientError> {
        let payload = payload.into();
        if form == Form::Opaque {
            return Self::message(key, payload);
        }
        let meaning = Meaning::read(form, &payload).map_err(ClientError::Payload)?;
        let digest = meaning.digests.get(place).ok_or(ClientError::NoSuchDigest(meaning.digests.len()))?;
        let format = form.name().to_owned();
        if Sha256::digest(&payload).as_slice() == digest {
            let shown = Some(Shown { format, payload: Bytes::new() });
            return Ok(Self { shown, ..Self::message(key, payload)? });
        }
        Ok(Self { shown: Some(Shown { format, payload }), ..Self::digest(key, digest)? })
    }

    /// Another mark of 1 to 64 bytes, which the caller keeps: with it, this order is done once even across a
    /// crash of the caller.
    pub fn marked(self, mark: &[u8]) -> Result<Self, ClientError> {
        match mark.len() {
            1..=MARK_BYTES_MAX => Ok(Self { mark: Bytes::copy_from_slice(mark), ..self }),
            len => Err(ClientError::Mark { len }),
        }
    }

    /// The same, and what a token agent is told of the message: the act that the key is to be an author of.
    pub(crate) fn telling(self, word: Word) -> Self {
        Self { word: Some(word), ..self }
    }

    /// The key as the order names it.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The mark.
    pub fn mark(&self) -> &[u8] {
        &self.mark
    }

    /// The message; none where a digest is to be signed.
    pub fn message_bytes(&self) -> Option<&[u8]> {
        match &self.payload {
            Payload::Message(message) => Some(message),
            Payload::Digest(_) => None,
        }
    }

    /// What the intent commits to.
    pub(crate) fn payload_hash(&self) -> Result<[u8; 32], ClientError> {
        match &self.payload {
            Payload::Message(message) => Ok(Sha256::digest(message).into()),
            Payload::Digest(digest) => digest_of(digest),
        }
    }

    /// A signature made here.
    pub(super) fn signed_by(&self, key: &SigningKey) -> Result<Vec<u8>, ClientError> {
        match &self.payload {
            Payload::Message(message) => key.sign_message(message),
            Payload::Digest(digest) => key.sign_digest(&digest_of(digest)?),
        }
        .map_err(ClientError::Sign)
    }

    /// A message that means something to Keyward itself is no payload: this key's word would count there.
    pub(crate) fn refuse_reserved(&self) -> Result<(), ClientError> {
        match &self.payload {
            Payload::Message(message) if is_reserved(message) => Err(ClientError::Reserved),
            _ => Ok(()),
        }
    }

    pub(crate) fn request(&self, tag: u64) -> SignRequest {
        SignRequest {
            key: self.key.clone(),
            payload: Some(self.payload.clone()),
            shown: self.shown.clone(),
            idempotency_key: self.mark.clone(),
            word: self.word.clone(),
            tag,
            ..Default::default()
        }
    }

    /// Believes a signature only if it is one of this order, and so is its receipt.
    pub(super) fn check(&self, client: &Client, signature: &Signature) -> Result<(), ClientError> {
        let (key, made) = (&signature.public_key, &signature.signature);
        let proven = match &self.payload {
            Payload::Message(message) => {
                verify(key, message, made).map_err(ClientError::Signature)?;
                client.check_receipt(signature, Some(message))?;
                return Ok(());
            }
            Payload::Digest(digest) => {
                let digest = digest_of(digest)?;
                verify_digest(key, &digest, made).map_err(ClientError::Signature)?;
                client.check_receipt(signature, None)?.is_none_or(|payload_hash| payload_hash == digest)
            }
        };
        if proven { Ok(()) } else { Err(ClientError::ReceiptMismatch { what: "it is about another digest" }) }
    }
}

fn digest_of(digest: &[u8]) -> Result<[u8; 32], ClientError> {
    <[u8; 32]>::try_from(digest).ok().ok_or(ClientError::Answer { what: "no digest was sent" })
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("key", &self.key).field("mark", &self.mark).finish_non_exhaustive()
    }
}
