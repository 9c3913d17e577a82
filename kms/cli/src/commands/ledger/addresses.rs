//! Entries and state about unlinkable addresses, in words and as JSON.

use keyward_ledger_core::entry::{Act, AddressAct, Authored, Entry, UseAddress};
use keyward_ledger_core::state::addresses::{AddressesState, DealtState, HandleState, read_leaf};
use keyward_ledger_core::unlinkable::DealtRun;
use serde_json::{Value, json};

use super::status::short;

fn act(entry: &Entry) -> Option<&AddressAct> {
    match entry {
        Entry::Authored(Authored { act: Act::Addresses(act), .. }) => Some(act),
        _ => None,
    }
}

/// What an entry says of addresses, if it is about some.
pub(crate) fn addresses_words(entry: &Entry) -> Option<String> {
    Some(match entry {
        Entry::UseAddress(used) => {
            let limited = if used.limit.is_some() { ", against a limit" } else { "" };
            format!("address {} of epoch {} used{limited}", hex::encode(used.public_key), used.epoch)
        }
        Entry::CloseEpoch(close) => {
            format!("an account's epoch {} closed, tag {}", close.epoch, short(&close.tag))
        }
        Entry::AnnouncePayment(announce) => {
            format!("a payment to an address of epoch {} announced", announce.epoch)
        }
        Entry::OpenBlindCase(open) => {
            format!(
                "approvals asked for in nobody's name, rule {}, payload {}",
                short(&open.rule),
                short(&open.payload())
            )
        }
        Entry::UseBlindCase(used) => {
            format!("approvals of case {} used up, in nobody's name", short(&used.case))
        }
        _ => match act(entry)? {
            AddressAct::Choose(choose) => format!(
                "account {}: {} unlinkable addresses, epochs of {} ms",
                short(&choose.account),
                choose.custody.name(),
                choose.epoch_ms
            ),
            AddressAct::Deal(deal) => {
                let DealtRun { account, first, last, .. } = &deal.run;
                format!(
                    "account {}: epochs {first} to {last} dealt, {} of {} keepers open them",
                    short(account),
                    deal.threshold,
                    deal.acknowledgements.len()
                )
            }
        },
    })
}

/// The same for programs; none if the entry is about something else.
pub(crate) fn addresses_json(entry: &Entry) -> Option<Value> {
    Some(match entry {
        Entry::UseAddress(used) => used_json(used),
        Entry::CloseEpoch(close) => json!({
            "act": "close-epoch", "tag": hex::encode(close.tag), "epoch_ms": close.epoch_ms, "epoch": close.epoch,
        }),
        Entry::AnnouncePayment(announce) => json!({
            "act": "announce-payment", "epoch_ms": announce.epoch_ms, "epoch": announce.epoch,
            "payment": hex::encode(announce.payment),
        }),
        Entry::OpenBlindCase(open) => json!({
            "act": "open-blind-case", "rule": hex::encode(open.rule), "payload": hex::encode(open.payload()),
            "live_ms": open.live_ms,
        }),
        Entry::UseBlindCase(used) => json!({
            "act": "use-blind-case", "case": hex::encode(used.case), "payload": hex::encode(used.payload()),
        }),
        _ => match act(entry)? {
            AddressAct::Choose(choose) => json!({
                "act": "choose-addresses", "account": hex::encode(choose.account),
                "tenant": hex::encode(choose.tenant), "custody": choose.custody.name(),
                "epoch_ms": choose.epoch_ms,
            }),
            AddressAct::Deal(deal) => json!({
                "act": "deal-viewing", "account": hex::encode(deal.run.account), "first_epoch": deal.run.first,
                "last_epoch": deal.run.last, "dealing_hash": hex::encode(deal.run.dealing_hash),
                "expires_ms": deal.run.expires_ms, "threshold": deal.threshold,
                "keepers": deal.acknowledgements.iter().map(|(keeper, _)| hex::encode(keeper)).collect::<Vec<_>>(),
            }),
        },
    })
}

fn used_json(used: &UseAddress) -> Value {
    json!({
        "act": "use-address", "intent": hex::encode(used.id), "public_key": hex::encode(used.public_key),
        "scheme": used.scheme.name(), "key_id": used.key_id().map(|key_id| key_id.to_string()),
        "epoch_ms": used.epoch_ms, "epoch": used.epoch, "executor": hex::encode(used.executor),
        "commitment": hex::encode(used.commitment), "not_after": used.not_after,
        "limit": used.limit.map(|limit| json!({
            "rule": hex::encode(limit.rule), "handle": hex::encode(limit.handle),
        })),
    })
}

