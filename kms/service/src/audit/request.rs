//! Asking for a grant: its purpose is kept here, sealed, for those who have a part in it.

use keyward_crypto::{open, seal};
use keyward_domain::{
    AccountId, Code,
    audit::{PURPOSE_LEN_MAX, is_purpose_of},
};
use keyward_ledger_core::{
    entry::{AuditTerms, Grant},
    state::{
        addresses::{AddressesState, addresses_key},
        layout::account_key,
    },
};
use keyward_store::{Change, GrantRow, Id};

use crate::{custody::Custody, failure::Failure, note::labelled, policies::own_tenant};

const LABEL: &str = "keyward/grant-purpose-kept/v1";

impl Custody {
    /// Refuses what no approval could make good, and what keeps the purpose.
    pub(super) async fn check_request(
        &self,
        account: AccountId,
        grant: &Grant,
        purpose: &str,
    ) -> Result<Vec<Change>, Failure> {
        if grant.tenant != own_tenant(&self.tenant) {
            return Err(Failure::new(Code::AuditTenantOther, "the grant is for another tenant's accounts"));
        }
        if purpose.trim().is_empty() || purpose.len() > PURPOSE_LEN_MAX {
            let what = format!("a purpose has 1 to `{PURPOSE_LEN_MAX}` bytes");
            return Err(Failure::new(Code::AuditPurposeOther, what));
        }
        if !is_purpose_of(grant, purpose) {
            return Err(Failure::new(Code::AuditPurposeOther, "the grant has another purpose's hash"));
        }
        let terms = self.check_reach(grant).await?;
        self.check_named(grant, &terms).await?;
        if self.store.grant(grant.id).await?.is_some() {
            return Err(Failure::new(Code::GrantExists, "a grant of this id was asked for before"));
        }
        let purpose = seal(&self.mail_key, &aad(&grant.id, &account.0), purpose.as_bytes());
        let (purpose, requested_ms) = (purpose.map_err(Failure::internal)?, self.clock.now_ms());
        let row = GrantRow { grant: grant.id, account: account.0, purpose, requested_ms };
        Ok(vec![Change::NeedOpenAccount(account.0), Change::PutGrant(row)])
    }

    /// Refuses a grant that reaches beyond the terms, in numbers.
    async fn check_reach(&self, grant: &Grant) -> Result<AuditTerms, Failure> {
        let none = || Failure::new(Code::AuditUnpublished, "the tenant has published no terms for audits");
        let terms = self.audit_terms().await?.ok_or_else(none)?.terms;
        let wide = |what: String| Err(Failure::new(Code::GrantTooWide, what));
        if grant.account_count() > terms.accounts_max {
            let asked = if grant.is_whole_tenant() {
                "the whole tenant is asked for".to_owned()
            } else {
                format!("`{}` accounts are asked for", grant.accounts.len())
            };
            return wide(format!("{asked}, and the terms allow `{}` at most", terms.accounts_max));
        }
        let (span, live) = (
            grant.until_ms.saturating_sub(grant.from_ms),
            grant.expires_ms.saturating_sub(self.clock.now_ms()),
        );
        if span == 0 || live == 0 {
            return wide("a grant needs a period, and an end that lies ahead".to_owned());
        }
        if span > terms.span_ms_max {
            return wide(format!("the period is `{span}` ms, and the terms allow `{}`", terms.span_ms_max));
        }
        if live > terms.live_ms_max {
            return wide(format!(
                "the grant ends in `{live}` ms, and the terms allow `{}`",
                terms.live_ms_max
            ));
        }
        Ok(terms)
    }

    /// Refuses accounts that the ledger would refuse: what it refuses stands there for good, with the accounts that were named.
    async fn check_named(&self, grant: &Grant, terms: &AuditTerms) -> Result<(), Failure> {
        for account in &grant.accounts {
            let refused = |code, what: &str| {
                Err(Failure::new(code, format!("account `{}` {what}", AccountId(*account))))
            };
            let chosen = self.ledger.state(addresses_key(account)).await?;
            let chosen = chosen.map(|value| AddressesState::decode(&value)).transpose();
            match chosen.map_err(Failure::internal)?.filter(|chosen| chosen.tenant == grant.tenant) {
                Some(chosen) if chosen.can_be_opened(grant.from_ms, terms, self.clock.now_ms()) => {}
                Some(_) => return refused(Code::AccountClosed, "was closed before, or is not kept any more"),
                None if self.ledger.state(account_key(account)).await?.is_none() => {
                    return refused(Code::AccountUnknown, "is not on the ledger");
                }
                None => return refused(Code::AddressesUnknown, "has chosen no addresses of this tenant"),
            }
        }
        Ok(())
    }

    /// What a grant that was asked for here is for.
    pub(super) fn opened_purpose(&self, row: &GrantRow) -> Result<String, Failure> {
        let plain = open(&self.mail_key, &aad(&row.grant, &row.account), &row.purpose);
        let plain = plain.map_err(Failure::internal)?;
        plain.expose(|bytes| String::from_utf8(bytes.to_vec())).map_err(Failure::internal)
    }
}

fn aad(grant: &Id, account: &Id) -> Vec<u8> {
    labelled(LABEL, &[grant, account]).to_vec()
}
