//! A key that is whole nowhere: made and used with keepers, dealt anew, and taken to another device.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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

    /// Takes all that a keeper holds of shared keys from its disk while it does not run. It had it in memory, too.
    fn lose_share(&self, keeper: &str) -> (String, u32) {
        let node = keeper.replace("keeper-", "node-");
        self.keyward.hold();
        let killed = self.keyward.kill(&node);
        let held = files(&self.keyward.dir().join(&node)).into_iter();
        let held: Vec<_> = held.filter(|path| path.to_str().unwrap().contains("/keeper/shared/")).collect();
        assert_eq!(held.len(), 1, "{held:?}");
        fs::remove_file(&held[0]).unwrap();
        self.keyward.go_on();
        (node, killed)
    }

    fn repair(&self, alias: &str, keeper: &str) -> Answer {
        self.with_password(&["key", "shared", "repair", alias, "--keeper", keeper])
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
    let (signed, verdict) = person.signed("treasury", &message, &[]);
    assert_eq!(signed["public_key"], made["public_key"]);
    assert_eq!(verdict["shared"]["signers"].as_array().unwrap().len(), 3);

    to_another_device(&person, &message);
}

#[test]
fn a_shared_key_of_ecdsa_says_that_it_is_an_experiment_and_signs_what_others_verify_while_a_keeper_dies() {
    let person = Person::registered();
    let message = person.keyward.write("message", "pay 12.50 to bob");
    let words = ["key", "create", "--mode", "shared", "--alias", "coins", "--scheme", "ecdsa-secp256k1"];
    let unasked = person.with_password(&words);
    assert_eq!((unasked.code, unasked.refusal()), (Some(1), "SHARED_EXPERIMENTAL".to_owned()));
    let many = [&words[..], &["--experimental", "--keepers", "3", "--threshold", "2"]].concat();
    let made = person.with_password(&many).done();
    assert!(made.err.contains("experimental") && made.err.contains("no vault takes it"), "{made:?}");
    assert_eq!(made.json()["experimental"], true);
    assert_eq!(person.keyward.json(&["key", "show", "coins"])["experimental"], true);
    assert_eq!(person.shown("coins")["experimental"], true);
    let listed = person.keyward.run(&["key", "list"]).done().out;
    assert!(listed.contains("shared 2 of 3, experimental"), "{listed}");

    let signature = person.path("signature.der");
    let (signed, _) = person.signed("coins", &message, &["--signature", &signature]);
    assert_eq!([&signed["public_key"], &signed["experimental"]], [&made.json()["public_key"], &json!(true)]);
    openssl_agrees(&person, &signature, &message);
    // A node dies with its keeper: others sign, and in time it again.
    let killed = person.keyward.kill("node-2");
    for _ in 0..3 {
        person.signed("coins", &message, &[]);
    }
    person.keyward.is_back("node-2", killed);
    person.signed("coins", &message, &[]);

    // Its share goes nowhere: no vault, no other keepers.
    let sealed = person.with_password(&["vault", "seal", "--key", "coins", "--cool-down", "0s"]);
    let renewed = person.with_password(&["key", "shared", "renew", "coins", "--keepers", "4"]);
    for refused in [sealed, renewed] {
        assert_eq!((refused.code, refused.refusal()), (Some(1), "SHARED_EXPERIMENTAL".to_owned()));
    }
    // Whoever has the ledger's history checks it all again, offline.
    let dir = person.path("export");
    person.keyward.json_as("auditor", &["ledger", "export", &dir]);
    let trust = person.keyward.trust();
    let check = ["--output", "json", "ledger", "check", &dir, "--trust", trust.to_str().unwrap()];
    person.keyward.run_with(Path::new("/nowhere"), &check).done();
}

fn openssl_agrees(person: &Person, signature: &str, message: &str) {
    if keyward_tests::left_out("openssl") {
        return println!("left out: openssl");
    }
    let pem = person.path("coins.pem");
    person.keyward.run(&["key", "export", "coins", "--format", "spki-pem", "--out", &pem]).done();
    let verify = ["dgst", "-sha256", "-verify", &pem, "-signature", signature, message];
    let checked = Command::new("openssl").args(verify).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn a_keeper_that_lost_its_share_gets_it_back_and_signs_in_anothers_place() {
    let person = Person::registered();
    let message = person.keyward.write("message", "pay 12.50 to bob");
    person.create("treasury", "ed25519");
    let shown = person.shown("treasury");
    let keepers: Vec<_> =
        shown["keepers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let held = person.repair("treasury", keepers[0]);
    assert_eq!((held.code, held.refusal()), (Some(1), "SHARED_KEEPERS_FAILED".to_owned()));
    assert!(held.out.contains("the share is here: nothing is lost"), "{held:?}");
    let (node, killed) = person.lose_share(keepers[0]);
    person.keyward.is_back(&node, killed);
    wait_until("the keeper to have its share again", || {
        person.repair("treasury", keepers[0]).code == Some(0)
    });
    assert_eq!(person.shown("treasury")["share_version"], shown["share_version"], "nothing was dealt anew");

    // Another one loses its share: without the first nobody could sign.
    person.lose_share(keepers[1]);
    let (_, verdict) = person.signed("treasury", &message, &[]);
    assert_eq!(verdict["shared"]["signers"], json!([1, 3]));
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
    person.signed("treasury", message, &[]);
    let none = person.with_password(&["key", "shared", "cancel-device", "treasury"]);
    assert_eq!((none.code, none.refusal()), (Some(1), "SHARED_DEVICE_NONE".to_owned()));
}
