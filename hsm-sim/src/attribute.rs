//! Attributes: their types, values and the bytes that templates carry them in.

use std::collections::BTreeMap;
use std::fmt;

use cryptoki_sys as sys;
use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_ULONG};
use zeroize::Zeroizing;

use crate::codec::{Reader, put_bytes, put_count};
use crate::error::{Damage, Refusal};

/// The longest value of one attribute, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 1 << 16;
/// The most attributes in one template or object.
pub const ATTRIBUTES_MAX: usize = 128;

/// How an attribute's value is to be read.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Kind {
    Flag,
    Number,
    Bytes,
}

/// The kind of an attribute that this token knows, or `None`.
pub(crate) fn kind(attribute: CK_ATTRIBUTE_TYPE) -> Option<Kind> {
    Some(match attribute {
        sys::CKA_TOKEN
        | sys::CKA_PRIVATE
        | sys::CKA_MODIFIABLE
        | sys::CKA_COPYABLE
        | sys::CKA_DESTROYABLE => Kind::Flag,
        sys::CKA_DERIVE | sys::CKA_LOCAL | sys::CKA_TRUSTED | sys::CKA_SENSITIVE | sys::CKA_EXTRACTABLE => {
            Kind::Flag
        }
        sys::CKA_ENCRYPT
        | sys::CKA_DECRYPT
        | sys::CKA_SIGN
        | sys::CKA_VERIFY
        | sys::CKA_WRAP
        | sys::CKA_UNWRAP => Kind::Flag,
        sys::CKA_SIGN_RECOVER | sys::CKA_VERIFY_RECOVER | sys::CKA_WRAP_WITH_TRUSTED => Kind::Flag,
        sys::CKA_ALWAYS_SENSITIVE | sys::CKA_NEVER_EXTRACTABLE | sys::CKA_ALWAYS_AUTHENTICATE => Kind::Flag,
        sys::CKA_CLASS | sys::CKA_KEY_TYPE | sys::CKA_KEY_GEN_MECHANISM | sys::CKA_CERTIFICATE_TYPE => {
            Kind::Number
        }
        sys::CKA_MODULUS_BITS | sys::CKA_VALUE_LEN | sys::CKA_CERTIFICATE_CATEGORY => Kind::Number,
        sys::CKA_JAVA_MIDP_SECURITY_DOMAIN | sys::CKA_NAME_HASH_ALGORITHM => Kind::Number,
        sys::CKA_UNIQUE_ID | sys::CKA_PUBLIC_KEY_INFO | sys::CKA_CHECK_VALUE | sys::CKA_URL => Kind::Bytes,
        sys::CKA_HASH_OF_SUBJECT_PUBLIC_KEY | sys::CKA_HASH_OF_ISSUER_PUBLIC_KEY => Kind::Bytes,
        sys::CKA_LABEL | sys::CKA_ID | sys::CKA_VALUE | sys::CKA_SUBJECT | sys::CKA_ISSUER => Kind::Bytes,
        sys::CKA_SERIAL_NUMBER | sys::CKA_APPLICATION | sys::CKA_OBJECT_ID => Kind::Bytes,
        sys::CKA_START_DATE | sys::CKA_END_DATE | sys::CKA_ALLOWED_MECHANISMS => Kind::Bytes,
        sys::CKA_EC_PARAMS | sys::CKA_EC_POINT | sys::CKA_MODULUS | sys::CKA_PUBLIC_EXPONENT => Kind::Bytes,
        sys::CKA_PRIVATE_EXPONENT | sys::CKA_PRIME_1 | sys::CKA_PRIME_2 => Kind::Bytes,
        sys::CKA_EXPONENT_1 | sys::CKA_EXPONENT_2 | sys::CKA_COEFFICIENT => Kind::Bytes,
        _ => return None,
    })
}

/// Attributes that hold key material of private and secret keys.
pub(crate) fn is_secret(attribute: CK_ATTRIBUTE_TYPE) -> bool {
    matches!(
        attribute,
        sys::CKA_VALUE
            | sys::CKA_PRIVATE_EXPONENT
            | sys::CKA_PRIME_1
            | sys::CKA_PRIME_2
            | sys::CKA_EXPONENT_1
            | sys::CKA_EXPONENT_2
            | sys::CKA_COEFFICIENT
    )
}

/// An attribute's value. It may be key material, so it wipes itself and prints redacted.
#[derive(PartialEq, Eq)]
pub(crate) enum Value {
    /// A `CK_BBOOL`.
    Flag(bool),
    /// A `CK_ULONG`.
    Number(CK_ULONG),
    /// Anything else.
    Bytes(Zeroizing<Vec<u8>>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bytes(_) => f.write_str("(redacted)"),
        }
    }
}

