//! Releases: queued durably with each signature, recorded in groups afterwards, for ever until they are. Those of addresses are held
//! back.

use std::{ops::Range, sync::Arc, time::Duration};

use keyward_ledger_core::{
    entry::{Entry, Release},
    outcome::Refusal,
};
use keyward_store::{Change, QueuedRelease};
use tokio::task::JoinSet;

use crate::{
    custody::{Custody, random},
    failure::Failure,
    ports::LedgerError,
};

/// Releases under way at once.
const GROUP_MAX: u32 = 2048;
/// How long the task waits after a failure, and at most between looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the use of an address has been final at least, and less than how long, before its release is handed in, in milliseconds.
///
/// A service signs what it hosts at once, and an own root's device has to answer first. Everybody sees when a release comes: so all
/// wait for longer than a device takes.
const HELD_MS: Range<u64> = 10_000..20_000;

/// So close to its intent's end no release is held back: after it the ledger takes none.
const ENDING_BLOCKS: u64 = 512;

/// How long a release is held back from when the use of its address is final.
pub(crate) fn hold_ms() -> Result<u64, Failure> {
    let width = HELD_MS.end - HELD_MS.start;
    Ok(HELD_MS.start + u64::from_be_bytes(random()?) % width)
}

/// What became of one.
enum Fate {
    Recorded([u8; 32]),
    Late([u8; 32]),
    Unknown(LedgerError),
}

/// Records releases until the service ends.
pub(crate) async fn run(custody: Arc<Custody>) {
    loop {
        match custody.record_releases().await {
            Ok(0) => {
                let _either = tokio::time::timeout(PAUSE, custody.queued.notified()).await;
            }
            Ok(_) => {}
            Err(failure) => {
                tracing::warn!(%failure, "releases wait");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Custody {
    /// Records what is queued and not held back; returns how many are settled.
    pub(crate) async fn record_releases(self: &Arc<Self>) -> Result<usize, Failure> {
        let ending = self.ledger.height().saturating_add(ENDING_BLOCKS);
        let over = (self.clock.now_ms(), ending);
        let queued = self.store.queued_releases(self.ledger.submitter(), over, GROUP_MAX).await?;
        let mut under_way = JoinSet::new();
        for release in queued {
            under_way.spawn(record(self.clone(), release));
        }
        let (mut recorded, mut late, mut failure) = (Vec::new(), Vec::new(), None);
        while let Some(fate) = under_way.join_next().await {
            match fate.map_err(Failure::internal)? {
                Fate::Recorded(id) => recorded.push(id),
                Fate::Late(id) => late.push(id),
                Fate::Unknown(error) => failure = Some(error),
            }
        }
        let settled = recorded.len() + late.len();
        let mut changes = Vec::new();
        if !recorded.is_empty() {
            changes.push(Change::Released(recorded));
        }
        if !late.is_empty() {
            tracing::warn!(count = late.len(), "releases came after their intents' last height");
            changes.push(Change::Late(late));
        }
        if !changes.is_empty() {
            self.store.apply(changes).await?;
        }
        failure.map_or(Ok(settled), |error| Err(error.into()))
    }
}

async fn record(custody: Arc<Custody>, release: QueuedRelease) -> Fate {
    let QueuedRelease { intent: intent_id, signature_hash } = release;
    match custody.ledger.commit_later(Entry::Release(Release { intent_id, signature_hash })).await {
        Ok(record) => match record.outcome().refusal() {
            None if record.outcome().is_accepted() => Fate::Recorded(intent_id),
            // An earlier try got through.
            Some(Refusal::AlreadyReleased) => Fate::Recorded(intent_id),
            _ => Fate::Late(intent_id),
        },
        Err(error) => Fate::Unknown(error),
    }
}
