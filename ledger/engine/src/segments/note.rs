//! What stays here of a segment that was moved: a note with the headers of its records, so that a start needs
//! nothing of the second location.
//!
//! `NNNNNNNNNN.cold` holds `"KWCOLD01" || length u64 || count u64 || check[8]`, then for each record `offset
//! u64 || header (see record) || check[8]`, integers big-endian, checks being the beginning of the SHA-256 of
//! what stands before them, from the magic or the offset on. Damage costs the entries that it hits.
use super::record::{HEADER_BYTES, Header, check};

const MAGIC: &[u8; 8] = b"KWCOLD01";
const HEAD_BYTES: usize = 8 + 8 + 8 + 8;
const ENTRY_BYTES: usize = 8 + HEADER_BYTES + 8;

/// A note.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The bytes of the segment.
    pub(super) length: u64,
    /// Its records, in their order.
    pub(super) records: Vec<(u64, Header)>,
}

impl Note {
    pub(super) fn encode(&self) -> Vec<u8> {
        let count = self.records.len() as u64;
        let head = [MAGIC.as_slice(), &self.length.to_be_bytes(), &count.to_be_bytes()].concat();
        let mut bytes = checked(&head);
        for (offset, header) in &self.records {
            bytes.extend(checked(&[offset.to_be_bytes().as_slice(), &header.encode()].concat()));
        }
        bytes
    }

    /// What can be read, and whether that is all.
    pub(super) fn read(bytes: &[u8]) -> (Self, bool) {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES).unwrap_or((&[], bytes));
        let head = unchecked(head).and_then(|head| {
            let (length, rest) = head.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*length), u64::from_be_bytes(rest.try_into().ok()?)))
        });
        let entries = rest.chunks(ENTRY_BYTES);
        let count = entries.len() as u64;
        let records: Vec<_> = entries.filter_map(entry).collect();
        let end = records.iter().map(|(offset, header)| offset.saturating_add(header.extent())).max();
        let whole = records.len() as u64 == count && head.is_some_and(|(_, expected)| expected == count);
        (Self { length: head.map_or(end.unwrap_or_default(), |(length, _)| length), records }, whole)
    }
}

fn entry(bytes: &[u8]) -> Option<(u64, Header)> {
    let (offset, header) = unchecked(bytes)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*offset), Header::decode(header).filter(|_| header.len() == HEADER_BYTES)?))
}

fn checked(bytes: &[u8]) -> Vec<u8> {
    [bytes, &check::<8>(bytes)].concat()
}

fn unchecked(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, found) = bytes.split_last_chunk::<8>()?;
    (check::<8>(bytes) == *found).then_some(bytes)
}
