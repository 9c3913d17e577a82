//! Another password on the command line: what it opens from then on, and what it does not.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::keyward::Keyward;

fn secret(keyward: &Keyward, name: &str, text: &str) -> String {
    let path = keyward.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_new_password_opens_the_keys_of_this_device_and_the_one_before_opens_nothing() {
    let keyward = Keyward::start();
    let old = secret(&keyward, "old", "correct horse battery");
    let new = secret(&keyward, "new", "staple staple staple");
    let with = |arguments: &[&str], password: &str| {
        keyward.run(&[arguments, &["--password-file", password, "--output", "json"]].concat())
    };
    with(&["account", "register", "alice"], &old).done();
    with(&["account", "login", "alice"], &old).done();
    with(&["key", "create", "--alias", "mine", "--scheme", "ed25519"], &old).done();
    let (trust, receipt) = (keyward.trust(), keyward.work("receipt"));
    let (trust, receipt) = (trust.to_str().unwrap(), receipt.to_str().unwrap());
    let change = |present: &str, next: &str| {
        let change = ["account", "password", "alice", "--new-password-file", next, "--receipt", receipt];
        with(&change, present)
    };
    let refused = change(&new, &old);
    assert_eq!(
        (refused.code, refused.refusal()),
        (Some(1), "LOGIN_FAILED".to_owned()),
        "not the present one"
    );
    let session = keyward.profile("app").join("session");
    let before = std::fs::read(&session).unwrap();
    assert_eq!(change(&old, &new).done().json()["keys"], 1);
    assert_eq!(keyward.json(&["verify", "--trust", trust, receipt])["valid"], true);

    let message = keyward.write("message", "pay 12.50 to bob");
    assert_eq!(with(&["sign", "--key", "mine", &message], &new).code, Some(1), "nobody is logged in");
    // Whoever has kept the session has one that has ended.
    std::fs::write(&session, before).unwrap();
    std::fs::set_permissions(&session, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ended = keyward.run(&["--output", "json", "account", "show"]);
    assert_eq!(
        (ended.code, ended.refusal()),
        (Some(1), "SESSION_EXPIRED".to_owned()),
        "every session has ended"
    );
    assert_eq!(with(&["account", "login", "alice"], &old).refusal(), "LOGIN_FAILED");
    with(&["account", "login", "alice"], &new).done();
    with(&["sign", "--key", "mine", &message], &new).done();

    // What is not on this device would be lost with the present password: that has to be said.
    std::fs::remove_dir_all(keyward.profile("app").join("keys")).unwrap();
    let refused = change(&new, &old);
    assert_eq!((refused.code, refused.refusal()), (Some(1), "PASSWORD_KEYS_ELSEWHERE".to_owned()));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("`mine`"), "{refused:?}");
    with(&["account", "login", "alice"], &new).done();
    let abandon = ["account", "password", "alice", "--new-password-file", &old, "--abandon-keys"];
    assert_eq!(with(&abandon, &new).done().json()["keys"], 0);
    with(&["account", "login", "alice"], &old).done();
}
