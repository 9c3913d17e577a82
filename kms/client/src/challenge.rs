//! The messages that prove possession, built here from their parts (`ledger/core/SPEC.md`): a user's side
//! never signs bytes that a service hands it.

use keyward_domain::Mode;
use keyward_domain::scheme::PublicKey;

const POSSESSION_LABEL: &[u8] = b"keyward/possession/v1";
const CREDENTIAL_LABEL: &[u8] = b"keyward/credential/v1";

/// What a service contributes to a challenge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) chain_id: [u8; 32],
    pub(crate) account: [u8; 32],
    pub(crate) nonce: [u8; 32],
    /// Ledger height.
    pub(crate) not_after: u64,
}

/// A challenge, and the part of it that the ledger's entry repeats byte for byte.
pub(crate) struct Challenge {
    pub(crate) message: Vec<u8>,
    pub(crate) in_entry: Vec<u8>,
}

/// The message that a key of a person signs, to be hosted.
pub(crate) fn possession(parts: &Parts, key: &PublicKey) -> Challenge {
    let bytes = key.as_bytes();
    // INVARIANT: a parsed public key has at most `PublicKey::BYTES_MAX` bytes.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let codes = [Mode::Hosted.code(), key.scheme().code()];
    let not_after = parts.not_after.to_be_bytes();
    assemble(POSSESSION_LABEL, parts, &[&codes, &len, bytes, &parts.nonce, &not_after])
}

/// The message that the first credential of an account signs.
pub(crate) fn credential(parts: &Parts, key: &[u8; 32]) -> Challenge {
    let version = 1_u32.to_be_bytes();
    let not_after = parts.not_after.to_be_bytes();
    assemble(CREDENTIAL_LABEL, parts, &[&version, key, &parts.nonce, &not_after])
}

fn assemble(label: &[u8], parts: &Parts, rest: &[&[u8]]) -> Challenge {
    // INVARIANT: the labels above are shorter than 256 bytes.
    let len = [u8::try_from(label.len()).unwrap_or(u8::MAX)];
    let in_entry = [&parts.account[..], &rest.concat()].concat();
    let message = [&len, label, &parts.chain_id, &in_entry].concat();
    Challenge { message, in_entry }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_domain::scheme::Scheme;

    const PARTS: Parts = Parts { chain_id: [1; 32], account: [2; 32], nonce: [3; 32], not_after: 0x0405 };

    fn run(byte: &str) -> String {
        byte.repeat(32)
    }

    #[test]
    fn possession_challenge_has_the_bytes_of_the_specification() {
        // RFC 8032, section 7.1, test 1.
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = PublicKey::parse(Scheme::Ed25519, &hex::decode(public).unwrap()).unwrap();
        let label = hex::encode("keyward/possession/v1");
        let tail = format!("{}0204{:08x}{public}{}0000000000000405", run("02"), 32, run("03"));
        let challenge = possession(&PARTS, &key);
        assert_eq!(hex::encode(&challenge.message), format!("15{label}{}{tail}", run("01")));
        assert_eq!(hex::encode(&challenge.in_entry), tail);
    }

    #[test]
    fn credential_challenge_has_the_bytes_of_the_specification() {
        let label = hex::encode("keyward/credential/v1");
        let tail = format!("{}00000001{}{}0000000000000405", run("02"), run("07"), run("03"));
        let challenge = credential(&PARTS, &[7; 32]);
        assert_eq!(hex::encode(&challenge.message), format!("15{label}{}{tail}", run("01")));
        assert_eq!(hex::encode(&challenge.in_entry), tail);
    }
}
