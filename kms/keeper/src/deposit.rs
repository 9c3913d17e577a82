//! Taking a share: signed for by its account, opened, held against the sealing, kept, and only then acknowledged.

use std::sync::Arc;

use keyward_crypto::vault::KeeperShare;
use keyward_domain::vault_deposit_message;
use keyward_ledger_core::{
    ed25519,
    hash::Hash,
    state::layout::{AccountState, CredentialState, account_key, credential_key},
    vault::{Sealing, acknowledge},
};

use crate::{
    error::KeeperError,
    facts::{Dealt, checked},
    held::{Bond, Held},
    keeper::{Inner, Keeper, unreadable},
    place::Place,
    shares::SharesError,
};

/// Shares that wait for their sealing to become final at most. Each is a promise that somebody may rely on, so none is
/// dropped for another; those that nobody sealed within [`PENDING_MS`] are.
pub const PENDING_MAX: usize = 4_096;
/// Shares of one account that wait at most.
pub const PENDING_OF_ACCOUNT_MAX: usize = 8;
/// How long a share waits for its sealing after it was first acknowledged, in milliseconds of ledger time: a day.
pub const PENDING_MS: u64 = 24 * 60 * 60 * 1_000;
/// How far ahead the end of a sealing or dealing may lie at most, in milliseconds of ledger time: never after its share is dropped,
/// so that none is recorded whose shares are gone.
pub const EXPIRES_MAX_MS: u64 = PENDING_MS / 2;
/// Shares of one account that are kept at most: the ledger does not bound its vaults.
const KEPT_OF_ACCOUNT_MAX: usize = 64;
/// Shares are taken while so many bytes are free at least: where the validator beside it begins to warn, and eight times
/// what it needs to go on.
const FREE_BYTES_MIN: u64 = 256 << 20;

impl Keeper {
    /// Takes the share that is sealed to this keeper; returns its signature over the sealing. Asked again it signs again.
    /// `signature` is that of the account's credential over [`vault_deposit_message`].
    pub async fn deposit(
        &self,
        sealing: &[u8],
        sealed_share: &[u8],
        signature: &[u8; 64],
    ) -> Result<[u8; 64], KeeperError> {
        let sealing =
            Sealing::decode(sealing).map_err(|_error| KeeperError::Malformed { what: "sealing" })?;
        if !sealing.is_sound() {
            return Err(KeeperError::Malformed { what: "terms of the sealing" });
        }
        let hash = sealing.hash();
        self.signed_for(&sealing.vault.owner, &hash, signature).await?;
        let _turn = self.0.turns.costly()?;
        let (vault, now_ms) = self.live(&sealing.vault).await?;
        in_time(sealing.expires_ms, now_ms)?;
        let next = vault.map_or(1, |vault| vault.version.saturating_add(1));
        if sealing.version != next {
            return Err(KeeperError::Version { next, found: sealing.version });
        }
        let keepers = self.keepers(&sealing.shares.keepers, true).await?;
        let facts = self.facts(&sealing, &Dealt { hash, share_version: 1, shares: &sealing.shares }, keepers);
        let (inner, sealed_share) = (self.0.clone(), sealed_share.to_owned());
        let share = self.work(move || {
            let share = KeeperShare::open(&checked(facts)?, &inner.id, &inner.sealing, &sealed_share);
            share.map_err(KeeperError::Share)
        });
        let share = share.await?;
        let (place, index) = (Place::of(share.shares()), share.index());
        self.keep(Held { place, kept_ms: now_ms, bond: Bond::Sealed, share }).await?;
        Ok(acknowledge(&self.0.signing, &self.0.ledger.chain_id(), &hash, index))
    }

    /// Whether an account is open.
    pub(crate) async fn is_open(&self, account: &Hash) -> Result<bool, KeeperError> {
        let (value, _) = self.state(&account_key(account)).await?;
        let found = value.map(|value| AccountState::decode(&value)).transpose().map_err(unreadable)?;
        Ok(found.is_some_and(|account| account.open))
    }

    /// The present credential of an account, if that is open.
    pub(crate) async fn credential(&self, account: &Hash) -> Result<Option<Hash>, KeeperError> {
        if !self.is_open(account).await? {
            return Ok(None);
        }
        let (value, _) = self.state(&credential_key(account)).await?;
        let credential =
            value.map(|value| CredentialState::decode(&value)).transpose().map_err(unreadable)?;
        Ok(credential.map(|credential| credential.public_key))
    }

