//! Re-reading every stored byte while the store is in use.
//!
//! Bytes that do not check are forgotten and overwritten by a record that holds nothing, so that the next
//! scrub finds a file that checks again. What was lost is the caller's to bring back.
use super::{
    Segments, Shared, io_error,
    record::{HEADER_BYTES, Header, Tag},
    scan,
};
use crate::{Kind, StoreError};
use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

/// Where a scrub goes on; the default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    segment: u32,
    offset: u64,
}

impl Place {
    /// The beginning of the next file.
    pub const fn next_file(self) -> Option<Self> {
        match self.segment.checked_add(1) {
            Some(segment) => Some(Self { segment, offset: 0 }),
            None => None,
        }
    }
}

/// A stretch of bytes that did not check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// Where the stretch began.
    pub offset: u64,
    /// How long it was.
    pub bytes: u64,
    /// The records that were lost with it, by height of the block.
    pub lost: Vec<(Kind, u64)>,
}

/// What one step of a scrub did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where to go on; `None` at the end of the store.
    pub next: Option<Place>,
    /// Bytes read.
    pub bytes: u64,
    /// What did not check.
    pub damaged: Vec<Damaged>,
}

impl Segments {
    /// Re-reads about `bytes_max` bytes of records from a place on, at least one record.
    pub fn scrub(&self, from: Place, bytes_max: u64) -> Result<Scrubbed, StoreError> {
        let mut scrubbed = Scrubbed::default();
        let Some((file, end)) = self.0.extent(from.segment) else { return Ok(scrubbed) };
        let path = self.0.path(from.segment);
        let mut offset = from.offset;
        while offset < end && offset - from.offset < bytes_max {
            let extent = scan::good_extent(&file, offset, end).map_err(io_error(&path))?;
            offset += match extent {
                Some(extent) => extent,
                None => {
                    let damaged = self.0.fill(from.segment, &file, offset, end)?;
                    let bytes = damaged.bytes;
                    scrubbed.damaged.push(damaged);
                    bytes
                }
            };
        }
        scrubbed.bytes = offset - from.offset;
        let more = self.0.extent(from.segment + 1).is_some();
        scrubbed.next = match offset < end {
            true => Some(Place { segment: from.segment, offset }),
            false => more.then_some(Place { segment: from.segment + 1, offset: 0 }),
        };
        Ok(scrubbed)
    }
}

impl Shared {
    /// A segment's file, and how far its records reach now.
    fn extent(&self, segment: u32) -> Option<(Arc<File>, u64)> {
        let writer = self.writer();
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let found = files.get(segment as usize)?;
        let grows = writer.segment.as_ref().is_some_and(|(number, _)| *number == segment);
        Some((found.file.clone(), if grows { writer.end } else { found.end }))
    }

    /// Forgets what lies in the bytes from `offset` to the next record, and fills them.
    fn fill(&self, segment: u32, file: &File, offset: u64, end: u64) -> Result<Damaged, StoreError> {
        let path = self.path(segment);
        // Nobody writes meanwhile.
        let _writer = self.writer();
        let mut index = self.index_mut();
        let known = index.in_segment(segment, offset);
        let header = HEADER_BYTES as u64;
        // What memory knows of the file goes before what damaged bytes seem to say.
        let next = match known.first() {
            Some((_, _, at)) if at.offset == offset => offset + header + u64::from(at.length),
            first => {
                let limit = first.map_or(end, |(_, _, at)| at.offset);
                let found = scan::next_good(file, offset + header, limit).map_err(io_error(&path))?;
                found.unwrap_or(limit)
            }
        };
        let lost: Vec<_> = known
            .iter()
            .filter(|(_, _, at)| at.offset < next)
            .map(|(kind, height, _)| (*kind, *height))
            .collect();
        for (kind, height) in &lost {
            index.remove(*kind, *height);
        }
        drop(index);
        let body = vec![0; usize::try_from(next - offset - header).unwrap_or_default()];
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let filler = Header::new(Tag::Fills, 0, [0; 32], length, &body);
        file.write_all_at(&[filler.encode().as_slice(), &body].concat(), offset)
            .and_then(|()| file.sync_data())
            .map_err(io_error(&path))?;
        Ok(Damaged { path, offset, bytes: next - offset, lost })
    }
}
