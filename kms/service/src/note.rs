//! Notes with a commitment: everybody sees that something was done, only who is shown the blinding can check what.

use keyward_ledger_core::entry::Entry;
use sha2::{Digest as _, Sha256};

/// `u8 len || label || verb u8 || nonce[32] || commitment[32]`, where the commitment is
/// `SHA-256(u8 len || label || blinding[32] || verb u8 || opened)`.
pub(crate) fn committed(
    label: &str,
    verb: u8,
    nonce: &[u8; 32],
    blinding: &[u8; 32],
    opened: &[&[u8]],
) -> Entry {
    let verb = [verb];
    let parts: Vec<&[u8]> = [&blinding[..], &verb].into_iter().chain(opened.iter().copied()).collect();
    let commitment = labelled(label, &parts);
    Entry::Note([&length(label)[..], label.as_bytes(), &verb, nonce, &commitment].concat())
}

/// `SHA-256(u8 len || label || parts)`.
pub(crate) fn labelled(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(length(label));
    hasher.update(label);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn length(label: &str) -> [u8; 1] {
    // INVARIANT: labels are constants far below 256 bytes.
    [u8::try_from(label.len()).unwrap_or(u8::MAX)]
}
