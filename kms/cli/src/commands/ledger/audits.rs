//! Entries and state about audits, in words and as JSON.

use keyward_ledger_core::entry::{Act, AuditAct, Authored, Entry, Grant, OpenGrant, PublishAudit};
use keyward_ledger_core::state::audit::{AuditGrantState, AuditState};
use serde_json::{Value, json};

use super::status::short;

fn act(entry: &Entry) -> Option<&AuditAct> {
    match entry {
        Entry::Authored(Authored { act: Act::Audit(act), .. }) => Some(act),
        _ => None,
    }
}

/// What an entry says of audits, if it is about one.
pub(crate) fn audit_words(entry: &Entry) -> Option<String> {
    let run = |open: &OpenGrant| {
        let OpenGrant { account, first, last, .. } = open;
        format!("account {}, epochs {first} to {last}", short(account))
    };
    Some(match entry {
        Entry::DeliverGrant(deliver) => {
            format!("grant {}: delivers {}", short(&deliver.opened.grant), run(&deliver.opened))
        }
        Entry::UseGrant(used) => format!("grant {}: {} looks", short(&used.grant), used.count),
        _ => match act(entry)? {
            AuditAct::Publish(PublishAudit { tenant, version, terms, .. }) => format!(
                "tenant {}: audit terms version {version}, at most {} accounts",
                short(tenant),
                terms.accounts_max
            ),
            AuditAct::Request(grant) => {
                let whom = match grant.accounts.len() {
                    0 => "the whole tenant".to_owned(),
                    count => format!("{count} accounts"),
                };
                format!("grant {}: asks for {whom} of tenant {}", short(&grant.id), short(&grant.tenant))
            }
            AuditAct::Issue { grant, case } => {
                format!("grant {}: issued by case {}", short(grant), short(case))
            }
            AuditAct::Open(open) => format!("grant {}: opens {}", short(&open.grant), run(open)),
            AuditAct::Revoke(revoke) => format!("grant {}: revoked", short(&revoke.grant)),
        },
    })
}

/// The same for programs; none if the entry is about something else.
pub(crate) fn audit_json(entry: &Entry) -> Option<Value> {
    Some(match entry {
        Entry::DeliverGrant(deliver) => json!({
            "act": "deliver-grant", "opened": run_json(&deliver.opened),
            "package_hash": hex::encode(deliver.package_hash),
        }),
        Entry::UseGrant(used) => json!({
            "act": "use-grant", "grant": hex::encode(used.grant), "what": hex::encode(used.what), "count": used.count,
        }),
        _ => match act(entry)? {
            AuditAct::Publish(PublishAudit { tenant, version, terms, rule, case }) => json!({
                "act": "publish-audit", "tenant": hex::encode(tenant), "version": version,
                "accounts_max": terms.accounts_max, "span_ms_max": terms.span_ms_max,
                "live_ms_max": terms.live_ms_max, "kept_ms": terms.kept_ms, "rule": hex::encode(rule), "case": case.map(hex::encode),
            }),
            AuditAct::Request(grant) => json!({ "act": "request-grant", "asked": grant_json(grant) }),
            AuditAct::Issue { grant, case } => json!({
                "act": "issue-grant", "grant": hex::encode(grant), "case": hex::encode(case),
            }),
            AuditAct::Open(open) => json!({ "act": "open-grant", "opened": run_json(open) }),
            AuditAct::Revoke(revoke) => json!({
                "act": "revoke-grant", "grant": hex::encode(revoke.grant), "reason": hex::encode(revoke.reason),
            }),
        },
    })
}

fn run_json(open: &OpenGrant) -> Value {
    json!({
        "grant": hex::encode(open.grant), "account": hex::encode(open.account),
        "first_epoch": open.first, "last_epoch": open.last,
    })
}

fn grant_json(grant: &Grant) -> Value {
    json!({
        "grant": hex::encode(grant.id), "tenant": hex::encode(grant.tenant),
        "grantee_key": hex::encode(grant.grantee_key), "purpose_hash": hex::encode(grant.purpose_hash),
        "from_ms": grant.from_ms, "until_ms": grant.until_ms, "expires_ms": grant.expires_ms,
        "whole_tenant": grant.is_whole_tenant(),
        "accounts": grant.accounts.iter().map(hex::encode).collect::<Vec<_>>(),
    })
}

