//! Moves segments of old blocks to a second location, and looks whether it is there.
//!
//! What a restart reads stays here: what it executes again, the epoch in progress and the one before. So do blocks
//! that changed the validators: every proof needs them. While the location is away an alarm stands, nothing is moved, and nothing here is removed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use keyward_ledger_engine::{
    Bucket, BucketConfig, BucketError, Cooled, Folder, SegmentsConfig, Shelf, Step, StoreError,
};
use tokio::{runtime::Handle, sync::watch};
use tracing::{info, warn};

use crate::{
    alarms::{Alarm, Code},
    shared::Shared,
    snapshot,
};

/// Between two looks.
pub(crate) const TURN: Duration = Duration::from_secs(10);

/// Where blocks lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// A segment file is closed before it grows over this many bytes.
    pub segment_bytes_max: u64,
    /// Where segments of old blocks go; none: they stay.
    pub cold: Option<ColdConfig>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { segment_bytes_max: SegmentsConfig::default().segment_bytes_max, cold: None }
    }
}

impl StoreConfig {
    pub(crate) fn segments(&self) -> SegmentsConfig {
        SegmentsConfig { segment_bytes_max: self.segment_bytes_max, ..SegmentsConfig::default() }
    }

    pub(crate) fn shelf(&self) -> Result<Option<Arc<dyn Shelf>>, BucketError> {
        Ok(match self.cold.as_ref().map(|cold| &cold.place) {
            None => None,
            Some(ColdPlace::Folder(folder)) => Some(Arc::new(Folder::new(folder))),
            Some(ColdPlace::Bucket(bucket)) => Some(Arc::new(Bucket::new(bucket)?)),
        })
    }
}

/// A second location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdConfig {
    /// Where it is; this node's alone.
    pub place: ColdPlace,
    /// A segment goes there once all of its blocks lie this far below the newest.
    pub after_blocks: u64,
}

/// Where a second location is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColdPlace {
    /// A folder on another disk or a network file system.
    Folder(PathBuf),
    /// A prefix of a bucket of an S3-compatible store.
    Bucket(BucketConfig),
}

/// The one thread that moves.
pub(crate) struct Mover {
    pub(crate) shared: Arc<Shared>,
    pub(crate) after_blocks: u64,
    /// Bytes read and copied in a second, at most.
    pub(crate) bytes_per_s: u64,
    /// Where the snapshots are.
    pub(crate) snapshots: PathBuf,
    pub(crate) turn: Duration,
    pub(crate) runtime: Handle,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Mover {
    /// Works until the node stops.
    pub(crate) fn run(self) {
        while !self.stops() {
            self.once();
            self.sleep(self.turn);
        }
    }

    fn stops(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    fn sleep(&self, wait: Duration) {
        let mut stopping = self.stopping.clone();
        self.runtime.block_on(async {
            let _elapsed = tokio::time::timeout(wait, stopping.wait_for(|stopping| *stopping)).await.is_err();
        });
    }

    /// One look; moves what is due.
    pub(crate) fn once(&self) {
        match self.shared.store.probe().and_then(|()| self.move_due()) {
            Ok(()) => self.shared.alarms.repaired(|alarm| alarm.code == Code::ColdAway),
            // It answers others: the next turn looks again.
            Err(StoreError::Away { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.shared.alarms.raise(alarm(&error)),
        }
    }

    fn move_due(&self) -> Result<(), StoreError> {
        while let Some(segment) = self.due().filter(|_| !self.stops()) {
            let (began, mut bytes) = (Instant::now(), 0);
            let cooled = self.shared.store.cool(segment, &mut |step| {
                if let Step::Read(more) = step {
                    bytes += more;
                    let due = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s.max(1) as f64);
                    if let Some(wait) = due.checked_sub(began.elapsed()) {
                        self.sleep(wait);
                    }
                }
                !self.stops()
            });
            match cooled? {
                Cooled::Moved => info!(segment, "a segment of old blocks was moved"),
                // It is moved once it has been put right.
                Cooled::Damaged => {
                    self.shared.scrub.ask();
                    break;
                }
                Cooled::Stopped => break,
            }
        }
        Ok(())
    }

    fn due(&self) -> Option<u32> {
        let view = self.shared.view();
        let old = view.ledger.height().checked_sub(self.after_blocks)?;
        let ledger = &view.ledger;
        let epoch_before = ledger.epoch_of(ledger.height()).saturating_sub(1);
        let restart = (epoch_before * ledger.parameters().epoch_length).saturating_sub(1);
        let below = old.min(restart).min(oldest_snapshot(&self.snapshots)?);
        let changes = ledger.set_changes(0).ok()?;
        let stays: Vec<_> = changes.iter().map(|change| change.height).collect();
        self.shared.store.finished_below(below, &stays)
    }
}

/// What to say when blocks cannot be read or moved.
pub(crate) fn alarm(error: &StoreError) -> Alarm {
    match error {
        StoreError::Away { source, .. } => {
            // One alarm, whatever is tried there; the log says why.
            warn!(%error, cause = %source, "alarm: old blocks are out of reach");
            Alarm::new(Code::ColdAway, error.to_string())
        }
        error => Alarm::new(Code::DiskFailed, error.to_string()),
    }
}

/// A restart may begin at the oldest snapshot that is kept.
fn oldest_snapshot(folder: &Path) -> Option<u64> {
    let paths = snapshot::list(folder).ok()?;
    let name = paths.first()?.file_name()?.to_str()?;
    name.strip_prefix("snapshot-")?.parse().ok()
}
