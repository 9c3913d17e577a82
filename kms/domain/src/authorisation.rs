//! Standing authorisations: a holder lets a named app sign with one key without a live session, until revoked.

use crate::code::{Code, Coded};
use crate::name::AppName;

/// The most apps that one key may be open to at a time.
pub const APPS_PER_KEY_MAX: usize = 32;

/// One key, one app; each change is an entry on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorisation {
    /// The 32-byte key id.
    pub key: [u8; 32],
    /// The app that may sign.
    pub app: AppName,
    /// Whether it may now.
    pub state: AuthorisationState,
}

/// Where an authorisation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorisationState {
    /// The app may sign.
    Live {
        /// Unix milliseconds.
        since_ms: u64,
    },
    /// The app may no longer sign.
    Revoked {
        /// Unix milliseconds.
        since_ms: u64,
    },
}

/// Why an authorisation does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the app is not authorised to use this key")]
pub struct NotAuthorised;

impl Coded for NotAuthorised {
    fn code(&self) -> Code {
        Code::NotAuthorised
    }
}

impl Authorisation {
    /// Authorises an app from now on.
    pub const fn grant(key: [u8; 32], app: AppName, now_ms: u64) -> Self {
        Self { key, app, state: AuthorisationState::Live { since_ms: now_ms } }
    }

    /// Ends it.
    pub fn revoke(self, now_ms: u64) -> Result<Self, NotAuthorised> {
        match self.state {
            AuthorisationState::Live { .. } => {
                Ok(Self { state: AuthorisationState::Revoked { since_ms: now_ms }, ..self })
            }
            AuthorisationState::Revoked { .. } => Err(NotAuthorised),
        }
    }

    /// Whether the app may sign.
    pub const fn is_live(&self) -> bool {
        matches!(self.state, AuthorisationState::Live { .. })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_revoked_authorisation_stays_revoked() {
        let granted = Authorisation::grant([1; 32], AppName::parse("treasury").unwrap(), 1);
        assert!(granted.is_live());
        let revoked = granted.revoke(2).unwrap();
        assert!(!revoked.is_live());
        assert_eq!(revoked.revoke(3), Err(NotAuthorised));
    }
}
