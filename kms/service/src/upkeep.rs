//! What is done beside requests: settle acts, give up old intents, wipe opened keys, prune.

use std::{sync::Arc, time::Duration};

use crate::custody::Custody;

const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// Looks between two prunings.
const PRUNE_EVERY: u32 = 60;

/// Runs until the service ends.
pub(crate) async fn run(custody: Arc<Custody>, keep_settled: Duration) {
    let mut look = tokio::time::interval(SETTLE_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks: u32 = 0;
    loop {
        look.tick().await;
        custody.opened.sweep(custody.clock.now_ms());
        // An idle service must know the height too: last heights of challenges and intents hang on it.
        if let Err(error) = custody.ledger.refresh().await {
            tracing::debug!(%error, "the ledger does not answer");
            continue;
        }
        if let Err(failure) = custody.settle_acts().await {
            tracing::debug!(%failure, "acts wait");
        }
        if let Err(failure) = custody.settle_unreleased().await {
            tracing::debug!(%failure, "unreleased intents wait");
        }
        if looks.is_multiple_of(PRUNE_EVERY) {
            prune(&custody, keep_settled).await;
        }
        looks = looks.wrapping_add(1);
    }
}

async fn prune(custody: &Custody, keep_settled: Duration) {
    let now_ms = custody.clock.now_ms();
    let keep_from_ms = now_ms.saturating_sub(u64::try_from(keep_settled.as_millis()).unwrap_or(u64::MAX));
    match custody.store.prune(now_ms, keep_from_ms).await {
        Ok(0) => {}
        Ok(rows) => tracing::debug!(rows, "pruned"),
        Err(error) => tracing::warn!(%error, "nothing was pruned"),
    }
}
