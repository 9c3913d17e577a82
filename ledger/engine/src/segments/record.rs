//! The bytes of one record in a segment file.
//!
//! `magic[4] || kind u8 || height u64 || digest[32] || length u32 || body check[16] || header check[8] ||
//! body`, integers big-endian. The checks are SHA-256, cut off: of the body, and of the header before it. They
//! find damage by accident; who can write the file is stopped by digests and certificates, not here.
use crate::Kind;
use sha2::{Digest as _, Sha256};

pub(super) const MAGIC: [u8; 4] = *b"KWR1";
/// Bytes before the body.
pub(super) const HEADER_BYTES: usize = 4 + 1 + 8 + 32 + 4 + 16 + 8;
const CHECKED_BYTES: usize = HEADER_BYTES - 8;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// Its body is a block or a certificate.
    Holds(Kind),
    /// The record of that kind at this height is damaged and does not count; the body is empty.
    Voids(Kind),
    /// Holds nothing: it stands where damaged bytes stood, as long as they were.
    Fills,
}

impl Tag {
    fn byte(self) -> u8 {
        match self {
            Self::Holds(Kind::Block) => 1,
            Self::Holds(Kind::Certificate) => 2,
            Self::Voids(Kind::Block) => 0x81,
            Self::Voids(Kind::Certificate) => 0x82,
            Self::Fills => 0x80,
        }
    }

    fn parse(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Holds(Kind::Block)),
            2 => Some(Self::Holds(Kind::Certificate)),
            0x81 => Some(Self::Voids(Kind::Block)),
            0x82 => Some(Self::Voids(Kind::Certificate)),
            0x80 => Some(Self::Fills),
            _ => None,
        }
    }
}

/// The part before the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tag: Tag,
    pub(super) height: u64,
    pub(super) digest: [u8; 32],
    pub(super) length: u32,
    pub(super) body_check: [u8; 16],
}

impl Header {
    pub(super) fn new(tag: Tag, height: u64, digest: [u8; 32], length: u32, body: &[u8]) -> Self {
        Self { tag, height, digest, length, body_check: check(body) }
    }

    /// Bytes of the whole record.
    pub(super) fn extent(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.length)
    }

    /// The height that it is about.
    pub(super) fn about(&self) -> Option<u64> {
        (self.tag != Tag::Fills).then_some(self.height)
    }

    pub(super) fn fits(&self, body: &[u8]) -> bool {
        check(body) == self.body_check
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(self.tag.byte());
        bytes.extend_from_slice(&self.height.to_be_bytes());
        bytes.extend_from_slice(&self.digest);
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes.extend_from_slice(&self.body_check);
        let header_check: [u8; 8] = check(&bytes);
        bytes.extend_from_slice(&header_check);
        // INVARIANT: the fields above are `HEADER_BYTES` long together.
        bytes.try_into().unwrap_or([0; HEADER_BYTES])
    }

    /// `None` if the bytes are not a header that checks.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, rest) = bytes.split_at_checked(CHECKED_BYTES)?;
        let header_check: [u8; 8] = check(checked);
        let fields = checked.strip_prefix(&MAGIC)?;
        if rest.first_chunk::<8>()? != &header_check {
            return None;
        }
        let (tag, fields) = fields.split_first()?;
        let (height, fields) = fields.split_first_chunk::<8>()?;
        let (digest, fields) = fields.split_first_chunk::<32>()?;
        let (length, fields) = fields.split_first_chunk::<4>()?;
        Some(Self {
            tag: Tag::parse(*tag)?,
            height: u64::from_be_bytes(*height),
            digest: *digest,
            length: u32::from_be_bytes(*length),
            body_check: *fields.first_chunk::<16>()?,
        })
    }
}

/// The first `N` bytes of SHA-256.
pub(super) fn check<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.first_chunk::<N>().copied().unwrap_or([0; N])
}
