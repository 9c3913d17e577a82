//! A node's data folder from blocks that were checked: what an import writes.
//!
//! Blocks and certificates are the truth; the node makes everything else from them when it starts. The folder has no
//! vote journal: a validator whose votes stand in the certificates is refused as such, by the engine.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use keyward_ledger_core::{block::Block, certificate::Certificate};
use keyward_ledger_engine::{self as engine, Segments, SegmentsConfig, Store as _, StoreError};
use thiserror::Error;

/// Blocks between two syncs.
const SYNC_BLOCKS: u64 = 1024;

/// Why a folder cannot be made.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// Something lies there.
    #[error("`{}` is not empty", .path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// An earlier one was broken off, or is under way: what it wrote so far lies beside the place.
    #[error("`{}` holds what an unfinished import wrote", .path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A folder failed.
    #[error("`{}` failed", .path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The block store failed.
    #[error("the block store failed")]
    Store(#[from] StoreError),
}

/// A data folder in the making. It stands beside its place until [`Restore::finish`], and goes if that never comes.
#[derive(Debug)]
pub struct Restore {
    beside: PathBuf,
    place: PathBuf,
    store: Option<Segments>,
    unsynced: u64,
}

impl Restore {
    /// Begins a folder whose place must be empty.
    pub fn begin(place: &Path) -> Result<Self, RestoreError> {
        let failed = |source| RestoreError::Io { path: place.to_owned(), source };
        let used = fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some());
        if used || place.is_file() {
            return Err(RestoreError::NotEmpty { path: place.to_owned() });
        }
        let mut name =
            place.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?.to_owned();
        name.push(".importing");
        let beside = place.with_file_name(name);
        if beside.exists() {
            return Err(RestoreError::Unfinished { path: beside });
        }
        let (store, _new) = Segments::open(&beside.join("blocks"), SegmentsConfig::default())?;
        Ok(Self { beside, place: place.to_owned(), store: Some(store), unsynced: 0 })
    }

    /// Writes a checked block, and its certificate if it has one of its own.
    pub fn put(
        &mut self,
        block: &Block,
        bytes: &[u8],
        certificate: Option<&Certificate>,
        set_size: usize,
    ) -> Result<(), RestoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let height = block.header().height;
        store.put_block(&engine::Block {
            height,
            parent: block.header().parent,
            digest: *block.digest(),
            bytes: bytes.to_vec().into(),
        })?;
        if let Some(certificate) = certificate {
            store.put_certificate(height, &converted(certificate, set_size))?;
        }
        self.unsynced += 1;
        if self.unsynced >= SYNC_BLOCKS {
            self.unsynced = 0;
            store.sync()?;
        }
        Ok(())
    }

    /// Makes everything durable and puts the folder into its place.
    pub fn finish(mut self) -> Result<(), RestoreError> {
        let failed = |source| RestoreError::Io { path: self.place.clone(), source };
        if let Some(store) = self.store.take() {
            store.sync()?;
        }
        if self.place.exists() {
            fs::remove_dir(&self.place).map_err(failed)?;
        }
        fs::rename(&self.beside, &self.place).map_err(failed)?;
        let above = self.place.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or_else(|| Path::new("."));
        fs::File::open(above).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        drop(self.store.take());
        // After a finished import it is gone.
        if self.beside.exists()
            && let Err(error) = fs::remove_dir_all(&self.beside)
        {
            tracing::warn!(%error, path = %self.beside.display(), "an unfinished import cannot be removed");
        }
    }
}

fn converted(certificate: &Certificate, set_size: usize) -> engine::Certificate {
    engine::Certificate {
        epoch: certificate.epoch,
        view: certificate.view,
        parent_view: certificate.parent_view,
        digest: certificate.block_digest,
        set_size: u32::try_from(set_size).unwrap_or(u32::MAX),
        signers: certificate.signers.iter().map(|signer| (signer.index, signer.signature)).collect(),
    }
}
