//! What commands about grants have in common: asking for approvals, times in words, and a grant in lines.

use keyward_client::approvals::{About, Done, Voice};
use keyward_client::audit::{AuditError, AuditGrantStatus, ShownGrant, ShownTerms};
use keyward_client::{Client, Login};
use serde_json::{Value, json};

use super::failed;
use crate::commands::key::moment;
use crate::failure::Result;

/// A case that was opened.
pub(super) struct Asked {
    pub(super) done: Done,
    case: [u8; 32],
    hash: [u8; 32],
}

/// Opens a case under the rule that the terms in force name.
pub(super) async fn ask(
    client: &Client,
    login: &Login,
    (terms, about): (&ShownTerms, &About),
    live_ms: u64,
) -> Result<Asked> {
    let cannot = failed("cannot ask for approvals");
    let Some(state) = &terms.state else { return Err(cannot(AuditError::Unpublished)) };
    let rule = client.approval_rule_name(&state.rule).await;
    let rule = rule.map_err(|error| cannot(AuditError::from(error)))?;
    let asked = client.ask_approval(Voice::Account(login), &rule, about, live_ms).await;
    let (done, case) = asked.map_err(|error| cannot(AuditError::from(error)))?;
    Ok(Asked { done, case, hash: about.payload() })
}

impl Asked {
    pub(super) fn case(&self) -> String {
        hex::encode(self.case)
    }

    pub(super) fn words(&self) -> String {
        let (case, hash) = (self.case(), hex::encode(self.hash));
        format!(
            "  case     {case}\n  hash     {hash}\n  each approver looks at it (`keyward approve show {case}`) and compares the hash with you"
        )
    }

    pub(super) fn json(&self, more: &Value) -> Value {
        let mut json = json!({ "case": self.case(), "hash": hex::encode(self.hash) });
        if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
            json.extend(more.clone());
        }
        json
    }
}

/// A grant in lines.
pub(super) fn words(shown: &ShownGrant) -> String {
    let ShownGrant { state, purpose, height, .. } = shown;
    let grant = &state.grant;
    let mut lines = vec![format!("grant {}, proven at height {height}", hex::encode(grant.id))];
    let mut add = |what: &str, said: String| lines.push(format!("  {what:<9} {said}"));
    add("stands", stands(shown).to_owned());
    add("asked by", format!("account {}", hex::encode(state.grantee)));
    match grant.is_whole_tenant() {
        true => add("accounts", format!("the whole tenant {}", hex::encode(grant.tenant))),
        false => grant.accounts.iter().for_each(|account| add("account", hex::encode(account))),
    }
    add("period", format!("{} to {}", moment(grant.from_ms), moment(grant.until_ms)));
    add("ends", moment(grant.expires_ms));
    let unseen = || "not kept here; the ledger has its hash".to_owned();
    add("purpose", purpose.as_ref().map_or_else(unseen, |text| format!("{text:?}")));
    add("hash", hex::encode(grant.payload()));
    lines.join("\n")
}

fn stands(shown: &ShownGrant) -> &'static str {
    match shown.state.status {
        AuditGrantStatus::Revoked => "revoked: it opens nothing more",
        _ if shown.state.grant.expires_ms <= shown.read_ms => "over: it opens nothing more",
        AuditGrantStatus::Requested => "asked for: it opens nothing before it is issued",
        AuditGrantStatus::Issued => "in force",
    }
}

pub(super) fn to_json(shown: &ShownGrant) -> Value {
    let (state, grant) = (&shown.state, &shown.state.grant);
    json!({
        "grant": hex::encode(grant.id), "status": state.status.name(),
        "in_force": shown.is_in_force(), "grantee": hex::encode(state.grantee),
        "tenant": hex::encode(grant.tenant), "whole_tenant": grant.is_whole_tenant(),
        "accounts": grant.accounts.iter().map(hex::encode).collect::<Vec<_>>(),
        "from_unix_ms": grant.from_ms, "until_unix_ms": grant.until_ms, "expires_unix_ms": grant.expires_ms,
        "purpose": shown.purpose, "hash": hex::encode(grant.payload()), "terms_version": state.terms_version,
        "requested_leaf_index": state.requested_leaf, "issued_leaf_index": state.issued_leaf,
        "height": shown.height,
    })
}
