//! A lost device: keys lie in a vault, come back with a password and some of the keepers, and the ledger tells all of it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    rc::Rc,
    thread::sleep,
    time::{Duration, Instant},
};

use keyward_crypto::read_private_key;
use keyward_domain::scheme::Scheme;
use serde_json::{Value, json};

use crate::{
    approvals,
    delegation::Circle,
    policies, risk,
    support::keyward::{Answer, Keyward, wait_until},
};

/// How long keepers may take to erase a version and have that recorded.
const ERASURE_PATIENCE: Duration = Duration::from_secs(150);
const PASSWORD: &str = "correct horse battery";
const NEXT_PASSWORD: &str = "another horse, another battery";
const VAULT_PASSWORD: &str = "what only alice remembers";

struct Person {
    keyward: Rc<Keyward>,
    password: String,
    vault_password: String,
}

fn secret(keyward: &Keyward, name: &str, text: &str) -> String {
    let path = keyward.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl Person {
    fn registered() -> Self {
        let keyward = Rc::new(Keyward::start());
        let password = secret(&keyward, "password", PASSWORD);
        let vault_password = secret(&keyward, "vault-password", VAULT_PASSWORD);
        let person = Self { keyward, password, vault_password };
        person.with_password(&["account", "register", "alice"]).done();
        person.with_password(&["account", "login", "alice"]).done();
        person
    }

    fn change_password(&mut self, text: &str) {
        let next = secret(&self.keyward, "next-password", text);
        let words = ["account", "password", "alice", "--new-password-file", &next];
        self.with_password(&words).done();
        self.password = next;
        self.with_password(&["account", "login", "alice"]).done();
    }

    fn with_password(&self, arguments: &[&str]) -> Answer {
        self.keyward.run(&[&["--output", "json"], arguments, &["--password-file", &self.password]].concat())
    }

    /// A command of the vault's, with the password of the login and the vault's own.
    fn vault(&self, arguments: &[&str]) -> Answer {
        self.vault_under(&self.vault_password, arguments)
    }

    fn vault_under(&self, vault_password: &str, arguments: &[&str]) -> Answer {
        let passwords = ["--vault-password-file", vault_password];
        self.with_password(&[&["vault"], arguments, &passwords].concat())
    }

    fn status(&self, vault: &str) -> Value {
        self.keyward.json(&["vault", "status", "--vault", vault])
    }

    /// Waits until keepers have said that they erased a version; each look spends one of the account's questions.
    fn wait_erased(&self, version: u64, keepers: usize) {
        let deadline = Instant::now() + ERASURE_PATIENCE;
        while erased(&self.status("main"), version) != keepers {
            assert!(Instant::now() < deadline, "version {version} is not erased everywhere");
            sleep(Duration::from_secs(1));
        }
    }

    fn device(&self) -> PathBuf {
        self.keyward.profile("app").join("keys")
    }

    fn path(&self, name: &str) -> String {
        self.keyward.work(name).to_str().unwrap().to_owned()
    }

    fn verified(&self, receipt: &str) -> Value {
        let trust = self.keyward.trust();
        self.keyward.json(&["verify", "--trust", trust.to_str().unwrap(), receipt])
    }

    fn signed(&self, message: &str) -> Value {
        let receipt = self.path("signature.receipt");
        let signed =
            self.with_password(&["sign", "--key", "mine", "--receipt", &receipt, message]).done().json();
        let trust = self.keyward.trust();
        let verdict = self.keyward.json(&[
            "verify",
            "--trust",
            trust.to_str().unwrap(),
            "--message",
            message,
            &receipt,
        ]);
        assert_eq!(verdict["signature"], signed["signature"]);
        signed
    }

    /// The vault's records on the ledger, by kind.
    fn told(&self, account: &str, kind: &str) -> Vec<Value> {
        let question = ["ledger", "find", "--subject", account, "--kind", kind];
        let found = self.keyward.json_as("auditor", &question);
        assert_eq!(found["more"], false, "{found}");
        found["records"].as_array().unwrap().clone()
    }
}

/// Neither passwords nor the private part, in any form that it is written in, stand in what was printed.
fn tell_no_secret(answers: &[Answer], key_file: &Path) {
    let pem = fs::read_to_string(key_file).unwrap();
    let key = read_private_key(Scheme::EcdsaSecp256k1, pem.as_bytes()).unwrap();
    let hex = key.expose(|secret| hex::encode(&secret[..]));
    let lines = pem.lines().filter(|line| !line.starts_with("-----")).map(str::to_lowercase);
    let mut secrets: Vec<_> = lines.collect();
    assert!(!secrets.is_empty() && secrets.iter().any(|line| line.len() >= 32), "the file holds a key");
    secrets.retain(|line| line.len() >= 8);
    secrets.extend([hex, "private key-----".to_owned()]);
    secrets.extend([PASSWORD, NEXT_PASSWORD, VAULT_PASSWORD].map(str::to_lowercase));
    for answer in answers {
        for said in [&answer.out, &answer.err] {
            let said = said.to_lowercase();
            assert!(secrets.iter().all(|secret| !said.contains(secret.as_str())), "a secret is printed");
        }
    }
}

/// How many keepers have said that they erased a version.
fn erased(status: &Value, version: u64) -> usize {
    let keepers = status["keepers"].as_array().unwrap();
    keepers.iter().filter(|keeper| keeper["erased"].as_u64().unwrap() >= version).count()
}

#[test]
fn a_lost_device_gives_its_key_back_then_delegates_the_account_and_the_ledger_tells_the_whole_story() {
    let mut person = Person::registered();
    let mut circle = Circle::around_alice(&person.keyward, &person.password);
    let made = person.with_password(&["key", "create", "--alias", "mine", "--scheme", "ecdsa-secp256k1"]);
    let made = made.done().json();
    assert_eq!(made["mode"], "self");
    let message = person.keyward.write("message", "pay 12.50 to bob");
    let before = person.signed(&message);

    // Nothing is there before it is sealed, and the ledger proves that too.
    assert_eq!(person.status("main")["version"], 0);
    let terms = ["--cool-down", "0s", "--limit", "3", "--lifetime", "9", "--refill", "0s"];
    let receipt = person.path("seal.receipt");
    let seal = [&["seal", "--key", "mine", "--receipt", &receipt], &terms[..]].concat();
    let sealing = person.vault(&seal).done();
    let sealed = sealing.json();
    assert_eq!([&sealed["version"], &sealed["threshold"]], [&json!(1), &json!(3)]);
    assert_eq!(sealed["keepers"].as_array().unwrap().len(), 4);
    let verdict = person.verified(&receipt);
    assert_eq!([&verdict["entry"], &verdict["vault"]["act"]], [&json!("seal-vault"), &json!("seal")]);
    assert_eq!(verdict["vault"]["vault_id"], sealed["vault_id"]);

    // A keeper may be a moment behind.
    wait_until("four keepers to hold it", || person.status("main")["holding"] == 4);
    let status = person.status("main");
    assert_eq!(status["mode"], "self");
    assert_eq!(status["attempts"]["left"], 3);
    wait_until("four shares to be proved", || person.keyward.json(&["vault", "check"])["proved"] == 4);
    assert_eq!(person.keyward.json(&["vault", "check"])["enough"], true);
    // What is there already is not overwritten by accident.
    let twice = person.vault(&seal);
    assert_eq!((twice.code, twice.refusal()), (Some(1), "VAULT_EXISTS".to_owned()));

    // The device is lost. Another password now would lose the vault as well, and that is not done unasked.
    fs::remove_dir_all(person.device()).unwrap();
    let next = secret(&person.keyward, "unmeant-password", NEXT_PASSWORD);
    let unmeant = person.with_password(&["account", "password", "alice", "--new-password-file", &next]);
    assert_eq!((unmeant.code, unmeant.refusal()), (Some(1), "PASSWORD_KEYS_ELSEWHERE".to_owned()));
    assert!(unmeant.err.contains("`mine`"), "{unmeant:?}");

    // Wrong passwords cost guesses, the right one gives them back.
    assert_eq!(person.with_password(&["sign", "--key", "mine", &message]).code, Some(1));
    let wrong = secret(&person.keyward, "wrong", "what alice does not remember");
    for left in ["2 of 3 left", "1 of 3 left"] {
        let refused = person.vault_under(&wrong, &["recover"]);
        assert_eq!((refused.code, refused.refusal()), (Some(1), "VAULT_PASSWORD_WRONG".to_owned()));
        assert!(refused.err.contains(left), "{refused:?}");
    }
    let (attempt, evidence) = (person.path("attempt.receipt"), person.path("evidence"));
    let recover = ["recover", "--receipt", &attempt, "--evidence", &evidence];
    let recovering = person.vault(&recover).done();
    let recovered = recovering.json();
    assert_eq!(recovered["keys"][0]["public_key"], made["public_key"]);
    assert_eq!(recovered["faults"], json!([]));
    assert!(!PathBuf::from(&evidence).exists(), "nobody is blamed");
    assert_eq!(person.verified(&attempt)["vault"]["attempt"], recovered["attempt"]);
    assert_eq!(person.signed(&message)["public_key"], before["public_key"]);
    assert_eq!(person.status("main")["attempts"]["left"], 3);

    // With another password of the account the vault of mode `self` opens no more, until it is sealed anew.
    person.change_password(NEXT_PASSWORD);
    let outdated = person.vault(&["recover"]);
    assert_eq!((outdated.code, outdated.refusal()), (Some(1), "VAULT_CONTENTS_WRONG".to_owned()));
    assert!(outdated.err.contains("all guesses are back"), "{outdated:?}");

    // Sealed anew: the version before is erased everywhere.
    let anew = [&["seal", "--key", "mine", "--anew"], &terms[..]].concat();
    assert_eq!(person.vault(&anew).done().json()["version"], 2);
    // While keepers take their time, bob acts for her.
    circle.alice.password.clone_from(&person.password);
    circle.acts_within_limits(&message);
    approvals::agreed(&circle, &message);
    approvals::agreed_for_an_address(&circle, &message);
    let office = policies::narrowed(&circle, &message);
    risk::judged(&circle, &office);
    person.wait_erased(1, 4);
    let folder = person.path("keys-in-files");
    let writing = person.vault(&["recover", "--out", &folder]).done();
    let out = writing.json();
    let file = PathBuf::from(out["keys"][0]["file"].as_str().unwrap());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    tell_no_secret(&[sealing, recovering, outdated, writing], &file);

    // Destroyed, by its name alone: each keeper erases and says so.
    let unmeant = person.vault(&["destroy", "--confirm", "mian"]);
    assert_eq!(unmeant.code, Some(2));
    let receipt = person.path("destroy.receipt");
    person.vault(&["destroy", "--confirm", "main", "--receipt", &receipt]).done();
    assert_eq!(person.verified(&receipt)["vault"]["act"], "destroy");
    circle.vetoes_a_thief();
    person.wait_erased(2, 4);
    assert_eq!(person.status("main")["destroyed"], true);
    let gone = person.vault(&["recover"]);
    assert_eq!((gone.code, gone.refusal()), (Some(1), "VAULT_DESTROYED".to_owned()));

    // Then everything is lost, and comes back by those whom alice trusts.
    circle.loses_everything(&message);

    tells(&person);
    assert_eq!(circle.verifies_every_receipt(), 11);
}

/// The ledger alone tells the story, record for record, and every receipt of it verifies.
fn tells(person: &Person) {
    let account = person.status("main")["account"].as_str().unwrap().to_owned();
    let count = |kind: &str| person.told(&account, kind).len();
    wait_until("the end to be found", || count("destroy-vault") == 1 && count("erase-shares") == 8);
    assert_eq!([count("seal-vault"), count("attempt-vault"), count("open-vault")], [2, 5, 3]);
    for kind in ["seal-vault", "attempt-vault", "open-vault", "destroy-vault", "erase-shares"] {
        for (number, record) in person.told(&account, kind).iter().enumerate() {
            assert_eq!(record["vault"]["account"], json!(account), "{record}");
            let (leaf, receipt) =
                (record["leaf_index"].to_string(), person.path(&format!("{kind}-{number}")));
            person.keyward.json_as("auditor", &["ledger", "get", &leaf, "--receipt", &receipt]);
            let verdict = person.verified(&receipt);
            assert_eq!([&verdict["entry"], &verdict["accepted"]], [&json!(kind), &json!(true)]);
        }
    }
    tells_of_delegates(person, &account);
    let export = person.path("export");
    person.keyward.json_as("auditor", &["ledger", "export", &export]);
    let trust = person.keyward.trust();
    let check = ["ledger", "check", &export, "--trust", trust.to_str().unwrap()];
    person.keyward.json_as("auditor", &check);
}

/// Who trusted whom, who asked, who stopped it, and who was given the account: accepted and refused.
fn tells_of_delegates(person: &Person, account: &str) {
    let accepted = |kind: &str| {
        let mut records = person.told(account, kind);
        records.retain(|record| record["outcome"] == "ACCEPTED");
        records
    };
    wait_until("the recovery to be found", || accepted("execute-recovery").len() == 1);
    for (kind, count) in [
        ("appoint-delegates", 3),
        ("revoke-delegates", 2),
        ("open-recovery", 2),
        ("execute-recovery", 1),
        ("delegated-act", 1),
    ] {
        let records = accepted(kind);
        assert_eq!(records.len(), count, "{kind}: {records:?}");
        for record in records {
            assert_eq!(record["delegation"]["account"], json!(account), "{record}");
            let (leaf, receipt) = (record["leaf_index"].to_string(), person.path(&format!("{kind}-get")));
            person.keyward.json_as("auditor", &["ledger", "get", &leaf, "--receipt", &receipt]);
            assert_eq!(person.verified(&receipt)["delegation"], record["delegation"]);
        }
    }
    let thiefs = accepted("open-recovery")[0]["delegation"]["case"].as_str().unwrap().to_owned();
    let vetoed = person.told(&thiefs, "veto-recovery");
    assert_eq!((vetoed.len(), &vetoed[0]["delegation"]["authors"]), (1, &json!([account])));
    assert!(person.told(account, "delegated-act").len() > 1, "what was refused stands there too");
}

#[test]
fn past_its_limit_a_vault_is_locked_by_name_and_the_right_password_opens_it_no_more() {
    let person = Person::registered();
    person.with_password(&["key", "create", "--alias", "mine", "--scheme", "ed25519"]).done();
    let terms = ["--cool-down", "0s", "--limit", "1", "--lifetime", "1", "--refill", "0s"];
    person.vault(&[&["seal", "--vault", "small", "--threshold", "2"], &terms[..]].concat()).done();
    let wrong = secret(&person.keyward, "wrong", "not this one");
    let refused = person.vault_under(&wrong, &["recover", "--vault", "small"]);
    assert_eq!(refused.refusal(), "VAULT_PASSWORD_WRONG");
    assert!(refused.err.contains("the vault is locked"), "{refused:?}");
    let locked = person.vault(&["recover", "--vault", "small"]);
    assert_eq!((locked.code, locked.refusal()), (Some(1), "ATTEMPTS_LOCKED".to_owned()));
    assert!(locked.err.contains("no guess was spent"), "{locked:?}");
    // A lock destroys nothing: the keepers still hold it.
    let check = ["vault", "check", "--vault", "small"];
    wait_until("four shares of the locked vault", || person.keyward.json(&check)["proved"] == 4);
}
