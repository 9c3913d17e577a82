//! What audit grants need: who has addresses, and what opens the epochs of a hosted root.

use std::ops::RangeInclusive;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use keyward_crypto::unlinkable::ViewingCover;
use keyward_domain::AccountId;
use keyward_ledger_core::entry::AuditTerms;
use keyward_store::{AddressAccount, AddressState, Id};

use crate::{custody::Custody, failure::Failure};

/// Accounts of one page.
const PAGE: u32 = 1024;
/// Closed accounts that the ledger is asked about at once.
const ASKED_AT_ONCE: usize = 16;

impl Custody {
    /// What opens these epochs of an account, and no others. The root must be hosted; of a closed account what is kept opens them.
    pub(crate) async fn viewing_cover(
        &self,
        account: AccountId,
        epochs: RangeInclusive<u32>,
    ) -> Result<ViewingCover, Failure> {
        let row = self.store.address_account(account.0).await?;
        if let Some(row) = row.filter(|row| row.state == AddressState::Kept) {
            let part = self.kept_cover(&row).await?.within(epochs);
            return part.ok_or_else(|| Failure::internal("an epoch that a closed account did not see"));
        }
        let (_, root) = self.hosted_addresses(account).await?;
        Ok(ViewingCover::of(&root, epochs))
    }

    /// The tenant's accounts that have chosen addresses, ascending: open ones, and closed ones of which something can be opened.
    pub(crate) async fn accounts_with_addresses(&self) -> Result<Vec<Id>, Failure> {
        let (mut all, mut after) = (Vec::new(), [0; 32]);
        let terms = self.audit_terms().await?.map(|published| published.terms);
        loop {
            let page = self.store.address_accounts(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.account;
            let asked: Vec<_> = page.iter().map(|row| self.can_be_opened(row, terms.as_ref())).collect();
            let can_be = stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect::<Vec<_>>().await?;
            all.extend(page.iter().zip(can_be).filter(|(_, can_be)| *can_be).map(|(row, _)| row.account));
        }
    }

    /// Whether something of an account can still be opened: of a closed one the ledger knows.
    async fn can_be_opened(&self, row: &AddressAccount, terms: Option<&AuditTerms>) -> Result<bool, Failure> {
        match terms {
            Some(terms) if row.state == AddressState::Kept => {
                Ok(!self.is_kept_no_more(&row.account, terms).await?)
            }
            _ => Ok(true),
        }
    }
}
