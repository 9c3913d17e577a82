//! Terms: how far a grant may reach, and who approves it.

use keyward_domain::Code;
use keyward_ledger_core::entry::PublishAudit;

use crate::{caller::Caller, custody::Custody, failure::Failure, hex::hex, policies::own_tenant};

impl Custody {
    pub(super) async fn check_terms(&self, caller: &Caller, publish: &PublishAudit) -> Result<(), Failure> {
        if publish.tenant != own_tenant(&self.tenant) {
            return Err(Failure::new(Code::AuditTenantOther, "the entry publishes terms for another tenant"));
        }
        if !publish.terms.is_sound() {
            return Err(Failure::new(Code::RuleInvalid, "each bound of audit terms is at least 1"));
        }
        let before = self.audit_terms().await?;
        let next = before.map_or(1, |before| before.version.saturating_add(1));
        if publish.version != next {
            let what = format!("version {} does not follow: the next one is {next}", publish.version);
            return Err(Failure::new(Code::RuleVersion, what));
        }
        match (before, &publish.case) {
            (_, Some(case)) => self.check_approvers(caller, case).await,
            (None, None) => Ok(()),
            (Some(before), None) => {
                let rule = hex(&before.rule);
                let what = format!("the rule {rule} approves version {next}, and the entry names no case");
                Err(Failure::new(Code::ApprovalsMissing, what))
            }
        }
    }
}
