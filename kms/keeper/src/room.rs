//! Whether there is room for one more share: a promise that somebody may rely on, so that none is dropped for another.

use crate::{
    chest::{Chest, Named as _, Share},
    error::KeeperError,
    keeper::Inner,
    shares::SharesError,
};

/// Shares are taken while so many bytes are free at least: where the validator beside it begins to warn, and eight times
/// what it needs to go on.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// How many shares of one kind there may be at most.
pub(crate) struct Bounds {
    /// Those that wait.
    pub(crate) waiting: usize,
    /// Those of one account that wait.
    pub(crate) waiting_of_account: usize,
    /// Those of one account that count.
    pub(crate) kept_of_account: usize,
}

/// Whether there was room for a share.
pub(crate) enum Room {
    /// It is kept.
    Kept,
    /// So many are held already.
    Full { held: usize },
    /// The disk is nearly full.
    NoDisk { free_bytes: u64 },
}

impl Room {
    /// Refuses what is not kept.
    pub(crate) fn kept(self) -> Result<(), KeeperError> {
        match self {
            Self::Kept => Ok(()),
            Self::Full { held } => Err(KeeperError::Full { held }),
            Self::NoDisk { free_bytes } => Err(KeeperError::NoDisk { free_bytes }),
        }
    }
}

/// Keeps a share if there is room beside those that wait and count as its rivals. One that is kept already is not written again,
/// unless it cannot be read any more, and does not begin to wait anew: else whoever repeats deposits would keep places taken for
/// ever.
pub(crate) fn keep<K: Share>(
    inner: &Inner,
    chest: &Chest<K>,
    share: &K,
    bounds: &Bounds,
    is_rival: impl Fn(&K::Place) -> bool,
) -> Result<Room, SharesError> {
    let place = share.place();
    match chest.load(&place) {
        Err(error @ SharesError::Io { .. }) => return Err(error),
        Err(error) => tracing::warn!(%error, "a share that cannot be read is replaced"),
        Ok(Some(_)) => return Ok(Room::Kept),
        Ok(None) => {}
    }
    if let Some(free_bytes) = too_few_bytes(inner) {
        return Ok(Room::NoDisk { free_bytes });
    }
    let kept = chest.kept(place.group())?.len();
    if kept >= bounds.kept_of_account {
        return Ok(Room::Full { held: kept });
    }
    let mut rivals = chest.waiting()?;
    rivals.retain(|other| *other != place && is_rival(other));
    let alike = rivals.iter().filter(|other| other.group() == place.group()).count();
    if alike >= bounds.waiting_of_account || rivals.len() >= bounds.waiting {
        return Ok(Room::Full { held: alike.max(rivals.len()) });
    }
    chest.keep(share).map(|()| Room::Kept)
}

/// How many bytes are free, when they are too few to take another share.
pub(crate) fn too_few_bytes(inner: &Inner) -> Option<u64> {
    inner.shares.free_bytes().filter(|free_bytes| *free_bytes < FREE_BYTES_MIN)
}
