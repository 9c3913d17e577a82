//! The scrubber: re-reads every byte that this node stores, at a bounded pace, and puts right what it can.
//!
//! A run reads the segments record by record, walks the chain from genesis to the newest final block, holds
//! certificates against their sets and the derived files against the blocks, and looks at snapshots and at
//! the engine's own files. What does not check is an alarm; blocks and certificates come back from the
//! others, derived files from the blocks. The vote journal is nobody's to repair.

mod derived;
mod walk;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use keyward_ledger_core::{entry::ComplaintKind, hash::ZERO};
use keyward_ledger_engine::{Kind, Place, StoreError, damaged_files};
use tokio::{runtime::Handle, sync::watch};
use tracing::info;

use crate::{
    alarms::{Alarm, Code},
    cold,
    keys::KeyCheck,
    lookup::{self, Said},
    peers,
    shared::Shared,
    snapshot,
};

/// Bytes of a segment that are read at a time.
const STEP_BYTES: u64 = 1 << 20;
/// A run is followed by a pause this many times as long, at least.
const PAUSES: u32 = 4;
/// Checking a block costs time as reading so many bytes does.
const BLOCK_WORK: u64 = 16 << 10;
/// Certificates that are remembered as missing; each block above one covers what it covered.
const WANTED_MAX: usize = 4096;
/// How long the others have to send certificates, and what becomes final meanwhile to be shown.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How hard the scrubber works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPace {
    /// Between the end of a run and the next.
    pub pause: Duration,
    /// Bytes read in a second, at most.
    pub bytes_per_s: u64,
}

impl Default for ScrubPace {
    fn default() -> Self {
        Self { pause: Duration::from_secs(600), bytes_per_s: 8 << 20 }
    }
}

/// What the scrubber did and does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// Runs that came to their end.
    pub runs: u64,
    /// Whether one is under way.
    pub running: bool,
    /// Up to which height the run that is under way, or the last, has come.
    pub height: u64,
    /// Bytes of blocks and certificates that it has read.
    pub bytes: u64,
    /// What did not check in it.
    pub found: u64,
    /// What of that could not be put right.
    pub unrepaired: u64,
}

/// The scrubber as the rest of the node sees it.
#[derive(Debug)]
pub(crate) struct Scrub {
    status: Mutex<ScrubStatus>,
    asked: watch::Sender<u64>,
    wanted: Mutex<BTreeSet<u64>>,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { status: Mutex::default(), asked: watch::Sender::new(0), wanted: Mutex::default() }
    }
}

impl Scrub {
    /// Asks for a run now. One that is under way is followed by another.
    pub(crate) fn ask(&self) {
        self.asked.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    pub(crate) fn status(&self) -> ScrubStatus {
        *self.lock()
    }

    fn change(&self, change: impl FnOnce(&mut ScrubStatus)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, ScrubStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Heights whose certificates are missing here.
    pub(crate) fn wanted(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the files are that the scrubber reads beside the store and the index.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub(crate) engine: PathBuf,
    pub(crate) snapshots: PathBuf,
    /// The files of its keys, wherever they lie.
    pub(crate) keys: Option<KeyCheck>,
}

/// The one thread that scrubs.
pub(crate) struct Scrubber {
    pub(crate) shared: Arc<Shared>,
    pub(crate) folders: Folders,
    pub(crate) pace: ScrubPace,
    pub(crate) patience: Duration,
    pub(crate) runtime: Handle,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// One run.
struct Run<'a> {
    scrubber: &'a Scrubber,
    shared: &'a Arc<Shared>,
    began: Instant,
    /// Bytes read, and what else costs time, as bytes.
    work: u64,
    /// A stretch was found of which nobody knows what it held.
    unknown_lost: bool,
    /// Heights without a certificate of their own: most never had one.
    gaps: BTreeSet<u64>,
    /// What could not be put right: what it is, and at which height.
    open: Vec<(Code, Option<u64>)>,
}

impl Scrubber {
    /// Scrubs until the node stops.
    pub(crate) fn run(self) {
        let mut asked = self.shared.scrub.asked.subscribe();
        if *asked.borrow() > 0 {
            // Asked for before this thread ran.
            asked.mark_changed();
        }
        let mut pause = self.pace.pause;
        loop {
            let mut stopping = self.stopping.clone();
            self.runtime.clone().block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = asked.changed() => {}
                    _ = stopping.wait_for(|stopping| *stopping) => {}
                }
            });
            if self.stops() {
                return;
            }
            let began = Instant::now();
            self.once();
            // A long history is walked less often, so that the work's share of the time stays the same.
            pause = self.pace.pause.max(began.elapsed().saturating_mul(PAUSES));
        }
    }

