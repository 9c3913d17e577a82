//! Re-reading every stored byte while the store is in use.
//!
//! Bytes that do not check are forgotten and overwritten by a record that holds nothing, so that the next
//! scrub finds a file that checks again. What was lost is the caller's to bring back.
use super::{
    Segments, Shared, Source,
    cold::{Cold, write_whole},
    io_error,
    note::Note,
    note_name,
    open::note_of,
    record::{HEADER_BYTES, Header, Tag},
    scan::{self, ReadAt},
};
use crate::{Kind, StoreError};
use std::{
    fs, io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::{MutexGuard, PoisonError},
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

impl Damaged {
    /// A small file that was written again.
    fn local(path: PathBuf) -> Self {
        Self { path, offset: 0, bytes: 0, lost: Vec::new() }
    }
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
        let Some((source, end)) = self.0.extent(from.segment) else { return Ok(scrubbed) };
        let offset = match source {
            Source::Here(file) => self.0.scrub_from(from, end, bytes_max, &*file, &mut scrubbed)?,
            Source::Cold => {
                let cold = self.0.cold()?;
                match cold.length(from.segment)? {
                    // Nothing is left there to be read.
                    None if end > 0 => {
                        scrubbed.damaged.push(self.0.lose(from.segment, end)?);
                        end
                    }
                    None => end,
                    Some(_) => {
                        if from.offset == 0 {
                            self.0.fills().clear();
                            let mended = cold.mend_mark().map_err(io_error(&self.0.folder))?;
                            scrubbed.damaged.extend(mended.map(Damaged::local));
                            scrubbed.damaged.extend(self.0.scrub_note(from.segment, cold)?);
                        }
                        let piece = cold.piece(from.segment);
                        let offset = self.0.scrub_from(from, end, bytes_max, &piece, &mut scrubbed)?;
                        if offset >= end {
                            self.0.fill_cold(from.segment, end, cold)?;
                        }
                        offset
                    }
                }
            }
        };
        scrubbed.bytes = offset - from.offset;
        let more = self.0.extent(from.segment + 1).is_some();
        scrubbed.next = match offset < end {
            true => Some(Place { segment: from.segment, offset }),
            false => more.then_some(Place { segment: from.segment + 1, offset: 0 }),
        };
        Ok(scrubbed)
    }
}

/// A record that holds nothing, so many bytes long.
fn filler(bytes: u64) -> Vec<u8> {
    // INVARIANT: whoever asks has room for a header at least, and segments are shorter than 4 GiB.
    let length = u32::try_from(bytes.saturating_sub(HEADER_BYTES as u64)).unwrap_or(u32::MAX);
    let body = vec![0; length as usize];
    let header = Header::new(Tag::Fills, 0, [0; 32], length, &body);
    [header.encode().as_slice(), &body].concat()
}

impl Shared {
    /// A segment's bytes, and how far its records reach now.
    fn extent(&self, segment: u32) -> Option<(Source, u64)> {
        let writer = self.writer();
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let found = files.get(segment as usize)?;
        let grows = writer.segment.as_ref().is_some_and(|(number, _)| *number == segment);
        Some((found.source.clone(), if grows { writer.end } else { found.end }))
    }

    /// Returns the offset that was reached.
    fn scrub_from(
        &self,
        from: Place,
        end: u64,
        bytes_max: u64,
        file: &dyn ReadAt,
        scrubbed: &mut Scrubbed,
    ) -> Result<u64, StoreError> {
        let mut offset = from.offset;
        while offset < end && offset - from.offset < bytes_max {
            let extent =
                scan::good_extent(file, offset, end).map_err(|error| self.failed(from.segment, error))?;
            offset += match extent {
                Some(extent) => extent,
                None => {
                    let damaged = self.fill(from.segment, file, offset, end)?;
                    let bytes = damaged.bytes;
                    scrubbed.damaged.push(damaged);
                    bytes
                }
            };
        }
        Ok(offset)
    }

    fn failed(&self, segment: u32, source: io::Error) -> StoreError {
        match (self.source(segment), &self.cold) {
            (Some(Source::Cold), Some(cold)) => cold.gone(source),
            _ => StoreError::Io { path: self.path(segment), source },
        }
    }

