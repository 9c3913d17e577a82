//! Moving a finished segment to the shelf. Stopped or killed at any step, it is whole in one place at least,
//! and counts once.
//!
//! Copy, made durable; read back and compared by hash; a note here; the segment here goes. While the segment
//! stands here, it is the truth, whatever lies on the shelf.
use super::{
    Segments, Source, cold::write_whole, file_name, io_error, note_name, open::note_of, sync_folder,
};
use crate::{Id, Kind, StoreError, segments::scan::ReadAt};
use sha2::{Digest as _, Sha256};
use std::{
    cell::{Cell, RefCell},
    fs,
    io::{self, Read},
    sync::PoisonError,
};

const CHUNK_BYTES: usize = 1 << 20;

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes more were read.
    Read(u64),
    /// The shelf has it.
    Copied,
    /// What the shelf has is what was copied.
    Verified,
    /// The note is durable.
    Noted,
    /// The segment here is gone.
    Removed,
}

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cooled {
    /// It lies on the shelf.
    Moved,
    /// It stays: a record in it does not check, which a scrub puts right.
    Damaged,
    /// It stays: it was told to stop.
    Stopped,
}

/// How much of a store lies on its shelf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColdShare {
    /// Segments on the shelf.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Segments {
    /// Looks whether the shelf is there. Until it is found, what lies on it cannot be read.
    pub fn probe(&self) -> Result<(), StoreError> {
        let unused = self.cold_share().segments == 0;
        self.0.cold.as_ref().map_or(Ok(()), |cold| cold.probe(unused))
    }

    /// What lies on the shelf.
    pub fn cold_share(&self) -> ColdShare {
        let files = self.0.files.read().unwrap_or_else(PoisonError::into_inner);
        let cold = files.iter().filter(|file| matches!(file.source, Source::Cold));
        cold.fold(ColdShare::default(), |share, file| ColdShare {
            segments: share.segments + 1,
            bytes: share.bytes + file.end,
        })
    }

    /// The oldest finished segment here of which every record is about a block below `height`, and none is the
    /// record of a block in `stays`.
    pub fn finished_below(&self, height: u64, stays: &[u64]) -> Option<u32> {
        let stay: Vec<_> = {
            let index = self.0.index();
            let kinds = |height| [Kind::Block, Kind::Certificate].map(|kind| (kind, height));
            let places = stays.iter().flat_map(|height| kinds(*height));
            places
                .filter_map(|(kind, height)| Some(index.find(kind, Id::Height(height))?.1.segment))
                .collect()
        };
        let files = self.0.files.read().unwrap_or_else(PoisonError::into_inner);
        let (_grows, finished) = files.split_last()?;
        let old = (0..).zip(finished).find(|(number, file)| {
            matches!(file.source, Source::Here(_))
                && file.newest.is_none_or(|newest| newest < height)
                && !stay.contains(number)
        });
        old.map(|(number, _)| number)
    }

    /// Moves a finished segment to the shelf. `go_on` is told of each step and ends the move with `false`.
    pub fn cool(&self, segment: u32, go_on: &mut dyn FnMut(Step) -> bool) -> Result<Cooled, StoreError> {
        let shared = &*self.0;
        let Some(cold) = &shared.cold else { return Ok(Cooled::Stopped) };
        let _alone = shared.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((Source::Here(file), end)) = shared.finished(segment) else { return Ok(Cooled::Stopped) };
        let path = shared.folder.join(file_name(segment));
        let told = Told { from: &*file, go_on: RefCell::new(go_on), stopped: Cell::new(false) };
        let note = note_of(&told);
        if told.stopped.get() {
            return Ok(Cooled::Stopped);
        }
        let note = note.map_err(io_error(&path))?;
        let held: u64 = note.records.iter().map(|(_, header)| header.extent()).sum();
        if held != end || note.length != end {
            return Ok(Cooled::Damaged);
        }
        cold.probe(self.cold_share().segments == 0)?;

        let mut source = Hashed { from: &told, offset: 0, end, hash: Sha256::new() };
        let put = cold.shelf.put(segment, &mut source);
        let (copied, hash) = (source.offset, source.hash.finalize());
        if told.stopped.get() {
            return Ok(Cooled::Stopped);
        }
        if put.map_err(|source| cold.gone(source))? != end || copied != end || !go_on(Step::Copied) {
            return Ok(Cooled::Stopped);
        }
        let piece = cold.piece(segment);
        let told = Told { from: &piece, go_on: RefCell::new(go_on), stopped: Cell::new(false) };
        let mut back = Hashed { from: &told, offset: 0, end, hash: Sha256::new() };
        let read = io::copy(&mut back, &mut io::sink());
        let same = back.hash.finalize() == hash;
        if told.stopped.get() {
            return Ok(Cooled::Stopped);
        }
        let length = read.and_then(|_bytes| piece.length()).map_err(|source| cold.gone(source))?;
        if !same || length != end {
            return Err(cold.gone(io::Error::other("what was written does not read back")));
        }
        if !go_on(Step::Verified) {
            return Ok(Cooled::Stopped);
        }
        // Still ours: what was just read may have been another's by now.
        cold.probe(false)?;
        let place = shared.folder.join(note_name(segment));
        write_whole(&place, &note.encode()).map_err(io_error(&place))?;
        if !go_on(Step::Noted) {
            return Ok(Cooled::Stopped);
        }
        shared.lies_on_shelf(segment);
        fs::remove_file(&path).map_err(io_error(&path))?;
        sync_folder(&shared.folder)?;
        go_on(Step::Removed);
        Ok(Cooled::Moved)
    }
}

/// A segment that is read in pieces, each of which is told and between which it may be stopped.
struct Told<'a, 'b, F: ReadAt + ?Sized> {
    from: &'a F,
    go_on: RefCell<&'a mut (dyn FnMut(Step) -> bool + 'b)>,
    stopped: Cell<bool>,
}

impl<F: ReadAt + ?Sized> ReadAt for Told<'_, '_, F> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.from.read_at(buffer, offset)?;
        if (self.go_on.borrow_mut())(Step::Read(buffer.len() as u64)) {
            return Ok(());
        }
        self.stopped.set(true);
        Err(io::Error::other("stopped"))
    }

    fn length(&self) -> io::Result<u64> {
        self.from.length()
    }
}

/// Hashes what is read of a segment.
struct Hashed<'a> {
    from: &'a dyn ReadAt,
    offset: u64,
    end: u64,
    hash: Sha256,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(left).min(CHUNK_BYTES);
        let Some(buffer) = buffer.get_mut(..length).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        self.from.read_at(buffer, self.offset)?;
        self.hash.update(&*buffer);
        self.offset += length as u64;
        Ok(length)
    }
}
