//! A key that is whole nowhere: made and used with keepers, dealt anew, and taken to another device.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::keyward::{Answer, Keyward, wait_until};

const PASSWORD: &str = "four horses and a keeper";

struct Person {
    keyward: Keyward,
    password: String,
}

impl Person {
    fn registered() -> Self {
        let keyward = Keyward::start();
        let password = keyward.write("password", PASSWORD);
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        let person = Self { keyward, password };
        person.with_password(&["account", "register", "clara"]).done();
        person.with_password(&["account", "login", "clara"]).done();
        person
    }

    fn with_password(&self, arguments: &[&str]) -> Answer {
        self.keyward.run(&[&["--output", "json"], arguments, &["--password-file", &self.password]].concat())
    }

    fn path(&self, name: &str) -> String {
        self.keyward.work(name).to_str().unwrap().to_owned()
    }

    fn device(&self) -> PathBuf {
        self.keyward.profile("app").join("keys")
    }

    fn create(&self, alias: &str, scheme: &str) -> Value {
        let words = ["key", "create", "--mode", "shared", "--alias", alias, "--scheme", scheme];
        let terms = ["--keepers", "3", "--threshold", "2", "--lock-hours", "0"];
        self.with_password(&[&words[..], &terms].concat()).done().json()
    }

    /// Signs, and verifies the receipt offline.
    fn signed(&self, alias: &str, message: &str, more: &[&str]) -> (Value, Value) {
        let (receipt, trust) = (self.path("signature.receipt"), self.keyward.trust());
        let sign = [&["sign", "--key", alias, "--receipt", &receipt], more, &[message]].concat();
        let signed = self.with_password(&sign).done().json();
        let verify = ["verify", "--trust", trust.to_str().unwrap(), "--message", message, &receipt];
        let verdict = self.keyward.json(&verify);
        assert_eq!(
            [&verdict["entry"], &verdict["signature"]],
            [&json!("intent-shared"), &signed["signature"]]
        );
        (signed, verdict)
    }

    /// A keeper may go by what the ledger had a second ago: until it sees a change it takes no part.
    fn seen_by_keepers(&self, alias: &str, message: &str) {
        wait_until("keepers to see the change", || {
            let signed = self.with_password(&["sign", "--key", alias, message]);
            let waits = signed.code == Some(1) && signed.refusal() == "SHARED_KEEPERS_FAILED";
            assert!(signed.code == Some(0) || waits, "{signed:?}");
            !waits
        });
    }

    fn shown(&self, alias: &str) -> Value {
        self.keyward.json(&["key", "shared", "show", alias])
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_shared_key_signs_with_keepers_alone_goes_to_others_and_follows_its_holder_to_another_device() {
    let person = Person::registered();
    let message = person.keyward.write("message", "pay 12.50 to bob");
    let made = person.create("treasury", "ed25519");
    assert_eq!(made["mode"], "shared");
    let listed = person.keyward.run(&["key", "list"]).done().out;
    assert!(listed.contains("shared 2 of 3"), "{listed}");

    // Signed with keepers, and every receipt verifies; what the share's file holds stands nowhere in the clear.
    let (signed, verdict) = person.signed("treasury", &message, &[]);
    assert_eq!(signed["public_key"], made["public_key"]);
    assert_eq!(verdict["shared"]["signers"].as_array().unwrap().len(), 2);
    let kept: Vec<_> = files(&person.device());
    let share = kept.iter().find(|path| path.extension().is_some_and(|end| end == "share")).unwrap();
    assert_eq!(fs::metadata(share).unwrap().permissions().mode() & 0o777, 0o600);

    // Bitcoin's: under a tweak the signature is the output key's.
    person.create("coins", "bip340");
    let (tweaked, verdict) = person.signed("coins", &message, &["--tweak", "key-path"]);
    assert_eq!(verdict["output_key"], tweaked["public_key"]);
    assert_ne!(verdict["public_key"], tweaked["public_key"]);

    // What is no payload of the format that is said is not signed.
    let unread = person.with_password(&["sign", "--key", "treasury", "--format", "pain.001", &message]);
    assert_eq!((unread.code, unread.refusal()), (Some(1), "PAYLOAD_UNREAD".to_owned()));

    // To more keepers, of whom more sign: the same key.
    let receipt = person.path("renewal.receipt");
    let renew =
        ["key", "shared", "renew", "treasury", "--keepers", "4", "--threshold", "3", "--receipt", &receipt];
    let renewed = person.with_password(&renew).done().json();
    assert_eq!([&renewed["threshold"], &renewed["share_version"]], [&json!(3), &json!(2)]);
    let verdict =
        person.keyward.json(&["verify", "--trust", person.keyward.trust().to_str().unwrap(), &receipt]);
    assert_eq!(verdict["shared"]["act"], "renew");
    person.seen_by_keepers("treasury", &message);
    let (signed, verdict) = person.signed("treasury", &message, &[]);
    assert_eq!(signed["public_key"], made["public_key"]);
    assert_eq!(verdict["shared"]["signers"].as_array().unwrap().len(), 3);

    to_another_device(&person, &message);
}

/// The share lies in a vault; the device is lost; the share comes back, and the new device takes the other's place.
fn to_another_device(person: &Person, message: &str) {
    person.with_password(&["vault", "seal", "--cool-down", "0s"]).done();
    let before = person.shown("treasury");
    fs::remove_dir_all(person.device()).unwrap();
    let lost = person.with_password(&["sign", "--key", "treasury", message]);
    assert_eq!(lost.code, Some(1), "{lost:?}");
    let back = person.with_password(&["vault", "recover"]).done().json();
    let keys = back["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "{back}");
    assert!(keys.iter().all(|key| key["speaks"] == json!(false)), "{back}");
    let early = person.with_password(&["sign", "--key", "treasury", message]);
    assert_eq!((early.code, early.refusal()), (Some(1), "SHARED_DEVICE_OTHER".to_owned()));
    person.with_password(&["key", "shared", "replace-device", "treasury"]).done();
    assert_ne!(person.shown("treasury")["device"], before["device"]);
    person.seen_by_keepers("treasury", message);
    let none = person.with_password(&["key", "shared", "cancel-device", "treasury"]);
    assert_eq!((none.code, none.refusal()), (Some(1), "SHARED_DEVICE_NONE".to_owned()));
}
