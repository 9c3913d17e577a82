//! Names that callers choose, parsed at the door.

use std::fmt;

use crate::code::{Code, Coded};

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An alias breaks its rule.
    #[error("`{0}` is not an alias: 1 to 64 of a-z, A-Z, 0-9, `.`, `_`, `-`, and not 64 hex digits")]
    Alias(String),
    /// What follows `@` is no version.
    #[error("`{0}` names no version: an alias, `@`, and a number from 1 on")]
    Version(String),
    /// A user name breaks its rule.
    #[error("`{0}` is not a user name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`")]
    User(String),
    /// An app's name breaks its rule.
    #[error("`{0}` is not an app's name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`")]
    App(String),
    /// A vault's name breaks its rule.
    #[error("`{0}` is not a vault's name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`")]
    Vault(String),
    /// A delegation's name breaks its rule.
    #[error("`{0}` is not a delegation's name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`")]
    Delegation(String),
    /// An approval rule's name breaks its rule.
    #[error("`{0}` is not an approval rule's name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`")]
    ApprovalRule(String),
    /// An idempotency key is too long.
    #[error("an idempotency key of {0} bytes is longer than 64")]
    Idempotency(usize),
}

impl Coded for NameError {
    fn code(&self) -> Code {
        match self {
            Self::Alias(_) | Self::Version(_) => Code::AliasInvalid,
            Self::User(_) => Code::UserNameInvalid,
            Self::Delegation(_)
            | Self::ApprovalRule(_)
            | Self::App(_)
            | Self::Vault(_)
            | Self::Idempotency(_) => Code::InvalidArgument,
        }
    }
}

/// What an account calls one of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias(String);

impl Alias {
    /// The longest alias, in bytes.
    pub const LEN_MAX: usize = 64;

    /// 1 to 64 of `[A-Za-z0-9._-]`; 64 hex digits are refused, because they would read as a key id.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = (1..=Self::LEN_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !allowed || parse_id(text).is_some() {
            return Err(NameError::Alias(shorten(text)));
        }
        Ok(Self(text.to_owned()))
    }

    /// The alias.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person's login name: lower-cased ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

impl UserName {
    /// The longest user name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// 1 to 64 of `[a-z0-9._-]` after ASCII letters are lower-cased; all else is refused.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let lower = text.to_ascii_lowercase();
        if !is_plain(&lower, Self::LEN_MAX) {
            return Err(NameError::User(shorten(text)));
        }
        Ok(Self(lower))
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name in an app's certificate, as a person writes it when authorising the app.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(String);

impl AppName {
    /// The rule of a principal's name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if !is_plain(text, crate::principal::Principal::NAME_LEN_MAX) {
            return Err(NameError::App(shorten(text)));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a person calls a vault: all that has to be remembered of it beside the password.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VaultName(String);

impl VaultName {
    /// The name where none is given.
    pub const DEFAULT: &str = "main";
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 64;
    const LABEL: &[u8] = b"keyward/vault-name/v1";

    /// 1 to 64 of `[a-z0-9._-]`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if !is_plain(text, Self::LEN_MAX) {
            return Err(NameError::Vault(shorten(text)));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The vault's id on the ledger, within its account: `SHA-256(u8 21 || "keyward/vault-name/v1" || name)`.
    pub fn id(&self) -> [u8; 32] {
        // INVARIANT: the label is shorter than 256 bytes.
        let len = u8::try_from(Self::LABEL.len()).unwrap_or(u8::MAX);
        keyward_ledger_core::hash::sha256(&[&[len], Self::LABEL, self.0.as_bytes()])
    }
}

/// The caller's mark on a write: the same mark twice is the same write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(Vec<u8>);

impl IdempotencyKey {
    /// The longest mark, in bytes.
    pub const LEN_MAX: usize = 64;

    /// At most 64 bytes; no bytes mean that the caller gave none.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NameError> {
        match bytes.len() {
            0 => Ok(None),
            len if len > Self::LEN_MAX => Err(NameError::Idempotency(len)),
            _ => Ok(Some(Self(bytes.to_vec()))),
        }
    }

