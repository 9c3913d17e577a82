//! The ledger's pure core: canonical bytes, hashes, trees, contracts and receipts.

pub mod scheme;
