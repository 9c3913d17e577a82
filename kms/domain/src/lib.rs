//! Nouns and decisions of custody: pure.

pub use keyward_ledger_core::scheme;
