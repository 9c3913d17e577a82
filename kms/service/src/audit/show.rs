//! Showing terms and grants, as the ledger proves them, to those who have a part in them.

use keyward_domain::AccountId;
use keyward_ledger_core::state::{
    audit::{AuditState, audit_grant_key, audit_key},
    layout::approval_key,
};
use keyward_policies::{Verb, tenant_id};
use keyward_store::Id;

use super::{check_in_force, unknown};
use crate::{
    caller::Caller, custody::Custody, failure::Failure, policies::own_tenant, vaults::floods::Flood,
};

/// Grants of one page.
const LISTED_MAX: u32 = 256;

/// A tenant's terms, proven; with the rule, if there are any.
#[derive(Debug)]
pub(crate) struct ShownTerms {
    pub(crate) tenant: Id,
    pub(crate) terms: Vec<u8>,
    pub(crate) rule: Vec<u8>,
}

/// A grant that was asked for here.
#[derive(Debug)]
pub(crate) struct ListedGrant {
    pub(crate) grant: Id,
    pub(crate) purpose: String,
    pub(crate) grantee: Id,
    pub(crate) requested_ms: u64,
}

/// A grant, proven; its purpose where it was asked for here.
#[derive(Debug)]
pub(crate) struct ShownGrant {
    pub(crate) grant: Vec<u8>,
    pub(crate) purpose: String,
}

impl Custody {
    /// The terms of a tenant, by its name; of the service's own without one.
    pub(crate) async fn show_audit_terms(
        &self,
        caller: &Caller,
        tenant: &str,
    ) -> Result<ShownTerms, Failure> {
        let _permit = self.permit()?;
        self.authorise_tenant(caller, Verb::LedgerRead)?;
        let tenant = if tenant.is_empty() { own_tenant(&self.tenant) } else { tenant_id(tenant) };
        let proven = self.ledger.proven(audit_key(&tenant)).await?;
        let rule = match &proven.value {
            Some(value) => {
                let terms = AuditState::decode(value).map_err(Failure::internal)?;
                self.ledger.proven(approval_key(&terms.rule)).await?.receipt
            }
            None => Vec::new(),
        };
        Ok(ShownTerms { tenant, terms: proven.receipt, rule })
    }

    fn grants_account(&self, caller: &Caller) -> Result<AccountId, Failure> {
        let own = caller.own_account()?;
        self.authorise_account(caller, Verb::AuditShow, own)?;
        self.floods.charge(own.0, Flood::AuditQuestion, self.clock.now_ms())?;
        Ok(own)
    }

    /// The grants that the caller asked for or may revoke, newest first: a page, behind a grant.
    pub(crate) async fn list_grants(
        &self,
        caller: &Caller,
        after: Option<Id>,
    ) -> Result<Vec<ListedGrant>, Failure> {
        let _permit = self.permit()?;
        let own = self.grants_account(caller)?;
        let of = if self.approves_grants(own).await? { None } else { Some(own.0) };
        let after = match after {
            Some(grant) => {
                let row = self.store.grant(grant).await?.ok_or_else(unknown)?;
                Some((row.requested_ms, row.grant))
            }
            None => None,
        };
        let rows = self.store.grants(of, after, LISTED_MAX).await?;
        rows.into_iter()
            .map(|row| {
                let purpose = self.opened_purpose(&row)?;
                let (grant, grantee, requested_ms) = (row.grant, row.account, row.requested_ms);
                Ok(ListedGrant { grant, purpose, grantee, requested_ms })
            })
            .collect()
    }

    /// A grant that the caller asked for or may revoke.
    pub(crate) async fn show_grant(&self, caller: &Caller, grant: &Id) -> Result<ShownGrant, Failure> {
        let _permit = self.permit()?;
        let own = self.grants_account(caller)?;
        let found = self.own_grant(grant).await?;
        if found.grantee != own.0 && !self.approves_grants(own).await? {
            return Err(unknown());
        }
        let proven = self.ledger.proven(audit_grant_key(grant)).await?;
        let purpose = match self.store.grant(*grant).await? {
            Some(row) => self.opened_purpose(&row)?,
            None => String::new(),
        };
        Ok(ShownGrant { grant: proven.receipt, purpose })
    }

    /// The accounts that a grant in force may open, ascending: those that it names, or all of the tenant's that have addresses.
    pub(crate) async fn grant_accounts(&self, caller: &Caller, grant: &Id) -> Result<Vec<Id>, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::AuditOpen)?;
        let own = caller.person()?.account;
        self.floods.charge(own.0, Flood::AuditQuestion, self.clock.now_ms())?;
        let found = self.grant_of(grant, own).await?;
        check_in_force(&found, self.clock.now_ms())?;
        if found.grant.is_whole_tenant() {
            self.accounts_with_addresses().await
        } else {
            Ok(found.grant.accounts)
        }
    }
}
