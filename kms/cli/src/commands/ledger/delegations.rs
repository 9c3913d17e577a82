//! Entries about delegates, in words and as JSON.

use keyward_ledger_core::entry::{
    Act, Authored, Define, DelegationAct, DelegationTerms, Entry, Party, RuleName, Scope,
};
use keyward_ledger_core::outcome::Outcome;
use serde_json::{Value, json};

use super::status::short;

fn act(entry: &Entry) -> Option<(&DelegationAct, &Authored)> {
    match entry {
        Entry::Authored(authored) => match &authored.act {
            Act::Delegation(act) => Some((act, authored)),
            _ => None,
        },
        _ => None,
    }
}

/// What an entry says of delegates, if it is about them.
pub(crate) fn delegation_words(entry: &Entry) -> Option<String> {
    let (act, authored) = act(entry)?;
    let of = |rule: &RuleName| format!("delegation {} of account {}", short(&rule.name), short(&rule.owner));
    let by = format!("signed by {}", authored.authors.len());
    Some(match act {
        DelegationAct::Appoint(Define { rule, version, terms }) => format!(
            "{}: change {version}, {} of {} delegates to {}",
            of(rule),
            terms.needed,
            terms.delegates.len(),
            scope(terms)
        ),
        DelegationAct::Revoke { rule, version } => format!("{}: change {version}, its end", of(rule)),
        DelegationAct::OpenRecovery { recovery, .. } => {
            format!(
                "{}: recovery asked for, credential {}, {by}",
                of(&recovery.rule),
                short(&recovery.public_key)
            )
        }
        DelegationAct::VetoRecovery(case) => format!("recovery {} vetoed", short(&case.id)),
        DelegationAct::CancelRecovery(case) => format!("recovery {} taken back, {by}", short(&case.id)),
        DelegationAct::ExecuteRecovery { recovery, case, .. } => {
            format!(
                "{}: recovery {} executed, credential {}",
                of(&recovery.rule),
                short(case),
                short(&recovery.public_key)
            )
        }
        DelegationAct::Operate { rule, key_id, amount, .. } => {
            format!("{}: an act with key {key_id}, amount {amount}, {by}", of(rule))
        }
    })
}

/// The same for programs; none if the entry is about something else. The case of a recovery that was asked for is the id that the ledger gave.
pub(crate) fn delegation_json(entry: &Entry, outcome: &Outcome) -> Option<Value> {
    let (act, authored) = act(entry)?;
    let authors: Vec<_> = authored.authors.iter().map(|author| party(&author.party)).collect();
    let named = |rule: &RuleName, more: Value| {
        let mut json = json!({ "account": hex::encode(rule.owner), "name_id": hex::encode(rule.name) });
        if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
            json.extend(more);
        }
        json
    };
    let case = |case: &[u8; 32]| hex::encode(case);
    let mut json = match act {
        DelegationAct::Appoint(Define { rule, version, terms }) => named(
            rule,
            json!({
                "act": "appoint", "version": version, "scope": scope(terms), "needed": terms.needed,
                "delegates": terms.delegates.iter().map(party).collect::<Vec<_>>(), "delay_ms": terms.delay_ms,
            }),
        ),
        DelegationAct::Revoke { rule, version } => {
            named(rule, json!({ "act": "revoke", "version": version }))
        }
        DelegationAct::OpenRecovery { recovery, .. } => named(
            &recovery.rule,
            json!({
                "act": "open", "credential": hex::encode(recovery.public_key),
                "case": outcome.is_accepted().then(|| hex::encode(&outcome.data)),
            }),
        ),
        DelegationAct::VetoRecovery(of) => json!({ "act": "veto", "case": case(&of.id) }),
        DelegationAct::CancelRecovery(of) => json!({ "act": "cancel", "case": case(&of.id) }),
        DelegationAct::ExecuteRecovery { recovery, case: id, .. } => named(
            &recovery.rule,
            json!({ "act": "execute", "case": case(id), "credential": hex::encode(recovery.public_key) }),
        ),
        DelegationAct::Operate { rule, key_id, commitment, amount } => named(
            rule,
            json!({
                "act": "operate", "key_id": key_id.to_string(), "commitment": hex::encode(commitment),
                "amount": amount.to_string(),
            }),
        ),
    };
    if let Value::Object(json) = &mut json {
        json.insert("authors".to_owned(), json!(authors));
    }
    Some(json)
}

fn scope(terms: &DelegationTerms) -> &'static str {
    match terms.scope {
        Scope::OPERATE => "operate",
        Scope::RECOVER => "recover",
        _ => "recover and operate",
    }
}

fn party(party: &Party) -> String {
    match party {
        Party::Credential(account) => hex::encode(account),
        Party::Key(key_id) => format!("key {key_id}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_ledger_core::entry::{Case, Recovery};
    use keyward_ledger_core::outcome::Refusal;

    use super::*;

    const RULE: RuleName = RuleName { owner: [0xaa; 32], name: [0xbb; 32] };

    fn entry(act: DelegationAct) -> Entry {
        Entry::Authored(Authored { act: Act::Delegation(act), authors: Vec::new() })
    }

    #[test]
    fn what_happens_under_a_delegation_is_told_in_words() {
        let recovery = Recovery { rule: RULE, public_key: [1; 32], login: [2; 32] };
        let case = Case { id: [3; 32], payload: [4; 32] };
        for (act, said) in [
            (DelegationAct::Revoke { rule: RULE, version: 2 }, "change 2, its end"),
            (DelegationAct::OpenRecovery { recovery, proof: [0; 64] }, "recovery asked for"),
            (DelegationAct::VetoRecovery(case), "vetoed"),
            (DelegationAct::CancelRecovery(case), "taken back"),
            (DelegationAct::ExecuteRecovery { recovery, case: case.id, judged: None }, "executed"),
        ] {
            let words = delegation_words(&entry(act)).unwrap();
            assert!(words.contains(said), "{words}");
        }
        assert!(delegation_words(&Entry::Note(vec![1])).is_none());
    }

    #[test]
    fn a_recoverys_case_stands_only_where_it_was_opened() {
        let recovery = Recovery { rule: RULE, public_key: [1; 32], login: [2; 32] };
        let entry = entry(DelegationAct::OpenRecovery { recovery, proof: [0; 64] });
        let opened = delegation_json(&entry, &Outcome::accepted_with(&[7; 32])).unwrap();
        assert_eq!((&opened["case"], &opened["account"]), (&json!("07".repeat(32)), &json!("aa".repeat(32))));
        let refused = Outcome::refused(Refusal::TimelockBusy);
        assert!(delegation_json(&entry, &refused).unwrap()["case"].is_null());
    }
}
