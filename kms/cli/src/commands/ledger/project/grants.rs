//! Grant files: read when the projection begins, and again whenever they change, so that what is opened later is shown too.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_audit::Relinker;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::trust::Trust;
use keyward_projection::Projector;
use tokio::time::Instant;

use super::{TURN, refused};
use crate::commands::audit::{grant_file_place, load_grant_file, refused as not_looked_at};
use crate::failure::{Failure, Result};
use crate::moment::now_ms;
use crate::output::Output;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The grant files of a run.
pub(super) struct GrantFiles {
    files: Vec<Watched>,
    /// What their receipts are verified under.
    trust: Vec<u8>,
    /// Whether the trust file pins a block: then a file counts only with its own records in the log.
    pinned: bool,
    due: Instant,
}

/// One that is looked at again and again.
struct Watched {
    path: PathBuf,
    grant: Hash,
    /// The file that is shown.
    stamp: Stamp,
    /// Why the newer one is not, as it was told.
    told: Option<String>,
}

/// What changes with a file: which one it is, how long, and when it was written and changed, in seconds and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl GrantFiles {
    /// What the grant files open, each verified and for a grant that is not over; before anything is made.
    pub(super) fn open(paths: &[PathBuf], trust: &Trust) -> Result<(Self, Vec<Relinker>)> {
        let pinned = trust.checkpoint.is_some();
        // Receipts are of any height; what a trust file pins is held against the blocks.
        let trust = Trust { checkpoint: None, ..trust.clone() }.encode().into_bytes();
        let (mut files, mut relinkers): (Vec<Watched>, Vec<Relinker>) = (Vec::new(), Vec::new());
        for path in paths {
            let (relinker, stamp) = read(path, &trust)?;
            let grant = &relinker.granted().grant;
            if grant.expires_ms <= now_ms() {
                let what = format!("the grant of `{}` has expired", path.display());
                let mut failure = Failure::refused(what, "ask for another one (`keyward audit request`)");
                failure.code = Some("GRANT_EXPIRED".to_owned());
                return Err(failure);
            }
            if files.iter().any(|other| other.grant == grant.id) {
                return Err(Failure::usage(
                    "one grant is named twice",
                    "name each grant once, by its newest file",
                ));
            }
            files.push(Watched { path: path.clone(), grant: grant.id, stamp, told: None });
            relinkers.push(relinker);
        }
        Ok((Self { files, trust, pinned, due: Instant::now() }, relinkers))
    }

    /// Has rows become what files open by now, for a while at a time.
    pub(super) async fn follow(&mut self, output: Output, projector: &mut Projector) -> Result<()> {
        if self.due <= Instant::now() {
            for file in &mut self.files {
                let Some(relinker) = file.look(&self.trust, output).await else { continue };
                if projector.replace(relinker) {
                    let grant = hex::encode(file.grant);
                    output.note(format!("grant {grant}: its file has changed; its rows follow"));
                }
            }
            self.due = Instant::now() + LOOK;
        }
        let renewed = projector.renew(TURN, self.pinned).await.map_err(|error| refused(&error))?;
        for grant in renewed {
            output.note(format!("grant {}: its rows are what its file opens by now", hex::encode(grant)));
        }
        Ok(())
    }
}

impl Watched {
    /// What the file opens, if it is another one by now. One that is being written, cannot be read or does not hold changes nothing:
    /// that is said, and looked at again.
    async fn look(&mut self, trust: &[u8], output: Output) -> Option<Relinker> {
        if stamp(&self.path).is_ok_and(|stamp| stamp == self.stamp) {
            self.told = None;
            return None;
        }
        let (path, trust) = (self.path.clone(), trust.to_vec());
        // Its receipts are work for a processor.
        let found = tokio::task::spawn_blocking(move || read(&path, &trust)).await;
        let why = match found {
            Ok(Ok((relinker, stamp))) if relinker.granted().grant.id == self.grant => {
                (self.stamp, self.told) = (stamp, None);
                return Some(relinker);
            }
            Ok(Ok(_other)) => "it is of another grant; name that one when you start this command".to_owned(),
            Ok(Err(failure)) => failure.to_string(),
            Err(error) => error.to_string(),
        };
        if self.told.as_ref() != Some(&why) {
            let grant = hex::encode(self.grant);
            output
                .note(format!("grant {grant}: its file has changed and is not taken, its rows stay: {why}"));
            self.told = Some(why);
        }
        None
    }
}

/// What a file opens, and which file that was.
fn read(path: &Path, trust: &[u8]) -> Result<(Relinker, Stamp)> {
    let before = stamp(path)?;
    let relinker = Relinker::new(load_grant_file(path)?, trust).map_err(|error| not_looked_at(&error))?;
    if stamp(path)? != before {
        let what = format!("`{}` changed while it was read", path.display());
        return Err(Failure::refused(what, "try again once it is written"));
    }
    Ok((relinker, before))
}

fn stamp(path: &Path) -> Result<Stamp> {
    let metadata = std::fs::metadata(grant_file_place(path)).map_err(|error| {
        let what = format!("cannot read `{}`", path.display());
        Failure::refused(what, "check the path and its permissions").because(&error)
    })?;
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        len: metadata.len(),
        written: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
