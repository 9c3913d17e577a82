//! The messages that prove possession, built here from their parts (`ledger/core/SPEC.md`): a user's side
//! never signs bytes that a service hands it.

use keyward_domain::scheme::{KeyId, PublicKey};
use keyward_domain::{Mode, credential_challenge, possession_challenge, rotation_challenge};

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
    /// The key id that stands before it in the entry of a rotation; else empty.
    pub(crate) previous: Vec<u8>,
}

/// The message that a key of a person signs, to be bound in that mode.
pub(crate) fn possession(parts: &Parts, mode: Mode, key: &PublicKey) -> Challenge {
    let Parts { chain_id, account, nonce, not_after } = parts;
    in_two(possession_challenge(chain_id, account, mode, key, nonce, *not_after), chain_id)
}

/// The message that a key of a person signs, to take over from another one in that mode.
pub(crate) fn rotation(parts: &Parts, mode: Mode, key: &PublicKey, previous: &KeyId) -> Challenge {
    let Parts { chain_id, account, nonce, not_after } = parts;
    let message = rotation_challenge(chain_id, account, mode, key, nonce, *not_after, previous);
    // In the entry, the version before stands first.
    let mut challenge = in_two(message, chain_id);
    let end = challenge.in_entry.len().saturating_sub(previous.0.len());
    challenge.previous = challenge.in_entry.split_off(end);
    challenge
}

/// The message that a credential of an account signs; the first one has version 1.
pub(crate) fn credential(parts: &Parts, version: u32, key: &[u8; 32]) -> Challenge {
    let Parts { chain_id, account, nonce, not_after } = parts;
    in_two(credential_challenge(chain_id, account, version, key, nonce, *not_after), chain_id)
}

/// The entry repeats what follows label and chain id.
fn in_two(message: Vec<u8>, chain_id: &[u8; 32]) -> Challenge {
    let label = message.first().map_or(0, |len| usize::from(*len));
    let in_entry = message.get(1 + label + chain_id.len()..).unwrap_or_default().to_vec();
    Challenge { message, in_entry, previous: Vec::new() }
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
        let challenge = possession(&PARTS, Mode::Hosted, &key);
        assert_eq!(hex::encode(&challenge.message), format!("15{label}{}{tail}", run("01")));
        assert_eq!(hex::encode(&challenge.in_entry), tail);
        let own = possession(&PARTS, Mode::Own, &key);
        let tail = format!("{}0304{:08x}{public}{}0000000000000405", run("02"), 32, run("03"));
        assert_eq!(hex::encode(&own.in_entry), tail);
    }

    #[test]
    fn rotation_challenge_has_the_bytes_of_the_specification() {
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = PublicKey::parse(Scheme::Ed25519, &hex::decode(public).unwrap()).unwrap();
        let label = hex::encode("keyward/rotation/v1");
        let tail = format!("{}0204{:08x}{public}{}0000000000000405", run("02"), 32, run("03"));
        let challenge = rotation(&PARTS, Mode::Hosted, &key, &KeyId([8; 32]));
        assert_eq!(hex::encode(&challenge.message), format!("13{label}{}{tail}{}", run("01"), run("08")));
        assert_eq!(hex::encode(&challenge.in_entry), tail);
        assert_eq!(challenge.previous, [8; 32]);
    }

    #[test]
    fn credential_challenge_has_the_bytes_of_the_specification() {
        let label = hex::encode("keyward/credential/v1");
        let tail = format!("{}00000001{}{}0000000000000405", run("02"), run("07"), run("03"));
        let challenge = credential(&PARTS, 1, &[7; 32]);
        assert_eq!(hex::encode(&challenge.message), format!("15{label}{}{tail}", run("01")));
        assert_eq!(hex::encode(&challenge.in_entry), tail);
    }
}