    fn stops(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    /// One run from the first byte to the last.
    pub(crate) fn once(&self) {
        let scrub = &self.shared.scrub;
        scrub.change(|status| {
            *status = ScrubStatus { running: true, runs: status.runs, ..Default::default() }
        });
        let began = Instant::now();
        let mut run = Run {
            scrubber: self,
            shared: &self.shared,
            began,
            work: 0,
            unknown_lost: false,
            gaps: BTreeSet::new(),
            open: Vec::new(),
        };
        let whole = run.all();
        let open = run.open;
        if whole {
            self.shared.alarms.repaired(|alarm| {
                let ours = !matches!(
                    alarm.code,
                    Code::NodeDiffers
                        | Code::VotesConflict
                        | Code::LookUpBehind
                        | Code::DiskLow
                        | Code::ColdAway
                );
                ours && !open.iter().any(|(code, height)| *code == alarm.code && *height == alarm.height)
            });
        }
        scrub.change(|status| {
            status.running = false;
            status.runs += u64::from(whole);
            status.unrepaired = open.len() as u64;
        });
        let status = scrub.status();
        info!(?status, ms = began.elapsed().as_millis(), "scrubbed");
    }
}

impl Run<'_> {
    /// `false` when the node stops first.
    fn all(&mut self) -> bool {
        self.segments();
        let said = self.look_up();
        let walked = walk::Walk::of(self, said).is_some_and(|mut walk| walk.climb());
        // What was taken out is noted again at once, so that this run may call it repaired.
        lookup::catch_up(self.shared, || self.stops());
        self.certificates();
        self.snapshots();
        self.floor();
        self.engine_files();
        self.key_files();
        walked && !self.stops()
    }

    fn stops(&self) -> bool {
        *self.scrubber.stopping.borrow()
    }

    /// Something does not check.
    fn found(&mut self, alarm: Alarm) {
        self.shared.scrub.change(|status| status.found += 1);
        if let (Code::BlockLost | Code::ChainBroken, Some(height)) = (alarm.code, alarm.height) {
            self.shared.reports.complain(ComplaintKind::Scrub, height, ZERO);
        }
        self.shared.alarms.raise(alarm);
    }

    /// Something does not check and cannot be put right here.
    fn left(&mut self, alarm: Alarm) {
        self.open.push((alarm.code, alarm.height));
        self.found(alarm);
    }

    /// The store failed. What lies out of reach is said once a run.
    fn store_failed(&mut self, error: &StoreError) {
        let away = |(code, _): &(Code, _)| *code == Code::ColdAway;
        if !(matches!(error, StoreError::Away { .. }) && self.open.iter().any(away)) {
            self.left(cold::alarm(error));
        }
    }

    fn disk_failed(&mut self, error: &dyn std::error::Error) {
        self.left(Alarm::new(Code::DiskFailed, error.to_string()));
    }

    /// Counts bytes, and waits where they were read faster than the pace allows.
    fn paced(&mut self, bytes: u64) {
        self.shared.scrub.change(|status| status.bytes += bytes);
        self.work += bytes;
        let due = Duration::from_secs_f64(self.work as f64 / self.scrubber.pace.bytes_per_s.max(1) as f64);
        if let Some(wait) = due.checked_sub(self.began.elapsed()) {
            self.sleep(wait);
        }
    }

    fn sleep(&self, wait: Duration) {
        let mut stopping = self.scrubber.stopping.clone();
        self.scrubber.runtime.block_on(async {
            let _elapsed = tokio::time::timeout(wait, stopping.wait_for(|stopping| *stopping)).await.is_err();
        });
    }

    /// Reads every record of every segment.
    fn segments(&mut self) {
        let mut place = Some(Place::default());
        while let Some(from) = place.filter(|_| !self.stops()) {
            match self.shared.store.scrub(from, STEP_BYTES) {
                Ok(scrubbed) => {
                    scrubbed.damaged.iter().for_each(|damaged| self.damaged(damaged));
                    self.paced(scrubbed.bytes);
                    place = scrubbed.next;
                }
                Err(error) => {
                    self.store_failed(&error);
                    place = from.next_file();
                }
            }
        }
    }

    /// Reads every file of the look-up.
    fn look_up(&mut self) -> Said {
        let shared = self.shared;
        let read = shared.lookup.read_all(|bytes| {
            self.paced(bytes);
            !self.stops()
        });
        read.unwrap_or_else(|failed| {
            if failed.is_damage() {
                self.found(lookup::alarm(&failed));
                shared.lookup.take_out(&failed);
            } else {
                self.left(Alarm { code: Code::DiskFailed, ..lookup::alarm(&failed) });
            }
            Said::default()
        })
    }

