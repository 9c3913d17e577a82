//! One sorted file of references, for a run of heights. Written once, never changed.
//!
//! `run-<first height>-<last height>` holds a head of 56 bytes, `"KWLOOK1" || subjects version u8 || first u64 ||
//! last u64 || count u64 || level u64 || check[16]`, then pages of 170 references of 24 bytes, each page with its
//! `check[16]`; the last page is as long as what is left. A check is the beginning of SHA-256 over a tag, the chain
//! id, the head before its check, the page's number and the page: nothing is read from a page that does not check,
//! and no page passes for another's.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use keyward_ledger_core::{entry::SUBJECTS_VERSION, hash::Hash};
use sha2::{Digest, Sha256};

use super::reference::Reference;

/// How the names of runs begin.
pub(super) const PREFIX: &str = "run-";
const MAGIC: &[u8; 7] = b"KWLOOK1";
const FIELDS_BYTES: usize = 8 + 4 * 8;
const CHECK_BYTES: usize = 16;
const HEAD_BYTES: usize = FIELDS_BYTES + CHECK_BYTES;
const REFERENCE_BYTES: usize = 24;
/// References of a page.
const PAGE: u64 = 170;
const PAGE_BYTES: u64 = PAGE * REFERENCE_BYTES as u64 + CHECK_BYTES as u64;
/// The number under which the head is checked.
const HEAD: u64 = u64::MAX;

/// What a run says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u64,
    /// How often its references were merged.
    pub(super) level: u64,
}

impl Head {
    fn file_name(&self) -> String {
        format!("{PREFIX}{:020}-{:020}", self.first, self.last)
    }

    fn fields(&self) -> [u8; FIELDS_BYTES] {
        let mut fields = [0; FIELDS_BYTES];
        let (magic, numbers) = fields.split_at_mut(8);
        magic.copy_from_slice(&[MAGIC.as_slice(), &[SUBJECTS_VERSION]].concat());
        for (to, number) in numbers.chunks_exact_mut(8).zip([self.first, self.last, self.count, self.level]) {
            to.copy_from_slice(&number.to_be_bytes());
        }
        fields
    }

    fn read(fields: &[u8]) -> Self {
        let (fields, _) = fields.as_chunks::<8>();
        let [first, last, count, level] =
            [1, 2, 3, 4].map(|at| fields.get(at).map_or(0, |field| u64::from_be_bytes(*field)));
        Self { first, last, count, level }
    }

    const fn pages(&self) -> u64 {
        self.count.div_ceil(PAGE)
    }

    /// How long its file is.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        let pages = self.pages().checked_mul(CHECK_BYTES as u64)?;
        self.count.checked_mul(REFERENCE_BYTES as u64)?.checked_add(pages)?.checked_add(HEAD_BYTES as u64)
    }

    /// The state of the hash over what stands before each page.
    fn seal(&self, chain_id: &Hash) -> Sha256 {
        Sha256::new().chain_update(b"keyward/look-up/v1").chain_update(chain_id).chain_update(self.fields())
    }
}

fn check(seal: &Sha256, number: u64, page: &[u8]) -> [u8; CHECK_BYTES] {
    let hash: [u8; 32] = seal.clone().chain_update(number.to_be_bytes()).chain_update(page).finalize().into();
    hash.first_chunk().copied().unwrap_or_default()
}

pub(super) struct Run {
    pub(super) path: PathBuf,
    pub(super) head: Head,
    file: File,
    seal: Sha256,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({})", self.name())
    }
}

