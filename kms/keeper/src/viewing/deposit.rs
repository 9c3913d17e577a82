//! Taking a share of closed epochs: signed for by its account, opened, held against the dealing, kept, and only then
//! acknowledged.

use std::sync::Arc;

use keyward_crypto::viewing::{Dealing, ViewingShare};
use keyward_domain::viewing_deposit_message;
use keyward_ledger_core::{
    entry::Custody,
    hash::Hash,
    state::addresses::{AddressesState, DealtState, addresses_key, dealt_key},
    unlinkable::{AddressEpoch, DealtRun},
};

use super::{error::ViewingError, kept::Kept};
use crate::{
    chest::Share as _,
    deposit::in_time,
    error::KeeperError,
    keeper::{Inner, Keeper},
    room::{self, Bounds, Room},
    shares::SharesError,
};

/// Kept are at most one share for each day of eleven years.
const BOUNDS: Bounds = Bounds { waiting: 4_096, waiting_of_account: 8, kept_of_account: 4_096 };

/// Whether a dealing may be recorded, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Next,
    Recorded,
}

impl Keeper {
    /// Takes the share that is sealed to this keeper; returns its signature over the dealing. Asked again it signs again.
    /// `signature` is that of the account's credential over [`viewing_deposit_message`].
    pub async fn deposit_viewing(
        &self,
        dealing: &[u8],
        sealed_share: &[u8],
        signature: &[u8; 64],
    ) -> Result<[u8; 64], ViewingError> {
        let dealing =
            Dealing::decode(dealing).map_err(|_error| ViewingError::Malformed { what: "dealing" })?;
        if dealing.chain_id != self.0.ledger.chain_id() {
            return Err(ViewingError::Malformed { what: "the dealing is for another ledger" });
        }
        let hash = dealing.hash();
        let message = viewing_deposit_message(&self.0.ledger.chain_id(), &hash);
        if !self.has_signed(&dealing.account, &message, signature).await? {
            return Err(ViewingError::Unsigned);
        }
        let _turn = self.0.turns.costly()?;
        let standing = self.dealing_standing(&dealing, &hash).await?;
        // Of a recorded one others may have left since.
        let keepers = self.keepers(&dealing.keepers, standing == Standing::Next).await;
        keepers.map_err(|error| match error {
            KeeperError::Keeper { index } => ViewingError::Keeper { index },
            error => error.into(),
        })?;
        let Dealing { account, first, last, expires_ms, .. } = dealing;
        let (inner, sealed_share) = (self.0.clone(), sealed_share.to_owned());
        let share = self.work(move || {
            let opened = ViewingShare::open(&dealing, &inner.id, &inner.sealing, &sealed_share);
            opened.map_err(ViewingError::Share)
        });
        let kept = Kept { expires_ms, share: share.await? };
        self.keep_viewing(kept, standing).await?;
        let run = DealtRun { account, first, last, dealing_hash: hash, expires_ms };
        Ok(run.acknowledge(&self.0.signing, &self.0.ledger.chain_id(), &self.0.id))
    }

    /// Keeps a share. Where there is no room, those of the account whose dealings are recorded by now make some: who deals the runs of
    /// many days waits for no round of ours.
    async fn keep_viewing(&self, kept: Kept, standing: Standing) -> Result<(), ViewingError> {
        let account = kept.place().account;
        let kept = Arc::new(kept);
        if let Room::Full { .. } = self.keep_viewing_now(kept.clone(), standing).await? {
            let waiting = self.on_disk(|inner| inner.viewing.store.waiting()).await?;
            for place in waiting.into_iter().filter(|place| place.account == account) {
                self.tend_waiting(place).await?;
            }
        }
        Ok(self.keep_viewing_now(kept, standing).await?.kept()?)
    }

    /// Keeps a share, or says why not.
    async fn keep_viewing_now(&self, kept: Arc<Kept>, standing: Standing) -> Result<Room, KeeperError> {
        self.alone(move |inner| keep(inner, &kept, standing)).await
    }

    /// Refuses a dealing that the ledger would not take now, unless it has taken it.
    async fn dealing_standing(&self, dealing: &Dealing, hash: &Hash) -> Result<Standing, ViewingError> {
        let (recorded, _) = self.state(&dealt_key(&dealing.account, dealing.first)).await?;
        let recorded = recorded.map(|value| DealtState::decode(&value)).transpose()?;
        if recorded.is_some_and(|recorded| recorded.dealing_hash == *hash) {
            return Ok(Standing::Recorded);
        }
        let (chosen, now_ms) = self.state(&addresses_key(&dealing.account)).await?;
        let chosen = chosen.map(|value| AddressesState::decode(&value)).transpose()?;
        let chosen = chosen.filter(|chosen| chosen.custody == Custody::Own).ok_or(ViewingError::NotOwn)?;
        in_time(Some(dealing.expires_ms), now_ms)?;
        let next = chosen.next_dealt().ok_or(ViewingError::Malformed { what: "no epoch is left" })?;
        if dealing.first != next {
            return Err(ViewingError::Gap { next, found: dealing.first });
        }
        if !AddressEpoch::new(chosen.epoch_ms, dealing.last).is_elapsed(now_ms) {
            return Err(ViewingError::UnderWay { last: dealing.last });
        }
        Ok(Standing::Next)
    }
}

/// Keeps a share if there is room.
fn keep(inner: &Inner, kept: &Kept, standing: Standing) -> Result<Room, SharesError> {
    let store = &inner.viewing.store;
    let room = room::keep(inner, store, kept, &BOUNDS, |_| true)?;
    // What is recorded waits for nothing.
    if matches!(room, Room::Kept) && standing == Standing::Recorded {
        store.settle(&kept.place())?;
    }
    Ok(room)
}