    fn damaged(&mut self, damaged: &keyward_ledger_engine::Damaged) {
        let file = damaged.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let text = format!("{} bytes of `{file}` from byte {} on", damaged.bytes, damaged.offset);
        for (kind, height) in &damaged.lost {
            let code = match kind {
                Kind::Block => Code::BlockLost,
                Kind::Certificate => Code::CertificateLost,
            };
            self.found(Alarm::new(code, text.clone()).at(*height));
            if *kind == Kind::Certificate {
                self.want(*height);
            }
        }
        if damaged.lost.is_empty() {
            self.unknown_lost = true;
            self.found(Alarm::new(Code::StoreDamaged, text));
        }
    }

    fn want(&self, height: u64) {
        let mut wanted = self.shared.scrub.wanted();
        if wanted.len() < WANTED_MAX {
            wanted.insert(height);
        }
    }

    /// Asks the others for certificates that are missing here, or may be.
    fn certificates(&mut self) {
        let mut maybe = std::mem::take(&mut self.gaps);
        if self.unknown_lost {
            let mut wanted = self.shared.scrub.wanted();
            maybe.retain(|height| wanted.insert(*height));
        } else {
            maybe.clear();
        }
        let missing = || self.shared.scrub.wanted().clone();
        let until = Instant::now() + self.scrubber.patience;
        let asked: Vec<_> = missing().into_iter().collect();
        if asked.is_empty() {
            return;
        }
        self.scrubber.runtime.block_on(peers::ask_for_certificates(self.shared, &asked));
        while !missing().is_empty() && Instant::now() < until && !self.stops() {
            self.sleep(LOOK_AGAIN);
        }
        self.shared.scrub.wanted().retain(|height| !maybe.contains(height));
        self.open.extend(missing().into_iter().map(|height| (Code::CertificateLost, Some(height))));
    }

    fn snapshots(&mut self) {
        let folder = &self.scrubber.folders.snapshots;
        if !folder.exists() {
            return;
        }
        let paths = match snapshot::list(folder) {
            Ok(paths) => paths,
            Err(error) => return self.disk_failed(&error),
        };
        for path in paths {
            let header = match snapshot::check(&path) {
                // An older one that made room for a newer one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return self.disk_failed(&error),
                Ok(header) => header,
            };
            let is_ours = header.is_some_and(|header| {
                let height = header.header.height;
                crate::repair::stored(self.shared, height).is_none_or(|bytes| {
                    bytes.get(..keyward_ledger_core::block::SIGNED_HEADER_BYTES)
                        == Some(header.encode().as_slice())
                })
            });
            self.paced(fs::metadata(&path).map_or(0, |metadata| metadata.len()));
            if !is_ours {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                self.found(Alarm::new(Code::SnapshotDamaged, format!("`{name}` is set aside for a new one")));
                if let Err(error) = snapshot::set_aside(&path) {
                    self.disk_failed(&error);
                }
                self.shared.snapshot_wanted.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    /// What this node began with: nobody can bring it back, and it goes on without until it must begin again.
    fn floor(&mut self) {
        let Some(floor) = &self.shared.floor else { return };
        if let Err(error) = floor.check(&self.shared.genesis) {
            let text = format!(
                "what this node began with does not check: {error}; it cannot make its derived files anew: start it in an empty data folder, as a validator with another key, for this one has voted"
            );
            self.left(Alarm::new(Code::SnapshotDamaged, text).at(floor.height()));
        }
    }

    fn key_files(&mut self) {
        let lost = self.scrubber.folders.keys.as_ref().map(KeyCheck::lost).unwrap_or_default();
        for key in lost {
            self.left(Alarm::new(Code::KeyDamaged, format!("`{}`: {}", key.path.display(), key.reason)));
        }
    }

    fn engine_files(&mut self) {
        let folder = self.scrubber.folders.engine.clone();
        match damaged_files(&folder, &*self.shared.store) {
            Ok(paths) => {
                for path in paths {
                    let name = path.strip_prefix(&folder).unwrap_or(&path).display();
                    let text = format!(
                        "`{name}` does not check; with a damaged vote journal this validator will not vote after a restart"
                    );
                    self.left(Alarm::new(Code::EngineDamaged, text));
                }
            }
            Err(error) => self.disk_failed(&error),
        }
    }
}
