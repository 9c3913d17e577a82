//! Shares of renewals that wait: one promise per keeper that asks, and what was acknowledged for as long as it counts.

use std::sync::Arc;

use keyward_crypto::vault::KeeperShare;

use crate::{
    deposit::PENDING_MS,
    error::KeeperError,
    held::{Bond, Held},
    keeper::{Inner, Keeper},
    place::Place,
    room::too_few_bytes,
    shares::SharesError,
};

/// How long a promised share waits to be acknowledged, in milliseconds of ledger time, and how long a renewal that begins now
/// may be recorded: an hour.
pub(crate) const PROMISE_MS: u64 = 60 * 60 * 1_000;
/// Renewals of a vault that are acknowledged to one keeper within a day at most. Each share stays so long, so who begins again
/// and again and finishes nothing must not fill the disk; others are heard meanwhile.
const ACKNOWLEDGED_MAX: usize = 4;

impl Keeper {
    /// Keeps a share that is promised to the keeper at an index, in the place of what was promised to it before: without
    /// an acknowledgement nobody can make that final.
    pub(crate) async fn promise(&self, share: KeeperShare, to: u8, now_ms: u64) -> Result<(), KeeperError> {
        let bond = Bond::Promised { to };
        let held = Arc::new(Held { place: Place::of(share.shares()), kept_ms: now_ms, bond, share });
        let free_bytes = self.alone(move |inner| promise(inner, &held)).await?;
        free_bytes.map_or(Ok(()), |free_bytes| Err(KeeperError::NoDisk { free_bytes }))
    }

    /// Binds us to a promised share for good, before it is acknowledged to the keeper at an index.
    pub(crate) async fn bind(&self, place: Place, to: u8, now_ms: u64) -> Result<(), KeeperError> {
        match self.alone(move |inner| bind(inner, &place, to, now_ms)).await? {
            Bound::Yes => Ok(()),
            Bound::NoShare => Err(KeeperError::NoShare),
            Bound::TooMany(held) => Err(KeeperError::Full { held }),
        }
    }
}

/// Keeps it, unless too few bytes are free: then says how many.
fn promise(inner: &Inner, held: &Held) -> Result<Option<u64>, SharesError> {
    match inner.shares.load(&held.place) {
        Err(error @ SharesError::Io { .. }) => return Err(error),
        Ok(Some(before)) if !matches!(before.bond, Bond::Promised { .. }) => return Ok(None),
        _ => {}
    }
    if let Some(free_bytes) = too_few_bytes(inner) {
        return Ok(Some(free_bytes));
    }
    for other in others(inner, &held.place)? {
        let before = inner.shares.load(&other);
        if before.is_ok_and(|before| before.is_some_and(|before| before.bond == held.bond)) {
            inner.shares.erase(&other)?;
        }
    }
    inner.shares.keep(held).map(|()| None)
}

/// What became of a promise.
enum Bound {
    Yes,
    NoShare,
    TooMany(usize),
}

fn bind(inner: &Inner, place: &Place, to: u8, now_ms: u64) -> Result<Bound, SharesError> {
    let Some(held) = inner.shares.load(place)? else { return Ok(Bound::NoShare) };
    if !matches!(held.bond, Bond::Promised { .. }) {
        return Ok(Bound::Yes);
    }
    let bond = Bond::Acknowledged { to };
    let mut fresh = 0_usize;
    for other in others(inner, place)? {
        let other = inner.shares.load(&other);
        let counts = |other: Held| other.bond == bond && now_ms < other.kept_ms.saturating_add(PENDING_MS);
        fresh += usize::from(other.is_ok_and(|other| other.is_some_and(counts)));
    }
    if fresh >= ACKNOWLEDGED_MAX {
        return Ok(Bound::TooMany(fresh));
    }
    inner.shares.keep(&Held { bond, kept_ms: now_ms, ..held }).map(|()| Bound::Yes)
}

/// The other shares of renewals of the same vault that wait.
fn others(inner: &Inner, place: &Place) -> Result<Vec<Place>, SharesError> {
    let waiting = inner.shares.waiting()?.into_iter();
    Ok(waiting
        .filter(|other| other != place && other.vault() == place.vault() && other.share_version > 1)
        .collect())
}
