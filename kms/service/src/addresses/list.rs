//! The addresses of an account that are known here, newest first.

use keyward_domain::Code;
use keyward_ledger_core::unlinkable::AddressEpoch;
use keyward_policies::Verb;
use keyward_store::{AddressAccount, AddressOrigin, AddressRow};

use super::ADDRESSES_MAX;
use crate::{caller::Caller, custody::Custody, failure::Failure};

/// Addresses of a page where none are said.
const PAGE: u32 = 64;

/// An address, and where it stands: `fresh`, `used` or `expired`.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) row: AddressRow,
    pub(crate) state: &'static str,
}

impl Listed {
    /// An address of an index signs in its own epoch alone; what was begun counts as used, though the ledger may not have it.
    pub(super) fn of(row: AddressRow, chosen: &AddressAccount, now_ms: u64) -> Self {
        let epoch = AddressEpoch::new(chosen.epoch_ms, row.new.epoch);
        let over = matches!(row.new.origin, AddressOrigin::Index(_)) && epoch.is_elapsed(now_ms);
        let state = match row.intent {
            Some(_) => "used",
            None if over => "expired",
            None => "fresh",
        };
        Self { row, state }
    }
}

impl Custody {
    /// A page of the account's addresses; `before_ms` 0 is the first.
    pub(crate) async fn list_addresses(
        &self,
        caller: &Caller,
        limit: u32,
        before_ms: u64,
    ) -> Result<Vec<Listed>, Failure> {
        let account = self.address_account(caller, Verb::AddressShow)?;
        let limit = if limit == 0 { PAGE } else { limit };
        if limit > ADDRESSES_MAX {
            let what = format!("a page of `{limit}` addresses is longer than `{ADDRESSES_MAX}`");
            return Err(Failure::new(Code::InvalidArgument, what));
        }
        let chosen = self.chosen_addresses(account).await?;
        let before_ms = if before_ms == 0 { u64::MAX } else { before_ms };
        let now_ms = self.clock.now_ms();
        let rows = self.store.addresses(account.0, before_ms, limit).await?;
        Ok(rows.into_iter().map(|row| Listed::of(row, &chosen, now_ms)).collect())
    }
}
