//! Blocks that are missing or damaged here, brought back from the other validators.
//!
//! A block is asked for by the digest that the block above it names, so whoever answers cannot lie about it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{entry::ComplaintKind, hash::ZERO};
use keyward_ledger_engine::{Block, EngineHandle, Store as _};
use tracing::{error, info, warn};

use crate::{application::BlockFormat, shared::Shared};

/// How long one block is asked for.
const FETCH_TIME_OUT: Duration = Duration::from_secs(5);
/// How long to wait before asking again for what nobody had.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Blocks above a missing one among which to look for one that is there.
const LOOK_ABOVE: u64 = 256;

/// The blocks from `height` up to and with `top`, oldest first. Waits until the others have what is missing.
pub(crate) async fn blocks_from(shared: &Shared, height: u64, top: Block) -> Vec<Block> {
    let mut blocks = vec![top];
    while let Some(child) = blocks.last().filter(|block| block.height > height) {
        match parent_of(shared, child).await {
            Some(parent) => blocks.push(parent),
            None => {
                error!(
                    height = child.height - 1,
                    "alarm: a block is missing here and nobody sent it; asking again"
                );
                shared.timer.sleep(ASK_AGAIN).await;
            }
        }
    }
    blocks.reverse();
    blocks
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

/// What the store holds at a height; damage is reported and counts as missing.
fn stored(shared: &Shared, height: u64) -> Option<Bytes> {
    shared.blocks.block(height).unwrap_or_else(|error| {
        warn!(%error, height, "alarm: a stored block does not check");
        shared.reports.complain(ComplaintKind::Scrub, height, ZERO);
        None
    })
}

async fn parent_of(shared: &Shared, child: &Block) -> Option<Block> {
    let held = shared.blocks.block_by_digest(child.parent).unwrap_or_else(|error| {
        warn!(%error, height = child.height - 1, "alarm: a stored block does not check");
        None
    });
    if let Some(block) = held.and_then(|bytes| Block::parse(&BlockFormat, bytes)) {
        return Some(block);
    }
    let engine = engine(shared).await?;
    let block = shared.timer.within(FETCH_TIME_OUT, engine.fetch(child.parent)).await??;
    if block.digest != child.parent || block.height + 1 != child.height {
        return None;
    }
    match shared.store.put_block(&block).and_then(|()| shared.store.sync()) {
        Ok(()) => info!(height = block.height, "a block was brought back from the other validators"),
        Err(error) => {
            warn!(%error, height = block.height, "alarm: a block that was brought back cannot be kept")
        }
    }
    Some(block)
}

/// The engine, once it runs.
async fn engine(shared: &Shared) -> Option<Arc<EngineHandle>> {
    let mut engine = shared.engine.subscribe();
    let running = engine.wait_for(|engine| engine.strong_count() > 0);
    shared.timer.within(FETCH_TIME_OUT, running).await?.ok()?.upgrade()
}
