//! Challenges: a nonce that one account may answer once, before it expires.

use crate::account::AccountId;
use crate::code::{Code, Coded};

/// How long a challenge stays answerable, in milliseconds.
pub const LIFETIME_MS: u64 = 10 * 60 * 1000;
/// How many ledger blocks a challenge's proof stays acceptable.
pub const LIFETIME_BLOCKS: u64 = 2048;
/// The most open challenges an account may have at a time; the oldest goes first.
pub const OPEN_MAX: usize = 64;

/// What the answer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Possession of a key that is to be bound.
    Key,
    /// Possession of an account's credential.
    Credential,
}

/// An open challenge. Answering it consumes it: it cannot be answered twice.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What the answer proves.
    pub purpose: Purpose,
    /// The account it was made for.
    pub account: AccountId,
    /// 32 random bytes.
    pub nonce: [u8; 32],
    /// The last ledger height at which the proof counts.
    pub not_after: u64,
    /// When it stops being answerable here, in Unix milliseconds.
    pub expires_ms: u64,
}

/// Why an answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Never given out, or answered before.
    #[error("the challenge was answered before, or never given out")]
    Replayed,
    /// Past its time.
    #[error("the challenge expired at `{expires_ms}` ms, ledger height `{not_after}`")]
    Expired {
        /// The last ledger height.
        not_after: u64,
        /// Unix milliseconds.
        expires_ms: u64,
    },
    /// Made for another account or purpose.
    #[error("the challenge was made for another account or purpose")]
    Foreign,
}

impl Coded for ChallengeError {
    fn code(&self) -> Code {
        match self {
            Self::Replayed | Self::Foreign => Code::ChallengeReplayed,
            Self::Expired { .. } => Code::ChallengeExpired,
        }
    }
}

impl Challenge {
    /// A challenge that lives from now on; `nonce` must be fresh random bytes.
    pub const fn new(
        purpose: Purpose,
        account: AccountId,
        nonce: [u8; 32],
        now_ms: u64,
        height: u64,
    ) -> Self {
        let not_after = height.saturating_add(LIFETIME_BLOCKS);
        Self { purpose, account, nonce, not_after, expires_ms: now_ms.saturating_add(LIFETIME_MS) }
    }

    /// Answers the challenge; take it out of the open ones first, so that nobody answers it again.
    pub fn answer(
        self,
        purpose: Purpose,
        account: &AccountId,
        now_ms: u64,
        height: u64,
    ) -> Result<Answered, ChallengeError> {
        if self.purpose != purpose || self.account != *account {
            return Err(ChallengeError::Foreign);
        }
        if self.is_expired(now_ms, height) {
            let Self { not_after, expires_ms, .. } = self;
            return Err(ChallengeError::Expired { not_after, expires_ms });
        }
        Ok(Answered { account: self.account, nonce: self.nonce, not_after: self.not_after })
    }

    /// Whether it can be forgotten.
    pub const fn is_expired(&self, now_ms: u64, height: u64) -> bool {
        now_ms >= self.expires_ms || height > self.not_after
    }
}

/// A challenge that was answered in time; the proof over it is still to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The account it was made for.
    pub account: AccountId,
    /// Its 32 bytes.
    pub nonce: [u8; 32],
    /// The last ledger height at which the proof counts.
    pub not_after: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const A: AccountId = AccountId([1; 32]);
    const B: AccountId = AccountId([2; 32]);

    fn challenge() -> Challenge {
        Challenge::new(Purpose::Key, A, [9; 32], 1000, 50)
    }

    #[test]
    fn a_challenge_counts_for_its_account_and_purpose_in_time() {
        let answered = challenge().answer(Purpose::Key, &A, 1001, 51).unwrap();
        assert_eq!(answered.nonce, [9; 32]);
        assert_eq!(challenge().answer(Purpose::Key, &B, 1001, 51), Err(ChallengeError::Foreign));
        assert_eq!(challenge().answer(Purpose::Credential, &A, 1001, 51), Err(ChallengeError::Foreign));
    }

    #[test]
    fn a_challenge_expires_by_clock_and_by_height() {
        let late = 1000 + LIFETIME_MS;
        assert!(challenge().answer(Purpose::Key, &A, late - 1, 50 + LIFETIME_BLOCKS).is_ok());
        assert!(challenge().answer(Purpose::Key, &A, late, 50).is_err());
        let error = challenge().answer(Purpose::Key, &A, 1001, 51 + LIFETIME_BLOCKS).unwrap_err();
        assert_eq!(error.code(), Code::ChallengeExpired);
    }
}