/// What a value about addresses says.
pub(super) fn addresses_state(key: &[u8], value: &[u8]) -> Option<Value> {
    let is = |prefix: &[u8]| key.starts_with(prefix);
    if is(b"address/account/") {
        let state = AddressesState::decode(value).ok()?;
        return Some(json!({
            "tenant": hex::encode(state.tenant), "custody": state.custody.name(), "epoch_ms": state.epoch_ms,
            "first_epoch": state.first, "dealt_up_to": state.dealt, "leaf_index": state.leaf,
            "closed_ms": state.closed_ms,
        }));
    }
    if is(b"address/handle/") {
        let state = HandleState::decode(value).ok()?;
        return Some(json!({ "ends_ms": state.ends_ms, "count": state.count }));
    }
    if is(b"address/dealt/") {
        let state = DealtState::decode(value).ok()?;
        return Some(json!({
            "last_epoch": state.last, "dealing_hash": hex::encode(state.dealing_hash), "threshold": state.threshold,
            "keepers": state.keepers.iter().map(hex::encode).collect::<Vec<_>>(), "leaf_index": state.leaf,
        }));
    }
    Some(json!({ "leaf_index": read_leaf(value).ok()? }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_ledger_core::entry::{
        AnnouncePayment, ChooseAddresses, CloseEpoch, Custody, DealViewing, OpenBlindCase, UseBlindCase,
    };
    use keyward_ledger_core::scheme::Scheme;

    use super::*;

    #[test]
    fn every_entry_about_addresses_is_told_in_words_and_as_json() {
        let choose =
            ChooseAddresses { account: [1; 32], tenant: [2; 32], custody: Custody::Own, epoch_ms: 60_000 };
        let run = DealtRun { account: [1; 32], first: 3, last: 5, dealing_hash: [4; 32], expires_ms: 9 };
        let deal =
            DealViewing { run, threshold: 2, acknowledgements: vec![([6; 32], [7; 64]), ([8; 32], [9; 64])] };
        let authored = |act| Entry::Authored(Authored { act: Act::Addresses(act), authors: Vec::new() });
        let used = UseAddress {
            id: [1; 32],
            scheme: Scheme::Bip340,
            public_key: [2; 33],
            epoch_ms: 1000,
            epoch: 7,
            executor: [3; 32],
            commitment: [4; 32],
            not_after: 9,
            limit: None,
            detail: Vec::new(),
            proof: [5; 64],
        };
        let closing = CloseEpoch { tag: [6; 32], epoch_ms: 1000, epoch: 7, closing: Vec::new() };
        let entries = [
            (authored(AddressAct::Choose(choose)), "choose-addresses", "own unlinkable addresses"),
            (authored(AddressAct::Deal(deal)), "deal-viewing", "epochs 3 to 5 dealt, 2 of 2 keepers"),
            (Entry::UseAddress(used), "use-address", "of epoch 7 used"),
            (Entry::CloseEpoch(closing), "close-epoch", "epoch 7 closed"),
            (
                Entry::AnnouncePayment(AnnouncePayment { epoch_ms: 1000, epoch: 7, payment: [1; 50] }),
                "announce-payment",
                "epoch 7 announced",
            ),
            (
                Entry::OpenBlindCase(OpenBlindCase {
                    rule: [1; 32],
                    lock: [2; 32],
                    content: [3; 32],
                    live_ms: 4,
                }),
                "open-blind-case",
                "asked for in nobody's name",
            ),
            (
                Entry::UseBlindCase(UseBlindCase { case: [1; 32], token: [2; 32], content: [3; 32] }),
                "use-blind-case",
                "used up",
            ),
        ];
        for (entry, act, said) in entries {
            assert!(addresses_words(&entry).unwrap().contains(said), "{:?}", addresses_words(&entry));
            assert_eq!(addresses_json(&entry).unwrap()["act"], act);
            assert_eq!(entry.name(), act);
        }
        assert!(addresses_words(&Entry::OpenAccount { account: [1; 32] }).is_none());
    }

    #[test]
    fn values_are_told_by_their_keys() {
        let state = AddressesState {
            tenant: [2; 32],
            custody: Custody::Hosted,
            epoch_ms: 1000,
            first: 4,
            dealt: None,
            leaf: 9,
            closed_ms: Some(11),
        };
        let told = addresses_state(b"address/account/x", &state.encode()).unwrap();
        assert_eq!((&told["custody"], &told["first_epoch"]), (&json!("hosted"), &json!(4)));
        assert_eq!(told["closed_ms"], json!(11));
        let told = addresses_state(b"address/used/x", &7_u64.to_be_bytes()).unwrap();
        assert_eq!(told, json!({ "leaf_index": 7 }));
        assert_eq!(addresses_state(b"address/handle/x", &[0; 15]), None);
    }
}
