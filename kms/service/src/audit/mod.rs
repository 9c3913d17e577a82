//! Audits: terms, grants and openings are handed in as people signed them; packages leave once the ledger has their openings.
//!
//! INVARIANT: nothing here decides what a grant opens: the ledger does, by the approvers' own signatures and by each opening's
//! record. No package leaves before a record that says so is final and accepted, each time anew: what was revoked or has expired
//! delivers nothing more, whenever it was opened. Packages are not kept.

pub(crate) mod hand_in;
mod issue;
pub(crate) mod open;
mod publish;
mod request;
pub(crate) mod show;

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{Act, AuditAct, Authored, Entry, Party},
    state::{
        audit::{AuditGrantState, AuditGrantStatus, AuditState, audit_grant_key, audit_key},
        layout::{ApprovalState, approval_key},
    },
};
use keyward_store::Id;

use crate::{custody::Custody, failure::Failure, policies::own_tenant};

/// The act of an entry about audits, and its one author.
fn act_of(entry: &Entry) -> Option<(&AuditAct, Party)> {
    let Entry::Authored(Authored { act: Act::Audit(act), authors }) = entry else { return None };
    match authors.as_slice() {
        [author] => Some((act, author.party)),
        _ => None,
    }
}

fn malformed(why: impl Into<String>) -> Failure {
    Failure::new(Code::AuditRequestMalformed, why)
}

fn unknown() -> Failure {
    Failure::new(Code::GrantUnknown, "no such grant of this tenant in which you have a part")
}

impl Custody {
    /// The tenant's terms as the ledger has them.
    pub(crate) async fn audit_terms(&self) -> Result<Option<AuditState>, Failure> {
        let value = self.ledger.state(audit_key(&own_tenant(&self.tenant))).await?;
        value.map(|value| AuditState::decode(&value).map_err(Failure::internal)).transpose()
    }

    /// A grant of this tenant as the ledger has it.
    async fn own_grant(&self, grant: &Id) -> Result<AuditGrantState, Failure> {
        let value = self.ledger.state(audit_grant_key(grant)).await?;
        let found = AuditGrantState::decode(&value.ok_or_else(unknown)?).map_err(Failure::internal)?;
        if found.grant.tenant != own_tenant(&self.tenant) {
            let what = "the grant is for another tenant, whose accounts are not here";
            return Err(Failure::new(Code::AuditTenantOther, what));
        }
        Ok(found)
    }

    /// The same of a grant that the account has asked for.
    async fn grant_of(&self, grant: &Id, grantee: AccountId) -> Result<AuditGrantState, Failure> {
        let found = self.own_grant(grant).await?;
        if found.grantee == grantee.0 { Ok(found) } else { Err(unknown()) }
    }

    /// Whether the account is one of those who approve the tenant's grants now.
    async fn approves_grants(&self, own: AccountId) -> Result<bool, Failure> {
        let Some(terms) = self.audit_terms().await? else { return Ok(false) };
        let Some(rule) = self.ledger.state(approval_key(&terms.rule)).await? else { return Ok(false) };
        let rule = ApprovalState::decode(&rule).map_err(Failure::internal)?;
        let members: Vec<_> = rule.terms.groups.iter().flat_map(|group| group.members.clone()).collect();
        self.spoke(&members, own).await
    }
}

/// Refuses what the ledger would refuse of a grant that is not in force at this time.
fn check_in_force(found: &AuditGrantState, time_ms: u64) -> Result<(), Failure> {
    match found.status {
        AuditGrantStatus::Issued if time_ms < found.grant.expires_ms => Ok(()),
        AuditGrantStatus::Issued => {
            Err(Failure::new(Code::GrantExpired, format!("the grant ended at `{}`", found.grant.expires_ms)))
        }
        status => Err(Failure::new(Code::GrantState, format!("the grant is {}", status.name()))),
    }
}