    /// Refuses what the present credential of an open account has not signed: nobody fills our disk in another's name.
    async fn signed_for(
        &self,
        account: &Hash,
        sealing: &Hash,
        signature: &[u8; 64],
    ) -> Result<(), KeeperError> {
        let key = self.credential(account).await?.ok_or(KeeperError::Unsigned)?;
        let message = vault_deposit_message(&self.0.ledger.chain_id(), sealing);
        ed25519::verify(&key, &message, signature).map_err(|_error| KeeperError::Unsigned)
    }

    /// Keeps a share that waits for its sealing. Where there is no room, those of the account whose sealing is final by now make some.
    async fn keep(&self, held: Held) -> Result<(), KeeperError> {
        let held = Arc::new(held);
        if let Room::Full { .. } = self.keep_now(held.clone()).await? {
            let waiting = self.on_disk(|inner| inner.shares.waiting()).await?;
            let mut vaults: Vec<_> = waiting.iter().map(Place::vault).collect();
            vaults.retain(|vault| vault.owner == held.place.account);
            vaults.dedup();
            for name in vaults {
                self.tidy_up(&name, &waiting).await?;
            }
        }
        match self.keep_now(held).await? {
            Room::Kept => Ok(()),
            Room::Full { held } => Err(KeeperError::Full { waiting: held }),
            Room::NoDisk { free_bytes } => Err(KeeperError::NoDisk { free_bytes }),
        }
    }

    /// Keeps a share, or says why not.
    async fn keep_now(&self, held: Arc<Held>) -> Result<Room, KeeperError> {
        self.alone(move |inner| keep(inner, &held)).await
    }
}

/// Refuses what can be recorded no more, and what could be recorded after its share was dropped here.
pub(crate) fn in_time(expires_ms: Option<u64>, now_ms: u64) -> Result<(), KeeperError> {
    let latest_ms = now_ms.saturating_add(EXPIRES_MAX_MS);
    match expires_ms {
        Some(expires_ms) if (now_ms..=latest_ms).contains(&expires_ms) => Ok(()),
        _ => Err(KeeperError::Expiry { now_ms, latest_ms }),
    }
}

/// Whether there was room for a share.
enum Room {
    /// It is kept.
    Kept,
    /// So many are held already.
    Full { held: usize },
    /// The disk is nearly full.
    NoDisk { free_bytes: u64 },
}

/// Keeps a share if there is room. One that is kept already is not written again, unless it cannot be read any more, and
/// does not begin to wait anew: else whoever repeats deposits would keep places taken for ever.
fn keep(inner: &Inner, held: &Held) -> Result<Room, SharesError> {
    let place = &held.place;
    match inner.shares.load(place) {
        Err(error @ SharesError::Io { .. }) => return Err(error),
        Err(error) => tracing::warn!(%error, "a share that cannot be read is replaced"),
        Ok(Some(_)) => return Ok(Room::Kept),
        Ok(None) => {}
    }
    if let Some(free_bytes) = too_few_bytes(inner) {
        return Ok(Room::NoDisk { free_bytes });
    }
    // Shares of renewals are counted where they are taken: neither takes the other's room.
    let waiting = inner.shares.waiting()?.into_iter().filter(|other| other.share_version == 1);
    let others: Vec<_> = waiting.filter(|other| other != place).collect();
    let kept = inner.shares.of_account(&place.account)?.len();
    if kept >= KEPT_OF_ACCOUNT_MAX {
        return Ok(Room::Full { held: kept });
    }
    let alike = others.iter().filter(|other| other.account == place.account).count();
    if alike >= PENDING_OF_ACCOUNT_MAX || others.len() >= PENDING_MAX {
        return Ok(Room::Full { held: alike.max(others.len()) });
    }
    inner.shares.keep(held).map(|()| Room::Kept)
}

/// How many bytes are free, when they are too few to take another share.
pub(crate) fn too_few_bytes(inner: &Inner) -> Option<u64> {
    inner.shares.free_bytes().filter(|free_bytes| *free_bytes < FREE_BYTES_MIN)
}