/// What a value about audits says.
pub(super) fn audit_state(key: &[u8], value: &[u8]) -> Option<Value> {
    if key.starts_with(b"audit/tenant/") {
        let state = AuditState::decode(value).ok()?;
        return Some(json!({
            "version": state.version, "accounts_max": state.terms.accounts_max,
            "span_ms_max": state.terms.span_ms_max, "live_ms_max": state.terms.live_ms_max,
            "kept_ms": state.terms.kept_ms, "rule": hex::encode(state.rule), "leaf_index": state.leaf,
        }));
    }
    let state = AuditGrantState::decode(value).ok()?;
    Some(json!({
        "status": state.status.name(), "grantee": hex::encode(state.grantee),
        "terms_version": state.terms_version, "requested_leaf": state.requested_leaf,
        "issued_leaf": state.issued_leaf, "revoked_ms": state.revoked_ms, "asked": grant_json(&state.grant),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_ledger_core::entry::{AuditTerms, DeliverGrant, RevokeGrant, UseGrant};
    use keyward_ledger_core::state::audit::AuditGrantStatus;

    use super::*;

    fn grant() -> Grant {
        Grant {
            id: [1; 32],
            tenant: [2; 32],
            grantee_key: [3; 32],
            purpose_hash: [4; 32],
            from_ms: 5,
            until_ms: 6,
            expires_ms: 7,
            accounts: vec![[8; 32]],
        }
    }

    #[test]
    fn every_entry_about_audits_is_told_in_words_and_as_json() {
        let terms = AuditTerms { accounts_max: 9, span_ms_max: 10, live_ms_max: 11, kept_ms: 12 };
        let publish = PublishAudit { tenant: [2; 32], version: 3, terms, rule: [4; 32], case: None };
        let opened = OpenGrant { grant: [1; 32], account: [8; 32], first: 12, last: 13 };
        let whole = Grant { accounts: Vec::new(), ..grant() };
        let authored = |act| Entry::Authored(Authored { act: Act::Audit(act), authors: Vec::new() });
        let entries = [
            (authored(AuditAct::Publish(publish)), "publish-audit", "audit terms version 3"),
            (authored(AuditAct::Request(grant())), "request-grant", "asks for 1 accounts"),
            (authored(AuditAct::Request(whole)), "request-grant", "asks for the whole tenant"),
            (authored(AuditAct::Issue { grant: [1; 32], case: [9; 32] }), "issue-grant", "issued by case"),
            (authored(AuditAct::Open(opened)), "open-grant", "epochs 12 to 13"),
            (
                authored(AuditAct::Revoke(RevokeGrant { grant: [1; 32], reason: [2; 32] })),
                "revoke-grant",
                "revoked",
            ),
            (
                Entry::DeliverGrant(DeliverGrant { opened, package_hash: [3; 32] }),
                "deliver-grant",
                "delivers account",
            ),
            (Entry::UseGrant(UseGrant { grant: [1; 32], what: [2; 32], count: 14 }), "use-grant", "14 looks"),
        ];
        for (entry, act, said) in entries {
            assert!(audit_words(&entry).unwrap().contains(said), "{:?}", audit_words(&entry));
            assert_eq!(audit_json(&entry).unwrap()["act"], act);
            assert_eq!(entry.name(), act);
        }
        assert!(audit_words(&Entry::OpenAccount { account: [1; 32] }).is_none());
    }

    #[test]
    fn a_grant_is_told_with_its_status() {
        let state = AuditGrantState {
            status: AuditGrantStatus::Issued,
            grantee: [5; 32],
            terms_version: 2,
            requested_leaf: 3,
            issued_leaf: 4,
            revoked_ms: 0,
            grant: grant(),
        };
        let told = audit_state(b"audit/grant/x", &state.encode()).unwrap();
        assert_eq!((&told["status"], &told["issued_leaf"]), (&json!("issued"), &json!(4)));
        assert_eq!(audit_state(b"audit/tenant/x", &state.encode()), None);
    }
}
