//! Accounts: what they are called, and the states they pass through.

use std::fmt;

use crate::code::{Code, Coded};
use crate::name::UserName;
use crate::principal::{Principal, Role};

/// An account's name on the ledger: the salted 32-byte commitment of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub [u8; 32]);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An account's name inside the service: `user/<name>`, `app/<name>` or `operator/<name>`.
///
/// A person has one by registering; an app or an operator has the one of its certificate's name.
/// No other role has keys, so no other role has an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName(String);

impl AccountName {
    /// The account of a person.
    pub fn of_user(user: &UserName) -> Self {
        Self(format!("user/{user}"))
    }

    /// The account of a certificate's holder; none for roles that hold no keys.
    pub fn of_principal(principal: &Principal) -> Option<Self> {
        match principal.role() {
            Role::App | Role::Operator => Some(Self(principal.to_string())),
            Role::Officer | Role::Auditor | Role::Agent | Role::Service | Role::Node => None,
        }
    }

    /// Reads a name that was stored.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let known = matches!(kind, "user" | "app" | "operator");
        (known && crate::name::is_plain(name, UserName::LEN_MAX)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its kind.
    pub fn short(&self) -> &str {
        self.0.split_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// Whether a person holds the account.
    pub fn is_person(&self) -> bool {
        self.0.starts_with("user/")
    }

    /// What the ledger's account commitment is taken over, after the salt: `<tenant>/<name>`.
    pub fn commitment_input(&self, tenant: &str) -> Vec<u8> {
        format!("{tenant}/{}", self.0).into_bytes()
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountState {
    /// Registered here, not yet final on the ledger.
    Pending,
    /// In use.
    Open,
    /// Closed for good; its keys no longer sign, its name is not given out again.
    Closed {
        /// When, in Unix milliseconds.
        since_ms: u64,
    },
}

/// Why an account may not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Not yet final on the ledger.
    #[error("the account is not yet recorded on the ledger")]
    Pending,
    /// Closed.
    #[error("the account is closed")]
    Closed {
        /// When, in Unix milliseconds.
        since_ms: u64,
    },
}

impl Coded for AccountError {
    fn code(&self) -> Code {
        match self {
            Self::Pending => Code::AccountPending,
            Self::Closed { .. } => Code::AccountClosed,
        }
    }
}

impl AccountState {
    /// The registration is final on the ledger.
    pub fn open(self) -> Result<Self, AccountError> {
        match self {
            Self::Pending | Self::Open => Ok(Self::Open),
            Self::Closed { since_ms } => Err(AccountError::Closed { since_ms }),
        }
    }

    /// Closes an open account, once `CloseAccount` is final.
    pub fn close(self, now_ms: u64) -> Result<Self, AccountError> {
        self.check_open().map(|()| Self::Closed { since_ms: now_ms })
    }

    /// Whether the account may act.
    pub const fn check_open(&self) -> Result<(), AccountError> {
        match *self {
            Self::Pending => Err(AccountError::Pending),
            Self::Open => Ok(()),
            Self::Closed { since_ms } => Err(AccountError::Closed { since_ms }),
        }
    }

    /// The word in answers and tables: `pending`, `open` or `closed`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Closed { .. } => "closed",
        }
    }

    /// Reads a stored state; `since_ms` counts only for `closed`.
    pub fn from_parts(name: &str, since_ms: u64) -> Option<Self> {
        match name {
            "pending" => Some(Self::Pending),
            "open" => Some(Self::Open),
            "closed" => Some(Self::Closed { since_ms }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_closed_account_stays_closed() {
        let closed = AccountState::Open.close(5).unwrap();
        assert_eq!(closed, AccountState::Closed { since_ms: 5 });
        assert_eq!(closed.close(6), Err(AccountError::Closed { since_ms: 5 }));
        assert_eq!(closed.open(), Err(AccountError::Closed { since_ms: 5 }));
        assert!(closed.check_open().is_err());
        assert!(AccountState::Pending.close(1).is_err());
    }

    #[test]
    fn a_person_and_an_app_of_the_same_name_are_two_accounts() {
        let person = AccountName::of_user(&UserName::parse("treasury").unwrap());
        let app = AccountName::of_principal(&Principal::new(Role::App, "treasury").unwrap()).unwrap();
        assert_ne!(person, app);
        assert_eq!(person.short(), app.short());
        assert!(person.is_person() && !app.is_person());
        assert_eq!(AccountName::parse(app.as_str()), Some(app));
        assert_eq!(AccountName::of_principal(&Principal::new(Role::Auditor, "x").unwrap()), None);
        assert_eq!(AccountName::parse("auditor/x"), None);
    }
}
