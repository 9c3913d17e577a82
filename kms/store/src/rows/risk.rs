//! Rows of risk.

use super::Id;

/// What is known of an account's habits from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskHistory {
    /// The account.
    pub account: Id,
    /// The revision before, which one more comes after; 0: none was kept.
    pub from: u64,
    /// Sealed.
    pub sealed: Vec<u8>,
}
