//! The shelf as a store uses it: reads have a time limit, so that a location that hangs holds nobody up.
//!
//! One thread reads for all. If a read takes longer than [`Shelf::patience`], the shelf counts as away: until it
//! is found again every read of a cold record fails at once. Who may not wait so long gives up before, see [`Wait`].
use super::{
    record::{HEADER_BYTES, check},
    scan::ReadAt,
    shelf::{Shelf, ShelfMark},
};
use crate::StoreError;
use std::{
    cell::{OnceCell, RefCell},
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// How long consensus waits, whatever the shelf.
const BRIEF: Duration = Duration::from_secs(1);
/// Reads that wait.
const READS_MAX: usize = 64;
/// What is read at a time by those who read all of a segment.
const WINDOW_BYTES: usize = 1 << 20;
const MARK_FILE: &str = "cold-mark";
const NEW: &[u8] = b"new";
/// Headers that show that a shelf holds what this store moved there.
const SAMPLES_MAX: usize = 8;

type Job = Box<dyn FnOnce(&dyn Shelf) + Send>;

/// How long somebody waits for a read.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    /// A second at most: consensus, which goes on without old blocks.
    Brief,
    /// As long as the shelf may take: who serves and repairs.
    Patient,
}

/// A record that was moved: its segment, where it begins there, and its header.
pub(super) type Sample = (u32, u64, [u8; HEADER_BYTES]);

/// A store's shelf.
pub(super) struct Cold {
    pub(super) shelf: Arc<dyn Shelf>,
    folder: PathBuf,
    /// Empty while the file that remembers it is lost and the shelf was not seen.
    mark: OnceLock<ShelfMark>,
    /// Whether a shelf without a mark may be taken although segments were moved to another.
    takes: AtomicBool,
    samples: Mutex<Vec<Sample>>,
    jobs: mpsc::SyncSender<Job>,
    /// Since when the job that runs now does.
    running: Arc<Mutex<Option<Instant>>>,
    away: AtomicBool,
}

impl Cold {
    /// A shelf for the store in `folder`, which remembers the shelf's mark. Nothing is asked of it yet. One that is
    /// `unused` gets a mark of its own.
    pub(super) fn new(folder: &Path, shelf: Arc<dyn Shelf>, unused: bool) -> io::Result<Self> {
        let mark = match own_mark(folder)? {
            Own::Mark(mark, takes) => Some((mark, takes)),
            Own::Lost if !unused => None,
            Own::Lost | Own::New => Some((new_mark(folder)?, true)),
        };
        let (jobs, queue) = mpsc::sync_channel::<Job>(READS_MAX);
        let reading = shelf.clone();
        std::thread::Builder::new()
            .name("ledger-cold-read".into())
            .spawn(move || queue.into_iter().for_each(|job| job(&*reading)))?;
        Ok(Self {
            shelf,
            folder: folder.into(),
            takes: mark.is_some_and(|(_, takes)| takes).into(),
            mark: mark.map_or_else(OnceLock::new, |(mark, _)| mark.into()),
            samples: Mutex::default(),
            jobs,
            running: Arc::default(),
            away: AtomicBool::new(true),
        })
    }

    /// The file that remembers the mark, if it is lost. By `samples` the shelf is known then.
    pub(super) fn lost_mark(&self, mut samples: Vec<Sample>) -> Option<PathBuf> {
        samples.drain(..samples.len().saturating_sub(SAMPLES_MAX));
        *lock(&self.samples) = samples;
        self.mark.get().is_none().then(|| self.folder.join(MARK_FILE))
    }

