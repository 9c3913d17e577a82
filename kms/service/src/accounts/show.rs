//! Showing the caller's account.

use keyward_domain::Code;
use keyward_policies::Verb;
use keyward_store::Account;

use crate::{caller::Caller, custody::Custody, failure::Failure};

impl Custody {
    /// The person's account and how many keys it has.
    pub(crate) async fn show_account(&self, caller: &Caller) -> Result<(Account, usize), Failure> {
        let person = caller.person()?;
        self.authorise_account(caller, Verb::AccountShow, person.account)?;
        let row = self.store.account(person.account.0).await?;
        let row = row.ok_or_else(|| Failure::new(Code::AccountUnknown, "no such account"))?;
        let keys = self.store.keys(person.account.0).await?.len();
        Ok((row, keys))
    }
}
