//! Login limits: each attempt is charged before it is answered, and success alone clears the count.

use crate::code::{Code, Coded};

/// Attempts without success before logins cool down.
pub const FAILURES_MAX: u32 = 10;
/// How long logins cool down, in milliseconds.
pub const COOL_DOWN_MS: u64 = 15 * 60 * 1000;

/// The attempts of one user name, known or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginLimit {
    /// Attempts since the last success.
    pub failures: u32,
    /// When the last attempt was charged, in Unix milliseconds.
    pub last_ms: u64,
}

/// Too many attempts without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{FAILURES_MAX}` logins failed; the next one is answered in `{wait_ms}` ms")]
pub struct LoginLimited {
    /// How long until an attempt is answered again.
    pub wait_ms: u64,
}

impl Coded for LoginLimited {
    fn code(&self) -> Code {
        Code::LoginLimited
    }
}

impl LoginLimit {
    /// Charges an attempt; the server of an OPAQUE login never learns of most failures, so all count as failed
    /// until `succeeded`. What is as old as the cool-down is forgotten, however many they were: so a name may be
    /// forgotten with it.
    pub const fn attempt(self, now_ms: u64) -> Result<Self, LoginLimited> {
        let until_ms = self.last_ms.saturating_add(COOL_DOWN_MS);
        if now_ms >= until_ms {
            return Ok(Self { failures: 1, last_ms: now_ms });
        }
        if self.failures >= FAILURES_MAX {
            return Err(LoginLimited { wait_ms: until_ms.saturating_sub(now_ms) });
        }
        Ok(Self { failures: self.failures.saturating_add(1), last_ms: now_ms })
    }

    /// A login succeeded.
    #[must_use]
    pub const fn succeeded(self) -> Self {
        Self { failures: 0, last_ms: self.last_ms }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn exhausted() -> LoginLimit {
        (0..FAILURES_MAX).fold(LoginLimit::default(), |limit, _| limit.attempt(100).unwrap())
    }

    #[test]
    fn the_eleventh_attempt_waits_for_the_cool_down() {
        assert_eq!(exhausted().attempt(100), Err(LoginLimited { wait_ms: COOL_DOWN_MS }));
        assert_eq!(exhausted().attempt(99 + COOL_DOWN_MS), Err(LoginLimited { wait_ms: 1 }));
        assert_eq!(exhausted().attempt(100 + COOL_DOWN_MS).unwrap().failures, 1);
    }

    #[test]
    fn attempts_are_forgotten_a_cool_down_after_the_last_one() {
        let one = LoginLimit::default().attempt(100).unwrap();
        assert_eq!(one.attempt(99 + COOL_DOWN_MS).unwrap().failures, 2);
        assert_eq!(one.attempt(100 + COOL_DOWN_MS).unwrap().failures, 1);
    }

    #[test]
    fn success_clears_the_count() {
        assert_eq!(exhausted().succeeded().attempt(101).unwrap().failures, 1);
    }
}
