//! What several stories need.

pub mod authority;
pub mod cluster;
pub mod deaf;
pub mod keyward;
pub mod line;
pub mod load;
#[path = "../../support/postgres.rs"]
pub mod postgres;
#[path = "../../support/s3.rs"]
#[allow(dead_code, reason = "the block store's own tests need more of it")]
pub mod s3;
pub mod samples;

use keyward_ledger_node::{BucketConfig, BucketKey};
use std::{
    future::Future,
    time::{Duration, Instant},
};

pub(crate) use postgres::ports::free_address;

/// Waits until `holds`, within patience.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + keyward::PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited {:?} for: {what}", keyward::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Numbers that follow from the run's seed, so that a failed run can be repeated.
pub struct Random(u64);

impl Random {
    /// Each story has a stream of its own.
    pub fn of(story: &str) -> Self {
        println!("seed {} (KEYWARD_SEED) for {story}", keyward_tests::seed());
        let mix = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(story.bytes().fold(keyward_tests::seed() ^ 0xcbf2_9ce4_8422_2325, mix))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// A pause up to a number of milliseconds.
    pub fn pause(&mut self, up_to_ms: u64) -> Duration {
        Duration::from_millis(self.below(up_to_ms))
    }
}
