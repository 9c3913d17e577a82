//! A digest under way.

use zeroize::Zeroizing;

use crate::error::Refusal;
use crate::hash::{Hash, Hashed};
use crate::mechanism::{Mechanism, no_parameter};

/// A digest under way.
pub(crate) struct Hashing {
    hash: Hash,
    state: Hashed,
    in_parts: bool,
}

impl Hashing {
    pub(crate) fn start(mechanism: &Mechanism) -> Result<Self, Refusal> {
        let hash = Hash::of_mechanism(mechanism.kind).ok_or(Refusal::Mechanism)?;
        no_parameter(mechanism)?;
        Ok(Self { hash, state: hash.start(), in_parts: false })
    }

    pub(crate) fn is_in_parts(&self) -> bool {
        self.in_parts
    }

    pub(crate) fn digest_bytes(&self) -> usize {
        self.hash.bytes()
    }

    pub(crate) fn update(&mut self, part: &[u8]) {
        self.in_parts = true;
        self.state.update(part);
    }

    pub(crate) fn finish(mut self, rest: &[u8]) -> Zeroizing<Vec<u8>> {
        self.state.update(rest);
        self.state.finish()
    }
}
