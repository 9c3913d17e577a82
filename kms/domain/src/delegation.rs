//! Names of delegations, and how a recovery names the login that it binds.

use sha2::{Digest as _, Sha256};

use crate::name::NameError;

const NAME_LABEL: &[u8] = b"\x1akeyward/delegation-name/v1";
const LOGIN_LABEL: &[u8] = b"\x19keyward/recovery-login/v1";

/// What an account calls one of its delegations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DelegationName(String);

impl DelegationName {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// 1 to 64 of `[a-z0-9._-]`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = (1..=Self::LEN_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
        if allowed {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Delegation(text.chars().take(80).collect()))
        }
    }

    /// The name of its rule on the ledger: `SHA-256(u8 26 || "keyward/delegation-name/v1" || name)`. Nobody has to remember
    /// more than the name after losing everything.
    pub fn id(&self) -> [u8; 32] {
        Sha256::new().chain_update(NAME_LABEL).chain_update(&self.0).finalize().into()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What delegates sign of the login that a recovery binds: `SHA-256(u8 25 || "keyward/recovery-login/v1" || name[32] ||
/// upload)`, over the name and the last message of an OPAQUE registration. A service that binds another login than the one that
/// was made is found out.
pub fn recovery_login(name: &[u8; 32], upload: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(LOGIN_LABEL).chain_update(name).chain_update(upload).finalize().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_name_makes_one_id_and_strange_names_are_refused() {
        assert_eq!(usize::from(NAME_LABEL[0]), NAME_LABEL.len() - 1);
        assert_eq!(usize::from(LOGIN_LABEL[0]), LOGIN_LABEL.len() - 1);
        let main = DelegationName::parse("main").unwrap();
        assert_eq!(main.id(), DelegationName::parse("main").unwrap().id());
        assert_ne!(main.id(), DelegationName::parse("main2").unwrap().id());
        assert_ne!(recovery_login(&[0; 32], b"main"), main.id());
        for bad in ["", "Main", "a b", &"a".repeat(65), "ä"] {
            assert!(DelegationName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
