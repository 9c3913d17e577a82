//! What is asked before a key signs: who, which key, what the payload says, when, and under which approvals.

use keyward_domain::AccountId;

use crate::{
    facts::Facts,
    request::{Actor, Resource},
};

/// One signature, by somebody whom the service knows.
#[derive(Clone, Copy, Debug)]
pub struct SigningRequest<'a> {
    /// Who asks.
    pub actor: Actor<'a>,
    /// With which key: a [`Resource::Key`].
    pub key: Resource<'a>,
    /// What the payload says.
    pub facts: &'a Facts,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The approval rules under which this payload is approved.
    pub approvals: &'a [[u8; 32]],
}

/// One signature with a shared key, as service and keepers alike see it: by the account that holds the key.
#[derive(Clone, Copy, Debug)]
pub struct SharedSigning<'a> {
    /// Whose key it is, and whose party signed the intent.
    pub account: AccountId,
    /// The 32-byte key id.
    pub key_id: [u8; 32],
    /// What the payload says.
    pub facts: &'a Facts,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The approval rules under which this payload is approved.
    pub approvals: &'a [[u8; 32]],
}

/// Hour of the day, 0 to 23, and day of the week, 1 (Monday) to 7, in UTC.
pub(crate) const fn hour_and_weekday(time_ms: u64) -> (i64, i64) {
    const HOUR_MS: u64 = 3_600_000;
    let hours = time_ms / HOUR_MS;
    // 1970 began on a Thursday, the fourth day.
    let weekday = (hours / 24 + 3) % 7 + 1;
    ((hours % 24) as i64, weekday as i64)
}

/// Some time at this hour and day, as [`hour_and_weekday`] takes it apart.
pub(crate) const fn time_at(hour: u8, weekday: u8) -> u64 {
    const DAY_MS: u64 = 86_400_000;
    const MONDAY_MS: u64 = 4 * DAY_MS;
    MONDAY_MS + (weekday as u64).saturating_sub(1) * DAY_MS + hour as u64 * 3_600_000
}
