//! Proofs of state from the command line: asked for, verified, kept, and verified again by somebody without a network.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::keyward::{Answer, Keyward, shared};

fn offline(keyward: &Keyward, trust: &Path, arguments: &[&str]) -> Answer {
    // A profile that leads nowhere: nothing can be asked.
    let head = ["--output", "json", "verify", "--trust", trust.to_str().unwrap()];
    keyward.run_with(Path::new("/nowhere"), &[&head[..], arguments].concat())
}

/// A bound key's id.
fn bound(keyward: &Keyward, alias: &str) -> String {
    keyward.json(&["key", "create", "--alias", alias, "--scheme", "ecdsa-p256"]);
    keyward.json(&["key", "show", alias])["key_id"].as_str().unwrap().to_owned()
}

#[test]
fn presence_and_absence_are_proven_and_verify_offline_for_as_long_as_the_verifier_allows() {
    let keyward = shared();
    let id = bound(keyward, "proofs");
    let receipt = keyward.work("proofs.receipt").to_str().unwrap().to_owned();
    let here = keyward.json(&["ledger", "state", "key", &id, "--receipt", &receipt]);
    assert_eq!((&here["present"], &here["decoded"]["status"]), (&Value::from(true), &"active".into()));
    assert_eq!(hex::encode(fs::read(&receipt).unwrap()), here["receipt"].as_str().unwrap());
    let name = format!("key {id}");
    let again =
        offline(keyward, &keyward.trust(), &["--key", &name, "--max-age", "1h", &receipt]).done().json();
    for field in ["valid", "key", "present", "value", "height", "time_ms", "decoded", "anchor"] {
        assert_eq!(again[field], here[field], "{field}");
    }
    assert_eq!((&again["valid"], &again["anchor"]["kind"]), (&Value::from(true), &"genesis".into()));

    let nobody = "0".repeat(64);
    let gone = keyward.work("proofs.absent").to_str().unwrap().to_owned();
    let absent = keyward.json(&["ledger", "state", "key", &nobody, "--receipt", &gone]);
    assert_eq!((&absent["present"], &absent["value"]), (&Value::from(false), &Value::Null));
    let words = keyward.run(&["verify", "--trust", keyward.trust().to_str().unwrap(), &gone]).done().out;
    assert!(words.contains("nothing stands under") && words.contains("holds after height"), "{words}");

    keyward.json(&["key", "freeze", "proofs"]);
    let frozen = keyward.json(&["ledger", "state", "key", &id]);
    assert_eq!(frozen["decoded"]["status"], "frozen");
    assert!(frozen["height"].as_u64() > here["height"].as_u64(), "what is asked now holds now");
    for public in [&["ledger", "state", "validators"][..], &["ledger", "state", "parameters"]] {
        assert_eq!(keyward.json(public)["present"], true);
    }
    let account = here["decoded"]["account"].as_str().unwrap();
    let refused = keyward.run(&["ledger", "state", "account", account]);
    assert_eq!(
        (refused.code, &*refused.refusal()),
        (Some(1), "READ_NOT_ALLOWED"),
        "an app's business ends here"
    );
    assert_eq!(keyward.json_as("auditor", &["ledger", "state", "account", account])["decoded"]["open"], true);
}

#[test]
fn a_stale_state_of_another_key_or_ledger_or_with_a_flipped_byte_is_refused_by_name() {
    let keyward = shared();
    let id = bound(keyward, "proofs-refused");
    let receipt = keyward.work("proofs-refused.receipt").to_str().unwrap().to_owned();
    let state = keyward.json(&["ledger", "state", "key", &id, "--receipt", &receipt]);
    let height = state["height"].as_u64().unwrap();
    let trust = keyward.trust();
    let check = |arguments: &[&str], code: &str| {
        let answer = offline(keyward, &trust, arguments);
        assert_eq!((answer.code, &*answer.refusal()), (Some(1), code), "{arguments:?}: {answer:?}");
        assert_eq!(answer.json()["valid"], false);
    };
    let above = (height + 1).to_string();
    check(&["--min-height", &above, &receipt], "STATE_TOO_LOW");
    offline(keyward, &trust, &["--min-height", &height.to_string(), &receipt]).done();
    // Blocks are made all the time; this one becomes a second old.
    let old = || offline(keyward, &trust, &["--max-age", "1s", &receipt]).code == Some(1);
    crate::support::keyward::wait_until("the state to be more than a second old", old);
    check(&["--max-age", "1s", &receipt], "STATE_TOO_OLD");
    let other = format!("key {}", "0".repeat(64));
    check(&["--key", &other, &receipt], "OTHER_STATE_KEY");
    let message = keyward.write("proofs-refused.message", "no signature stands in a state");
    check(&["--message", &message, &receipt], "MESSAGE_WITHOUT_SIGNATURE");

    let other_trust = keyward.write("proofs-refused.trust", crate::exports::other_trust(keyward));
    let answer = offline(keyward, Path::new(&other_trust), &[&receipt]);
    assert_eq!((answer.code, &*answer.refusal()), (Some(1), "OTHER_GENESIS"), "{answer:?}");

    let bytes = fs::read(&receipt).unwrap();
    for place in [0, 4, 7, 40, 50, 60, 150, bytes.len() / 2, bytes.len() - 200, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        let path = keyward.write("proofs-refused.flipped", &flipped);
        let answer = offline(keyward, &trust, &["--key", &format!("key {id}"), &path]);
        assert_eq!(answer.code, Some(1), "byte {place}: {answer:?}");
        assert!(!answer.refusal().is_empty() && answer.json()["valid"] == false, "byte {place}: {answer:?}");
    }
    for arguments in
        [&["ledger", "state", "key", "00"][..], &["ledger", "state", "king"], &["ledger", "state"]]
    {
        assert_eq!(keyward.run(arguments).code, Some(2), "{arguments:?}");
    }
}
