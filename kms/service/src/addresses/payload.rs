//! What is to be signed by an address: one digest, of a payload that is read where its format is named.

use std::fmt;

use keyward_domain::scheme::Scheme;
use keyward_domain::{
    Code, Coded as _, Payload,
    disclosure::DisclosureError,
    meaning::{Form, Meaning},
    payload::is_reserved,
};
use keyward_policies::Facts;
use keyward_store::Id;
use sha2::{Digest as _, Sha256};

use crate::{
    failure::Failure,
    guard::{Input, Said},
};

/// One digest, and what is known of it. Prints redacted.
#[derive(Clone)]
pub(crate) struct ToSign {
    /// SHA-256 of the message, or the digest: both schemes sign exactly that.
    pub(crate) hash: [u8; 32],
    pub(crate) said: Said,
    /// What the payload says; nothing of an opaque one.
    pub(crate) words: Vec<String>,
    pub(crate) format: String,
}

impl fmt::Debug for ToSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToSign(redacted)")
    }
}

impl ToSign {
    /// With a format the message is the whole payload, and signed is its one digest; without one the message itself.
    pub(crate) fn read<B: AsRef<[u8]>>(
        input: &Input<B>,
        format: &str,
        scheme: Scheme,
    ) -> Result<Self, Failure> {
        let payload = match input {
            Input::Message(message) => Payload::message(message.as_ref()),
            Input::Digest(digest) => Payload::digest(scheme, digest.as_ref()),
        };
        let payload = payload.map_err(Failure::of)?;
        if matches!(payload, Payload::Message(message) if is_reserved(message)) {
            let what = "the message is one of Keyward's own: it would speak for the account";
            return Err(Failure::new(Code::PayloadReserved, what));
        }
        if matches!(format, "" | "opaque") {
            let said = said(Facts::opaque());
            return Ok(Self { hash: payload.hash(), said, words: Vec::new(), format: String::new() });
        }
        let Payload::Message(message) = payload else {
            let what = "a digest does not say what it is of: give the payload as the message";
            return Err(Failure::new(Code::PayloadMissing, what));
        };
        let form = Form::from_name(format)
            .ok_or_else(|| Failure::of(DisclosureError::Format(format.chars().take(32).collect())))?;
        let meaning = Meaning::read(form, message).map_err(|error| {
            let error = DisclosureError::Meaning(error);
            Failure::because(error.code(), error.to_string(), error)
        })?;
        let [hash] = meaning.digests[..] else {
            let what =
                format!("the payload has `{}` digests, and an address signs once", meaning.digests.len());
            return Err(Failure::new(Code::PayloadUnread, what));
        };
        let said = said(Facts::of(&meaning));
        Ok(Self { hash, said, words: meaning.words(), format: form.name().to_owned() })
    }

    /// The same with what approves it.
    pub(crate) fn approved(&self, rule: Id) -> Self {
        Self { said: self.said.clone().approved([rule]), ..self.clone() }
    }

    /// What names it in a request.
    pub(crate) fn name(&self) -> Vec<u8> {
        [&self.hash[..], self.format.as_bytes()].concat()
    }
}

const fn said(facts: Facts) -> Said {
    Said { facts, approvals: Vec::new(), word: Vec::new(), unlinkable: true }
}

/// SHA-256 under a label: what is kept of a secret that is shown again.
pub(crate) fn pin(label: &[u8], account: &[u8; 32], what: &[u8]) -> [u8; 32] {
    // INVARIANT: the labels are shorter than 256 bytes.
    let mut hash = Sha256::new_with_prefix([u8::try_from(label.len()).unwrap_or(u8::MAX)]);
    for part in [label, account, what] {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_payload_nor_its_opening_is_printed() {
        let input = Input::Message(&b"pay bob 12 BTC"[..]);
        let to_sign = ToSign::read(&input, "", Scheme::EcdsaSecp256k1);
        let begun = super::super::own::BegunAddress { intent: vec![7; 4], opening: [0xab; 32] };
        let printed = format!("{input:?} {to_sign:?} {begun:?}");
        assert_eq!(printed, "Input(redacted) Ok(ToSign(redacted)) BegunAddress(redacted)");
    }
}