    /// Looks whether the shelf is there and is ours. One without a mark is taken while it is `unused`.
    pub(super) fn probe(&self, unused: bool) -> Result<(), StoreError> {
        let own = self.mark.get().copied();
        let unused = unused || self.takes.load(Ordering::Acquire);
        let samples = if own.is_some() { Vec::new() } else { lock(&self.samples).clone() };
        let looked = self.ask(Wait::Patient, move |shelf| match (shelf.mark()?, own) {
            (Some(found), Some(own)) if found == own => Ok(found),
            (Some(_), Some(_)) => Err(io::Error::other("the mark there is another store's")),
            (None, Some(own)) if unused => shelf.set_mark(&own).map(|()| own),
            (None, _) => Err(io::Error::new(io::ErrorKind::NotFound, "the mark of this store is not there")),
            (Some(found), None) if holds(shelf, &samples)? => Ok(found),
            (Some(_), None) => {
                Err(io::Error::other("this store lost its mark, and what lies there is not what it moved"))
            }
        });
        if !looked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.away.store(looked.is_err(), Ordering::Release);
        }
        let found = looked.map_err(|source| self.gone(source))?;
        if self.mark.set(found).is_ok() | self.takes.swap(false, Ordering::AcqRel) {
            // What cannot be written now a scrub writes.
            let _later = self.mend_mark();
        }
        Ok(())
    }

    /// Writes the mark that this store remembers again if the file is not what it was.
    pub(super) fn mend_mark(&self) -> io::Result<Option<PathBuf>> {
        let path = self.folder.join(MARK_FILE);
        let Some(mark) = self.mark.get() else { return Ok(None) };
        let takes = self.takes.load(Ordering::Acquire);
        if own_mark(&self.folder)? == Own::Mark(*mark, takes) {
            return Ok(None);
        }
        write_whole(&path, &mark_bytes(mark, takes)).map(|()| Some(path))
    }

    /// Bytes of a segment; `None` if they are lost: the shelf is there and they are not.
    pub(super) fn read(
        &self,
        segment: u32,
        offset: u64,
        length: usize,
        wait: Wait,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if self.away.load(Ordering::Acquire) {
            return Err(self.gone(io::ErrorKind::NotConnected.into()));
        }
        let mark = self.mark.get().copied();
        let read = self.ask(wait, move |shelf| {
            let mut bytes = vec![0; length];
            match shelf.read(segment, offset, &mut bytes) {
                Ok(()) => Ok(Some(bytes)),
                Err(error) if is_lost(shelf, mark, segment, &error) => Ok(None),
                Err(error) => Err(error),
            }
        });
        read.map_err(|source| self.gone(source))
    }

    /// The bytes of a segment on the shelf; `None` if it is lost.
    pub(super) fn length(&self, segment: u32) -> Result<Option<u64>, StoreError> {
        match self.shelf.length(segment) {
            Ok(length) => Ok(Some(length)),
            Err(error) if is_lost(&*self.shelf, self.mark.get().copied(), segment, &error) => Ok(None),
            Err(error) => Err(self.gone(error)),
        }
    }

    /// A segment for those who read all of it, without a time limit.
    pub(super) fn piece(&self, segment: u32) -> Piece<'_> {
        Piece { shelf: &*self.shelf, segment, length: OnceCell::new(), window: RefCell::default() }
    }

    pub(super) fn gone(&self, source: io::Error) -> StoreError {
        StoreError::Away { place: self.shelf.name(), source }
    }

    fn ask<T: Send + 'static>(
        &self,
        wait: Wait,
        work: impl FnOnce(&dyn Shelf) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let limit = match wait {
            Wait::Brief => self.shelf.patience().min(BRIEF),
            Wait::Patient => self.shelf.patience(),
        };
        // Nobody waits behind what has taken so long already.
        if self.runs_for(limit) {
            return Err(self.late());
        }
        let (reply, answer) = mpsc::sync_channel(1);
        let running = self.running.clone();
        let job: Job = Box::new(move |shelf| {
            *lock(&running) = Some(Instant::now());
            let done = work(shelf);
            *lock(&running) = None;
            // Whoever asked may have given up.
            let _gone = reply.send(done);
        });
        if self.jobs.try_send(job).is_err() {
            return Err(busy());
        }
        off_the_worker(|| answer.recv_timeout(limit)).unwrap_or_else(|_elapsed| Err(self.late()))
    }

    /// Whether the job that runs now has done so for this long.
    fn runs_for(&self, limit: Duration) -> bool {
        lock(&self.running).is_some_and(|since| since.elapsed() >= limit)
    }

    /// Why somebody waited in vain. Having waited behind others, or briefly, says nothing of the shelf.
    fn late(&self) -> io::Error {
        if !self.runs_for(self.shelf.patience()) {
            return busy();
        }
        self.away.store(true, Ordering::Release);
        io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
    }
}

fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "reads that came before are not done there")
}

/// Waits; the tasks of an asynchronous worker go on elsewhere meanwhile.
fn off_the_worker<T>(wait: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) { block_in_place(wait) } else { wait() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether bytes are gone from a shelf that is there. The mark is asked first: what is not there may have come
/// back since.
fn is_lost(shelf: &dyn Shelf, mark: Option<ShelfMark>, segment: u32, error: &io::Error) -> bool {
    let is_there = || mark.is_some() && shelf.mark().is_ok_and(|found| found == mark);
    let is_missing = || shelf.length(segment).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    match error.kind() {
        io::ErrorKind::UnexpectedEof => true,
        io::ErrorKind::NotFound => is_there() && is_missing(),
        _ => false,
    }
}

/// Whether records that this store moved lie on a shelf: all that are looked for.
fn holds(shelf: &dyn Shelf, samples: &[Sample]) -> io::Result<bool> {
    for (segment, offset, header) in samples {
        let mut found = [0; HEADER_BYTES];
        match shelf.read(*segment, *offset, &mut found) {
            Ok(()) if found == *header => {}
            Ok(()) => return Ok(false),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(!samples.is_empty())
}

/// What the file says of the mark that this store's shelf bears.
#[derive(Debug, PartialEq, Eq)]
enum Own {
    /// It is this one, and whether a shelf without one may be given it.
    Mark(ShelfMark, bool),
    /// Nothing, or what does not check.
    Lost,
    /// The operator gave the old shelf up: the word `new` stands there.
    New,
}

fn own_mark(folder: &Path) -> io::Result<Own> {
    let bytes = match std::fs::read(folder.join(MARK_FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Own::Lost),
        Err(error) => return Err(error),
    };
    if bytes.trim_ascii() == NEW {
        return Ok(Own::New);
    }
    Ok(match bytes.first_chunk::<32>() {
        // The first ones were written without a check.
        Some(mark) if bytes.len() == mark.len() => Own::Mark(*mark, false),
        Some(mark) if bytes == mark_bytes(mark, false) => Own::Mark(*mark, false),
        Some(mark) if bytes == mark_bytes(mark, true) => Own::Mark(*mark, true),
        _ => Own::Lost,
    })
}

/// `mark || check[8]`, and `new` behind it until the first shelf bears it.
fn mark_bytes(mark: &ShelfMark, takes: bool) -> Vec<u8> {
    [mark.as_slice(), &check::<8>(mark), if takes { NEW } else { b"" }].concat()
}

fn new_mark(folder: &Path) -> io::Result<ShelfMark> {
    let mut mark = [0; 32];
    getrandom::fill(&mut mark).map_err(io::Error::other)?;
    write_whole(&folder.join(MARK_FILE), &mark_bytes(&mark, true))?;
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
    length: OnceCell<u64>,
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
                let left = self.length()?.saturating_sub(offset);
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
        if let Some(length) = self.length.get() {
            return Ok(*length);
        }
        let length = self.shelf.length(self.segment)?;
        Ok(*self.length.get_or_init(|| length))
    }
}
