//! Reading a store from other threads while it is written.
use super::{Shared, cold::Wait};
use crate::{Certificate, Id, Kind, StoreError};
use bytes::Bytes;
use std::{fmt, sync::Arc};

/// A cheap handle for reading. What it returns is final but may not be durable yet on this node.
#[derive(Clone)]
pub struct Reader(pub(super) Arc<Shared>);

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// The block at a height.
    pub fn block(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.read(Kind::Block, Id::Height(height), Wait::Patient)?.map(|(_, bytes)| bytes))
    }

    /// The block with a digest.
    pub fn block_by_digest(&self, digest: [u8; 32]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.read(Kind::Block, Id::Digest(digest), Wait::Patient)?.map(|(_, bytes)| bytes))
    }

    /// The certificate over exactly the block at a height.
    pub fn certificate(&self, height: u64) -> Result<Option<Certificate>, StoreError> {
        Ok(self.0.certificate(Id::Height(height), Wait::Patient)?.map(|(_, certificate)| certificate))
    }

    /// The lowest certificate that covers a height, with the height it is over.
    pub fn certificate_at_or_after(&self, height: u64) -> Result<Option<(u64, Certificate)>, StoreError> {
        let mut from = height;
        while let Some(at) = self.0.at_or_after(Kind::Certificate, from) {
            if let Some(found) = self.0.certificate(Id::Height(at), Wait::Patient)? {
                return Ok(Some(found));
            }
            let Some(next) = at.checked_add(1) else { break };
            from = next;
        }
        Ok(None)
    }

    /// The highest height stored.
    pub fn last(&self, kind: Kind) -> Option<u64> {
        self.0.last(kind)
    }

    /// The run of heights without gaps `(first, last)` that holds `height`, or the next one above it.
    pub fn range_at_or_after(&self, kind: Kind, height: u64) -> Option<(u64, u64)> {
        self.0.run_at_or_after(kind, height)
    }
}
