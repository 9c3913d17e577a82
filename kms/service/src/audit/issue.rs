//! Issuing a grant: the ledger counts the approvals, and the service refuses those that one person gave twice; once more when it is opened, for
//! another service may have issued it, which knows other persons, and the last approval may have come at that moment.

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{AuditAct, Entry},
    state::audit::{AuditGrantState, AuditGrantStatus},
};
use keyward_store::{Change, Id};

use super::act_of;
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

    /// Refuses to open what approvals of one person, or of who asks, were used up for. Who approved is to be seen while the case's time
    /// lasts: that somebody looked then is remembered.
    pub(super) async fn check_issued(&self, caller: &Caller, found: &AuditGrantState) -> Result<(), Failure> {
        let (grant, record) = (found.grant.id, self.ledger.record(found.issued_leaf).await?);
        let entry = Entry::decode(record.entry()).map_err(Failure::internal)?;
        let Some((AuditAct::Issue { case, .. }, _)) = act_of(&entry) else {
            return Err(Failure::internal("a grant that no entry has issued"));
        };
        let looked_at = self.store.is_grant_looked_at(grant).await?;
        match self.check_approvers_used(caller, case, record.as_ref()).await {
            Ok(()) if looked_at => Ok(()),
            Ok(()) => Ok(self.store.apply(vec![Change::LookedAtGrant(grant)]).await?),
            Err(failure) if failure.code == Code::ApprovalUnsigned && looked_at => Ok(()),
            Err(failure) if failure.code == Code::ApprovalUnsigned => {
                let what = "it was issued elsewhere, and it is not to be seen any more whether one person approved twice: ask for another";
                Err(Failure::new(Code::GrantState, what))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The same right after it was issued, while its approvers are to be seen for sure.
    pub(super) async fn look_at_issued(&self, caller: &Caller, grant: &Id) {
        let looked = async { self.check_issued(caller, &self.own_grant(grant).await?).await };
        if let Err(failure) = looked.await {
            tracing::warn!(%failure, "a grant was issued whose approvers are looked at again when it is opened");
        }
    }
}
