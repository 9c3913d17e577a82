//! Looking after shares of closed epochs: what is recorded stays, what nobody recorded goes, and what belongs to a closed account
//! goes once its tenant's audit terms keep it no more.

use keyward_ledger_core::{
    entry::AuditTerms,
    hash::Hash,
    state::{
        addresses::{AddressesState, DealtState, addresses_key, dealt_key},
        audit::{AuditState, audit_key},
    },
};

use super::{error::ViewingError, place::Place};
use crate::{error::KeeperError, keeper::Keeper, shares::SharesError};

/// Accounts of the kept shares that a round looks at, and the rest of those that begin alike.
const SWEEP_MIN: usize = 256;

/// What becomes of a share that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its dealing is recorded.
    Recorded,
    /// It is not recorded in the state of this time.
    Waits(u64),
    /// Others were recorded in its place.
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
            let viewing = &inner.viewing;
            viewing.sweep.next(SWEEP_MIN, |first| viewing.store.accounts(first))
        });
        for account in accounts.await? {
            if self.is_over(&account).await? {
                self.erase_all_of(account).await?;
            }
        }
        broken.map_or(Ok(()), Err)
    }

    /// Keeps, leaves or erases a share that waits, by final state.
    pub(super) async fn tend_waiting(&self, place: Place) -> Result<(), ViewingError> {
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
                    // Final state is past the end without it: the ledger takes it no more.
                    Ok(kept) => kept.is_some_and(|kept| now_ms > kept.expires_ms),
                },
            };
            if over { store.erase(&place) } else { Ok(()) }
        });
        Ok(done.await?)
    }

    async fn viewing_fate(&self, place: &Place) -> Result<Fate, ViewingError> {
        let (recorded, now_ms) = self.state(&dealt_key(&place.account, place.first)).await?;
        let recorded = recorded.map(|value| DealtState::decode(&value)).transpose()?;
        Ok(match recorded {
            None => Fate::Waits(now_ms),
            Some(recorded) if recorded.dealing_hash == place.hash => Fate::Recorded,
            Some(_other) => Fate::Over,
        })
    }

    /// Whether nothing of an account can be opened any more: it is closed, and its tenant's audit terms keep it no more. Of one that the
    /// ledger does not know nothing is decided.
    async fn is_over(&self, account: &Hash) -> Result<bool, ViewingError> {
        let (value, now_ms) = self.state(&addresses_key(account)).await?;
        let Some(of) = value.map(|value| AddressesState::decode(&value)).transpose()? else {
            return Ok(false);
        };
        let Some(closed_ms) = of.closed_ms else { return Ok(false) };
        Ok(match self.terms_of(&of.tenant).await? {
            // Terms from before `now_ms` may have been lengthened since.
            (Some(terms), terms_ms) => terms_ms >= now_ms && of.is_over(&terms, now_ms),
            // Nobody could ever ask, unless this is state from before it was closed.
            (None, of_ms) => of_ms >= closed_ms,
        })
    }

    /// A tenant's audit terms, and the time of the state that says so.
    pub(super) async fn terms_of(&self, tenant: &Hash) -> Result<(Option<AuditTerms>, u64), ViewingError> {
        let (value, time_ms) = self.state(&audit_key(tenant)).await?;
        let published = value.map(|value| AuditState::decode(&value)).transpose()?;
        Ok((published.map(|published| published.terms), time_ms))
    }

    async fn erase_all_of(&self, account: Hash) -> Result<(), ViewingError> {
        let erased = self.alone(move |inner| {
            let store = &inner.viewing.store;
            store.of_account(&account)?.iter().try_for_each(|place| store.erase(place))
        });
        Ok(erased.await?)
    }
}
