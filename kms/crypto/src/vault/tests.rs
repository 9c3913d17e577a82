//! Tests of the vault: published vectors first, then properties, then attacks.

mod attack;
mod binding;
mod flow;
mod golden;
mod oprf;
mod refusals;
mod renewal;
mod repair;
mod sharing;
mod world;

use sha2::Digest as _;

pub(super) use crate::seeded::Seeded;

/// Of bytes that were sealed.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}