impl Run {
    /// Writes a run durably, beside and then in its place. One that cannot be written leaves nothing behind.
    pub(super) fn write(
        dir: &Path,
        chain_id: &Hash,
        head: Head,
        sorted: impl Iterator<Item = io::Result<Reference>>,
    ) -> io::Result<Self> {
        let (path, beside) = (dir.join(head.file_name()), dir.join("new"));
        let written =
            Self::write_to(&beside, chain_id, head, sorted).and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            // It may not have come to be.
            let _gone = fs::remove_file(&beside).is_ok();
            return Err(error);
        }
        File::open(dir)?.sync_all()?;
        Self::open(path, chain_id)?.ok_or_else(|| io::Error::other("a run does not check as it was written"))
    }

    fn write_to(
        path: &Path,
        chain_id: &Hash,
        head: Head,
        mut sorted: impl Iterator<Item = io::Result<Reference>>,
    ) -> io::Result<()> {
        let seal = head.seal(chain_id);
        let mut out = BufWriter::with_capacity(1 << 16, File::create(path)?);
        out.write_all(&head.fields())?;
        out.write_all(&check(&seal, HEAD, &[]))?;
        for number in 0..head.pages() {
            let mut page = Vec::with_capacity(PAGE_BYTES as usize);
            for reference in sorted.by_ref().take(PAGE as usize) {
                page.extend_from_slice(&reference?);
            }
            out.write_all(&page)?;
            out.write_all(&check(&seal, number, &page))?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// Opens a run; `None` if its head does not check or its length is another.
    pub(super) fn open(path: PathBuf, chain_id: &Hash) -> io::Result<Option<Self>> {
        let file = File::open(&path)?;
        let mut bytes = [0; HEAD_BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let head = Head::read(&bytes);
        let seal = head.seal(chain_id);
        let is_good = bytes.starts_with(&head.fields())
            && bytes.ends_with(&check(&seal, HEAD, &[]))
            && head.first <= head.last
            && head.file_bytes() == Some(file.metadata()?.len());
        Ok(is_good.then_some(Self { path, head, file, seal }))
    }

    /// Reads the head again, which must stand there as it was when the run was opened.
    pub(super) fn check(&self, chain_id: &Hash) -> io::Result<()> {
        let now = Self::open(self.path.clone(), chain_id)?;
        let is_whole = now.is_some_and(|now| now.head == self.head);
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its head does not check");
        is_whole.then_some(()).ok_or_else(damaged)
    }

    pub(super) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.head.file_bytes().unwrap_or(u64::MAX)
    }

    /// The references of a page, if it checks.
    fn page(&self, number: u64) -> io::Result<Vec<Reference>> {
        let left = self.head.count.saturating_sub(number.saturating_mul(PAGE));
        let length = left.min(PAGE) as usize * REFERENCE_BYTES;
        let mut bytes = vec![0; length + CHECK_BYTES];
        self.file.read_exact_at(&mut bytes, HEAD_BYTES as u64 + number.saturating_mul(PAGE_BYTES))?;
        let (page, found) = bytes.split_at(length);
        if check(&self.seal, number, page) != *found {
            let text = format!("page {number} does not check");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(page.as_chunks().0.to_vec())
    }

    /// The first reference that is not below another.
    pub(super) fn at_or_after(&self, least: &Reference) -> io::Result<Option<Reference>> {
        let (mut low, mut high) = (0, self.head.pages());
        // INVARIANT: every page below `low` ends below `least`; a page at or above `high` does not.
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let page = self.page(middle)?;
            match page.get(page.partition_point(|reference| reference < least)) {
                Some(reference) => (high, found) = (middle, Some(*reference)),
                None => low = middle + 1,
            }
        }
        Ok(found)
    }
}

/// All references of a run, in order.
pub(super) struct References {
    run: Arc<Run>,
    next_page: u64,
    page: std::vec::IntoIter<Reference>,
}

impl References {
    pub(super) fn of(run: Arc<Run>) -> Self {
        Self { run, next_page: 0, page: Vec::new().into_iter() }
    }
}

impl Iterator for References {
    type Item = io::Result<Reference>;

    fn next(&mut self) -> Option<io::Result<Reference>> {
        if let Some(reference) = self.page.next() {
            return Some(Ok(reference));
        }
        if self.next_page >= self.run.head.pages() {
            return None;
        }
        let page = self.run.page(self.next_page);
        self.next_page += 1;
        match page {
            Ok(page) => {
                self.page = page.into_iter();
                self.next()
            }
            Err(error) => {
                self.next_page = u64::MAX;
                Some(Err(error))
            }
        }
    }
}
