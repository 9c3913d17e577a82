//! Blocks that are missing or damaged here, brought back from the other validators.
//!
//! A block is asked for by the digest that the block above it names, so whoever answers cannot lie about it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{entry::ComplaintKind, hash::ZERO};
use keyward_ledger_engine::{Block, BoxFuture, EngineHandle, Kind, Store as _, StoreError};
use tracing::{error, info, warn};

use crate::{
    alarms::{Alarm, Code},
    application::BlockFormat,
    cold,
    shared::Shared,
};

/// How long one block is asked for.
const FETCH_TIME_OUT: Duration = Duration::from_secs(5);
/// How long to wait before asking again for what nobody had.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Blocks above a missing one among which to look for one that is there.
const LOOK_ABOVE: u64 = 256;

/// The other nodes, as far as repair and comparison need them.
pub(crate) trait Others: Send + Sync {
    /// A block by its digest, once somebody has it.
    fn fetch(&self, digest: [u8; 32]) -> BoxFuture<'_, Option<Block>>;

    /// Sends a message to each of them, best effort.
    fn tell(&self, message: Bytes);

    /// Sends a message to one of them, best effort.
    fn tell_one(&self, peer: &[u8; 32], message: Bytes);
}

impl Others for EngineHandle {
    fn fetch(&self, digest: [u8; 32]) -> BoxFuture<'_, Option<Block>> {
        Box::pin(self.fetch(digest))
    }

    fn tell(&self, message: Bytes) {
        self.gossip(message);
    }

    fn tell_one(&self, peer: &[u8; 32], message: Bytes) {
        Self::tell(self, peer, message);
    }
}

/// The digests of the blocks from `height` up to the one below `top`, oldest last: a long way costs 32 bytes a
/// block, for the blocks themselves lie in the store meanwhile. Waits until the others have what is missing.
pub(crate) async fn digests_below(shared: &Shared, height: u64, top: &Block) -> Vec<[u8; 32]> {
    let (mut digests, mut child) = (Vec::new(), top.clone());
    while let Some(below) = child.height.checked_sub(1).filter(|below| *below >= height) {
        child = block_with(shared, below, child.parent).await;
        digests.push(child.digest);
    }
    digests
}

/// The block with a digest at a height. Waits until somebody has it.
pub(crate) async fn block_with(shared: &Shared, height: u64, digest: [u8; 32]) -> Block {
    loop {
        if let Some(block) = held_or_fetched(shared, height, digest).await {
            return block;
        }
        error!(height, "alarm: a block is missing here and nobody sent it; asking again");
        shared.timer.sleep(ASK_AGAIN).await;
    }
}

/// The bytes of a finalized block, brought back first if they are missing or damaged here.
pub(crate) async fn block_at(shared: &Shared, height: u64) -> Option<Bytes> {
    if let Some(bytes) = stored(shared, height) {
        return Some(bytes);
    }
    let above = (height + 1..=height + LOOK_ABOVE).find_map(|height| stored(shared, height))?;
    let mut block = Block::parse(&BlockFormat, above)?;
    while block.height > height {
        block = parent_of(shared, &block).await?;
    }
    Some(block.bytes)
}

/// What the store holds at a height; damage is an alarm and counts as missing, as does what is out of reach.
pub(crate) fn stored(shared: &Shared, height: u64) -> Option<Bytes> {
    shared.blocks.block(height).unwrap_or_else(|error| {
        if matches!(error, StoreError::Away { .. }) {
            shared.alarms.raise(cold::alarm(&error));
            return None;
        }
        shared.alarms.raise(Alarm::new(Code::BlockLost, error.to_string()).at(height));
        shared.reports.complain(ComplaintKind::Scrub, height, ZERO);
        None
    })
}

/// Takes a record that checks but is not what the chain says out of the store.
pub(crate) fn void(shared: &Shared, kind: Kind, height: u64) {
    if let Err(error) = shared.store.void(kind, height) {
        shared.alarms.raise(Alarm::new(Code::DiskFailed, error.to_string()).at(height));
    }
}

async fn parent_of(shared: &Shared, child: &Block) -> Option<Block> {
    held_or_fetched(shared, child.height.checked_sub(1)?, child.parent).await
}

async fn held_or_fetched(shared: &Shared, height: u64, digest: [u8; 32]) -> Option<Block> {
    let held = stored(shared, height).and_then(|bytes| Block::parse(&BlockFormat, bytes));
    match held.filter(|block| block.digest == digest) {
        Some(block) => Some(block),
        None => fetch(shared, height, digest).await,
    }
}

/// Asks the others for the block with a digest at a height, and keeps it.
pub(crate) async fn fetch(shared: &Shared, height: u64, digest: [u8; 32]) -> Option<Block> {
    let others = others(shared).await?;
    let block = shared.timer.within(FETCH_TIME_OUT, others.fetch(digest)).await??;
    if block.digest != digest || block.height != height {
        return None;
    }
    match shared.store.put_block(&block).and_then(|()| shared.store.sync()) {
        Ok(()) => {
            info!(height = block.height, "a block was brought back from the other validators");
            shared.alarms.repaired(|alarm| alarm.code == Code::BlockLost && alarm.height == Some(height));
        }
        Err(error) => {
            warn!(%error, height = block.height, "alarm: a block that was brought back cannot be kept")
        }
    }
    Some(block)
}

/// The others, once the engine runs.
pub(crate) async fn others(shared: &Shared) -> Option<Arc<dyn Others>> {
    let mut others = shared.others.subscribe();
    let running = others.wait_for(|others| others.strong_count() > 0);
    shared.timer.within(FETCH_TIME_OUT, running).await?.ok()?.upgrade()
}
