//! The name of a run of a protocol: a hash over everything its holders have agreed to before it starts.

use sha2::{Digest as _, Sha256};

use super::facts::KeyName;
use crate::labels;

/// The protocols.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Generation = 1,
    Signing = 2,
    Renewal = 3,
    Repair = 4,
    Refresh = 5,
}

/// `SHA-256(label || kind u8 || chain id[32] || key name[32] || (u32 length || part)*)`.
pub(crate) fn id(kind: Kind, name: &KeyName, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(labels::tagged(labels::SHARED_RUN));
    hasher.update([kind as u8]);
    hasher.update(name.chain_id);
    hasher.update(name.key);
    for part in parts {
        // INVARIANT: a part is at most a message of 1 MiB.
        hasher.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// `SHA-256(label || run[32] || hash[32]*)`: the messages of one step, in the order of their holders.
pub(crate) fn transcript(run: &[u8; 32], hashes: impl Iterator<Item = [u8; 32]>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(labels::tagged(labels::SHARED_TRANSCRIPT));
    hasher.update(run);
    hashes.for_each(|hash| hasher.update(hash));
    hasher.finalize().into()
}
