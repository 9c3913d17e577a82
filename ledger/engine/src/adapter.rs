//! A [`Store`] behind marshal's two archive traits.
use crate::{
    Application, Block, Event, Id, Kind, Store, StoreError,
    block::{BlockCodec, Sealed},
    convert::{self, Finalized},
    strict::StrictScheme,
};
use bytes::Bytes;
use commonware_consensus::{
    marshal::store::{Blocks, Certificates},
    types::Height,
};
use commonware_cryptography::{Digestible as _, sha256::Digest};
use commonware_runtime::{Error as RuntimeError, Handle, Spawner};
use commonware_storage::archive::Identifier;
use std::{io, sync::Arc};
use thiserror::Error;
use tracing::error;

/// Why marshal's archive could not do its work. It ends the process.
#[derive(Debug, Error)]
pub(crate) enum ArchiveError {
    #[error("store failed")]
    Store(#[from] StoreError),
    #[error("store sync task ended early")]
    Task(#[source] RuntimeError),
    #[error("finalization at height `{0}` does not convert to a certificate")]
    Certificate(u64),
    #[error("stored certificate of epoch `{epoch}` view `{view}` does not convert")]
    Stored { epoch: u64, view: u64 },
    #[error("the format refuses a stored block")]
    Format,
}

/// Finalized blocks or certificates of one node; both views share the store.
pub(crate) struct Archive<E> {
    pub(crate) context: E,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) application: Arc<dyn Application>,
    pub(crate) codec: BlockCodec,
}

impl<E: Spawner> Archive<E> {
    /// Turns damage into an alarm and a missing record, so that a fresh copy is fetched.
    fn alarm<T>(&self, result: Result<Option<T>, StoreError>) -> Result<Option<T>, ArchiveError> {
        match result {
            Err(damage @ (StoreError::Damaged { .. } | StoreError::Certificate { .. })) => {
                error!(%damage, "stored bytes do not check");
                self.application.event(Event::StoreDamaged { reason: damage.to_string() });
                Ok(None)
            }
            // Consensus goes on without old blocks; whoever runs the node is told by the one who looks for them.
            Err(StoreError::Away { .. }) => Ok(None),
            other => Ok(other?),
        }
    }

    fn spawn_sync(&self) -> Handle<Result<(), StoreError>> {
        let store = self.store.clone();
        self.context.child("sync").shared(true).spawn(move |_| async move { store.sync() })
    }

    async fn sync_now(&self) -> Result<(), ArchiveError> {
        self.spawn_sync().await.map_err(ArchiveError::Task)?.map_err(ArchiveError::Store)
    }

    fn sync_later(&self) -> Handle<()> {
        let running = self.spawn_sync();
        Handle::from_future(async move {
            running.await?.map_err(|error| RuntimeError::from(io::Error::other(error)))
        })
    }
}

fn id(id: Identifier<'_, Digest>) -> Id {
    match id {
        Identifier::Index(height) => Id::Height(height),
        Identifier::Key(digest) => Id::Digest(digest.0),
    }
}

impl<E: Spawner> Blocks for Archive<E> {
    type Block = Arc<Sealed>;
    type Error = ArchiveError;

    async fn put(self, digest: Digest, block: &Arc<Sealed>) -> Result<Self, ArchiveError> {
        debug_assert_eq!(digest, block.digest());
        self.store.put_block(&block.0)?;
        Ok(self)
    }

    async fn sync(self) -> Result<Self, ArchiveError> {
        self.sync_now().await?;
        Ok(self)
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), ArchiveError> {
        let handle = self.sync_later();
        Ok((self, handle))
    }

    async fn get(&self, key: Identifier<'_, Digest>) -> Result<Option<Arc<Sealed>>, ArchiveError> {
        let bytes: Option<Bytes> = self.alarm(self.store.block(id(key)))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let block = Block::parse(&*self.codec.0, bytes).ok_or(ArchiveError::Format)?;
        Ok(Some(Arc::new(Sealed(block))))
    }

    async fn prune(self, _: Height) -> Result<Self, ArchiveError> {
        Ok(self)
    }

    fn missing_items(&self, start: Height, max: usize) -> Vec<Height> {
        missing(&*self.store, start.get(), max)
    }

    fn next_gap(&self, value: Height) -> (Option<Height>, Option<Height>) {
        let (end, next) = next_gap(&*self.store, value.get());
        (end.map(Height::new), next.map(Height::new))
    }

    fn last_index(&self) -> Option<Height> {
        self.store.last(Kind::Block).map(Height::new)
    }
}

fn next_gap(store: &dyn Store, height: u64) -> (Option<u64>, Option<u64>) {
    match store.range_at_or_after(Kind::Block, height) {
        None => (None, None),
        Some((first, _)) if first > height => (None, Some(first)),
        Some((_, last)) => {
            let after = last.checked_add(1).and_then(|next| store.range_at_or_after(Kind::Block, next));
            (Some(last), after.map(|(first, _)| first))
        }
    }
}

/// Heights without a block below one that has a block.
fn missing(store: &dyn Store, start: u64, max: usize) -> Vec<Height> {
    let mut heights = Vec::new();
    let mut at = start;
    while let Some((first, last)) = store.range_at_or_after(Kind::Block, at) {
        let room = max.saturating_sub(heights.len());
        heights.extend((at..first).take(room).map(Height::new));
        if heights.len() >= max {
            break;
        }
        let Some(next) = last.checked_add(1) else { break };
        at = next;
    }
    heights
}

impl<E: Spawner> Certificates for Archive<E> {
    type BlockDigest = Digest;
    type Commitment = Digest;
    type Scheme = StrictScheme;
    type Error = ArchiveError;

    async fn put(self, height: Height, _: Digest, finalization: &Finalized) -> Result<Self, ArchiveError> {
        let height = height.get();
        let certificate = convert::certificate(finalization).ok_or(ArchiveError::Certificate(height))?;
        if self.store.put_certificate(height, &certificate)? {
            self.application.certificate(height, certificate);
        }
        Ok(self)
    }

    async fn sync(self) -> Result<Self, ArchiveError> {
        self.sync_now().await?;
        Ok(self)
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), ArchiveError> {
        let handle = self.sync_later();
        Ok((self, handle))
    }

    async fn get(&self, key: Identifier<'_, Digest>) -> Result<Option<Finalized>, ArchiveError> {
        let certificate = self.alarm(self.store.certificate(id(key)))?;
        let Some(certificate) = certificate else { return Ok(None) };
        let finalization = convert::finalization(&certificate);
        finalization
            .map(Some)
            .ok_or(ArchiveError::Stored { epoch: certificate.epoch, view: certificate.view })
    }

    async fn has(&self, height: Height) -> Result<bool, ArchiveError> {
        let range = self.store.range_at_or_after(Kind::Certificate, height.get());
        Ok(range.is_some_and(|(first, _)| first <= height.get()))
    }

    async fn prune(self, _: Height) -> Result<Self, ArchiveError> {
        Ok(self)
    }

    fn last_index(&self) -> Option<Height> {
        self.store.last(Kind::Certificate).map(Height::new)
    }

    fn ranges_from(&self, from: Height) -> impl Iterator<Item = (Height, Height)> {
        let mut at = Some(from.get());
        std::iter::from_fn(move || {
            let (first, last) = self.store.range_at_or_after(Kind::Certificate, at?)?;
            at = last.checked_add(1);
            Some((Height::new(first), Height::new(last)))
        })
    }
}
