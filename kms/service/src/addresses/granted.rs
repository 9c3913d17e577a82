//! What audit grants need: who has addresses, and what opens the epochs of a hosted root.

use std::ops::RangeInclusive;

use keyward_crypto::unlinkable::ViewingCover;
use keyward_domain::AccountId;
use keyward_store::Id;

use crate::{custody::Custody, failure::Failure};

/// Accounts of one page.
const PAGE: u32 = 1024;

impl Custody {
    /// What opens these epochs of an account, and no others. The root must be hosted, and the account open.
    pub(crate) async fn viewing_cover(
        &self,
        account: AccountId,
        epochs: RangeInclusive<u32>,
    ) -> Result<ViewingCover, Failure> {
        let (_, root) = self.hosted_addresses(account).await?;
        Ok(ViewingCover::of(&root, epochs))
    }

    /// The tenant's open accounts that have chosen addresses, ascending.
    pub(crate) async fn accounts_with_addresses(&self) -> Result<Vec<Id>, Failure> {
        let (mut all, mut after) = (Vec::new(), [0; 32]);
        loop {
            let page = self.store.address_accounts(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.account;
            all.extend(page.into_iter().map(|row| row.account));
        }
    }
}
