//! [`Store`] as append-only segment files.
//!
//! A folder holds `0000000000.segment`, `0000000001.segment`, ...: records one after the other (see
//! [`record`]). Only the last file grows; a torn end is cut off on open. Damage in the middle is reported,
//! never served, and remembered by a void record, so that a fresh copy can be put in its place. Nothing here
//! knows what blocks mean. Finished segments may be moved to a [`Shelf`], a second location, and are read there.
mod bucket;
mod cold;
mod cool;
mod index;
mod note;
mod open;
mod reader;
mod record;
mod scan;
mod scrub;
mod shelf;

pub use bucket::{Bucket, BucketConfig, BucketError, BucketKey};
pub use cool::{ColdShare, Cooled, Step};
pub use reader::Reader;
pub use scrub::{Damaged, Place, Scrubbed};
pub use shelf::{Folder, Shelf, ShelfMark};

use crate::{Block, Certificate, Id, Kind, Store, StoreError};
use bytes::Bytes;
use cold::{Cold, Wait, write_whole};
use index::{Index, Location};
use record::{HEADER_BYTES, Header, Tag};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

const LOCK_FILE: &str = "lock";
const MARK_FILE: &str = "journal-mark";

/// How a store is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentsConfig {
    /// A segment is closed before it grows over this many bytes, unless one record alone does.
    pub segment_bytes_max: u64,
    /// The longest record body taken.
    pub record_bytes_max: usize,
}

impl Default for SegmentsConfig {
    fn default() -> Self {
        Self { segment_bytes_max: 256 << 20, record_bytes_max: 64 << 20 }
    }
}

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Good records.
    pub records: usize,
    /// Bytes of a torn end that were cut off.
    pub truncated_bytes: u64,
    /// Files and offsets where bytes do not check with good records behind them: an alarm.
    pub damaged: Vec<(PathBuf, u64)>,
}

/// The store. Clones of its [`Reader`] outlive it.
pub struct Segments(Arc<Shared>);

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segments({})", self.0.folder.display())
    }
}

impl Segments {
    /// Forgets a record that checks but is not what the chain says; a fresh copy may take its place.
    pub fn void(&self, kind: Kind, height: u64) -> Result<(), StoreError> {
        let found = self.0.index().find(kind, Id::Height(height));
        found.map_or(Ok(()), |(_, location)| self.0.void(kind, height, location))
    }

    /// A handle for reading from other threads.
    pub fn reader(&self) -> Reader {
        Reader(self.0.clone())
    }
}

impl Store for Segments {
    fn put_block(&self, block: &Block) -> Result<(), StoreError> {
        self.0.put(Kind::Block, block.height, block.digest, &block.bytes).map(|_new| ())
    }

