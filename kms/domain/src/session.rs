//! A person's session: short, bound to the certificate it is used with.

use std::fmt;

use crate::account::AccountId;
use crate::code::{Code, Coded};

/// How long a session lives, in milliseconds.
pub const LIFETIME_MS: u64 = 30 * 60 * 1000;
/// The most live sessions an account may have at a time; the oldest goes first.
pub const LIVE_MAX: usize = 16;

/// SHA-256 of a client certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a session may be used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    /// Login brought no certificate: the first one that shows the session keeps it.
    Open,
    Bound(Fingerprint),
}

/// A session. The 32-byte token is not in here: stores keep its hash beside this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    account: AccountId,
    expires_ms: u64,
    binding: Binding,
}

/// Why a session does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Past its time.
    #[error("the session expired at `{expires_ms}` ms")]
    Expired {
        /// Unix milliseconds.
        expires_ms: u64,
    },
    /// Shown with another certificate than its own.
    #[error("the session belongs to another client certificate")]
    Foreign,
}

impl Coded for SessionError {
    fn code(&self) -> Code {
        match self {
            Self::Expired { .. } => Code::SessionExpired,
            Self::Foreign => Code::SessionUnknown,
        }
    }
}

impl Session {
    /// A session that starts now, after a login that brought `certificate` or none.
    pub fn open(account: AccountId, certificate: Option<Fingerprint>, now_ms: u64) -> Self {
        let binding = certificate.map_or(Binding::Open, Binding::Bound);
        Self { account, expires_ms: now_ms.saturating_add(LIFETIME_MS), binding }
    }

    /// Shows the session with a certificate; the answer is the session as it stands from now on.
    pub fn present(self, certificate: Fingerprint, now_ms: u64) -> Result<Self, SessionError> {
        if self.is_expired(now_ms) {
            return Err(SessionError::Expired { expires_ms: self.expires_ms });
        }
        match self.binding {
            Binding::Bound(own) if own != certificate => Err(SessionError::Foreign),
            Binding::Bound(_) => Ok(self),
            Binding::Open => Ok(Self { binding: Binding::Bound(certificate), ..self }),
        }
    }

    /// Whose session it is.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// When it ends, in Unix milliseconds.
    pub const fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// Whether it has ended.
    pub const fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const ACCOUNT: AccountId = AccountId([1; 32]);
    const ONE: Fingerprint = Fingerprint([1; 32]);
    const TWO: Fingerprint = Fingerprint([2; 32]);

    #[test]
    fn a_bound_session_refuses_another_certificate() {
        let session = Session::open(ACCOUNT, Some(ONE), 0);
        assert!(session.clone().present(ONE, 1).is_ok());
        assert_eq!(session.present(TWO, 1), Err(SessionError::Foreign));
    }

    #[test]
    fn an_unbound_session_is_kept_by_the_first_certificate() {
        let session = Session::open(ACCOUNT, None, 0).present(ONE, 1).unwrap();
        assert_eq!(session.present(TWO, 2), Err(SessionError::Foreign));
    }

    #[test]
    fn a_session_ends_on_the_millisecond() {
        let session = Session::open(ACCOUNT, Some(ONE), 7);
        assert!(session.clone().present(ONE, 6 + LIFETIME_MS).is_ok());
        let error = session.present(ONE, 7 + LIFETIME_MS).unwrap_err();
        assert_eq!(error.code(), Code::SessionExpired);
    }
}
