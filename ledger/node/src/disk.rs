//! Looking after the disk: an alarm while there is still time, and an orderly end before it is full.

use std::{path::Path, time::Duration};

use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::{
    RunError,
    alarms::{Alarm, Alarms, Code},
};

/// Less than this, and there is an alarm.
pub(crate) const LOW_BYTES: u64 = 256 << 20;
/// Less than this, and the node ends: what it has begun can still be written.
const RESERVE_BYTES: u64 = 32 << 20;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// How much room there is below a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    free_bytes: u64,
    read_only: bool,
}

impl Room {
    /// `None` if the system does not say.
    fn of(folder: &Path) -> Option<Self> {
        let found = statvfs(folder).ok()?;
        Some(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }

    fn check(self, folder: &Path) -> Result<(), RunError> {
        let path = folder.to_owned();
        match self {
            Self { read_only: true, .. } => Err(RunError::DiskReadOnly { path }),
            Self { free_bytes, .. } if free_bytes < RESERVE_BYTES => {
                Err(RunError::DiskFull { path, free_bytes, needed_bytes: RESERVE_BYTES })
            }
            _ => Ok(()),
        }
    }

    fn alarm(self, alarms: &Alarms) {
        if self.free_bytes < LOW_BYTES {
            let text = format!(
                "less than {} MB are free; below {} MB this node stops voting and ends",
                LOW_BYTES >> 20,
                RESERVE_BYTES >> 20
            );
            alarms.raise(Alarm::new(Code::DiskLow, text));
        } else {
            alarms.repaired(|alarm| alarm.code == Code::DiskLow);
        }
    }
}

/// Whether so many bytes are free below a folder, as far as the system says.
pub(crate) fn has_room(folder: &Path, bytes: u64) -> bool {
    Room::of(folder).is_none_or(|room| room.free_bytes >= bytes)
}

/// Refuses a disk on which the node would end at once.
pub(crate) fn check(folder: &Path) -> Result<(), RunError> {
    Room::of(folder).map_or(Ok(()), |room| room.check(folder))
}

/// Looks again and again; completes when the node has to end.
pub(crate) async fn watch(folder: &Path, alarms: &Alarms) -> RunError {
    let mut before = None;
    loop {
        if let Some(room) = Room::of(folder) {
            if let Err(error) = room.check(folder) {
                return error;
            }
            // An alarm that stands is not raised again at every look.
            let is_low = room.free_bytes < LOW_BYTES;
            if before.replace(is_low) != Some(is_low) {
                room.alarm(alarms);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_system_says_how_much_room_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::of(dir.path()).unwrap();
        assert!(room.free_bytes > 0 && !room.read_only, "{room:?}");
        assert_eq!(Room::of(&dir.path().join("none")), None);
        // Nothing can be written below this one, ever.
        assert_eq!(Room::of(Path::new("/proc")).unwrap().free_bytes, 0);
    }

    #[test]
    fn little_room_is_an_alarm_less_is_an_end_and_read_only_is_one_too() {
        let folder = Path::new("data");
        let alarms = Alarms::new(Arc::new(|| 7));
        let room = |free_bytes| Room { free_bytes, read_only: false };
        room(LOW_BYTES).alarm(&alarms);
        assert_eq!(alarms.counts(), (0, 0));
        room(LOW_BYTES - 1).alarm(&alarms);
        assert_eq!(alarms.counts(), (1, 1));
        assert_eq!(alarms.newest(1)[0].code, Code::DiskLow);
        assert!(room(RESERVE_BYTES).check(folder).is_ok());
        let full = room(RESERVE_BYTES - 1).check(folder);
        assert!(matches!(full, Err(RunError::DiskFull { .. })), "{full:?}");
        assert!(full.unwrap_err().is_of_disk());
        let read_only = Room { free_bytes: u64::MAX, read_only: true }.check(folder);
        assert!(matches!(read_only, Err(RunError::DiskReadOnly { .. })), "{read_only:?}");
        assert!(read_only.unwrap_err().is_of_disk());
        room(LOW_BYTES).alarm(&alarms);
        assert_eq!(alarms.counts(), (1, 0), "room again");
    }
}
