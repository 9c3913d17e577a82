//! Opening a store: which segments there are, here and on the shelf, and what they hold.
use super::{
    LOCK_FILE, Recovery, Segment, Segments, SegmentsConfig, Shared, Source, Writer,
    cold::{Cold, Sample, write_whole},
    file_name,
    index::Index,
    io_error,
    note::Note,
    note_name,
    scan::{self, ReadAt},
    shelf::Shelf,
};
use crate::StoreError;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
    sync::{Arc, Mutex, RwLock, atomic::AtomicBool},
};

impl Segments {
    /// Opens or creates the store in `folder`, alone: a second process gets [`StoreError::InUse`].
    pub fn open(folder: &Path, config: SegmentsConfig) -> Result<(Self, Recovery), StoreError> {
        Self::open_with(folder, config, None)
    }

    /// Opens a store of which finished segments may lie on a shelf. The shelf may be away.
    pub fn open_with(
        folder: &Path,
        config: SegmentsConfig,
        shelf: Option<Arc<dyn Shelf>>,
    ) -> Result<(Self, Recovery), StoreError> {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let lock = lock(folder)?;
        let names = Names::of(folder)?;
        let cold = shelf.map(|shelf| Cold::new(folder, shelf, names.cold.is_empty()));
        let cold = cold.transpose().map_err(io_error(folder))?;
        if let Some(cold) = &cold {
            // Whoever runs the store is told by `Segments::probe`.
            let _away = cold.probe(names.cold.is_empty());
        }
        let mut opening = Opening {
            folder,
            cold: cold.as_ref(),
            index: Index::default(),
            recovery: Recovery::default(),
            samples: Vec::new(),
        };
        let mut files = Vec::new();
        for number in 0..names.count {
            files.push(opening.segment(number, &names)?);
        }
        let Opening { index, mut recovery, samples, .. } = opening;
        if let Some(cold) = &cold
            && let Some(path) = cold.lost_mark(samples)
        {
            recovery.damaged.push((path, 0));
            let _away = cold.probe(false);
        }
        recovery.records = index.count();
        let (end, newest) = files.last().map_or((0, None), |last| (last.end, last.newest));
        let shared = Shared {
            folder: folder.into(),
            config,
            index: RwLock::new(index),
            writer: Mutex::new(Writer { segment: None, end, newest, written: 0 }),
            synced: Mutex::new(0),
            broken: AtomicBool::new(false),
            files: RwLock::new(files),
            cold,
            moving: Mutex::new(()),
            fills: Mutex::default(),
            _lock: lock,
        };
        shared.start_writer()?;
        Ok((Self(Arc::new(shared)), recovery))
    }
}

/// The files of a store.
struct Names {
    here: Vec<u32>,
    cold: Vec<u32>,
    count: u32,
}

impl Names {
    fn of(folder: &Path) -> Result<Self, StoreError> {
        let (mut here, mut cold) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(io_error(folder))? {
            let name = entry.map_err(io_error(folder))?.file_name();
            let Some((number, suffix)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            let list = match suffix {
                "segment" => &mut here,
                "cold" => &mut cold,
                _ => continue,
            };
            let number = number.parse::<u32>().ok().filter(|parsed| format!("{parsed:010}") == number);
            list.push(number.ok_or_else(|| StoreError::Io {
                path: folder.join(&name),
                source: io::Error::other("not the name of a segment"),
            })?);
        }
        let count = here.iter().chain(&cold).max().map_or(0, |last| last.saturating_add(1));
        Ok(Self { here, cold, count })
    }
}

struct Opening<'a> {
    folder: &'a Path,
    cold: Option<&'a Cold>,
    index: Index,
    recovery: Recovery,
    /// The newest record of each segment that was moved.
    samples: Vec<Sample>,
}

