//! By whose rule a tenant's accounts are opened, shown to whoever chooses addresses or deals closed epochs.

use keyward_client::Client;
use keyward_client::audit::ShownTerms;
use serde_json::{Value, json};

use super::failed;
use super::terms::{rule_lines, to_json};
use crate::failure::Result;
use crate::output::{Output, aside};

/// Terms for audits as the service shows them, proven.
pub(crate) struct Whose {
    shown: ShownTerms,
    /// Whether they are the account's.
    own: bool,
}

impl Whose {
    /// Of a tenant by its name, or of the service's own: before an account comes under them.
    pub(crate) async fn of_choice(client: &Client, tenant: Option<&str>) -> Result<Self> {
        let shown =
            client.show_audit_terms(tenant).await.map_err(failed("cannot see whose terms these are"))?;
        Ok(Self { shown, own: true })
    }

    /// Of an account that has chosen.
    pub(crate) async fn of_chosen(client: &Client, tenant: [u8; 32]) -> Result<Self> {
        let Self { shown, .. } = Self::of_choice(client, None).await?;
        Ok(Self { own: shown.tenant == tenant, shown })
    }

    /// Whose terms these are.
    pub(crate) const fn tenant(&self) -> [u8; 32] {
        self.shown.tenant
    }

    /// Shows them, before anything is done: loudly where nobody has published any.
    pub(crate) fn show(&self, output: Output) {
        match self.words() {
            Ok(words) => output.note(words),
            Err(warning) => aside(&format!("keyward: WARNING: {warning}")),
        }
    }

    /// The terms, or what is amiss.
    fn words(&self) -> std::result::Result<String, &'static str> {
        if !self.own {
            return Err(
                "this service is of another tenant than your account and shows none of the terms under which it is opened: look at them \
                 through a service of your own bank (`keyward audit terms show`)",
            );
        }
        let none = "no audit terms are published for this tenant. Whoever publishes the first ones, through any service of the ledger, \
                    names those who open everything of it, also what your account has done by then: have your security officers publish \
                    theirs (`keyward audit terms publish`), and look with `keyward audit terms show` that the rule is theirs";
        let state = self.shown.state.as_ref().ok_or(none)?;
        let head = format!(
            "what is opened of the account, and to whom, is approved under version {} of the tenant's audit terms; see that these are your \
             own bank's:",
            state.version
        );
        let lines = [head].into_iter().chain(rule_lines(&self.shown));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    /// As `keyward audit terms show`; nothing where they are not the account's.
    pub(crate) fn to_json(&self) -> Value {
        if self.own { to_json(&self.shown) } else { json!(null) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use keyward_client::approvals::{ApprovalState, ApprovalTerms, Group, Party};
    use keyward_client::audit::{AuditState, AuditTerms};

    use super::*;

    fn published() -> ShownTerms {
        let terms = AuditTerms { accounts_max: 1, span_ms_max: 2, live_ms_max: 3, kept_ms: 4 };
        let group = Group {
            role: "supervisors".to_owned(),
            needed: 2,
            members: vec![Party::Credential([8; 32]), Party::Credential([9; 32])],
        };
        let rule = ApprovalTerms { live_ms_max: 1, groups: vec![group] };
        ShownTerms {
            tenant: [1; 32],
            state: Some(AuditState { version: 3, terms, rule: [7; 32], leaf: 5 }),
            rule: Some(ApprovalState { version: 1, terms: rule, cases: 0 }),
            height: 6,
        }
    }

    #[test]
    fn whoever_chooses_or_deals_sees_version_rule_and_groups() {
        let whose = Whose { shown: published(), own: true };
        let words = whose.words().unwrap();
        for said in [
            "version 3",
            &"07".repeat(32),
            "\"supervisors\": 2 needed of",
            &"08".repeat(32),
            &"09".repeat(32),
        ] {
            assert!(words.contains(said), "{said}: {words}");
        }
        let json = whose.to_json();
        assert_eq!((&json["version"], &json["groups"][0]["needed"]), (&json!(3), &json!(2)));
    }

    #[test]
    fn terms_that_nobody_published_or_of_another_tenant_are_a_warning() {
        let none = ShownTerms { state: None, rule: None, ..published() };
        let whose = Whose { shown: none, own: true };
        assert!(whose.words().unwrap_err().contains("keyward audit terms publish"));
        assert_eq!(whose.to_json()["version"], 0);
        // What another tenant published says nothing about this account.
        let whose = Whose { shown: published(), own: false };
        assert!(whose.words().unwrap_err().contains("another tenant"));
        assert_eq!(whose.to_json(), json!(null));
    }
}
