//! What a login is held against, as a row keeps it: `version u8 (2) || name[32] || registration record`.
//!
//! The name is what the oblivious function is keyed with. Each registration has a random one of its own: whoever may start
//! registrations learns nothing with it of a password that was registered before, or will be. Rows of earlier versions
//! hold the record alone; those are keyed with the user name.

const VERSION: u8 = 2;
/// A record alone: public key, masking key, nonce and tag of the envelope (RFC 9807 over ristretto255 and SHA-512).
const RECORD_BYTES: usize = 32 + 64 + 32 + 64;

/// What the row keeps.
pub(crate) fn keep(name: &[u8; 32], record: &[u8]) -> Vec<u8> {
    [&[VERSION][..], name, record].concat()
}

/// The name and the record of a row.
pub(super) fn read<'a>(kept: &'a [u8], user: &'a str) -> (&'a [u8], &'a [u8]) {
    let parts = kept.strip_prefix(&[VERSION]).and_then(|rest| rest.split_at_checked(32));
    parts.filter(|(_, record)| record.len() == RECORD_BYTES).unwrap_or((user.as_bytes(), kept))
}
