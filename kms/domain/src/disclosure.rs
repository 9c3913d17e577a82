//! What signers, approvers and policies are shown of a signature: the payload in full, held against the hash that the intent
//! commits to. A payload that says something else than what is signed is refused.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::code::{Code, Coded};
use crate::meaning::{Form, Meaning, MeaningError};

/// Why what is shown is not taken for what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DisclosureError {
    /// No format of this name is read here.
    #[error("no payload is read as `{0}`")]
    Format(String),
    /// The payload is not of its format.
    #[error("the payload does not read as said")]
    Meaning(#[from] MeaningError),
    /// The payload is another one than what is signed.
    #[error("the payload is not the one of the intent: its hash or digests are others")]
    Other,
}

impl Coded for DisclosureError {
    fn code(&self) -> Code {
        match self {
            Self::Format(_) => Code::PayloadFormatUnknown,
            Self::Meaning(_) => Code::PayloadUnread,
            Self::Other => Code::PayloadOther,
        }
    }
}

/// The format's name for an opaque payload, beside the empty one.
fn form_of(format: &str) -> Result<Form, DisclosureError> {
    match format {
        "" => Ok(Form::Opaque),
        name => Form::from_name(name).ok_or_else(|| DisclosureError::Format(name.chars().take(32).collect())),
    }
}

/// What a payload in this format says, if the signature over `payload_hash` (32 bytes: what intents commit to) is one for it.
///
/// An opaque payload is the hash itself, or what has it as its SHA-256. Any other one has it among the digests that its signers
/// sign.
pub fn disclosed(format: &str, payload: &[u8], payload_hash: &[u8; 32]) -> Result<Meaning, DisclosureError> {
    let form = form_of(format)?;
    if form == Form::Opaque {
        let fits = payload == payload_hash || Sha256::digest(payload).as_slice() == payload_hash;
        return if fits { Ok(Meaning::opaque(*payload_hash)) } else { Err(DisclosureError::Other) };
    }
    let meaning = Meaning::read(form, payload)?;
    if meaning.digests.contains(payload_hash) { Ok(meaning) } else { Err(DisclosureError::Other) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hash(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    #[test]
    fn an_opaque_payload_is_the_hash_or_what_has_it() {
        let signed = hash(b"pay");
        for payload in [&b"pay"[..], &signed] {
            for format in ["", "opaque"] {
                let meaning = disclosed(format, payload, &signed).unwrap();
                assert_eq!((meaning.form, meaning.digests), (Form::Opaque, vec![signed]));
            }
        }
        for other in [&b"pay more"[..], b"", &hash(b"pay more")] {
            assert_eq!(disclosed("", other, &signed), Err(DisclosureError::Other));
        }
    }

    #[test]
    fn a_payload_in_a_format_is_refused_unless_it_is_read_and_its_digest_is_signed() {
        // EIP-155's own example.
        let transaction =
            "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";
        let digest = "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53";
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        let (transaction, digest) = (bytes(transaction), bytes(digest));
        let digest: [u8; 32] = digest.try_into().unwrap();
        let meaning = disclosed("ethereum", &transaction, &digest).unwrap();
        assert_eq!(meaning.transfers.len(), 1);
        // Its own SHA-256 is not what its signers sign.
        assert_eq!(disclosed("ethereum", &transaction, &hash(&transaction)), Err(DisclosureError::Other));
        let unread = disclosed("ethereum", b"pay", &hash(b"pay")).unwrap_err();
        assert_eq!(unread.code(), Code::PayloadUnread);
        let unknown = disclosed("doc", &transaction, &digest).unwrap_err();
        assert_eq!(unknown.code(), Code::PayloadFormatUnknown);
    }
}
