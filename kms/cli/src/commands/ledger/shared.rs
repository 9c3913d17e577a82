//! Entries about shared keys, in words and as JSON.

use keyward_ledger_core::entry::{
    Act, Authored, Entry, Renewal, RuleName, SharedAct, SharedBinding, SharedIntent, SharedOpening,
    SharedRenewal, Tweak,
};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::shared::Circle;
use serde_json::{Value, json};

use super::status::short;

fn act(entry: &Entry) -> Option<&SharedAct> {
    match entry {
        Entry::Authored(Authored { act: Act::Shared(act), .. }) => Some(act),
        _ => None,
    }
}

/// The shared key that an entry is about, if it is about one that has an id.
pub(crate) fn shared_key_of(entry: &Entry) -> Option<KeyId> {
    match act(entry)? {
        SharedAct::Open(_) => None,
        SharedAct::Bind(binding) => binding.key_id(),
        SharedAct::Intent(intent) => Some(intent.key_id),
        SharedAct::Renew(renewal) => Some(renewal.key_id),
        SharedAct::ReplaceDevice { key_id, .. } | SharedAct::CancelDevice { key_id, .. } => Some(*key_id),
    }
}

/// What an entry says of a shared key, if it is about one.
pub(crate) fn shared_words(entry: &Entry) -> Option<String> {
    let of = |name: &RuleName| format!("shared key {} of account {}", short(&name.name), short(&name.owner));
    let holders =
        |circle: &Circle| format!("the user and {} of {} keepers", circle.threshold, circle.keepers.len());
    Some(match act(entry)? {
        SharedAct::Open(opening) => {
            let SharedOpening { name, scheme, circle, attempt, .. } = &**opening;
            format!("{}: attempt {attempt} at a {scheme} key of {}", of(name), holders(circle))
        }
        SharedAct::Bind(binding) => {
            let approved =
                binding.approval_rule.map(|rule| format!(", only with approvals of {}", short(&rule)));
            format!(
                "{}: bound by the word of {} keepers{}",
                of(&binding.name),
                binding.acknowledgements.len(),
                approved.unwrap_or_default()
            )
        }
        SharedAct::Intent(intent) => {
            let SharedIntent { share_version, signers, case, .. } = &**intent;
            let case = case.map(|case| format!(", approved in case {}", short(&case)));
            let places = signers.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            format!(
                "to sign{}: shares {share_version}, keepers at the places {places}{}",
                tweaked(&intent.tweak),
                case.unwrap_or_default()
            )
        }
        SharedAct::Renew(renewal) => {
            let SharedRenewal { share_version, circle, .. } = &**renewal;
            let holders = holders(circle);
            match renewal.renewal {
                Renewal::Refresh => {
                    format!("shares {share_version} dealt anew to the same holders: {holders}")
                }
                Renewal::Renew => format!("shares {share_version} dealt anew: {holders}"),
            }
        }
        SharedAct::ReplaceDevice { device, .. } => {
            format!("device {} is to take over after the lock", short(&device.signing_key))
        }
        SharedAct::CancelDevice { .. } => "the device in force stopped another one".to_owned(),
    })
}

const fn tweaked(tweak: &Tweak) -> &'static str {
    match tweak {
        Tweak::Plain => "",
        Tweak::KeyPath => " under its taproot output key",
        Tweak::Root(_) => " under its taproot output key with scripts",
    }
}

/// The same for programs; none if the entry is about something else.
pub(crate) fn shared_json(entry: &Entry) -> Option<Value> {
    let json = match act(entry)? {
        SharedAct::Open(opening) => json!({
            "act": "open", "account": hex::encode(opening.name.owner), "name": hex::encode(opening.name.name),
            "scheme": opening.scheme.name(), "attempt": opening.attempt, "threshold": opening.circle.threshold,
            "keepers": hexes(&opening.circle.keepers), "lock_ms": opening.lock_ms,
            "device": hex::encode(opening.device.signing_key),
        }),
        SharedAct::Bind(binding) => {
            let SharedBinding { name, attempt, scheme, public_key, key_hash, .. } = &**binding;
            json!({
                "act": "bind", "account": hex::encode(name.owner), "name": hex::encode(name.name),
                "key_id": binding.key_id().map(|key_id| key_id.to_string()), "attempt": attempt,
                "scheme": scheme.name(), "public_key": hex::encode(public_key), "key_hash": hex::encode(key_hash),
                "approval_rule": binding.approval_rule.map(hex::encode),
                "policy_tenant": binding.policy_tenant.map(hex::encode),
            })
        }
        SharedAct::Intent(intent) => json!({
            "act": "intent", "intent": hex::encode(intent.id), "key_id": intent.key_id.to_string(),
            "share_version": intent.share_version, "signers": intent.signers,
            "commitment": hex::encode(intent.commitment), "tweaked": intent.tweak != Tweak::Plain,
            "policy": hex::encode(intent.policy), "case": intent.case.map(hex::encode),
        }),
        SharedAct::Renew(renewal) => json!({
            "act": if renewal.renewal == Renewal::Refresh { "refresh" } else { "renew" },
            "key_id": renewal.key_id.to_string(), "share_version": renewal.share_version,
            "threshold": renewal.circle.threshold, "keepers": hexes(&renewal.circle.keepers),
            "key_hash": hex::encode(renewal.key_hash),
        }),
        SharedAct::ReplaceDevice { key_id, device } => json!({
            "act": "replace-device", "key_id": key_id.to_string(), "device": hex::encode(device.signing_key),
        }),
        SharedAct::CancelDevice { key_id, .. } => {
            json!({ "act": "cancel-device", "key_id": key_id.to_string() })
        }
    };
    Some(json)
}

fn hexes(hashes: &[[u8; 32]]) -> Vec<String> {
    hashes.iter().map(hex::encode).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_ledger_core::shared::Device;

    use super::*;

    const KEY: KeyId = KeyId([0xcc; 32]);

    fn entry(act: SharedAct) -> Entry {
        Entry::Authored(Authored { act: Act::Shared(act), authors: Vec::new() })
    }

    fn intent(tweak: Tweak, case: Option<[u8; 32]>) -> Entry {
        entry(SharedAct::Intent(Box::new(SharedIntent {
            id: [1; 32],
            key_id: KEY,
            share_version: 4,
            executor: [2; 32],
            commitment: [3; 32],
            tweak,
            signers: vec![1, 3],
            policy: [4; 32],
            not_after: 9,
            case,
        })))
    }

    #[test]
    fn what_happens_to_a_shared_key_is_told_in_words() {
        let device = Device { signing_key: [5; 32], sealing_key: [6; 32] };
        for (entry, said) in [
            (intent(Tweak::Plain, None), "to sign: shares 4, keepers at the places 1, 3"),
            (intent(Tweak::KeyPath, Some([7; 32])), "under its taproot output key: shares 4"),
            (entry(SharedAct::ReplaceDevice { key_id: KEY, device }), "after the lock"),
            (entry(SharedAct::CancelDevice { key_id: KEY, signature: [0; 64] }), "stopped another"),
        ] {
            let words = shared_words(&entry).unwrap();
            assert!(words.contains(said), "{words}");
            assert_eq!(shared_key_of(&entry), Some(KEY));
            assert_eq!(shared_json(&entry).unwrap()["key_id"], json!("cc".repeat(32)));
        }
        assert!(shared_words(&intent(Tweak::Plain, Some([7; 32]))).unwrap().contains("approved in case 07"));
        let note = Entry::Note(vec![1]);
        assert!(shared_words(&note).is_none() && shared_json(&note).is_none());
    }
}