    /// The mark's bytes, 1 to 64.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How a request names a key: by the account's alias, by alias and version, or by the key id in hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyName {
    /// The newest version under the alias, of the caller's account.
    Alias(Alias),
    /// One version under the alias, counted from 1: `alias@2`.
    Version(Alias, u32),
    /// The 32-byte key id.
    Id([u8; 32]),
}

impl KeyName {
    /// 64 hex digits are a key id, what ends in `@` and a number names a version, all else must be an alias.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if let Some(id) = parse_id(text) {
            return Ok(Self::Id(id));
        }
        match text.split_once('@') {
            None => Alias::parse(text).map(Self::Alias),
            Some((alias, version)) => match parse_version(version) {
                Some(version) => Ok(Self::Version(Alias::parse(alias)?, version)),
                None => Err(NameError::Version(shorten(text))),
            },
        }
    }
}

/// A decimal number from 1 on, without leading zeros or a sign.
fn parse_version(text: &str) -> Option<u32> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => alias.fmt(f),
            Self::Version(alias, version) => write!(f, "{alias}@{version}"),
            Self::Id(id) => id.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

macro_rules! display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
display!(Alias, UserName, AppName, VaultName);

pub(crate) fn is_plain(text: &str, len_max: usize) -> bool {
    (1..=len_max).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

fn parse_id(text: &str) -> Option<[u8; 32]> {
    let mut id = [0u8; 32];
    if text.len() != 64 {
        return None;
    }
    let mut digits = text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    for byte in &mut id {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    Some(id)
}

/// What an error repeats of a refused name: bounded, so that a caller cannot fill our log.
fn shorten(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn user_names_are_lower_cased_or_refused() {
        assert_eq!(UserName::parse("Alice.B-1_x").unwrap().as_str(), "alice.b-1_x");
        assert_eq!(UserName::parse(&"a".repeat(64)).unwrap().as_str().len(), 64);
        for bad in ["", "a b", "ä", "İ", "a/b", "a\0", "a\n", &"a".repeat(65)] {
            assert!(UserName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_name_is_an_id_or_an_alias_and_never_both() {
        let hex = "0f".repeat(32);
        assert_eq!(KeyName::parse(&hex).unwrap(), KeyName::Id([0x0f; 32]));
        assert_eq!(KeyName::parse(&hex).unwrap().to_string(), hex);
        assert_eq!(KeyName::parse(&hex.to_uppercase()).unwrap(), KeyName::Id([0x0f; 32]));
        assert!(Alias::parse(&hex).is_err());
        assert!(matches!(KeyName::parse("payroll").unwrap(), KeyName::Alias(_)));
        assert_eq!(KeyName::parse("payroll@12").unwrap().to_string(), "payroll@12");
        assert_eq!(KeyName::parse("a@4294967295").unwrap(), KeyName::Version(Alias("a".into()), u32::MAX));
        for bad in ["a@", "@1", "a@0", "a@01", "a@+1", "a@-1", "a@1@1", "a@4294967296", "a@x", "a b@1"] {
            assert_eq!(KeyName::parse(bad).unwrap_err().code(), Code::AliasInvalid, "{bad:?}");
        }
        for bad in ["", "pay roll", "pay/roll", "é", &"g".repeat(65), "+f"] {
            assert!(KeyName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_vaults_id_follows_from_its_name_alone() {
        // `printf '\\x15keyward/vault-name/v1main' | sha256sum`
        let main: Vec<u8> = VaultName::parse("main").unwrap().id().to_vec();
        let golden = "094ecc5733bafc8ff290c7adabed4765b11a947a64db378cb5a441ae4509c123";
        assert_eq!(main.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), golden);
        assert_ne!(VaultName::parse("main2").unwrap().id().to_vec(), main);
        for bad in ["", "Main", "a b", "ä", &"a".repeat(65)] {
            assert!(VaultName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_idempotency_key_is_not_an_error_and_a_long_one_is() {
        assert_eq!(IdempotencyKey::parse(b"").unwrap(), None);
        assert_eq!(IdempotencyKey::parse(&[7; 64]).unwrap().unwrap().as_bytes(), &[7; 64]);
        assert_eq!(IdempotencyKey::parse(&[7; 65]), Err(NameError::Idempotency(65)));
    }

    #[test]
    fn errors_repeat_only_the_beginning_of_a_long_name() {
        let error = UserName::parse(&"é".repeat(5000)).unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