impl Value {
    /// Reads what a caller's template holds for `attribute`.
    pub(crate) fn from_native(attribute: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Result<Self, Refusal> {
        match kind(attribute).ok_or(Refusal::AttributeType)? {
            Kind::Flag => match bytes {
                [byte] => Ok(Self::Flag(*byte != 0)),
                _ => Err(Refusal::AttributeValue),
            },
            Kind::Number => bytes
                .as_array()
                .map(|bytes| Self::Number(CK_ULONG::from_ne_bytes(*bytes)))
                .ok_or(Refusal::AttributeValue),
            Kind::Bytes => Ok(Self::bytes(bytes)),
        }
    }

    /// The bytes that a caller gets.
    pub(crate) fn to_native(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Flag(flag) => vec![u8::from(*flag)],
            Self::Number(number) => number.to_ne_bytes().to_vec(),
            Self::Bytes(bytes) => bytes.to_vec(),
        })
    }

    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(Zeroizing::new(bytes.to_vec()))
    }

    fn duplicate(&self) -> Self {
        match self {
            Self::Flag(flag) => Self::Flag(*flag),
            Self::Number(number) => Self::Number(*number),
            Self::Bytes(bytes) => Self::bytes(bytes),
        }
    }
}

/// The attributes of an object or a template.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(BTreeMap<CK_ATTRIBUTE_TYPE, Value>);

impl Attributes {
    /// Reads a caller's template; a repeated attribute with another value contradicts itself.
    pub(crate) fn parse(template: &[(CK_ATTRIBUTE_TYPE, Zeroizing<Vec<u8>>)]) -> Result<Self, Refusal> {
        let mut attributes = Self::default();
        for (attribute, bytes) in template {
            let value = Value::from_native(*attribute, bytes)?;
            match attributes.0.get(attribute) {
                Some(known) if *known != value => return Err(Refusal::TemplateInconsistent),
                _ => attributes.set(*attribute, value),
            }
        }
        Ok(attributes)
    }

    pub(crate) fn get(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&Value> {
        self.0.get(&attribute)
    }

    pub(crate) fn flag(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<bool> {
        match self.get(attribute) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn number(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<CK_ULONG> {
        match self.get(attribute) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        match self.get(attribute) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn set(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: Value) {
        self.0.insert(attribute, value);
    }

    pub(crate) fn set_flag(&mut self, attribute: CK_ATTRIBUTE_TYPE, flag: bool) {
        self.set(attribute, Value::Flag(flag));
    }

    pub(crate) fn set_number(&mut self, attribute: CK_ATTRIBUTE_TYPE, number: CK_ULONG) {
        self.set(attribute, Value::Number(number));
    }

    pub(crate) fn set_bytes(&mut self, attribute: CK_ATTRIBUTE_TYPE, bytes: &[u8]) {
        self.set(attribute, Value::bytes(bytes));
    }

    pub(crate) fn default_flag(&mut self, attribute: CK_ATTRIBUTE_TYPE, flag: bool) {
        self.0.entry(attribute).or_insert(Value::Flag(flag));
    }

    pub(crate) fn default_number(&mut self, attribute: CK_ATTRIBUTE_TYPE, number: CK_ULONG) {
        self.0.entry(attribute).or_insert(Value::Number(number));
    }

    pub(crate) fn default_bytes(&mut self, attribute: CK_ATTRIBUTE_TYPE, bytes: &[u8]) {
        self.0.entry(attribute).or_insert_with(|| Value::bytes(bytes));
    }

    pub(crate) fn remove(&mut self, attribute: CK_ATTRIBUTE_TYPE) -> Option<Value> {
        self.0.remove(&attribute)
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (CK_ATTRIBUTE_TYPE, Value)> {
        self.0.into_iter()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (CK_ATTRIBUTE_TYPE, &Value)> {
        self.0.iter().map(|(attribute, value)| (*attribute, value))
    }

    /// A second copy, for a changed object: made on purpose, never by accident.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.iter().map(|(attribute, value)| (*attribute, value.duplicate())).collect())
    }

    /// Appends `count u32, { type u64, kind u8, value }...` in ascending order of type.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_count(out, self.0.len());
        for (attribute, value) in &self.0 {
            out.extend_from_slice(&attribute.to_be_bytes());
            match value {
                Value::Flag(flag) => out.extend_from_slice(&[1, u8::from(*flag)]),
                Value::Number(number) => {
                    out.push(2);
                    out.extend_from_slice(&number.to_be_bytes());
                }
                Value::Bytes(bytes) => {
                    out.push(3);
                    put_bytes(out, bytes);
                }
            }
        }
    }

    /// How many bytes [`Self::encode`] appends: a buffer that grows leaves copies of keys behind.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let value = |value: &Value| match value {
            Value::Flag(_) => 1,
            Value::Number(_) => 8,
            Value::Bytes(bytes) => 4 + bytes.len(),
        };
        4 + self.0.values().map(|own| 9 + value(own)).sum::<usize>()
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Damage> {
        let mut attributes = Self::default();
        let mut last = None;
        for _ in 0..reader.count(ATTRIBUTES_MAX, "attribute count")? {
            let attribute = reader.u64()?;
            if last.replace(attribute).is_some_and(|last| last >= attribute) {
                return Err(Damage::Field("attribute order"));
            }
            let value = match (reader.u8()?, kind(attribute)) {
                (1, Some(Kind::Flag)) => Value::Flag(flag(reader.u8()?)?),
                (2, Some(Kind::Number)) => Value::Number(reader.u64()?),
                (3, Some(Kind::Bytes)) => {
                    Value::bytes(reader.bytes(ATTRIBUTE_BYTES_MAX, "attribute length")?)
                }
                _ => return Err(Damage::Field("attribute kind")),
            };
            attributes.set(attribute, value);
        }
        Ok(attributes)
    }
}

fn flag(byte: u8) -> Result<bool, Damage> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Damage::Field("flag")),
    }
}
