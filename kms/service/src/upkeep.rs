//! What is done beside requests: settle acts, destroy what is due, end what was left of closed accounts, reseal, give up old intents, wipe opened keys, prune.

use std::{sync::Arc, time::Duration};

use keyward_store::StoreError;

use crate::custody::Custody;

const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// Looks between two prunings.
const PRUNE_EVERY: u32 = 60;

/// Runs until the service ends, or another server has its submitter key.
pub(crate) async fn run(custody: Arc<Custody>, keep_settled: Duration) {
    let mut look = tokio::time::interval(SETTLE_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks: u32 = 0;
    loop {
        look.tick().await;
        custody.opened.sweep(custody.clock.now_ms());
        custody.roots.sweep(custody.clock.now_ms());
        custody.end_begun().await;
        match custody.store.take_over().await {
            Ok(0) => {}
            Ok(acts) => tracing::warn!(acts, "took over what a server that ended left under way"),
            // Two with one key would disturb each other: the one that lost it ends.
            Err(error @ StoreError::SubmitterInUse { .. }) => {
                tracing::error!(%error, "this server lost its submitter key");
                return;
            }
            Err(error) => tracing::warn!(%error, "the other servers are not looked after now"),
        }
        custody.give_back_owed().await;
        // An idle service must know the height too: last heights of challenges and intents hang on it.
        if let Err(error) = custody.ledger.refresh().await {
            tracing::debug!(%error, "the ledger does not answer");
            continue;
        }
        if let Err(failure) = custody.look_at_policies().await {
            tracing::warn!(%failure, "it is not known whether other policies are in force");
        }
        if let Err(failure) = custody.look_at_risk().await {
            tracing::warn!(%failure, "it is not known whether other rules of risk are in force");
        }
        if let Err(failure) = custody.keep_histories().await {
            tracing::debug!(%failure, "what accounts did is kept later");
        }
        if let Err(failure) = custody.keep_decided().await {
            tracing::debug!(%failure, "what was decided is kept later");
        }
        if let Err(failure) = custody.settle_acts().await {
            tracing::debug!(%failure, "acts wait");
        }
        if let Err(failure) = custody.destroy_due_keys().await {
            tracing::debug!(%failure, "keys that are due wait");
        }
        if let Err(failure) = custody.schedule_orphaned_keys().await {
            tracing::debug!(%failure, "keys of closed accounts wait");
        }
        if let Err(failure) = custody.end_orphaned_vaults().await {
            tracing::debug!(%failure, "vaults of closed accounts wait");
        }
        if let Err(failure) = custody.keep_orphaned_addresses().await {
            tracing::debug!(%failure, "what is kept of closed accounts waits");
        }
        if let Err(failure) = custody.settle_unreleased().await {
            tracing::debug!(%failure, "unreleased intents wait");
        }
        if let Err(failure) = custody.tend_kek().await {
            tracing::debug!(%failure, "a rotation of the key-encryption key waits");
        }
        if looks.is_multiple_of(PRUNE_EVERY) {
            prune(&custody, keep_settled).await;
        }
        looks = looks.wrapping_add(1);
    }
}

async fn prune(custody: &Custody, keep_settled: Duration) {
    if let Err(error) = custody.erase_ended_mail().await {
        tracing::warn!(%error, "what ended cases were about is erased later");
    }
    if let Err(failure) = custody.look_for_closings().await {
        tracing::debug!(%failure, "closings by way of other services are looked for later");
    }
    if let Err(failure) = custody.erase_kept().await {
        tracing::warn!(%failure, "what was kept of closed accounts is erased later");
    }
    let now_ms = custody.clock.now_ms();
    let keep_from_ms = now_ms.saturating_sub(u64::try_from(keep_settled.as_millis()).unwrap_or(u64::MAX));
    match custody.store.prune(now_ms, keep_from_ms).await {
        Ok(0) => {}
        Ok(rows) => tracing::debug!(rows, "pruned"),
        Err(error) => tracing::warn!(%error, "nothing was pruned"),
    }
}
