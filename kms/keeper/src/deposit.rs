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
    keeper::{Keeper, unreadable},
    place::Place,
    room::{Bounds, Room, keep},
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
/// The ledger does not bound an account's vaults.
const BOUNDS: Bounds =
    Bounds { waiting: PENDING_MAX, waiting_of_account: PENDING_OF_ACCOUNT_MAX, kept_of_account: 64 };

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
        let message = vault_deposit_message(&self.0.ledger.chain_id(), &hash);
        if !self.has_signed(&sealing.vault.owner, &message, signature).await? {
            return Err(KeeperError::Unsigned);
        }
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

    /// Whether the present credential of an open account has signed a message: nobody fills our disk in another's name.
    pub(crate) async fn has_signed(
        &self,
        account: &Hash,
        message: &[u8],
        signature: &[u8; 64],
    ) -> Result<bool, KeeperError> {
        let key = self.credential(account).await?;
        Ok(key.is_some_and(|key| ed25519::verify(&key, message, signature).is_ok()))
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
        self.keep_now(held).await?.kept()
    }

    /// Keeps a share, or says why not.
    async fn keep_now(&self, held: Arc<Held>) -> Result<Room, KeeperError> {
        // Shares of renewals are counted where they are taken: neither takes the other's room.
        let is_rival = |other: &Place| other.share_version == 1;
        self.alone(move |inner| keep(inner, &inner.shares, &held, &BOUNDS, is_rival)).await
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
