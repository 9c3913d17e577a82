//! Closings that upkeep follows: what the token could not seal with one is sealed later, and the ledger is asked for those that came by
//! way of other services, of which nobody here has heard.

use keyward_domain::Code;
use keyward_ledger_core::state::layout::{AccountState as LedgerAccount, account_key};
use keyward_store::{AccountState, AddressState, Id};

use super::kept::LOOKED_AT;
use crate::{custody::Custody, failure::Failure};

impl Custody {
    /// Seals what is kept of the addresses of an account that is closed. What fails waits for upkeep: the account is closed all the same.
    pub(crate) async fn keep_closed(&self, account: Id) {
        if let Err(failure) = self.try_keep_closed(account).await {
            tracing::warn!(%failure, "what is kept of a closed account's addresses is sealed later");
        }
    }

    async fn try_keep_closed(&self, account: Id) -> Result<(), Failure> {
        let kept = async { Ok(self.store.apply(self.closing_addresses(account).await?).await?) }.await;
        // What the token opened for that is not to stay.
        self.roots.forget(&account);
        kept
    }

    /// Whether what is kept of the addresses of an account that is closed waits to be sealed, as far as anybody can tell now.
    pub(crate) async fn keeping_waits(&self, account: Id) -> bool {
        let row = self.store.address_account(account).await;
        row.map_or(true, |row| row.is_some_and(|row| row.state == AddressState::Chosen))
    }

    /// Seals what waits of accounts that are closed, some at each look.
    pub(crate) async fn keep_orphaned_addresses(&self) -> Result<(), Failure> {
        let after = self.orphan_round.begins();
        let rows = self.store.chosen_address_accounts(AccountState::Closed, after, LOOKED_AT).await?;
        self.orphan_round.goes_on(&rows);
        let mut last = Ok(());
        for row in rows {
            // One that fails does not keep the others.
            if let Err(failure) = self.try_keep_closed(row.account).await {
                last = Err(failure);
            }
        }
        last
    }

    /// Asks the ledger whether accounts with addresses are closed by now, some at each look, and follows.
    pub(crate) async fn look_for_closings(&self) -> Result<(), Failure> {
        let after = self.closing_round.begins();
        let rows = self.store.chosen_address_accounts(AccountState::Open, after, LOOKED_AT).await?;
        let mut last = Ok(());
        for row in &rows {
            match self.follow_if_closed(row.account).await {
                // Without the ledger the others cannot be asked for either: they are the next.
                Err(failure) if failure.code == Code::LedgerUnavailable => return Err(failure),
                Err(failure) => last = Err(failure),
                Ok(()) => {}
            }
        }
        self.closing_round.goes_on(&rows);
        last
    }

    /// A validator that lags shows the account open, or not at all: never closed if it is not.
    async fn follow_if_closed(&self, account: Id) -> Result<(), Failure> {
        let Some(value) = self.ledger.proven(account_key(&account)).await?.value else { return Ok(()) };
        if LedgerAccount::decode(&value).map_err(Failure::internal)?.open {
            return Ok(());
        }
        tracing::info!("an account was closed by way of another service: it is closed here too");
        self.follow_closing(account).await
    }
}
