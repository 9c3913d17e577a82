//! Reading and writing canonical bytes: big-endian integers, u32 lengths and counts, nothing optional.
//!
//! Every value has one encoding, so a decoder that accepts bytes has accepted the only bytes that mean it.

use thiserror::Error;

/// Why bytes are not the encoding of a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("`{what}` needs {needed} bytes, {left} are left")]
    Truncated {
        /// The field.
        what: &'static str,
        /// How many bytes the field takes.
        needed: usize,
        /// How many bytes were left.
        left: usize,
    },
    /// Bytes follow the last field.
    #[error("{left} bytes follow the end of `{what}`")]
    Trailing {
        /// What was decoded.
        what: &'static str,
        /// How many bytes follow.
        left: usize,
    },
    /// A length or count lies over its bound.
    #[error("`{what}` holds {len}, at most {max} are allowed")]
    TooLong {
        /// The field.
        what: &'static str,
        /// The stated length or count.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// A code has no meaning in this version.
    #[error("`{what}` has the unknown code {code}")]
    UnknownCode {
        /// The field.
        what: &'static str,
        /// The code that stands there.
        code: u64,
    },
    /// A value breaks the rule of its field.
    #[error("`{what}` {why}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// The rule that it breaks.
        why: &'static str,
    },
}

/// Reads fields from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes.
    pub fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::Truncated { what, needed: len, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated { what, needed: N, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    /// A big-endian u16.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    /// A big-endian u32.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// A big-endian u64.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// A version byte, which must be `version`.
    pub fn version(&mut self, what: &'static str, version: u8) -> Result<(), DecodeError> {
        match self.u8(what)? {
            found if found == version => Ok(()),
            found => Err(DecodeError::UnknownCode { what, code: u64::from(found) }),
        }
    }

    /// A u32 length of at most `max` and as many bytes.
    pub fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.count(what, max)?;
        self.take(what, len)
    }

    /// A u32 count of at most `max`.
    pub fn count(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let stated = self.u32(what)?;
        let len = usize::try_from(stated).unwrap_or(usize::MAX);
        if len > max { Err(DecodeError::TooLong { what, len, max }) } else { Ok(len) }
    }

    /// A u32 count of at most `max`, then as many items; memory grows only as items are really there.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(what, max)?;
        let mut items = Vec::with_capacity(count.min(self.rest.len() / 4 + 1));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `u8 0`, or `u8 1` and 32 bytes.
    pub fn option(&mut self, what: &'static str) -> Result<Option<[u8; 32]>, DecodeError> {
        self.option_with(what, |reader| reader.array(what))
    }

    /// A 0 for nothing, or a 1 and what `read` reads.
    pub fn option_with<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u8(what)? {
            0 => Ok(None),
            1 => read(self).map(Some),
            code => Err(DecodeError::UnknownCode { what, code: u64::from(code) }),
        }
    }

    /// Ends the reading: nothing may be left.
    pub const fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { what, left: self.rest.len() }) }
    }
}

/// Appends fields to a buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// Raw bytes of a fixed length, without a length in front.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// A big-endian u16.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// A big-endian u32.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// A big-endian u64.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// A count or length as u32. Values over `u32::MAX` are written as `u32::MAX`, which every decoder
    /// refuses: bounds keep callers far below.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// A u32 length and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    /// `u8 0`, or `u8 1` and the 32 bytes.
    pub fn option(&mut self, value: Option<&[u8; 32]>) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => self.u8(1).raw(value),
        }
    }

    /// How many bytes were written.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The finished bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A 32-byte field from lower-case hex; upper case and every other length are refused.
pub fn parse_hex32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
