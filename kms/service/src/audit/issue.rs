//! Issuing a grant: the ledger counts the approvals, and the service refuses those that one person gave twice.

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::state::audit::AuditGrantStatus;
use keyward_store::Id;

use crate::{caller::Caller, custody::Custody, failure::Failure};

impl Custody {
    pub(super) async fn check_issue(
        &self,
        caller: &Caller,
        account: AccountId,
        (grant, case): (&Id, &Id),
    ) -> Result<(), Failure> {
        let found = self.grant_of(grant, account).await?;
        if found.status != AuditGrantStatus::Requested {
            let what = format!("the grant is {} and does not wait to be issued", found.status.name());
            return Err(Failure::new(Code::GrantState, what));
        }
        self.check_approvers(caller, case).await
    }
}
