//! The door to block storage: opaque blocks and certificates by height and digest.
use crate::{Block, Certificate, CertificateError};
use bytes::Bytes;
use std::{io, path::PathBuf};
use thiserror::Error;

/// What kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A block.
    Block,
    /// A finalization certificate.
    Certificate,
}

/// By what a record is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// Height of the block.
    Height(u64),
    /// Digest of the block.
    Digest([u8; 32]),
}

/// Why the store could not do its work.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Bytes were read that do not check. They are never returned as good.
    #[error("{kind:?} at height `{height}` is damaged in `{}` at byte `{offset}`", .path.display())]
    Damaged {
        /// What was looked for.
        kind: Kind,
        /// At which height.
        height: u64,
        /// In which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// The file system failed.
    #[error("store i/o on `{}` failed", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The second location, where old segments lie, cannot be reached or written: they are neither lost nor to be read.
    #[error("`{place}`, where old blocks lie, cannot be reached or written")]
    Away {
        /// The location.
        place: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another process holds the store.
    #[error("store `{}` is in use by another process", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A record is longer than the store takes.
    #[error("record of `{bytes}` bytes is longer than `{max}`")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A stored certificate checks but does not read.
    #[error("stored certificate at height `{height}` does not read")]
    Certificate {
        /// At which height.
        height: u64,
        /// The cause.
        #[source]
        source: CertificateError,
    },
}

/// A durable store of finalized blocks and their certificates.
///
/// Methods may block for one disk access. Writes become readable at once and durable with `sync`. A
/// second write at a height that already has a good record is ignored.
pub trait Store: Send + Sync + 'static {
    /// Buffers a block.
    fn put_block(&self, block: &Block) -> Result<(), StoreError>;

    /// Buffers the certificate over the block at `height`. Returns whether it was new.
    fn put_certificate(&self, height: u64, certificate: &Certificate) -> Result<bool, StoreError>;

    /// Makes every write accepted before this call durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// A block's bytes. [`StoreError::Damaged`] is returned once per record, which counts as missing then.
    fn block(&self, id: Id) -> Result<Option<Bytes>, StoreError>;

    /// A certificate.
    fn certificate(&self, id: Id) -> Result<Option<Certificate>, StoreError>;

    /// The run of heights without gaps `(first, last)` that holds `height`, or the next one above it.
    fn range_at_or_after(&self, kind: Kind, height: u64) -> Option<(u64, u64)>;

    /// The highest height stored.
    fn last(&self, kind: Kind) -> Option<u64>;

    /// The mark of the vote journal that belongs to this store (see [`Store::set_journal_mark`]).
    fn journal_mark(&self) -> Result<Option<[u8; 32]>, StoreError>;

    /// Durably remembers the vote journal's mark, so that a lost journal is noticed.
    fn set_journal_mark(&self, mark: [u8; 32]) -> Result<(), StoreError>;
}
