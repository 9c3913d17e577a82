//! Looking after shares of shared keys: what counts stays, what can count no more is erased.

use keyward_ledger_core::state::{layout::KeyStatus, shared::SharedNameState};

use super::{error::SharedError, roster::Facts, store::Place};
use crate::{error::KeeperError, keeper::Keeper};

/// Kept shares that a round looks at, and the rest of those whose rules begin alike.
const SWEEP_MIN: usize = 256;

/// What becomes of a share.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It counts.
    Needed,
    /// Its record may come, up to some time; it is this now.
    Waits(u64),
    /// Nobody needs it any more.
    Over,
}

impl Keeper {
    /// Looks at the shares that wait and at a part of all that are kept, and forgets runs whose time is over.
    pub(crate) async fn tend_shared(&self) -> Result<(), SharedError> {
        let found = self.on_disk(|inner| {
            let shared = &inner.shared;
            let mut places = shared.store.waiting()?;
            places.extend(shared.sweep.next(SWEEP_MIN, |first| shared.store.kept(first))?);
            Ok(places)
        });
        let mut broken = None;
        for place in found.await? {
            match self.tend_share(place).await {
                Ok(()) => {}
                // Without the ledger there is nothing to do for the others either.
                Err(error @ SharedError::Other(KeeperError::Ledger(_))) => return Err(error),
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        let (shared, now_ms) = (&self.0.shared, self.newest_ms());
        shared.generations.tidy_up(now_ms);
        shared.long_generations.tidy_up(now_ms);
        shared.commitments.tidy_up(now_ms);
        shared.dealings.tidy_up(now_ms);
        shared.splits.tidy_up(now_ms);
        shared.store.close(now_ms);
        broken.map_or(Ok(()), Err)
    }

    /// Keeps, leaves or erases one share, by final state.
    async fn tend_share(&self, place: Place) -> Result<(), SharedError> {
        let (fate, facts) = self.fate(&place).await?;
        let done = self.alone(move |inner| {
            let store = &inner.shared.store;
            let over = match fate {
                Fate::Needed => return store.settle(&place),
                Fate::Over => true,
                Fate::Waits(now_ms) => store.waits_no_more(&place, now_ms)?,
            };
            if over { store.erase(&place) } else { Ok(()) }
        });
        done.await?;
        match facts {
            Some(facts) => self.refresh_in_turn(&facts).await,
            None => Ok(()),
        }
    }

    /// What becomes of a share; of one that counts, also where its key stands.
    async fn fate(&self, place: &Place) -> Result<(Fate, Option<Facts>), SharedError> {
        let (named, now_ms) = self.shared_name(&place.rule).await?;
        let Some(SharedNameState::Bound(key_id)) = named else { return Ok((Fate::Waits(now_ms), None)) };
        let facts = self.shared_key(&key_id).await?;
        let fate = match facts.status {
            KeyStatus::Destroyed { .. } => Fate::Over,
            _ if facts.share() == *place => Fate::Needed,
            _ if place.share_version <= facts.shared.share_version => Fate::Over,
            _ => Fate::Waits(facts.now_ms),
        };
        Ok((fate, matches!(fate, Fate::Needed).then_some(facts)))
    }
}
