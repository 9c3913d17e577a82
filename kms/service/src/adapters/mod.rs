//! The real ledger, keepers, tokens, key-encryption key and clock behind the ports.

pub(crate) mod keepers;
pub(crate) mod kek;
pub(crate) mod ledger;
pub(crate) mod tokens;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::ports::Clock;

/// The machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
