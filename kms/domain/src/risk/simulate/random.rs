//! Numbers from a seed, for workloads alone: `SHA-256(label || seed u64 || account u32 || block u64)`, taken apart.

use sha2::{Digest as _, Sha256};

const LABEL: &[u8] = b"\x18keyward/risk-workload/v1";

pub(super) struct Random {
    seed: u64,
    account: u32,
    block: u64,
    left: Vec<u64>,
}

impl Random {
    pub(super) const fn new(seed: u64, account: u32) -> Self {
        Self { seed, account, block: 0, left: Vec::new() }
    }

    fn next(&mut self) -> u64 {
        if let Some(number) = self.left.pop() {
            return number;
        }
        let hash = Sha256::new().chain_update(LABEL).chain_update(self.seed.to_be_bytes());
        let hash = hash.chain_update(self.account.to_be_bytes()).chain_update(self.block.to_be_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        self.block += 1;
        let (numbers, _) = bytes.as_chunks::<8>();
        self.left = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        self.left.pop().unwrap_or_default()
    }

    /// Below a number; 0 below 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).unwrap_or_default()
    }

    /// From one number to another.
    pub(super) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// True so many times in a thousand.
    pub(super) fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// A base times a power of two that is about normally spread: so many 256ths of a doubling are its standard deviation.
    pub(super) fn spread(&mut self, base: u64, deviation: u64) -> u64 {
        // Eight even numbers of -s to s deviate by 1.63 s.
        let s = deviation * 157 / 256;
        let sum: u64 = (0..8).map(|_| self.below(2 * s + 1)).sum();
        let (up, by) = (sum >= 8 * s, sum.abs_diff(8 * s));
        let (doublings, part) = (by / 256, 256 + by % 256);
        if up { ((base * part) >> 8) << doublings } else { ((base << 8) / part) >> doublings }.max(1)
    }
}
