//! Where finished segments lie once they are old: whole, by number, at a second location.
//!
//! A shelf knows nothing of records. What it is told to keep is durable when [`Shelf::put`] returns; readers
//! check what they read. One method of an adapter may block for as long as its medium does.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// 32 random bytes that say whose shelf it is.
pub type ShelfMark = [u8; 32];

/// A second location. All of it belongs to one store.
pub trait Shelf: Send + Sync + 'static {
    /// What and where it is, for people.
    fn name(&self) -> String;

    /// How long one who reads waits before it counts as away.
    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// The mark that stands there; `None` if none does, as where nothing is mounted.
    fn mark(&self) -> io::Result<Option<ShelfMark>>;

    /// Leaves a mark durably. Where one stands that is refused ([`io::ErrorKind::AlreadyExists`]), and where
    /// blocks lie that no mark speaks for.
    fn set_mark(&self, mark: &ShelfMark) -> io::Result<()>;

    /// Puts a whole segment there durably, in place of one with its number. Cut off half-way, or with `body`
    /// failing, it changes nothing. Returns the bytes put.
    fn put(&self, segment: u32, body: &mut dyn Read) -> io::Result<u64>;

    /// The bytes of a segment; [`io::ErrorKind::NotFound`] if it is not there.
    fn length(&self, segment: u32) -> io::Result<u64>;

    /// Fills the buffer from `offset` on; [`io::ErrorKind::UnexpectedEof`] if the segment ends before,
    /// [`io::ErrorKind::NotFound`] if it is not there.
    fn read(&self, segment: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Puts other bytes, each run at its offset, durably into a segment that is there; past its end it grows.
    fn amend(&self, segment: u32, patches: &[(u64, Vec<u8>)]) -> io::Result<()>;
}

const MARK_FILE: &str = "keyward-cold";
/// A segment on its way: under this name it is none.
const BESIDE: &str = "segment.new";

/// A folder as a shelf: another disk, a network file system, a mounted bucket.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder may be missing, as a disk that is not mounted; the one above it must not, for it to be made.
    pub fn new(path: &Path) -> Self {
        Self(path.into())
    }

    fn path(&self, segment: u32) -> PathBuf {
        self.0.join(super::file_name(segment))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    /// Writes beside, makes durable and renames. What fails leaves nothing: a full disk is not kept full.
    fn place(&self, path: &Path, body: &mut dyn Read) -> io::Result<u64> {
        let beside = self.0.join(BESIDE);
        let placed = File::create(&beside).and_then(|mut file| {
            let bytes = io::copy(body, &mut file)?;
            file.sync_all()?;
            fs::rename(&beside, path)?;
            Ok(bytes)
        });
        if placed.is_err() {
            let _not_made = fs::remove_file(&beside);
        }
        let bytes = placed?;
        self.sync()?;
        Ok(bytes)
    }

    /// A folder in which blocks live must never be taken for a second location: segments have the same names.
    fn refuse_store(&self) -> io::Result<()> {
        if self.0.join(super::LOCK_FILE).exists() {
            return Err(io::Error::other("a block store lies there; name a folder of its own"));
        }
        Ok(())
    }

    fn refuse_segments(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            if Path::new(&entry?.file_name()).extension().is_some_and(|suffix| suffix == "segment") {
                return Err(io::Error::other("segments without a mark lie there; name an empty folder"));
            }
        }
        Ok(())
    }
}

impl Shelf for Folder {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn mark(&self) -> io::Result<Option<ShelfMark>> {
        self.refuse_store()?;
        match fs::read(self.0.join(MARK_FILE)) {
            // One that was cut off is none.
            Ok(bytes) if bytes.len() < size_of::<ShelfMark>() => Ok(None),
            Ok(bytes) => bytes.as_slice().try_into().map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_mark(&self, mark: &ShelfMark) -> io::Result<()> {
        // One level alone: where a disk should be mounted nothing is made in its stead.
        if !self.0.is_dir() {
            fs::create_dir(&self.0)?;
        }
        self.refuse_store()?;
        self.refuse_segments()?;
        let path = self.0.join(MARK_FILE);
        if fs::metadata(&path).is_ok_and(|file| file.len() < mark.len() as u64) {
            fs::remove_file(&path)?;
        }
        // Whoever is first has it.
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(mark)?;
        file.sync_all()?;
        self.sync()
    }

    fn put(&self, segment: u32, body: &mut dyn Read) -> io::Result<u64> {
        self.place(&self.path(segment), body)
    }

    fn length(&self, segment: u32) -> io::Result<u64> {
        Ok(fs::metadata(self.path(segment))?.len())
    }

    fn read(&self, segment: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        File::open(self.path(segment))?.read_exact_at(buffer, offset)
    }

    fn amend(&self, segment: u32, patches: &[(u64, Vec<u8>)]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(segment))?;
        patches.iter().try_for_each(|(offset, bytes)| file.write_all_at(bytes, *offset))?;
        file.sync_data()
    }
}
