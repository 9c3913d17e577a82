//! Who calls: the role and name that a client certificate carries as SAN URI `keyward://<role>/<name>`.

use std::fmt;

use crate::code::{Code, Coded};

/// What a certificate's holder is; roles do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A program that asks for signatures, for its own account or for persons who logged in through it.
    App,
    /// Runs the service, links tokens; never signs with the keys of others.
    Operator,
    /// Security officer: freezes and unfreezes keys.
    Officer,
    /// Sees, never acts.
    Auditor,
    /// A token agent at a bank's desk: signs with its own tokens what the ledger has recorded; asks for nothing.
    Agent,
    /// A custody service, as seen by the ledger's nodes.
    Service,
    /// A ledger node.
    Node,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] =
        [Self::App, Self::Operator, Self::Officer, Self::Auditor, Self::Agent, Self::Service, Self::Node];

    /// The word in certificates, profiles and policies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Operator => "operator",
            Self::Officer => "officer",
            Self::Auditor => "auditor",
            Self::Agent => "agent",
            Self::Service => "service",
            Self::Node => "node",
        }
    }

    /// The role of a word, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A certificate's holder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal {
    role: Role,
    name: String,
}

/// Why a SAN URI names no principal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// Not of the form `keyward://<role>/<name>`.
    #[error("`{0}` is not of the form `keyward://<role>/<name>`")]
    Form(String),
    /// The role is not one of ours.
    #[error("`{0}` is not a role")]
    Role(String),
    /// The name breaks the rule.
    #[error("`{0}` is not a principal's name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`")]
    Name(String),
}

impl Coded for PrincipalError {
    fn code(&self) -> Code {
        Code::ClientCertificateInvalid
    }
}

impl Principal {
    /// The longest name, in bytes.
    pub const NAME_LEN_MAX: usize = 64;
    const SCHEME: &'static str = "keyward://";

    /// A principal from its parts.
    pub fn new(role: Role, name: &str) -> Result<Self, PrincipalError> {
        if !crate::name::is_plain(name, Self::NAME_LEN_MAX) {
            return Err(PrincipalError::Name(name.to_owned()));
        }
        Ok(Self { role, name: name.to_owned() })
    }

    /// Parses a SAN URI `keyward://<role>/<name>`; nothing may follow the name.
    pub fn parse(uri: &str) -> Result<Self, PrincipalError> {
        let form = || PrincipalError::Form(uri.to_owned());
        let rest = uri.strip_prefix(Self::SCHEME).ok_or_else(form)?;
        let (role, name) = rest.split_once('/').ok_or_else(form)?;
        let role = Role::from_name(role).ok_or_else(|| PrincipalError::Role(role.to_owned()))?;
        Self::new(role, name)
    }

    /// The role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The name, without the role.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SAN URI that a certificate carries.
    pub fn uri(&self) -> String {
        format!("{}{self}", Self::SCHEME)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_principal_survives_its_own_uri() {
        for role in Role::ALL {
            let principal = Principal::new(role, "treasury-1").unwrap();
            assert_eq!(Principal::parse(&principal.uri()).unwrap(), principal);
        }
    }

    #[test]
    fn anything_but_role_and_name_is_refused() {
        for uri in [
            "",
            "keyward://",
            "keyward://app",
            "keyward://app/",
            "keyward:///x",
            "keyward://root/x",
            "keyward://App/x",
            "keyward://app/x/y",
            "keyward://app/X",
            "keyward://app/x?y",
            "https://app/x",
            " keyward://app/x",
            &format!("keyward://app/{}", "a".repeat(65)),
        ] {
            assert!(Principal::parse(uri).is_err(), "{uri}");
        }
    }
}
