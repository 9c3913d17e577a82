//! What an account's credential signs so that keepers take shares of its vault or of what opens its closed address epochs,
//! and of nobody else's.

/// The first bytes of what is signed: `u8 24 || "keyward/vault-deposit/v1"`.
const LABEL: &[u8] = b"\x18keyward/vault-deposit/v1";
/// The same of a dealing: `u8 26 || "keyward/viewing-deposit/v1"`.
const VIEWING_LABEL: &[u8] = b"\x1akeyward/viewing-deposit/v1";

/// The message: `u8 24 || "keyward/vault-deposit/v1" || chain id[32] || hash of the sealing[32]`. One signature serves
/// for every keeper of the sealing; who repeats it can deposit nothing but the same shares.
pub fn vault_deposit_message(chain_id: &[u8; 32], sealing: &[u8; 32]) -> Vec<u8> {
    [LABEL, chain_id, sealing].concat()
}

/// The message: `u8 26 || "keyward/viewing-deposit/v1" || chain id[32] || hash of the dealing[32]`. One signature serves for
/// every keeper of the dealing.
pub fn viewing_deposit_message(chain_id: &[u8; 32], dealing: &[u8; 32]) -> Vec<u8> {
    [VIEWING_LABEL, chain_id, dealing].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_have_the_bytes_of_the_specification() {
        let message = vault_deposit_message(&[1; 32], &[2; 32]);
        assert_eq!(message.first().copied().map(usize::from), Some(LABEL.len() - 1));
        assert_eq!(message, [&b"\x18keyward/vault-deposit/v1"[..], &[1; 32], &[2; 32]].concat());
        let message = viewing_deposit_message(&[1; 32], &[2; 32]);
        assert_eq!(message.first().copied().map(usize::from), Some(VIEWING_LABEL.len() - 1));
        assert_eq!(message, [&b"\x1akeyward/viewing-deposit/v1"[..], &[1; 32], &[2; 32]].concat());
    }
}
