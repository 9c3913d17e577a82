//! Associations in words, and as JSON.

use keyward_client::associations::{
    AssociationState, Checked, Concern, MemberState, Missing, Quorum, act_words, address_words, proof_words,
    quorum_words as quorum,
};
use keyward_client::party_words;
use keyward_ledger_core::entry::{Act, Party};
use keyward_ledger_core::state::layout::KeyStatus;
use serde_json::{Value, json};

pub(super) fn association_of(act: &Act) -> Option<String> {
    match act {
        Act::Association(act) => Some(hex::encode(act.association())),
        _ => None,
    }
}

pub(super) use keyward_client::associations::address_words as address;

/// What is asked for, every part of it: who signs has read it.
pub(super) fn act(act: &Act) -> String {
    match act {
        Act::Association(act) => act_words(act),
        _ => "something that is no association".to_owned(),
    }
}

pub(super) fn missing(missing: &Missing) -> String {
    let of_rule = missing.quorum.as_ref().map(|(needed, parties)| {
        let parties: Vec<_> = parties.iter().map(|party| party_words(*party)).collect();
        format!("{needed} of {}", parties.join(", "))
    });
    let accounts = missing.accounts.iter().map(|account| party_words(Party::Credential(*account)));
    of_rule.into_iter().chain(accounts).collect::<Vec<_>>().join("; and ")
}

pub(super) fn missing_json(missing: &Missing) -> Value {
    let quorum = missing.quorum.as_ref().map(|(needed, parties)| {
        json!({ "needed": needed, "of": parties.iter().map(|party| party_words(*party)).collect::<Vec<_>>() })
    });
    json!({ "quorum": quorum, "accounts": missing.accounts.iter().map(hex::encode).collect::<Vec<_>>() })
}

/// What stands, and what has become of each member where that was looked at.
pub(super) fn state(id: &str, state: &AssociationState, checked: Option<&Checked>) -> String {
    let members = state.members.iter().enumerate().map(|(place, member)| {
        let concern = checked.and_then(|checked| checked.concerns.get(place)).copied().flatten();
        let concern = concern.map(|concern| format!("  ({})", concern_words(concern))).unwrap_or_default();
        format!(
            "\n  {}  of account {}, since version {}{concern}",
            address_words(&member.address),
            hex::encode(member.account),
            member.since
        )
    });
    let disputed = match &state.dispute {
        Some(of) => format!(
            "\n  DISPUTED     dispute {} by account {}, reason {}: nothing changes until it is settled",
            state.disputes,
            hex::encode(of.account),
            hex::encode(of.reason)
        ),
        None => String::new(),
    };
    format!(
        "association {id}, version {}{}\n  changed by   {}\n  settled by   {}{disputed}",
        state.version,
        members.collect::<String>(),
        quorum(&state.terms.change),
        quorum(&state.terms.settle),
    )
}

pub(in crate::commands) fn state_json(
    id: &str,
    state: &AssociationState,
    checked: Option<&Checked>,
) -> Value {
    let member = |(place, member): (usize, &MemberState)| {
        let concern = checked.and_then(|checked| checked.concerns.get(place)).copied().flatten();
        json!({
            "address": address_words(&member.address), "account": hex::encode(member.account), "since": member.since,
            "proof": proof_words(&member.address, &member.proof), "concern": concern.map(concern_words),
        })
    };
    let rule = |of: &Quorum| {
        let parties: Vec<_> = of.parties.iter().map(|party| party_words(*party)).collect();
        json!({ "needed": of.needed, "parties": parties })
    };
    let dispute = state.dispute.map(|of| {
        json!({ "number": state.disputes, "account": hex::encode(of.account), "reason": hex::encode(of.reason) })
    });
    json!({
        "association": id, "version": state.version, "change": rule(&state.terms.change),
        "settle": rule(&state.terms.settle), "dispute": dispute, "leaf_index": state.leaf,
        "members": state.members.iter().enumerate().map(member).collect::<Vec<_>>(),
    })
}

const fn concern_words(concern: Concern) -> &'static str {
    match concern {
        Concern::AccountClosed => "its account is closed",
        Concern::Key(KeyStatus::Active) => "active",
        Concern::Key(KeyStatus::Frozen) => "the key is frozen",
        Concern::Key(KeyStatus::Superseded { .. }) => "a newer version of the key took over",
        Concern::Key(KeyStatus::Scheduled { .. }) => "the key is scheduled for destruction",
        Concern::Key(KeyStatus::Destroyed { .. }) => "the key is destroyed",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_client::associations::{AssociationTerms, parse_address};

    use super::*;

    fn terms() -> AssociationTerms {
        let rule =
            |needed| Quorum { needed, parties: vec![Party::Credential([1; 32]), Party::Credential([2; 32])] };
        AssociationTerms { change: rule(1), settle: rule(2) }
    }

    #[test]
    fn a_dispute_and_what_became_of_a_member_are_shown() {
        let mut stands = AssociationState {
            version: 2,
            terms: terms(),
            members: vec![MemberState {
                account: [3; 32],
                address: parse_address(&format!("key:{}", "5e".repeat(32))).unwrap(),
                since: 1,
                proof: Vec::new(),
            }],
            disputes: 1,
            dispute: None,
            heard: Vec::new(),
            leaf: 7,
        };
        assert!(!state("id", &stands, None).contains("DISPUTED"));
        stands.dispute =
            Some(keyward_ledger_core::state::association::DisputeState { account: [3; 32], reason: [8; 32] });
        let concerns = vec![Some(Concern::Key(KeyStatus::Frozen))];
        let checked = Checked { state: stands.clone(), concerns, heights: (1, 2), time_ms: 3 };
        let said = state("id", &stands, Some(&checked));
        assert!(said.contains("DISPUTED") && said.contains("the key is frozen"), "{said}");
        let json = state_json("id", &stands, Some(&checked));
        assert_eq!(json["members"][0]["concern"], "the key is frozen");
        assert_eq!(json["dispute"]["number"], 1);
    }
}
