//! Profiles: an account's contact and identity fields, few and bounded. Nothing here prints them.

use std::{collections::BTreeMap, fmt};

use thiserror::Error;

use crate::{Code, Coded};

/// Fields of one profile at most.
pub const FIELDS_MAX: usize = 16;
/// The longest name of a field.
pub const FIELD_NAME_LEN_MAX: usize = 32;
/// The longest value of a field, in bytes of UTF-8.
pub const FIELD_VALUE_LEN_MAX: usize = 256;
/// The longest reason for reading another's profile, in bytes of UTF-8.
pub const REASON_LEN_MAX: usize = 256;
/// Encoded profiles are padded to a multiple of this, so that their length says little.
const BLOCK: usize = 512;

/// Why fields or a reason are not acceptable; no field's value stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// The name of a field is not one.
    #[error("the name of a field is not 1 to {FIELD_NAME_LEN_MAX} of a-z, 0-9, `-`, `_`")]
    Name,
    /// A value is empty, too long, or holds control characters.
    #[error(
        "the value of `{name}` is not 1 to {FIELD_VALUE_LEN_MAX} bytes of text without control characters"
    )]
    Value {
        /// The field.
        name: String,
    },
    /// Too many fields, or none.
    #[error("a profile has 1 to {FIELDS_MAX} fields, not {0}")]
    Count(usize),
    /// A reason is missing, too long, or holds control characters.
    #[error("the reason is not 1 to {REASON_LEN_MAX} bytes of text without control characters")]
    Reason,
    /// The bytes are no encoded profile.
    #[error("the bytes are no profile")]
    Malformed,
}

impl Coded for ProfileError {
    fn code(&self) -> Code {
        match self {
            Self::Malformed => Code::Internal,
            _ => Code::ProfileInvalid,
        }
    }
}

/// Fields by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fields(redacted, {})", self.0.len())
    }
}

impl Fields {
    /// Takes fields that keep the bounds.
    pub fn parse(fields: impl IntoIterator<Item = (String, String)>) -> Result<Self, ProfileError> {
        let fields: BTreeMap<_, _> = fields.into_iter().collect();
        if !(1..=FIELDS_MAX).contains(&fields.len()) {
            return Err(ProfileError::Count(fields.len()));
        }
        for (name, value) in &fields {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
            if !(1..=FIELD_NAME_LEN_MAX).contains(&name.len()) || !name.bytes().all(plain) {
                return Err(ProfileError::Name);
            }
            if !is_text(value, FIELD_VALUE_LEN_MAX) {
                return Err(ProfileError::Value { name: name.clone() });
            }
        }
        Ok(Self(fields))
    }

    /// The fields, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `count u8 || (name len u8 || name || value len u16 || value)`, padded with zeros to a multiple of 512 bytes.
    pub fn encode(&self) -> Vec<u8> {
        // INVARIANT: the bounds above fit in these integers.
        let mut bytes = vec![u8::try_from(self.0.len()).unwrap_or(u8::MAX)];
        for (name, value) in &self.0 {
            bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.extend(name.as_bytes());
            bytes.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(value.as_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProfileError> {
        let fields = read(bytes).ok_or(ProfileError::Malformed)?;
        if fields.encode() == bytes { Ok(fields) } else { Err(ProfileError::Malformed) }
    }
}

fn read(bytes: &[u8]) -> Option<Fields> {
    let (count, mut rest) = bytes.split_first()?;
    let mut fields = BTreeMap::new();
    for _ in 0..*count {
        let (len, after) = rest.split_first()?;
        let (name, after) = after.split_at_checked((*len).into())?;
        let (len, after) = after.split_first_chunk()?;
        let (value, after) = after.split_at_checked(u16::from_be_bytes(*len).into())?;
        fields.insert(String::from_utf8(name.to_vec()).ok()?, String::from_utf8(value.to_vec()).ok()?);
        rest = after;
    }
    Fields::parse(fields).ok()
}

/// Why somebody reads another's profile; it stands in the commitment of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Takes a reason that keeps the bounds.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        if is_text(text, REASON_LEN_MAX) { Ok(Self(text.to_owned())) } else { Err(ProfileError::Reason) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_text(text: &str, len_max: usize) -> bool {
    (1..=len_max).contains(&text.len()) && !text.trim().is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Result<Fields, ProfileError> {
        Fields::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn fields_come_back_from_their_bytes_and_say_little_by_their_length() {
        let short = fields(&[("name", "Alice"), ("e-mail", "alice@example.org")]).unwrap();
        let long = fields(&[("name", &"ü".repeat(128)), ("note_2", "x")]).unwrap();
        for fields in [&short, &long] {
            assert_eq!(Fields::decode(&fields.encode()).unwrap(), *fields);
        }
        assert_eq!((short.encode().len(), long.encode().len()), (512, 512));
        assert_eq!(format!("{short:?}"), "Fields(redacted, 2)");
    }

    #[test]
    fn fields_out_of_their_bounds_are_refused_without_saying_them() {
        let long = "x".repeat(257);
        for name in ["", "Name", "e mail", "naïve", &"n".repeat(33)] {
            assert_eq!(fields(&[(name, "v")]).unwrap_err(), ProfileError::Name, "{name}");
        }
        for value in ["", " ", "a\nb", "\u{7f}", &long] {
            let error = fields(&[("name", value)]).unwrap_err();
            assert_eq!(error, ProfileError::Value { name: "name".into() });
        }
        let many: Vec<_> = (0..17).map(|n| (format!("f{n}"), "v".to_owned())).collect();
        assert_eq!(Fields::parse(many).unwrap_err(), ProfileError::Count(17));
        assert_eq!(fields(&[]).unwrap_err(), ProfileError::Count(0));
    }

    #[test]
    fn changed_bytes_are_no_profile_or_another_one() {
        let good = fields(&[("name", "Alice")]).unwrap();
        let bytes = good.encode();
        for end in 0..bytes.len() {
            assert!(Fields::decode(&bytes[..end]).is_err());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Fields::decode(&changed).map_or(true, |fields| fields != good), "{at}");
        }
        assert!(Fields::decode(&[bytes.as_slice(), &[0; 512]].concat()).is_err());
    }

    #[test]
    fn reasons_are_text() {
        assert_eq!(Reason::parse("case 4711").unwrap().as_str(), "case 4711");
        for bad in ["", "  ", "a\tb", &"r".repeat(257)] {
            assert_eq!(Reason::parse(bad).unwrap_err(), ProfileError::Reason);
        }
    }
}