impl Opening<'_> {
    fn segment(&mut self, number: u32, names: &Names) -> Result<Segment, StoreError> {
        if names.here.contains(&number) {
            if names.cold.contains(&number) {
                // A move that was cut off before the end: what is here is the truth, and it is moved again.
                let note = self.folder.join(note_name(number));
                fs::remove_file(&note).map_err(io_error(&note))?;
            }
            return self.here(number, number + 1 == names.count);
        }
        let note = self.folder.join(note_name(number));
        let (read, whole) = match names.cold.contains(&number) {
            true => Note::read(&fs::read(&note).map_err(io_error(&note))?),
            false => (Note { length: 0, records: Vec::new() }, false),
        };
        let read = if whole { read } else { self.renoted(number, read, names)? };
        for (offset, header) in &read.records {
            scan::enter(&mut self.index, number, *offset, header);
        }
        self.samples.extend(read.records.last().map(|(offset, header)| (number, *offset, header.encode())));
        let newest = read.records.iter().filter_map(|(_, header)| header.about()).max();
        Ok(Segment { source: Source::Cold, end: read.length, newest })
    }

    fn here(&mut self, number: u32, last: bool) -> Result<Segment, StoreError> {
        let path = self.folder.join(file_name(number));
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_error(&path))?;
        let scanned = scan::scan(&file, number, last, &mut self.index).map_err(io_error(&path))?;
        self.recovery.damaged.extend(scanned.damaged.iter().map(|offset| (path.clone(), *offset)));
        let mut end = file.metadata().map_err(io_error(&path))?.len();
        if last {
            self.recovery.truncated_bytes = end - scanned.end;
            file.set_len(scanned.end).and_then(|()| file.sync_all()).map_err(io_error(&path))?;
            end = scanned.end;
        } else if scanned.end < end {
            self.recovery.damaged.push((path, scanned.end));
        }
        Ok(Segment { source: Source::Here(Arc::new(file)), end, newest: scanned.newest })
    }

    /// A damaged or missing note, from the segment on the shelf; without the shelf, what can be read of it.
    fn renoted(&mut self, number: u32, damaged: Note, names: &Names) -> Result<Note, StoreError> {
        let path = self.folder.join(note_name(number));
        self.recovery.damaged.push((path.clone(), 0));
        let from_shelf = self.cold.map(|cold| {
            cold.length(number)?.ok_or_else(|| cold.gone(io::ErrorKind::NotFound.into()))?;
            note_of(&cold.piece(number)).map_err(|source| cold.gone(source))
        });
        match from_shelf {
            Some(Ok(note)) => write_whole(&path, &note.encode()).map(|()| note).map_err(io_error(&path)),
            _ if names.cold.contains(&number) => Ok(damaged),
            _ => {
                let source = io::Error::other(format!("segment `{number}` is missing"));
                Err(StoreError::Io { path: self.folder.into(), source })
            }
        }
    }
}

/// The note of a segment whose records check; those that do not are left out.
pub(super) fn note_of(file: &dyn ReadAt) -> io::Result<Note> {
    let mut records = Vec::new();
    let length = file.length()?;
    scan::records(file, true, |offset, header| records.push((offset, *header)))?;
    Ok(Note { length, records })
}

/// A folder that is this process's alone until this is dropped.
///
/// The lock is let go by word: a child that another thread has forked holds a copy of the file until it runs its own
/// program, and closing ours would leave the folder locked for that long.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Where it cannot be unlocked, it is closed.
        let _closed = self.0.unlock();
    }
}

fn lock(folder: &Path) -> Result<Lock, StoreError> {
    let path = folder.join(LOCK_FILE);
    let file = File::create(&path).map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: folder.into() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { path, source }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_that_was_let_go_is_free_even_while_a_forked_child_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        let childs = held.0.try_clone().unwrap();
        assert!(matches!(lock(folder.path()), Err(StoreError::InUse { .. })));
        drop(held);
        lock(folder.path()).unwrap();
        drop(childs);
    }
}
