//! What is to be signed: a message, or the SHA-256 digest of one.

use sha2::{Digest as _, Sha256};

use crate::code::{Code, Coded};
use crate::scheme::Scheme;

/// The longest message, in bytes: 1 MiB.
pub const MESSAGE_LEN_MAX: usize = 1 << 20;
/// A digest's length, in bytes.
pub const DIGEST_LEN: usize = 32;
/// The most requests in one batch.
pub const BATCH_LEN_MAX: usize = 256;

/// How the text begins that puts an address into an association, and how far behind a chain's own prefix it may stand.
const ASSOCIATION_TEXT: &[u8] = b"Keyward association v1:";
const PREFIX_LEN_MAX: usize = 40;

/// Whether a message means something to Keyward itself, so that a signature would be a word of the key's holder: a label with
/// its length before it (`keyward/..`), or the text by which an address joins an association, bare or behind the prefix of a
/// chain's signed messages.
pub fn is_reserved(message: &[u8]) -> bool {
    let labelled = message.split_first().is_some_and(|(len, rest)| {
        rest.get(..usize::from(*len)).is_some_and(|label| label.starts_with(b"keyward/"))
    });
    let head = message.get(..PREFIX_LEN_MAX.saturating_add(ASSOCIATION_TEXT.len())).unwrap_or(message);
    labelled || head.windows(ASSOCIATION_TEXT.len()).any(|part| part == ASSOCIATION_TEXT)
}

/// Checked bytes to sign under one scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The message itself, at most 1 MiB.
    Message(&'a [u8]),
    /// The SHA-256 digest of a message that the caller keeps.
    Digest([u8; DIGEST_LEN]),
}

/// Why bytes cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The message is too long.
    #[error("a message of `{0}` bytes is longer than `{MESSAGE_LEN_MAX}`")]
    MessageTooLarge(usize),
    /// The digest has the wrong length.
    #[error("a digest of `{0}` bytes is not one of `{DIGEST_LEN}`")]
    DigestLength(usize),
    /// The scheme signs messages only.
    #[error("`{0}` signs messages, not digests")]
    DigestNotAllowed(Scheme),
}

impl Coded for PayloadError {
    fn code(&self) -> Code {
        match self {
            Self::MessageTooLarge(_) => Code::MessageTooLarge,
            Self::DigestLength(_) => Code::DigestLength,
            Self::DigestNotAllowed(_) => Code::DigestNotAllowed,
        }
    }
}

impl<'a> Payload<'a> {
    /// Takes a message.
    pub const fn message(bytes: &'a [u8]) -> Result<Self, PayloadError> {
        if bytes.len() > MESSAGE_LEN_MAX {
            return Err(PayloadError::MessageTooLarge(bytes.len()));
        }
        Ok(Self::Message(bytes))
    }

    /// Takes a digest for a scheme that signs digests.
    pub fn digest(scheme: Scheme, bytes: &[u8]) -> Result<Self, PayloadError> {
        if !scheme.signs_digest() {
            return Err(PayloadError::DigestNotAllowed(scheme));
        }
        let digest = bytes.try_into().ok().ok_or(PayloadError::DigestLength(bytes.len()))?;
        Ok(Self::Digest(digest))
    }

    /// The payload hash that intents commit to: SHA-256 of the message.
    pub fn hash(&self) -> [u8; DIGEST_LEN] {
        match self {
            Self::Message(bytes) => Sha256::digest(bytes).into(),
            Self::Digest(digest) => *digest,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_keyward_itself_would_take_for_a_word_is_reserved() {
        let text = "Keyward association v1: ledger 00";
        let ethereum = format!("\x19Ethereum Signed Message:\n{}{text}", text.len());
        let bitcoin = format!("\x18Bitcoin Signed Message:\n{}{text}", text.len() as u8 as char);
        let label = [&[19][..], b"keyward/authored/v1 and the rest"].concat();
        for own in [text.as_bytes(), ethereum.as_bytes(), bitcoin.as_bytes(), &label] {
            assert!(is_reserved(own), "{}", String::from_utf8_lossy(own));
        }
        let quoted = format!("a letter that is long enough before it says: {text}");
        for other in [&b""[..], b"pay 1", b"keyward/authored/v1", b"Keyward association", quoted.as_bytes()] {
            assert!(!is_reserved(other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn digests_have_one_length_and_are_not_for_schemes_that_sign_messages() {
        for len in [0, 1, 20, 31, 33, 48, 64] {
            let error = Payload::digest(Scheme::Bip340, &vec![0; len]).unwrap_err();
            assert_eq!(error, PayloadError::DigestLength(len));
        }
        assert!(Payload::digest(Scheme::EcdsaP256, &[0; 32]).is_ok());
        for scheme in [Scheme::Ed25519, Scheme::Sm2] {
            let error = Payload::digest(scheme, &[0; 32]).unwrap_err();
            assert_eq!(error.code(), Code::DigestNotAllowed);
        }
    }

    #[test]
    fn a_message_is_bounded_and_hashes_like_its_digest() {
        let bytes = vec![7; MESSAGE_LEN_MAX + 1];
        assert!(Payload::message(&bytes).is_err());
        let message = Payload::message(&bytes[1..]).unwrap();
        let digest = Payload::digest(Scheme::EcdsaSecp256k1, &message.hash()).unwrap();
        assert_eq!(message.hash(), digest.hash());
    }
}
