//! Tests of shared keys: published vectors first, then properties, then lies.

use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha512};

mod bytes;
mod flow;
mod generation;
mod refresh;
mod renewal;
mod repair;
mod signing;
mod vectors;
mod world;

/// A stream from a seed: SHA-512 in counter mode. For tests only.
pub(super) struct Seeded {
    seed: u64,
    count: u64,
}

impl Seeded {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    /// From `KEYWARD_SEED`, or a new one; printed, so that a failure can be had again.
    pub(super) fn printed() -> Self {
        let given = std::env::var("KEYWARD_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| getrandom::u64().unwrap());
        println!("KEYWARD_SEED={seed}");
        Self::new(seed)
    }

    /// Another stream, from this one.
    pub(super) fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }

    pub(super) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill_bytes(&mut bytes);
        bytes
    }

    /// `count` of the numbers `1..=of`, ascending.
    pub(super) fn choose(&mut self, count: u8, of: u8) -> Vec<u8> {
        let mut all: Vec<u8> = (1..=of).collect();
        while all.len() > usize::from(count) {
            let place = usize::try_from(self.next_u64() % all.len() as u64).unwrap();
            all.remove(place);
        }
        all
    }
}

impl RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(64) {
            self.count += 1;
            let block = Sha512::digest([self.seed.to_be_bytes(), self.count.to_be_bytes()].concat());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), opaque_ke::rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Seeded {}