    fn put_certificate(&self, height: u64, certificate: &Certificate) -> Result<bool, StoreError> {
        self.0.put(Kind::Certificate, height, certificate.digest, &certificate.encode())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn block(&self, id: Id) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.read(Kind::Block, id, Wait::Brief)?.map(|(_, bytes)| bytes))
    }

    fn certificate(&self, id: Id) -> Result<Option<Certificate>, StoreError> {
        Ok(self.0.certificate(id, Wait::Brief)?.map(|(_, certificate)| certificate))
    }

    fn range_at_or_after(&self, kind: Kind, height: u64) -> Option<(u64, u64)> {
        self.0.run_at_or_after(kind, height)
    }

    fn last(&self, kind: Kind) -> Option<u64> {
        self.0.last(kind)
    }

    fn journal_mark(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let path = self.0.folder.join(MARK_FILE);
        match fs::read(&path) {
            Ok(bytes) => match bytes.as_slice().try_into() {
                Ok(mark) => Ok(Some(mark)),
                Err(error) => Err(StoreError::Io { path, source: io::Error::other(error) }),
            },
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    fn set_journal_mark(&self, mark: [u8; 32]) -> Result<(), StoreError> {
        let path = self.0.folder.join(MARK_FILE);
        write_whole(&path, &mark).map_err(io_error(&path))
    }
}

/// The place where the next record goes.
struct Writer {
    /// Number and handle of the segment that grows.
    segment: Option<(u32, Arc<File>)>,
    end: u64,
    /// The highest block that a record of it is about.
    newest: Option<u64>,
    /// Records written since open, to know what a sync covers.
    written: u64,
}

/// What writer and readers share.
pub(crate) struct Shared {
    folder: PathBuf,
    config: SegmentsConfig,
    index: RwLock<Index>,
    writer: Mutex<Writer>,
    /// How many of the written records are durable; held while the disk works, so that syncs group.
    synced: Mutex<u64>,
    /// A sync failed: what the disk holds is unknown, so nothing is called durable any more.
    broken: AtomicBool,
    files: RwLock<Vec<Segment>>,
    cold: Option<Cold>,
    /// Held by whoever moves or changes a finished segment.
    moving: Mutex<()>,
    /// What a scrub will fill of the segment on the shelf that it reads, all at once.
    fills: Mutex<Vec<(u64, u64)>>,
    _lock: open::Lock,
}

/// A segment.
struct Segment {
    source: Source,
    /// Its length, once it grows no more.
    end: u64,
    /// The highest block that a record of it is about, once it grows no more.
    newest: Option<u64>,
}

/// Where a segment's bytes lie.
#[derive(Clone)]
enum Source {
    Here(Arc<File>),
    Cold,
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self, kind: Kind) -> Option<u64> {
        self.index().last(kind)
    }

    fn run_at_or_after(&self, kind: Kind, height: u64) -> Option<(u64, u64)> {
        self.index().run_at_or_after(kind, height)
    }

    fn at_or_after(&self, kind: Kind, height: u64) -> Option<u64> {
        self.index().at_or_after(kind, height).map(|(height, _)| height)
    }

    fn source(&self, segment: u32) -> Option<Source> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(segment as usize).map(|segment| segment.source.clone())
    }

    /// A segment that grows no more, and its length.
    fn finished(&self, segment: u32) -> Option<(Source, u64)> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let (_grows, finished) = files.split_last()?;
        finished.get(segment as usize).map(|segment| (segment.source.clone(), segment.end))
    }

    fn lies_on_shelf(&self, segment: u32) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(segment) = files.get_mut(segment as usize) {
            segment.source = Source::Cold;
        }
    }

    fn cold(&self) -> Result<&Cold, StoreError> {
        self.cold.as_ref().ok_or_else(|| StoreError::Away {
            place: "the second location".into(),
            source: io::Error::other("none is configured, and old blocks were moved to one"),
        })
    }

    fn path(&self, segment: u32) -> PathBuf {
        let name = file_name(segment);
        match (self.source(segment), &self.cold) {
            (Some(Source::Cold), Some(cold)) => Path::new(&cold.shelf.name()).join(name),
            _ => self.folder.join(name),
        }
    }

    fn put(&self, kind: Kind, height: u64, digest: [u8; 32], body: &[u8]) -> Result<bool, StoreError> {
        let max = self.config.record_bytes_max;
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= max);
        let length = length.ok_or(StoreError::TooLong { bytes: body.len(), max })?;
        let mut writer = self.writer();
        if self.index().find(kind, Id::Height(height)).is_some() {
            return Ok(false);
        }
        let header = Header::new(Tag::Holds(kind), height, digest, length, body);
        let location = self.append(&mut writer, &header, body)?;
        Ok(self.index_mut().insert(kind, height, digest, location))
    }

    fn append(&self, writer: &mut Writer, header: &Header, body: &[u8]) -> Result<Location, StoreError> {
        let full = writer.end > 0 && writer.end + header.extent() > self.config.segment_bytes_max;
        let (segment, file) = match &writer.segment {
            Some(current) if !full => current.clone(),
            _ => self.roll(writer)?,
        };
        let offset = writer.end;
        let written = file
            .write_all_at(&header.encode(), offset)
            .and_then(|()| file.write_all_at(body, offset + HEADER_BYTES as u64));
        written.map_err(io_error(&self.path(segment)))?;
        writer.end += header.extent();
        writer.newest = writer.newest.max(header.about());
        writer.written += 1;
        Ok(Location { segment, offset, length: header.length })
    }

    /// Closes the growing segment durably and starts the next.
    fn roll(&self, writer: &mut Writer) -> Result<(u32, Arc<File>), StoreError> {
        if let Some((number, file)) = &writer.segment {
            // What a failed write left behind the last record is none.
            file.set_len(writer.end).map_err(io_error(&self.path(*number)))?;
            self.sync_file(*number, file)?;
        }
        let number = self.files.read().unwrap_or_else(PoisonError::into_inner).len() as u32;
        let path = self.folder.join(file_name(number));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = Arc::new(file.map_err(io_error(&path))?);
        sync_folder(&self.folder)?;
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(closed) = files.last_mut().filter(|_| writer.segment.is_some()) {
            (closed.end, closed.newest) = (writer.end, writer.newest);
        }
        files.push(Segment { source: Source::Here(file.clone()), end: 0, newest: None });
        drop(files);
        writer.newest = None;
        writer.segment = Some((number, file.clone()));
        writer.end = 0;
        Ok((number, file))
    }

    fn start_writer(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Segment { source: Source::Here(file), .. }) = files.last() {
            writer.segment = Some((files.len() as u32 - 1, file.clone()));
            return Ok(());
        }
        drop(files);
        writer.end = 0;
        self.roll(&mut writer).map(|_segment| ())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let (written, segment) = {
            let writer = self.writer();
            (writer.written, writer.segment.clone())
        };
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= written && !self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some((number, file)) = segment {
            self.sync_file(number, &file)?;
        }
        *synced = (*synced).max(written);
        Ok(())
    }

    fn sync_file(&self, number: u32, file: &File) -> Result<(), StoreError> {
        if self.broken.load(Ordering::Acquire) {
            let source = io::Error::other("an earlier sync failed");
            return Err(StoreError::Io { path: self.path(number), source });
        }
        file.sync_data().map_err(|source| {
            self.broken.store(true, Ordering::Release);
            StoreError::Io { path: self.path(number), source }
        })
    }

    fn certificate(&self, id: Id, wait: Wait) -> Result<Option<(u64, Certificate)>, StoreError> {
        let Some((height, bytes)) = self.read(Kind::Certificate, id, wait)? else { return Ok(None) };
        match Certificate::decode(&bytes) {
            Ok(certificate) => Ok(Some((height, certificate))),
            Err(source) => Err(StoreError::Certificate { height, source }),
        }
    }

    fn read(&self, kind: Kind, id: Id, wait: Wait) -> Result<Option<(u64, Bytes)>, StoreError> {
        let Some((height, location)) = self.index().find(kind, id) else { return Ok(None) };
        let Some(record) = self.record(location, wait)? else { return Ok(None) };
        if let Some(header) = good_header(&record, kind, height) {
            // A digest that stood at this height once may not be that of the record that stands there now.
            let fits = matches!(id, Id::Height(_)) || id == Id::Digest(header.digest);
            return Ok(fits.then(|| (height, Bytes::from(record).slice(HEADER_BYTES..))));
        }
        let path = self.path(location.segment);
        self.void(kind, height, location)?;
        Err(StoreError::Damaged { kind, height, path, offset: location.offset })
    }

    /// The bytes at a place, none of them where somebody cut them off.
    fn record(&self, location: Location, wait: Wait) -> Result<Option<Vec<u8>>, StoreError> {
        let length = HEADER_BYTES + location.length as usize;
        let file = match self.source(location.segment) {
            None => return Ok(None),
            Some(Source::Cold) => {
                let read = self.cold()?.read(location.segment, location.offset, length, wait)?;
                return Ok(Some(read.unwrap_or_default()));
            }
            Some(Source::Here(file)) => file,
        };
        let mut record = vec![0; length];
        match file.read_exact_at(&mut record, location.offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => record.clear(),
            Err(source) => return Err(StoreError::Io { path: self.path(location.segment), source }),
        }
        Ok(Some(record))
    }

    /// Forgets a damaged record, for later opens too.
    fn void(&self, kind: Kind, height: u64, location: Location) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let current = self.index().find(kind, Id::Height(height));
        if current != Some((height, location)) {
            return Ok(());
        }
        self.index_mut().remove(kind, height);
        let header = Header::new(Tag::Voids(kind), height, [0; 32], 0, &[]);
        self.append(&mut writer, &header, &[]).map(|_location| ())
    }
}

fn good_header(record: &[u8], kind: Kind, height: u64) -> Option<Header> {
    let (header, body) = record.split_at_checked(HEADER_BYTES)?;
    Header::decode(header).filter(|header| {
        header.tag == Tag::Holds(kind)
            && header.height == height
            && header.length as usize == body.len()
            && header.fits(body)
    })
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_path_buf();
    move |source| StoreError::Io { path, source }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder))
}

fn file_name(segment: u32) -> String {
    format!("{segment:010}.segment")
}

fn note_name(segment: u32) -> String {
    format!("{segment:010}.cold")
}
