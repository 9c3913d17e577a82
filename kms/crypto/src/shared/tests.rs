//! Tests of shared keys: published vectors first, then properties, then lies.

use super::SharedScheme;

mod bytes;
mod ecdsa;
mod flow;
mod generation;
mod refresh;
mod renewal;
mod repair;
mod signing;
mod vectors;
mod world;

pub(super) use crate::seeded::Seeded;

/// The schemes that sign by FROST.
const FROST: [SharedScheme; 2] = [SharedScheme::Ed25519, SharedScheme::Bip340];
