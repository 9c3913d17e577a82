//! The shelf as a store uses it: reads have a time limit, so that a location that hangs holds nobody up.
//!
//! One thread reads for all. Whoever waits longer than [`PATIENCE`] gives up and the shelf counts as away:
//! until it is found again every read of a cold record fails at once.
use super::{
    scan::ReadAt,
    shelf::{Shelf, ShelfMark},
};
use crate::StoreError;
use std::{
    cell::RefCell,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Reads that wait.
const READS_MAX: usize = 64;
/// What is read at a time by those who read all of a segment.
const WINDOW_BYTES: usize = 1 << 20;
const MARK_FILE: &str = "cold-mark";

type Job = Box<dyn FnOnce(&dyn Shelf) + Send>;

/// A store's shelf.
pub(super) struct Cold {
    pub(super) shelf: Arc<dyn Shelf>,
    mark: ShelfMark,
    jobs: mpsc::SyncSender<Job>,
    away: AtomicBool,
}

impl Cold {
    /// A shelf for the store in `folder`, which remembers the shelf's mark. Nothing is asked of it yet.
    pub(super) fn new(folder: &Path, shelf: Arc<dyn Shelf>) -> io::Result<Self> {
        let mark = own_mark(folder)?;
        let (jobs, queue) = mpsc::sync_channel::<Job>(READS_MAX);
        let reading = shelf.clone();
        std::thread::Builder::new()
            .name("ledger-cold-read".into())
            .spawn(move || queue.into_iter().for_each(|job| job(&*reading)))?;
        Ok(Self { shelf, mark, jobs, away: AtomicBool::new(true) })
    }

    /// Looks whether the shelf is there and is ours. One without a mark is taken while it is `unused`.
    pub(super) fn probe(&self, unused: bool) -> Result<(), StoreError> {
        let mark = self.mark;
        let looked = self.ask(move |shelf| match shelf.mark()? {
            Some(found) if found == mark => Ok(()),
            Some(_) => Err(io::Error::other("the mark there is another store's")),
            None if unused => shelf.set_mark(&mark),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the mark of this store is not there")),
        });
        self.away.store(looked.is_err(), Ordering::Release);
        looked.map_err(|source| self.gone(source))
    }

    /// Writes the mark that this store remembers again if the file is not what it was.
    pub(super) fn mend_mark(&self, folder: &Path) -> io::Result<Option<PathBuf>> {
        let path = folder.join(MARK_FILE);
        if std::fs::read(&path).is_ok_and(|bytes| bytes == self.mark) {
            return Ok(None);
        }
        write_whole(&path, &self.mark).map(|()| Some(path))
    }

    /// Bytes of a segment; `None` if they are lost: the shelf is there and they are not.
    pub(super) fn read(
        &self,
        segment: u32,
        offset: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if self.away.load(Ordering::Acquire) {
            return Err(self.gone(io::ErrorKind::NotConnected.into()));
        }
        let mark = self.mark;
        let read = self.ask(move |shelf| {
            let mut bytes = vec![0; length];
            match shelf.read(segment, offset, &mut bytes) {
                Ok(()) => Ok(Some(bytes)),
                Err(error) if is_lost(shelf, &mark, &error) => Ok(None),
                Err(error) => Err(error),
            }
        });
        read.map_err(|source| self.gone(source))
    }

    /// The bytes of a segment on the shelf; `None` if it is lost.
    pub(super) fn length(&self, segment: u32) -> Result<Option<u64>, StoreError> {
        match self.shelf.length(segment) {
            Ok(length) => Ok(Some(length)),
            Err(error) if is_lost(&*self.shelf, &self.mark, &error) => Ok(None),
            Err(error) => Err(self.gone(error)),
        }
    }

    /// A segment for those who read all of it, without a time limit.
    pub(super) fn piece(&self, segment: u32) -> Piece<'_> {
        Piece { shelf: &*self.shelf, segment, window: RefCell::default() }
    }

    pub(super) fn gone(&self, source: io::Error) -> StoreError {
        StoreError::Away { place: self.shelf.name(), source }
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Shelf) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |shelf| {
            // Whoever asked may have given up.
            let _gone = reply.send(work(shelf));
        });
        if self.jobs.try_send(job).is_err() {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "too many reads wait for it"));
        }
        answer.recv_timeout(PATIENCE).unwrap_or_else(|_elapsed| {
            self.away.store(true, Ordering::Release);
            Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))
        })
    }
}

/// Whether bytes are gone from a shelf that is there.
fn is_lost(shelf: &dyn Shelf, mark: &ShelfMark, error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => true,
        io::ErrorKind::NotFound => shelf.mark().is_ok_and(|found| found == Some(*mark)),
        _ => false,
    }
}

/// The mark that this store's shelf bears: made once.
fn own_mark(folder: &Path) -> io::Result<ShelfMark> {
    let path = folder.join(MARK_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => return bytes.as_slice().try_into().map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut mark = [0; 32];
    getrandom::fill(&mut mark).map_err(io::Error::other)?;
    write_whole(&path, &mark)?;
    Ok(mark)
}

/// Writes a file beside its place, makes it durable and puts it there.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// A segment on the shelf, read in large pieces.
pub(super) struct Piece<'a> {
    shelf: &'a dyn Shelf,
    segment: u32,
    /// Where the bytes begin that were read last.
    window: RefCell<(u64, Vec<u8>)>,
}

impl ReadAt for Piece<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut window = self.window.borrow_mut();
        let held = |(from, bytes): &(u64, Vec<u8>)| {
            let start = usize::try_from(offset.checked_sub(*from)?).ok()?;
            Some(start..start.checked_add(buffer.len())?).filter(|range| range.end <= bytes.len())
        };
        let range = match held(&window) {
            Some(range) => range,
            None => {
                let left = self.shelf.length(self.segment)?.saturating_sub(offset);
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                if most < buffer.len() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let mut bytes = vec![0; most.min(WINDOW_BYTES.max(buffer.len()))];
                self.shelf.read(self.segment, offset, &mut bytes)?;
                *window = (offset, bytes);
                0..buffer.len()
            }
        };
        buffer.copy_from_slice(window.1.get(range).unwrap_or_default());
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.shelf.length(self.segment)
    }
}
