//! Entries about associations and policies of tenants, in words and as JSON.

use keyward_client::associations::address_words;
use keyward_ledger_core::entry::{Act, AssociationAct, Authored, Entry, Member, PublishPolicy};
use serde_json::{Value, json};

use super::status::short;

fn act(entry: &Entry) -> Option<&Act> {
    match entry {
        Entry::Authored(Authored { act, .. }) => Some(act),
        _ => None,
    }
}

/// What an entry says of an association or a tenant's policy, if it is about one.
pub(crate) fn association_words(entry: &Entry) -> Option<String> {
    Some(match act(entry)? {
        Act::Association(act) => format!("association {}: {}", short(act.association()), changed(act)),
        Act::PublishPolicy(publish) => published("policy", publish),
        Act::PublishRisk(publish) => published("rules of risk", publish),
        _ => return None,
    })
}

fn published(what: &str, publish: &PublishPolicy) -> String {
    let PublishPolicy { tenant, version, set, .. } = publish;
    format!("tenant {}: {what} version {version}, set {}", short(tenant), short(set))
}

fn changed(act: &AssociationAct) -> String {
    match act {
        AssociationAct::Open { members, .. } => format!("opened by {} members", members.len()),
        AssociationAct::Update { version, terms, removed, added, .. } => {
            let rule = if terms.is_some() { ", another rule" } else { "" };
            format!("version {version}, {} come, {} go{rule}", added.len(), removed.len())
        }
        AssociationAct::Leave { version, address, .. } => {
            format!("version {version}, {} leaves", address_words(address))
        }
        AssociationAct::Dispute { version, .. } => format!("version {version} disputed"),
        AssociationAct::Settle { dispute, .. } => format!("dispute {dispute} settled"),
    }
}

/// What an entry publishes for a tenant, as JSON.
pub(crate) fn publication_json(entry: &Entry) -> Option<Value> {
    let (Act::PublishPolicy(publish) | Act::PublishRisk(publish)) = act(entry)? else { return None };
    let PublishPolicy { tenant, version, set, rule, case } = publish;
    Some(json!({
        "tenant": hex::encode(tenant), "version": version, "set": hex::encode(set), "rule": hex::encode(rule),
        "case": case.map(hex::encode),
    }))
}

/// What it says of an association, as JSON.
pub(crate) fn association_json(entry: &Entry) -> Option<Value> {
    let Act::Association(act) = act(entry)? else { return None };
    let members = |members: &[Member]| -> Vec<_> {
        let one = |of: &Member| json!({ "account": hex::encode(of.account), "address": address_words(&of.address) });
        members.iter().map(one).collect()
    };
    let id = hex::encode(act.association());
    Some(match act {
        AssociationAct::Open { members: all, .. } => {
            json!({ "act": "open", "association": id, "version": 1, "added": members(all) })
        }
        AssociationAct::Update { version, terms, removed, added, .. } => json!({
            "act": "update", "association": id, "version": version, "added": members(added),
            "removed": removed.iter().map(address_words).collect::<Vec<_>>(), "another_rule": terms.is_some(),
        }),
        AssociationAct::Leave { version, address, .. } => json!({
            "act": "leave", "association": id, "version": version, "removed": [address_words(address)],
        }),
        AssociationAct::Dispute { version, reason, .. } => json!({
            "act": "dispute", "association": id, "version": version, "reason": hex::encode(reason),
        }),
        AssociationAct::Settle { dispute, verdict, .. } => json!({
            "act": "settle", "association": id, "dispute": dispute, "verdict": hex::encode(verdict),
        }),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_client::associations::parse_address;

    use super::*;

    #[test]
    fn every_act_is_told_in_words_and_as_json() {
        let address = parse_address("ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed").unwrap();
        let (association, version) = ([9; 32], 2);
        let acts = [
            (
                AssociationAct::Update {
                    association,
                    version,
                    terms: None,
                    removed: vec![address.clone()],
                    added: Vec::new(),
                },
                "update",
                "0 come, 1 go",
            ),
            (AssociationAct::Leave { association, version, address }, "leave", "0x5aAeb6"),
            (AssociationAct::Dispute { association, version, reason: [1; 32] }, "dispute", "disputed"),
            (
                AssociationAct::Settle { association, dispute: 3, verdict: [1; 32] },
                "settle",
                "dispute 3 settled",
            ),
        ];
        for (act, verb, said) in acts {
            let entry = Entry::Authored(Authored { act: Act::Association(act), authors: Vec::new() });
            assert!(association_words(&entry).unwrap().contains(said));
            assert_eq!(association_json(&entry).unwrap()["act"], verb);
        }
        assert!(association_words(&Entry::OpenAccount { account: [1; 32] }).is_none());
    }
}
