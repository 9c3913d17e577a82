//! What keepers of a shared key say to each other: the words of a refresh.

use keyward_domain::scheme::KeyId;
use keyward_ledger_core::{
    codec::{DecodeError, Reader, Writer},
    hash::Hash,
};

/// Which words of keepers are about shared keys.
pub(crate) const VERSION: u8 = 2;
/// The longest shift: fifteen commitments and sixteen sealed pieces.
const SHIFT_BYTES_MAX: usize = 8 * 1024;
const KEEPERS_MAX: usize = 16;

/// What one keeper of a key asks of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefreshWord {
    pub(crate) key_id: KeyId,
    /// The hash of the present shares.
    pub(crate) key_hash: Hash,
    /// The places of the dealers.
    pub(crate) dealers: Vec<u8>,
    pub(crate) attempt: u32,
    /// Nothing: deal. Else what all dealers dealt, and up to when it may be recorded: keep, and acknowledge.
    pub(crate) dealt: Option<(u64, Vec<Vec<u8>>)>,
}

impl RefreshWord {
    /// `u8 2 || key id[32] || key hash[32] || list(16) of place u8 || attempt u32 || (0 u8 | 1 u8 || expires_ms u64 || list(16) of bytes
    /// shift)`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(1024);
        out.u8(VERSION).raw(&self.key_id.0).raw(&self.key_hash);
        out.count(self.dealers.len()).raw(&self.dealers).u32(self.attempt);
        match &self.dealt {
            None => {
                out.u8(0);
            }
            Some((expires_ms, shifts)) => {
                out.u8(1).u64(*expires_ms).count(shifts.len());
                shifts.iter().for_each(|shift| {
                    out.bytes(shift);
                });
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("word version", VERSION)?;
        let (key_id, key_hash) = (KeyId(reader.array("key id")?), reader.array("key hash")?);
        let dealers = reader.list("dealers", KEEPERS_MAX, |reader| reader.u8("place"))?;
        let attempt = reader.u32("attempt")?;
        let dealt = reader.option_with("dealt", |reader| {
            let expires_ms = reader.u64("end")?;
            let shifts = reader.list("shifts", KEEPERS_MAX, |reader| {
                reader.bytes("shift", SHIFT_BYTES_MAX).map(<[u8]>::to_vec)
            })?;
            Ok((expires_ms, shifts))
        })?;
        reader.finish("word")?;
        Ok(Self { key_id, key_hash, dealers, attempt, dealt })
    }
}
