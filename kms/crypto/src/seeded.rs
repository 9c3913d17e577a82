//! A stream from a seed, for tests alone.

use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha512};

/// A stream from a seed: SHA-512 in counter mode. For tests only.
pub(crate) struct Seeded {
    seed: u64,
    count: u64,
}

impl Seeded {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    /// From `KEYWARD_SEED`, or a new one; printed, so that a failure can be had again.
    pub(crate) fn printed() -> Self {
        let given = std::env::var("KEYWARD_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| getrandom::u64().unwrap());
        println!("KEYWARD_SEED={seed}");
        Self::new(seed)
    }

    /// Another stream, from this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next_u64() % end as u64).unwrap()
    }

    /// `count` of the numbers `1..=of`, ascending.
    pub(crate) fn choose(&mut self, count: u8, of: u8) -> Vec<u8> {
        let mut chosen = self.choose_in_any_order(count, of);
        chosen.sort_unstable();
        chosen
    }

    /// `count` of the numbers `1..=of`, in any order.
    pub(crate) fn choose_in_any_order(&mut self, count: u8, of: u8) -> Vec<u8> {
        let mut all: Vec<u8> = (1..=of).collect();
        for place in 0..usize::from(count) {
            let other = place + self.below(all.len() - place);
            all.swap(place, other);
        }
        all.truncate(usize::from(count));
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
