//! What is to be signed with a shared key: the bytes, what they are said to be, and under which mark it is done once.

use keyward_crypto::shared::{SharedScheme, Tweak};
use keyward_domain::meaning::{Form, Meaning};
use keyward_domain::payload::is_reserved;
use keyward_domain::{DisclosureError, disclosed};
use keyward_proto::custody::Disclosure;
use sha2::{Digest as _, Sha256};
use tonic::codegen::Bytes;

use super::error::SharedError;
use crate::client::idempotency_key;
use crate::error::ClientError;
use crate::sign::MARK_BYTES_MAX;

/// How a payload is written: what keepers, policies and approvers read amounts and destinations from.
pub type Format = Form;

/// An approval that this signature uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    id: [u8; 32],
    /// The r with which the approved commitment was made.
    opening: [u8; 32],
}

/// An order for one signature of a shared key.
#[derive(Clone, Debug)]
pub struct SharedSignOrder {
    /// What the holders sign: for Ed25519 the message, else a digest.
    pub(super) message: Vec<u8>,
    pub(super) payload_hash: [u8; 32],
    pub(super) tweak: Tweak,
    pub(super) mark: Bytes,
    format: Form,
    payload: Vec<u8>,
    case: Option<Case>,
}

impl SharedSignOrder {
    /// A message of which nothing is understood; but with Ed25519 its SHA-256 is signed. The mark is fresh.
    pub fn message(scheme: SharedScheme, message: &[u8]) -> Result<Self, SharedError> {
        let hash = Sha256::digest(message).into();
        match scheme {
            SharedScheme::Ed25519 if is_reserved(message) => Err(ClientError::Reserved.into()),
            SharedScheme::Ed25519 => Self::new(message.to_vec(), hash, Form::Opaque, hash.to_vec()),
            SharedScheme::Bip340 | SharedScheme::EcdsaSecp256k1 => Self::digest(&hash),
        }
    }

    /// The digest that is signed, of which nothing is understood; not with Ed25519. The mark is fresh.
    pub fn digest(digest: &[u8; 32]) -> Result<Self, SharedError> {
        Self::new(digest.to_vec(), *digest, Form::Opaque, digest.to_vec())
    }

    /// A payload of a format that is read here. Where it has several digests, `input` names one, from 0. The mark is fresh.
    pub fn payload(
        scheme: SharedScheme,
        format: Format,
        payload: &[u8],
        input: Option<usize>,
    ) -> Result<Self, SharedError> {
        if format == Form::Opaque {
            return Self::message(scheme, payload);
        }
        let meaning = Meaning::read(format, payload).map_err(DisclosureError::from)?;
        let (message, hash) = match scheme {
            SharedScheme::Ed25519 => (payload.to_vec(), Sha256::digest(payload).into()),
            SharedScheme::Bip340 | SharedScheme::EcdsaSecp256k1 => {
                let digests = meaning.digests.len();
                let one = match input {
                    Some(input) => meaning.digests.get(input),
                    None if digests == 1 => meaning.digests.first(),
                    None => None,
                };
                let digest = *one.ok_or(SharedError::Digests { digests })?;
                (digest.to_vec(), digest)
            }
        };
        disclosed(format.name(), payload, &hash)?;
        Self::new(message, hash, format, payload.to_vec())
    }

    fn new(
        message: Vec<u8>,
        payload_hash: [u8; 32],
        format: Form,
        payload: Vec<u8>,
    ) -> Result<Self, SharedError> {
        let (tweak, case, mark) = (Tweak::None, None, idempotency_key()?);
        Ok(Self { message, payload_hash, tweak, mark, format, payload, case })
    }

    /// Signed for the key under this tweak (BIP341).
    pub fn tweaked(self, tweak: Tweak) -> Self {
        Self { tweak, ..self }
    }

    /// Uses up this approval case, whose payload was approved under the commitment that `opening` opens.
    pub fn approved(self, case: [u8; 32], opening: [u8; 32]) -> Self {
        Self { case: Some(Case { id: case, opening }), ..self }
    }

    /// Another mark of 1 to 64 bytes, which the caller keeps.
    pub fn marked(self, mark: &[u8]) -> Result<Self, SharedError> {
        match mark.len() {
            1..=MARK_BYTES_MAX => Ok(Self { mark: Bytes::copy_from_slice(mark), ..self }),
            len => Err(ClientError::Mark { len }.into()),
        }
    }

    /// What an approver approves, and what the intent commits to: 32 bytes.
    pub const fn payload_hash(&self) -> &[u8; 32] {
        &self.payload_hash
    }

    /// The case, if there is one.
    pub(super) fn case(&self) -> Option<[u8; 32]> {
        self.case.map(|case| case.id)
    }

    /// The random value of the intent's commitment: the approved one, or a fresh one.
    pub(super) fn opening(&self) -> Result<[u8; 32], SharedError> {
        match &self.case {
            Some(case) => Ok(case.opening),
            None => Ok(crate::vault::entry::random32()?),
        }
    }

    /// What keepers are shown.
    pub(super) fn disclosure(&self, opening: &[u8; 32]) -> Disclosure {
        let format = if self.format == Form::Opaque { String::new() } else { self.format.name().to_owned() };
        Disclosure { payload: self.payload.clone().into(), format, opening: opening.to_vec().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_of_a_message_is_what_its_scheme_signs() {
        let hash: [u8; 32] = Sha256::digest(b"pay").into();
        let order = SharedSignOrder::message(SharedScheme::Ed25519, b"pay").unwrap();
        assert_eq!((order.message.as_slice(), order.payload_hash), (&b"pay"[..], hash));
        for scheme in [SharedScheme::Bip340, SharedScheme::EcdsaSecp256k1] {
            let order = SharedSignOrder::message(scheme, b"pay").unwrap();
            assert_eq!((order.message.as_slice(), order.payload_hash), (&hash[..], hash));
        }
        for order in SharedScheme::ALL.map(|s| SharedSignOrder::message(s, b"pay").unwrap()) {
            let shown = order.disclosure(&[1; 32]);
            disclosed(&shown.format, &shown.payload, &order.payload_hash).unwrap();
        }
    }

    #[test]
    fn a_message_that_means_something_to_keyward_is_refused() {
        let message = [&[0x15][..], b"keyward/possession/v1", &[0; 40]].concat();
        let refused = SharedSignOrder::message(SharedScheme::Ed25519, &message).unwrap_err();
        assert!(matches!(refused, SharedError::Client(ClientError::Reserved)), "{refused}");
    }

    #[test]
    fn a_payload_that_is_not_of_its_format_is_refused_and_so_is_an_impossible_mark() {
        for format in [Form::Ethereum, Form::BitcoinPsbt, Form::Pain001] {
            let refused =
                SharedSignOrder::payload(SharedScheme::Ed25519, format, b"nothing", None).unwrap_err();
            assert!(matches!(refused, SharedError::Payload(_)), "{refused}");
        }
        let order = SharedSignOrder::digest(&[7; 32]).unwrap();
        for mark in [&[][..], &[1; 65]] {
            assert!(order.clone().marked(mark).is_err());
        }
        assert_eq!(order.marked(b"once").unwrap().mark.as_ref(), b"once");
    }
}
