//! A vault that asks for more than its password: the owner, a friend and the bank's token sign each recovery.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use keyward_client::Petition;
use serde_json::{Value, json};

use crate::support::keyward::{Answer, Keyward, binary, clean, wait_until};

/// Persons with a device of their own each, and the bank's operator with a token.
struct People {
    keyward: Keyward,
    password: String,
}

impl People {
    fn new() -> Self {
        let keyward = Keyward::start();
        let password = keyward.write("password", "correct horse battery");
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        Self { keyward, password }
    }

    /// Registers somebody on a device of its own; gives the account.
    fn join(&self, name: &str) -> String {
        copied(&self.keyward.profile("app"), &self.device(name));
        let registered = self.as_person(name, &["account", "register", name]).done().json();
        self.as_person(name, &["account", "login", name]).done();
        registered["account"].as_str().unwrap().to_owned()
    }

    fn device(&self, name: &str) -> PathBuf {
        self.keyward.profile(name)
    }

    fn as_person(&self, name: &str, words: &[&str]) -> Answer {
        let words = [&["--output", "json"], words, &["--password-file", &self.password]].concat();
        self.keyward.run_with(&self.device(name), &words)
    }

    fn path(&self, name: &str) -> String {
        self.keyward.work(name).to_str().unwrap().to_owned()
    }

    fn status(&self) -> Value {
        let words = ["--output", "json", "vault", "status"];
        self.keyward.run_with(&self.device("alice"), &words).done().json()
    }

    /// Alice recovers, and waits for the others; its log grows beside it.
    fn recovering(&self, request: &str) -> Child {
        let log = fs::File::create(self.path("recover.log")).unwrap();
        let out = fs::File::create(self.path("recover.out")).unwrap();
        let mut command = clean(binary());
        command.env("KEYWARD_PROFILE", self.device("alice")).args(["--output", "json", "vault", "recover"]);
        command.args(["--password-file", &self.password, "--request", request, "--wait", "5m"]);
        command.args(["--receipt", &self.path("attempt.receipt")]);
        command.stdin(Stdio::null()).stdout(out).stderr(log).spawn().unwrap()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("recover.log")).unwrap_or_default()
    }
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() && entry.file_name() != "session" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_vault_opens_with_the_words_of_a_friend_and_of_the_banks_token_and_not_without_them() {
    let people = People::new();
    people.join("alice");
    let bob = people.join("bob");
    people.join("carol");
    let made =
        people.as_person("alice", &["key", "create", "--alias", "mine", "--scheme", "ed25519"]).done().json();
    let pin = people.keyward.dir().join("token.pin");
    let link =
        ["token", "link", "--token", "keyward-local", "--label", "sample-p256", "--scheme", "ecdsa-p256"];
    let link = [&link[..], &["--alias", "bank", "--pin-file", pin.to_str().unwrap()]].concat();
    let bank = people.keyward.json_as("operator", &link)["key_id"].as_str().unwrap().to_owned();

    // What could never be met is not sealed.
    let (friend, token) = (format!("account:{bob}"), format!("key:{bank}"));
    let (nobody, terms) =
        (format!("key:{}", "ab".repeat(32)), ["--cool-down", "0s", "--limit", "3", "--refill", "0s"]);
    let seal = |factors: &[&str]| {
        let factors: Vec<_> = factors.iter().flat_map(|factor| ["--factor", factor]).collect();
        people.as_person("alice", &[&["vault", "seal"], &terms[..], &factors].concat())
    };
    assert_eq!(seal(&["own", &nobody]).refusal(), "VAULT_FACTORS_INVALID");
    seal(&["own", &friend, &token]).done();
    let factors = people.status()["factors"].clone();
    assert_eq!((&factors["needed"], factors["of"].as_array().unwrap().len()), (&json!(3), 3));
    assert!(factors["of"].as_array().unwrap().iter().all(|one| one["can_sign"] == true), "{factors}");

    // The device is lost. Whoever has the password alone cannot even guess.
    fs::remove_dir_all(people.device("alice").join("keys")).unwrap();
    let alone = people.as_person("alice", &["vault", "recover"]);
    assert_eq!((alone.code, alone.refusal()), (Some(1), "AUTHORS_MISSING".to_owned()), "{alone:?}");
    assert!(alone.err.contains("no guess was spent"), "{alone:?}");

    let request = people.path("request");
    let mut recovering = people.recovering(&request);
    wait_until("the request", || Path::new(&request).exists());
    let digits = Petition::parse(&fs::read_to_string(&request).unwrap()).unwrap().fingerprint();
    wait_until("the digits to be told", || people.said().contains(&digits));

    // Carol is not asked; a stranger's digits are not signed at all.
    let (consents, with) = (format!("{request}.consents"), ["--fingerprint", digits.as_str()]);
    let place = |name: &str| format!("{consents}/{name}");
    let consent = |name: &str, out: &str, with: &[&str]| {
        people.as_person(name, &[&["vault", "consent", &request, "--out", &place(out)], with].concat())
    };
    consent("carol", "carol", &with).done();
    wait_until("Carol's word to be refused", || people.said().contains("[AUTHOR_NOT_NAMED]"));
    let other = consent("bob", "bob", &["--fingerprint", "0000-0000-0000-0000-0000"]);
    assert_eq!((other.code, other.refusal()), (Some(1), "CONSENT_OTHER_ATTEMPT".to_owned()));
    fs::write(place("garbage"), "keyward-petition-1 ff ff").unwrap();
    wait_until("garbage to be refused", || people.said().contains("[CONSENT_MALFORMED]"));

    consent("bob", "bob", &with).done();
    wait_until("Bob's word to be taken", || people.said().contains("1 to go"));
    let attempts = people.status()["attempts"].clone();
    assert_eq!([&attempts["left"], &attempts["lifetime_left"]], [&json!(3), &json!(25)], "nothing is spent");
    let bank_signs = ["vault", "consent", &request, "--key", "bank", "--out", &place("bank")];
    people.keyward.json_as("operator", &[&bank_signs[..], &with].concat());

    assert!(recovering.wait().unwrap().success(), "{}", people.said());
    let answer: Value =
        serde_json::from_str(&fs::read_to_string(people.path("recover.out")).unwrap()).unwrap();
    assert_eq!(answer["keys"][0]["public_key"], made["public_key"]);
    assert_eq!(answer["keys"][0]["on_ledger"], "active");
    let message = people.keyward.write("message", "pay 12.50 to bob");
    people.as_person("alice", &["sign", "--key", "mine", &message]).done();
    let (trust, receipt) = (people.keyward.trust(), people.path("attempt.receipt"));
    let verdict = people.keyward.json(&["verify", "--trust", trust.to_str().unwrap(), &receipt]);
    assert_eq!([&verdict["entry"], &verdict["accepted"]], [&json!("attempt-vault"), &json!(true)]);
}
