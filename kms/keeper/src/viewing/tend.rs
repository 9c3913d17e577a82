//! Looking after shares of closed epochs: what is recorded stays, what nobody recorded goes, and what belongs to a closed account
//! goes too, for nothing of it is opened any more.

use std::sync::{Mutex, PoisonError};

use keyward_ledger_core::{
    hash::Hash,
    state::{
        addresses::{DealtState, dealt_key},
        layout::{AccountState, account_key},
    },
};

use super::{error::ViewingError, place::Place};
use crate::{deposit::PENDING_MS, error::KeeperError, keeper::Keeper, shares::SharesError};

/// Accounts of the kept shares that a round looks at, and the rest of those that begin alike.
const SWEEP_MIN: usize = 256;

/// Where the round over all kept shares stands.
#[derive(Debug, Default)]
pub(crate) struct Sweep(Mutex<u8>);

impl Sweep {
    /// Takes the next byte that accounts begin with.
    fn next(&self) -> u8 {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = *first;
        *first = found.wrapping_add(1);
        found
    }
}

/// What becomes of a share that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its dealing is recorded.
    Recorded,
    /// Its dealing may be recorded yet; the time of the state that says so.
    Waits(u64),
    /// Others were recorded in its place, or its account is closed.
    Over,
}

impl Keeper {
    /// Looks at the shares that wait, and at a part of the accounts of those that are kept.
    pub(crate) async fn tend_viewing(&self) -> Result<(), ViewingError> {
        let mut broken = None;
        for place in self.on_disk(|inner| inner.viewing.store.waiting()).await? {
            match self.tend_waiting(place).await {
                Ok(()) => {}
                // Without the ledger there is nothing to do for the others either.
                Err(error @ ViewingError::Other(KeeperError::Ledger(_))) => return Err(error),
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        let accounts = self.on_disk(|inner| {
            let (viewing, mut accounts) = (&inner.viewing, Vec::new());
            for _ in u8::MIN..=u8::MAX {
                if accounts.len() >= SWEEP_MIN {
                    break;
                }
                accounts.extend(viewing.store.accounts(viewing.sweep.next())?);
            }
            Ok(accounts)
        });
        for account in accounts.await? {
            if self.is_closed(&account).await? {
                self.erase_all_of(account).await?;
            }
        }
        broken.map_or(Ok(()), Err)
    }

    /// Keeps, leaves or erases a share that waits, by final state.
    async fn tend_waiting(&self, place: Place) -> Result<(), ViewingError> {
        let fate = self.viewing_fate(&place).await?;
        let done = self.alone(move |inner| {
            let store = &inner.viewing.store;
            let over = match fate {
                Fate::Recorded => return store.settle(&place),
                Fate::Over => true,
                Fate::Waits(now_ms) => match store.load(&place) {
                    Err(error @ SharesError::Io { .. }) => return Err(error),
                    // Nobody can use what does not open.
                    Err(_damaged) => true,
                    Ok(kept) => kept.is_some_and(|kept| now_ms > kept.kept_ms.saturating_add(PENDING_MS)),
                },
            };
            if over { store.erase(&place) } else { Ok(()) }
        });
        Ok(done.await?)
    }

    async fn viewing_fate(&self, place: &Place) -> Result<Fate, ViewingError> {
        if self.is_closed(&place.account).await? {
            return Ok(Fate::Over);
        }
        let (recorded, now_ms) = self.state(&dealt_key(&place.account, place.first)).await?;
        let recorded = recorded.map(|value| DealtState::decode(&value)).transpose()?;
        Ok(match recorded {
            None => Fate::Waits(now_ms),
            Some(recorded) if recorded.dealing_hash == place.hash => Fate::Recorded,
            Some(_other) => Fate::Over,
        })
    }

    /// Whether the ledger has closed an account; of one that it does not know nothing is decided.
    async fn is_closed(&self, account: &Hash) -> Result<bool, ViewingError> {
        let (value, _) = self.state(&account_key(account)).await?;
        let account = value.map(|value| AccountState::decode(&value)).transpose()?;
        Ok(account.is_some_and(|account| !account.open))
    }

    async fn erase_all_of(&self, account: Hash) -> Result<(), ViewingError> {
        let erased = self.alone(move |inner| {
            let store = &inner.viewing.store;
            store.of_account(&account)?.iter().try_for_each(|place| store.erase(place))
        });
        Ok(erased.await?)
    }
}
