//! Entries about vaults, in words and as JSON.

use keyward_ledger_core::entry::{Act, Authored, Entry, RuleName, VaultAct, VaultAttempt};
use keyward_ledger_core::outcome::Outcome;
use serde_json::{Value, json};

use super::status::short;

fn act(entry: &Entry) -> Option<&VaultAct> {
    match entry {
        Entry::Authored(Authored { act: Act::Vault(act), .. }) => Some(act),
        _ => None,
    }
}

/// What an entry says of a vault, if it is about one.
pub(crate) fn vault_words(entry: &Entry) -> Option<String> {
    let act = act(entry)?;
    let RuleName { owner, name } = act.vault();
    let said = match act {
        VaultAct::Seal { sealing, .. } => format!(
            "version {} sealed, mode {}: {} of {} keepers, {} guesses in a row and {} in all",
            sealing.version,
            sealing.mode.name(),
            sealing.shares.threshold(),
            sealing.shares.keepers.len(),
            sealing.terms.limit,
            sealing.terms.lifetime,
        ),
        VaultAct::Attempt(VaultAttempt { version, share_version, .. }) => {
            format!("a guess at version {version}, shares {share_version}")
        }
        VaultAct::Open { attempt, .. } => format!("a guess at version {} was right", attempt.version),
        VaultAct::Destroy { version, .. } => format!("destroyed at version {version}"),
        VaultAct::Erase { version, keeper, .. } => {
            format!("keeper {} erased its shares up to version {version}", short(keeper))
        }
        VaultAct::Refresh { refresh, .. } => format!(
            "version {}, shares {} dealt anew to {} keepers",
            refresh.version,
            refresh.share_version,
            refresh.shares.keepers.len(),
        ),
    };
    Some(format!("vault {} of account {}: {said}", short(name), short(owner)))
}

/// The same for programs; none if the entry is about something else. `attempt` is the id that the ledger gave.
pub(crate) fn vault_json(entry: &Entry, outcome: &Outcome) -> Option<Value> {
    let act = act(entry)?;
    let RuleName { owner, name } = act.vault();
    let mut json = match act {
        VaultAct::Seal { sealing, .. } => json!({
            "act": "seal", "version": sealing.version, "mode": sealing.mode.name(), "sealing": hex::encode(sealing.hash()),
            "threshold": sealing.shares.threshold(), "keepers": hexes(&sealing.shares.keepers),
            "limit": sealing.terms.limit, "lifetime": sealing.terms.lifetime,
            "cool_down_ms": sealing.terms.cool_down_ms, "refill_ms": sealing.terms.refill_ms,
        }),
        VaultAct::Attempt(attempt) => {
            let id = outcome.is_accepted().then(|| hex::encode(&outcome.data));
            let mut json = attempt_json("attempt", attempt);
            insert(&mut json, "attempt", json!(id));
            json
        }
        VaultAct::Open { attempt, .. } => attempt_json("open", attempt),
        VaultAct::Destroy { version, .. } => json!({ "act": "destroy", "version": version }),
        VaultAct::Erase { version, keeper, .. } => {
            json!({ "act": "erase", "version": version, "keeper": hex::encode(keeper) })
        }
        VaultAct::Refresh { refresh, .. } => json!({
            "act": "refresh", "version": refresh.version, "share_version": refresh.share_version,
            "threshold": refresh.shares.threshold(), "keepers": hexes(&refresh.shares.keepers),
        }),
    };
    insert(&mut json, "account", json!(hex::encode(owner)));
    insert(&mut json, "vault_id", json!(hex::encode(name)));
    Some(json)
}

fn attempt_json(act: &str, attempt: &VaultAttempt) -> Value {
    json!({
        "act": act, "version": attempt.version, "share_version": attempt.share_version,
        "element": hex::encode(attempt.element), "reply_key": hex::encode(attempt.reply_key),
    })
}

fn insert(json: &mut Value, name: &str, value: Value) {
    if let Value::Object(map) = json {
        map.insert(name.to_owned(), value);
    }
}

fn hexes(ids: &[[u8; 32]]) -> Vec<String> {
    ids.iter().map(hex::encode).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn entry(act: VaultAct) -> Entry {
        Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() })
    }

    const VAULT: RuleName = RuleName { owner: [0xaa; 32], name: [0xbb; 32] };

    #[test]
    fn what_happens_to_a_vault_is_told_in_words() {
        let attempt =
            VaultAttempt { vault: VAULT, version: 2, share_version: 3, element: [1; 32], reply_key: [2; 32] };
        for (act, said) in [
            (VaultAct::Attempt(attempt), "a guess at version 2, shares 3"),
            (VaultAct::Open { attempt, signature: [0; 64] }, "a guess at version 2 was right"),
            (VaultAct::Destroy { vault: VAULT, version: 2 }, "destroyed at version 2"),
            (
                VaultAct::Erase { vault: VAULT, version: 2, keeper: [0xcc; 32] },
                "erased its shares up to version 2",
            ),
        ] {
            let words = vault_words(&entry(act)).unwrap();
            assert!(words.starts_with("vault ") && words.contains(said), "{words}");
        }
        assert!(vault_words(&Entry::Note(vec![1])).is_none());
    }

    #[test]
    fn an_attempts_id_stands_only_where_it_was_granted() {
        let attempt =
            VaultAttempt { vault: VAULT, version: 1, share_version: 1, element: [1; 32], reply_key: [2; 32] };
        let entry = entry(VaultAct::Attempt(attempt));
        let granted = vault_json(&entry, &Outcome::accepted_with(&[7; 32])).unwrap();
        assert_eq!(granted["attempt"], "07".repeat(32));
        assert_eq!((&granted["vault_id"], &granted["act"]), (&json!("bb".repeat(32)), &json!("attempt")));
        let refused = Outcome::refused(keyward_ledger_core::outcome::Refusal::AttemptsLocked);
        assert!(vault_json(&entry, &refused).unwrap()["attempt"].is_null());
    }
}
