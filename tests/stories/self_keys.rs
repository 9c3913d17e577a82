//! Keys of mode `self` on the command line: made and used on this device, replaced, and lost with it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::keyward::{Answer, Keyward};

struct Person {
    keyward: Keyward,
    password: String,
}

impl Person {
    fn registered() -> Self {
        let keyward = Keyward::start();
        let password = secret(&keyward, "password", "correct horse battery");
        let person = Self { keyward, password };
        person.json(&["account", "register", "alice"]);
        person.json(&["account", "login", "alice"]);
        person
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.keyward.run(&[arguments, &["--password-file", &self.password, "--output", "json"]].concat())
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        self.run(arguments).done().json()
    }

    /// The files of the keys on this device.
    fn kept(&self) -> Vec<PathBuf> {
        let folder = self.keyward.profile("app").join("keys");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|suffix| suffix == "key"));
        files.sort();
        files
    }

    fn verified(&self, message: &str, receipt: &str) -> serde_json::Value {
        let trust = self.keyward.trust();
        self.keyward.json(&["verify", "--trust", trust.to_str().unwrap(), "--message", message, receipt])
    }
}

fn secret(keyward: &Keyward, name: &str, text: &str) -> String {
    let path = keyward.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_of_mode_self_signs_on_this_device_alone_and_its_receipts_verify() {
    let person = Person::registered();
    let Person { keyward, .. } = &person;
    let made = person.run(&["key", "create", "--alias", "mine", "--scheme", "ecdsa-secp256k1"]).done();
    assert_eq!(made.json()["mode"], "self");
    assert!(made.err.contains("keyward vault seal"), "{made:?}");
    let kept = person.kept();
    assert_eq!((kept.len(), mode_of(&kept[0])), (1, 0o600));
    assert_eq!(keyward.json(&["key", "show", "mine"])["mode"], "self");

    let message = keyward.write("message", "pay 12.50 to bob");
    let receipt = keyward.work("receipt").to_str().unwrap().to_owned();
    let signed = person.json(&["sign", "--key", "mine", "--receipt", &receipt, &message]);
    let verdict = person.verified(&message, &receipt);
    assert_eq!(verdict["signature"], signed["signature"]);
    assert_eq!(signed["public_key"], made.json()["public_key"]);

    // The service signs nothing with it, and lends it to nobody.
    let lent = person.keyward.run(&["--output", "json", "key", "authorize", "--app", "local-app", "mine"]);
    assert_eq!((lent.code, lent.refusal()), (Some(1), "KEY_IS_SELF".to_owned()));

    // Another password opens nothing.
    let wrong = secret(keyward, "wrong", "incorrect horse");
    let sign = ["--output", "json", "sign", "--key", "mine", "--password-file", &wrong, &message];
    let refused = keyward.run(&sign);
    assert_eq!((refused.code, refused.refusal()), (Some(1), "LOGIN_FAILED".to_owned()));

    // A new version takes over with the consent of the one before, which is forgotten here.
    let rotated = person.json(&["key", "rotate", "mine"]);
    assert_eq!((&rotated["mode"], &rotated["version"]), (&"self".into(), &2.into()));
    assert_eq!(person.kept().len(), 1);
    assert_ne!(person.kept(), kept);
    let again = person.json(&["sign", "--key", "mine", "--receipt", &receipt, &message]);
    assert_eq!(again["public_key"], rotated["public_key"]);
    assert_eq!(person.verified(&message, &receipt)["signature"], again["signature"]);

    // A hosted key stays possible, and comes to its person when that is wanted.
    let hosted =
        person.json(&["key", "create", "--alias", "theirs", "--scheme", "ed25519", "--mode", "hosted"]);
    assert_eq!(hosted["mode"], "hosted");
    keyward.json(&["sign", "--key", "theirs", &message]);
    let own = person.json(&["key", "rotate", "theirs", "--mode", "self"]);
    assert_eq!((&own["mode"], person.kept().len()), (&"self".into(), 2));
    person.json(&["sign", "--key", "theirs", &message]);

    // Without its file a key signs no more; the service cannot help.
    for file in person.kept() {
        std::fs::remove_file(file).unwrap();
    }
    let lost = person.run(&["sign", "--key", "mine", &message]);
    assert_eq!(lost.code, Some(1));
    assert!(lost.err.contains("is not on this device"), "{lost:?}");

    // The account is closed by its login; a wrong password, or none in the session's place, closes nothing.
    let close = ["--output", "json", "account", "close", "--yes", "--receipt", &receipt, "--password-file"];
    let refused = keyward.run(&[&close[..], &[&wrong]].concat());
    assert_eq!((refused.code, refused.refusal()), (Some(1), "LOGIN_FAILED".to_owned()));
    assert_eq!(keyward.json(&["account", "show"])["state"], "open");
    keyward.run(&[&close[..], &[&person.password]].concat()).done();
    let trust = keyward.trust();
    let verdict = keyward.json(&["verify", "--trust", trust.to_str().unwrap(), &receipt]);
    assert_eq!(verdict["entry"], "close-own-account", "{verdict}");
    let login = person.run(&["account", "login", "alice"]);
    assert_eq!((login.code, login.refusal()), (Some(1), "LOGIN_FAILED".to_owned()));
}
