//! Bytes of the token file: big-endian integers, length-prefixed strings, bounded reads.

use crate::error::Damage;

/// Reads fields off the front of a slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (head, tail) = self.rest.split_at_checked(length).ok_or(Damage::CutOff)?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Damage::CutOff)?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damage> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Damage> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        self.array().map(u64::from_be_bytes)
    }

    /// A u32 length, at most `bound`, and that many bytes.
    pub(crate) fn bytes(&mut self, bound: usize, field: &'static str) -> Result<&'a [u8], Damage> {
        let length = self.count(bound, field)?;
        self.take(length)
    }

    /// A u32 count, at most `bound`.
    pub(crate) fn count(&mut self, bound: usize, field: &'static str) -> Result<usize, Damage> {
        let count = self.u32()?;
        usize::try_from(count).ok().filter(|&count| count <= bound).ok_or(Damage::Field(field))
    }

    pub(crate) fn end(self) -> Result<(), Damage> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damage::Trailing) }
    }
}

/// Appends a u32 length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a u32 count. Everything counted here is bounded far below the type's end.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}
