//! Changing an object: it is read, patched and put again whole.
use super::Bucket;
use crate::segments::shelf::Shelf as _;
use std::io::{self, Read};

/// An object as it will be.
pub(super) struct Amended<'a> {
    bucket: &'a Bucket,
    segment: u32,
    patches: &'a [(u64, Vec<u8>)],
    length: u64,
    end: u64,
    offset: u64,
}

impl<'a> Amended<'a> {
    pub(super) fn new(bucket: &'a Bucket, segment: u32, patches: &'a [(u64, Vec<u8>)]) -> io::Result<Self> {
        let length = bucket.length(segment)?;
        let ends = patches.iter().map(|(offset, bytes)| offset.saturating_add(bytes.len() as u64));
        let end = ends.max().unwrap_or_default().max(length);
        Ok(Self { bucket, segment, patches, length, end, offset: 0 })
    }
}

impl Read for Amended<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = buffer.len().min(usize::try_from(self.end - self.offset).unwrap_or(usize::MAX));
        let buffer = buffer.get_mut(..bytes).unwrap_or_default();
        buffer.fill(0);
        let kept = usize::try_from(self.length.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        if let Some(kept) = buffer.get_mut(..kept.min(bytes)).filter(|kept| !kept.is_empty()) {
            self.bucket.read(self.segment, self.offset, kept)?;
        }
        for (at, patch) in self.patches {
            let from = self.offset.max(*at);
            let to = (self.offset + bytes as u64).min(at + patch.len() as u64);
            let range =
                |base: u64| Some(usize::try_from(from - base).ok()?..usize::try_from(to - base).ok()?);
            if from < to
                && let (Some(here), Some(there)) = (range(self.offset), range(*at))
                && let (Some(here), Some(there)) = (buffer.get_mut(here), patch.get(there))
            {
                here.copy_from_slice(there);
            }
        }
        self.offset += bytes as u64;
        Ok(bytes)
    }
}
