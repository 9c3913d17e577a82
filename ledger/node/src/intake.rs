//! Batches that peers pass on: verified off the engine's threads, then pooled.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::batch::{SignedBatch, UnverifiedBatch};
use keyward_ledger_engine::EngineHandle;
use tokio::sync::mpsc;
use tracing::debug;

use crate::{catch_up::Offers, face::take_in, peers::Peers, shared::Shared};

/// Messages of peers that wait to be verified; more are dropped, for submitters hand in again.
const INCOMING_MAX: usize = 1024;

/// How often what waits is passed on again.
const PASS_ON_AGAIN: Duration = Duration::from_millis(700);
/// Batches that are passed on again at a time.
const PASS_ON_MAX: usize = 64;

/// A peer's key and what it sent.
pub(crate) type Message = ([u8; 32], Bytes);
pub(crate) type Gossip = mpsc::Sender<Message>;

pub(crate) fn channel() -> (Gossip, mpsc::Receiver<Message>) {
    mpsc::channel(INCOMING_MAX)
}

/// Takes in what peers send. A batch that does not verify is dropped: the peer may only have passed it on.
pub(crate) async fn run(shared: Arc<Shared>, mut incoming: mpsc::Receiver<Message>, mut offers: Offers) {
    let mut peers = Peers::default();
    while let Some((from, message)) = incoming.recv().await {
        if peers.take(&shared, &from, &message) || offers.take(&shared, &from, &message) {
            continue;
        }
        if let Err(reason) = take(&shared, &message) {
            debug!(reason, "a peer's batch is dropped");
        }
    }
}

/// Passes on again what still waits here: messages to peers may be lost, above all before peers have met.
pub(crate) async fn pass_on_again(shared: Arc<Shared>, engine: Arc<EngineHandle>) {
    let (mut seen, mut after): (Vec<SignedBatch>, _) = (Vec::new(), [0; 32]);
    loop {
        shared.timer.sleep(PASS_ON_AGAIN).await;
        // What was seen last time and waits still; then those of the submitters behind, so that each has its turn.
        let waiting = {
            let pool = shared.pool();
            seen.retain(|batch| pool.holds(batch.id()));
            pool.first(&after, PASS_ON_MAX)
        };
        let in_flight = shared.in_flight().clone();
        for batch in seen.iter().filter(|batch| !in_flight.contains(batch.id())) {
            engine.gossip(Bytes::copy_from_slice(batch.bytes()));
        }
        after = waiting.last().map_or(after, |batch| *batch.submitter());
        seen = waiting;
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