    /// Forgets what lies in the bytes from `offset` to the next record, and fills them.
    fn fill(&self, segment: u32, file: &dyn ReadAt, offset: u64, end: u64) -> Result<Damaged, StoreError> {
        let path = self.path(segment);
        // Nobody moves the segment meanwhile.
        let _alone = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.index().in_segment(segment, offset);
        // A filler is a header at least: where less is left, the next record goes too, or the file grows.
        let least = offset + HEADER_BYTES as u64;
        // What memory knows of the file goes before what damaged bytes seem to say.
        let next = match known.first() {
            Some((_, _, at)) if at.offset == offset => least + u64::from(at.length),
            _ => {
                let limit = known.iter().map(|(_, _, at)| at.offset).find(|at| *at >= least);
                let limit = limit.unwrap_or(end).max(least);
                let found = scan::next_good(file, least, limit);
                found.map_err(|error| self.failed(segment, error))?.unwrap_or(limit)
            }
        };
        let lost: Vec<_> = known.into_iter().filter(|(_, _, at)| at.offset < next).collect();
        let named = lost.iter().map(|(kind, height, _)| (*kind, *height)).collect();
        match self.source(segment) {
            Some(Source::Here(file)) => {
                // Nobody writes meanwhile.
                let _writer = self.writer();
                let mut index = self.index_mut();
                lost.iter().for_each(|(kind, height, _)| index.remove(*kind, *height));
                drop(index);
                file.write_all_at(&filler(next - offset), offset)
                    .and_then(|()| file.sync_data())
                    .map_err(io_error(&path))?;
                self.ends_at(segment, next.max(end));
            }
            _ => {
                // The note still names them: they are voided for later opens too.
                lost.iter().try_for_each(|(kind, height, at)| self.void(*kind, *height, *at))?;
                let mut fills = self.fills();
                match fills.last_mut().filter(|(_, filled)| *filled == offset) {
                    Some((_, filled)) => *filled = next,
                    None => fills.push((offset, next)),
                }
            }
        }
        Ok(Damaged { path, offset, bytes: next - offset, lost: named })
    }

    fn fills(&self) -> MutexGuard<'_, Vec<(u64, u64)>> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills what did not check of a segment on the shelf, all at once: a shelf may have to put all of it again.
    fn fill_cold(&self, segment: u32, end: u64, cold: &Cold) -> Result<(), StoreError> {
        let _alone = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let fills = std::mem::take(&mut *self.fills());
        let Some((_, last)) = fills.last() else { return Ok(()) };
        let grown = *last > end;
        let patches: Vec<_> = fills.into_iter().map(|(from, to)| (from, filler(to - from))).collect();
        cold.shelf.amend(segment, &patches).map_err(|error| cold.gone(error))?;
        if grown {
            self.renote(segment, cold)?;
        }
        Ok(())
    }

    /// Forgets a segment that is gone from the shelf.
    fn lose(&self, segment: u32, end: u64) -> Result<Damaged, StoreError> {
        let _alone = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.index().in_segment(segment, 0);
        known.iter().try_for_each(|(kind, height, at)| self.void(*kind, *height, *at))?;
        let note = self.folder.join(note_name(segment));
        let nothing = Note { length: 0, records: Vec::new() };
        write_whole(&note, &nothing.encode()).map_err(io_error(&note))?;
        self.ends_at(segment, 0);
        let lost = known.into_iter().map(|(kind, height, _)| (kind, height)).collect();
        Ok(Damaged { path: self.path(segment), offset: 0, bytes: end, lost })
    }

    /// Writes the note of a segment on the shelf again if it does not check.
    fn scrub_note(&self, segment: u32, cold: &Cold) -> Result<Option<Damaged>, StoreError> {
        let path = self.folder.join(note_name(segment));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(StoreError::Io { path, source }),
        };
        if Note::read(&bytes).1 {
            return Ok(None);
        }
        let note = self.renote(segment, cold)?;
        let mut index = self.index_mut();
        let holds = note.records.iter().filter(|(_, header)| matches!(header.tag, Tag::Holds(_)));
        holds.for_each(|(offset, header)| scan::enter(&mut index, segment, *offset, header));
        Ok(Some(Damaged::local(path)))
    }

    /// Writes the note of a segment again, from what lies on the shelf.
    fn renote(&self, segment: u32, cold: &Cold) -> Result<Note, StoreError> {
        let path = self.folder.join(note_name(segment));
        let note = note_of(&cold.piece(segment)).map_err(|error| cold.gone(error))?;
        write_whole(&path, &note.encode()).map_err(io_error(&path))?;
        self.ends_at(segment, note.length);
        Ok(note)
    }

    /// A finished segment ends elsewhere now.
    fn ends_at(&self, segment: u32, end: u64) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_grows, finished)) = files.split_last_mut()
            && let Some(segment) = finished.get_mut(segment as usize)
        {
            segment.end = end;
        }
    }
}
