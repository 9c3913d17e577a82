//! Starting, ending, killing and starting again, as operators do.

use crate::support::keyward::{Keyward, processes_below, runs, wait_until};

#[test]
fn ctrl_c_ends_in_order_and_starting_again_on_the_same_folder_goes_on_with_everything() {
    let mut keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ecdsa-secp256k1"]);
    let message = keyward.write("message", "what is signed before");
    let receipt = keyward.work("receipt").to_str().unwrap().to_owned();
    let before = keyward.json(&["sign", "--key", "payroll", "--receipt", &receipt, &message]);
    let keys = keyward.json(&["key", "list"]);
    let status = keyward.json_as("operator", &["status"]);
    assert_eq!((&status["notices"], &status["token_ready"]), (&serde_json::json!([]), &true.into()));
    let trust = std::fs::read(keyward.trust()).unwrap();
    let height = height(&keyward);
    let children = keyward.children();
    assert_eq!(children.keys().collect::<Vec<_>>(), ["node-1", "node-2", "node-3", "node-4", "service"]);

    assert!(keyward.interrupt().success(), "{}", keyward.log());
    assert!(!children.values().any(|process| runs(*process)), "no child outlives its supervisor");

    keyward.up();
    assert_eq!(std::fs::read(keyward.trust()).unwrap(), trust);
    assert_eq!(keyward.json(&["key", "list"]), keys);
    let trust = keyward.trust();
    let old = keyward.json(&["verify", "--trust", trust.to_str().unwrap(), "--message", &message, &receipt]);
    assert_eq!(old["signature"], before["signature"]);
    assert!(crate::operation::height(&keyward) >= height);
    let after = keyward.json(&["sign", "--key", "payroll", &message]);
    assert_eq!(after["public_key"], before["public_key"]);
}

#[test]
fn a_killed_supervisor_leaves_no_child_behind_and_nothing_is_lost() {
    let mut keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    let children = keyward.kill_supervisor();
    assert_eq!(children.len(), 5);
    wait_until("the children to end by themselves", || !children.values().any(|process| runs(*process)));
    keyward.up();
    assert_eq!(keyward.json(&["key", "show", "payroll"])["state"], "active");
}

#[test]
fn a_server_that_cannot_start_fails_its_first_start_in_its_own_words_and_is_tried_again_later() {
    let mut keyward = Keyward::start();
    let config = keyward.dir().join("service/serve.toml");
    let away = keyward.work("away");
    // It dies, and what it needs is away when it is started again.
    std::fs::rename(&config, &away).unwrap();
    let killed = keyward.kill("service");
    wait_until("the supervisor to say so", || keyward.log().contains("service does not start"));
    std::fs::rename(&away, &config).unwrap();
    keyward.is_back("service", killed);
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    assert!(keyward.interrupt().success(), "{}", keyward.log());

    // At the first start that is the end of all, in the child's words.
    let database = keyward.dir().join("service/keyward.sqlite");
    assert!(database.is_file());
    std::fs::write(&database, "no database").unwrap();
    let dir = keyward.dir();
    let refused = keyward.run(&["up", "--dir", dir.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("service ended before it was ready: ") && refused.err.contains("database"),
        "{refused:?}"
    );
    assert!(processes_below(&dir).is_empty(), "what was started before is ended");
}

/// The highest height that a validator names.
fn height(keyward: &Keyward) -> u64 {
    let status = keyward.json(&["ledger", "status"]);
    status["nodes"].as_array().unwrap().iter().filter_map(|node| node["height"].as_u64()).max().unwrap()
}
