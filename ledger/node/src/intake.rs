//! Batches that peers pass on: verified off the engine's threads, then pooled.

use std::sync::Arc;

use bytes::Bytes;
use keyward_ledger_core::batch::UnverifiedBatch;
use tokio::sync::mpsc;
use tracing::debug;

use crate::{face::take_in, shared::Shared};

/// Messages of peers that wait to be verified; more are dropped, for submitters hand in again.
const INCOMING_MAX: usize = 1024;

pub(crate) type Gossip = mpsc::Sender<Bytes>;

pub(crate) fn channel() -> (Gossip, mpsc::Receiver<Bytes>) {
    mpsc::channel(INCOMING_MAX)
}

/// Takes in what peers send. A batch that does not verify is dropped: the peer may only have passed it on.
pub(crate) async fn run(shared: Arc<Shared>, mut incoming: mpsc::Receiver<Bytes>) {
    while let Some(message) = incoming.recv().await {
        if let Err(reason) = take(&shared, &message) {
            debug!(reason, "a peer's batch is dropped");
        }
    }
}

fn take(shared: &Shared, message: &[u8]) -> Result<(), String> {
    let batch = UnverifiedBatch::decode(message).map_err(|error| error.to_string())?;
    if shared.pool().holds(batch.id()) {
        return Ok(());
    }
    let batch = batch.verify().map_err(|error| error.to_string())?;
    take_in(shared, &batch).map(|_taken| ()).map_err(|status| status.message().to_owned())
}
