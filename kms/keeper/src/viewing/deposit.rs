//! Taking a share of closed epochs: signed for by its account, opened, held against the dealing, kept, and only then
//! acknowledged.

use keyward_crypto::viewing::{Dealing, ViewingShare};
use keyward_domain::viewing_deposit_message;
use keyward_ledger_core::{
    ed25519,
    entry::Custody,
    hash::Hash,
    state::addresses::{AddressesState, DealtState, addresses_key, dealt_key},
    unlinkable::{AddressEpoch, DealtRun},
};

use super::{error::ViewingError, kept::Kept};
use crate::{
    chest::Share as _,
    deposit::{in_time, too_few_bytes},
    error::KeeperError,
    keeper::{Inner, Keeper},
    shares::SharesError,
};

/// Shares that wait for their dealings to become final at most. Each is a promise that somebody may rely on, so none is dropped
/// for another; those that nobody recorded in time are.
const WAITING_MAX: usize = 4_096;
/// Shares of one account that wait at most.
const WAITING_OF_ACCOUNT_MAX: usize = 8;
/// Shares of one account that are kept at most: one for each day of eleven years.
const KEPT_OF_ACCOUNT_MAX: usize = 4_096;

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
        self.dealing_signed(&dealing, &hash, signature).await?;
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
        match self.alone(move |inner| keep(inner, &kept, standing)).await? {
            Room::Kept => {}
            Room::Full { waiting } => return Err(KeeperError::Full { waiting }.into()),
            Room::NoDisk { free_bytes } => return Err(KeeperError::NoDisk { free_bytes }.into()),
        }
        let run = DealtRun { account, first, last, dealing_hash: hash, expires_ms };
        Ok(run.acknowledge(&self.0.signing, &self.0.ledger.chain_id(), &self.0.id))
    }

    /// Refuses what the present credential of an open account has not signed: nobody fills our disk in another's name.
    async fn dealing_signed(
        &self,
        dealing: &Dealing,
        hash: &Hash,
        signature: &[u8; 64],
    ) -> Result<(), ViewingError> {
        let key = self.credential(&dealing.account).await?.ok_or(ViewingError::Unsigned)?;
        let message = viewing_deposit_message(&self.0.ledger.chain_id(), hash);
        ed25519::verify(&key, &message, signature).map_err(|_error| ViewingError::Unsigned)
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

/// Whether there was room for a share.
enum Room {
    /// It is kept.
    Kept,
    /// So many are held already.
    Full { waiting: usize },
    /// The disk is nearly full.
    NoDisk { free_bytes: u64 },
}

/// Keeps a share if there is room. One that is kept already is not written again, unless it cannot be read any more.
fn keep(inner: &Inner, kept: &Kept, standing: Standing) -> Result<Room, SharesError> {
    let (store, place) = (&inner.viewing.store, kept.place());
    match store.load(&place) {
        Err(error @ SharesError::Io { .. }) => return Err(error),
        Err(error) => tracing::warn!(%error, "a share that cannot be read is replaced"),
        Ok(Some(_)) => return Ok(Room::Kept),
        Ok(None) => {}
    }
    if let Some(free_bytes) = too_few_bytes(inner) {
        return Ok(Room::NoDisk { free_bytes });
    }
    let (waiting, held) = (store.waiting()?, store.of_account(&place.account)?.len());
    let others: Vec<_> = waiting.into_iter().filter(|other| *other != place).collect();
    let alike = others.iter().filter(|other| other.account == place.account).count();
    if held >= KEPT_OF_ACCOUNT_MAX || alike >= WAITING_OF_ACCOUNT_MAX || others.len() >= WAITING_MAX {
        return Ok(Room::Full { waiting: alike.max(others.len()) });
    }
    store.keep(kept)?;
    // What is recorded waits for nothing.
    if standing == Standing::Recorded {
        store.settle(&place)?;
    }
    Ok(Room::Kept)
}
