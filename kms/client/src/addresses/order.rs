//! What an address is to sign: one message, one digest, or the one digest of a payload.

use std::fmt;

use keyward_domain::approval::AddressSigning;
use keyward_domain::detail;
use keyward_domain::meaning::{Form, Meaning};
use keyward_domain::payload::is_reserved;
use keyward_domain::scheme::Scheme;
use keyward_proto::custody::{begin_address_request, sign_address_request};
use sha2::{Digest as _, Sha256};
use tonic::codegen::Bytes;

use super::error::AddressesError;
use crate::client::idempotency_key;
use crate::error::ClientError;
use crate::sign::MARK_BYTES_MAX;

/// An order for the one signature of an address. Sent twice, it is done once: its mark is the request's idempotency key.
#[derive(Clone)]
pub struct AddressOrder {
    scheme: Scheme,
    sent: Sent,
    form: Form,
    payload_hash: [u8; 32],
    said: Vec<String>,
    mark: Bytes,
    case: Option<[u8; 32]>,
}

#[derive(Clone)]
enum Sent {
    Message(Bytes),
    Digest([u8; 32]),
}

impl AddressOrder {
    /// Signs a message (at most 1 MiB), as ECDSA on secp256k1. The mark is fresh.
    pub fn message(message: impl Into<Bytes>) -> Result<Self, AddressesError> {
        let message = message.into();
        let payload_hash = Sha256::digest(&message).into();
        Self::new(Sent::Message(message), Form::Opaque, payload_hash, Vec::new())
    }

    /// Signs the message whose SHA-256 is `digest`. The mark is fresh.
    pub fn digest(digest: &[u8; 32]) -> Result<Self, AddressesError> {
        Self::new(Sent::Digest(*digest), Form::Opaque, *digest, Vec::new())
    }

    /// Signs the one digest of a payload in a format that policies read amounts and destinations from. The mark is fresh.
    pub fn payload(form: Form, payload: impl Into<Bytes>) -> Result<Self, AddressesError> {
        let payload = payload.into();
        if form == Form::Opaque {
            return Self::message(payload);
        }
        let meaning = Meaning::read(form, &payload).map_err(ClientError::Payload)?;
        let [payload_hash] = meaning.digests[..] else {
            return Err(AddressesError::Digests(meaning.digests.len()));
        };
        Self::new(Sent::Message(payload), form, payload_hash, detail::said(meaning.words()))
    }

    fn new(
        sent: Sent,
        form: Form,
        payload_hash: [u8; 32],
        said: Vec<String>,
    ) -> Result<Self, AddressesError> {
        let (scheme, mark) = (Scheme::EcdsaSecp256k1, idempotency_key()?);
        Ok(Self { scheme, sent, form, payload_hash, said, mark, case: None })
    }

    /// The same under BIP340.
    pub fn bip340(self) -> Self {
        Self { scheme: Scheme::Bip340, ..self }
    }

    /// Another mark of 1 to 64 bytes, which the caller keeps: with it, this order is done once even across a crash of the caller.
    pub fn marked(self, mark: &[u8]) -> Result<Self, AddressesError> {
        match mark.len() {
            1..=MARK_BYTES_MAX => Ok(Self { mark: Bytes::copy_from_slice(mark), ..self }),
            len => Err(ClientError::Mark { len }.into()),
        }
    }

    /// The same with the approvals of a case that was asked for with it.
    pub fn approved(self, case: [u8; 32]) -> Self {
        Self { case: Some(case), ..self }
    }

    /// The case that it is approved by.
    pub(super) const fn case(&self) -> Option<&[u8; 32]> {
        self.case.as_ref()
    }

    pub(super) fn case_id(&self) -> Bytes {
        self.case.as_ref().map(|case| Bytes::copy_from_slice(case)).unwrap_or_default()
    }

    /// Whether a case is about just this.
    pub(crate) fn is_asked(&self, asked: &AddressSigning) -> bool {
        let sent = match &self.sent {
            Sent::Message(message) => &message[..],
            Sent::Digest(digest) => digest,
        };
        (&asked.payload_hash, asked.scheme, &asked.format[..], &asked.payload[..])
            == (&self.payload_hash, self.scheme, self.format(), sent)
    }

    /// The scheme of the signature.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What is signed: SHA-256 of the message, or the digest.
    pub const fn payload_hash(&self) -> &[u8; 32] {
        &self.payload_hash
    }

    pub(crate) fn mark(&self) -> Bytes {
        self.mark.clone()
    }

    /// The format, as it is sent and sealed.
    pub(crate) fn format(&self) -> &'static str {
        if self.form == Form::Opaque { "" } else { self.form.name() }
    }

    /// The payload in words, as they are sealed.
    pub(super) fn said(&self) -> &[String] {
        &self.said
    }

    /// A message that means something to Keyward itself is no payload.
    pub(crate) fn refuse_reserved(&self) -> Result<(), ClientError> {
        match &self.sent {
            Sent::Message(message) if is_reserved(message) => Err(ClientError::Reserved),
            _ => Ok(()),
        }
    }

    pub(crate) fn to_sign(&self) -> sign_address_request::Payload {
        match &self.sent {
            Sent::Message(message) => sign_address_request::Payload::Message(message.clone()),
            Sent::Digest(digest) => sign_address_request::Payload::Digest(Bytes::copy_from_slice(digest)),
        }
    }

    pub(super) fn to_begin(&self) -> begin_address_request::Payload {
        match &self.sent {
            Sent::Message(message) => begin_address_request::Payload::Message(message.clone()),
            Sent::Digest(digest) => begin_address_request::Payload::Digest(Bytes::copy_from_slice(digest)),
        }
    }
}

impl fmt::Debug for AddressOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressOrder")
            .field("scheme", &self.scheme)
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}
