//! Keepers look after a vault by themselves: new shares in time, a lost one repaired, others when a keeper leaves. The
//! person does nothing, and comes back with the password in the end.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::keyward::{Answer, Keyward, PATIENCE};

/// Shares are dealt anew so often here, and an epoch of the ledger ends in seconds.
const VARIABLES: [(&str, &str); 2] =
    [("KEYWARD_NODE_KEEPER__TRIAL_REFRESH_S", "15"), ("KEYWARD_NODE_IDLE_BLOCK_INTERVAL_MS", "50")];

struct Person {
    keyward: Keyward,
    passwords: [String; 2],
}

impl Person {
    fn registered() -> Self {
        let keyward = Keyward::start_under(&[], &VARIABLES);
        let passwords = ["password", "vault-password"].map(|name| {
            let path = keyward.write(name, format!("the {name} of alice"));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        });
        let person = Self { keyward, passwords };
        person.run(&["account", "register", "alice"]).done();
        person.run(&["account", "login", "alice"]).done();
        person
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        let [password, _] = &self.passwords;
        self.keyward.run(&[&["--output", "json"], arguments, &["--password-file", password]].concat())
    }

    fn vault(&self, arguments: &[&str]) -> Answer {
        let [_, vault_password] = &self.passwords;
        self.run(&[&["vault"], arguments, &["--vault-password-file", vault_password]].concat())
    }

    fn status(&self) -> Value {
        self.keyward.json(&["vault", "status"])
    }

    /// The names of those who hold shares now.
    fn holders(&self) -> Vec<String> {
        let status = self.status();
        let keepers = status["keepers"].as_array().unwrap().iter();
        let mut names: Vec<_> = keepers.map(|keeper| keeper["name"].as_str().unwrap().to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// How many keepers show that they hold their share.
    fn proved(&self) -> Value {
        let checked = self.keyward.run(&["--output", "json", "vault", "check"]);
        if checked.code == Some(0) { checked.json()["proved"].clone() } else { Value::Null }
    }

    /// Loses all that a keeper has on its disk, while it is down.
    fn wipe(&self, node: &str) {
        self.keyward.hold();
        let killed = self.keyward.kill(node);
        fs::remove_dir_all(self.keyward.dir().join(node).join("data/keeper")).unwrap();
        self.keyward.go_on();
        self.keyward.is_back(node, killed);
    }

    /// The validators decide that a keeper goes.
    fn expel(&self, keeper: &str) {
        let node = |n: u32| self.keyward.dir().join(format!("node-{n}/node.toml"));
        let node = |n: u32| node(n).to_str().unwrap().to_owned();
        let propose = ["ledger", "member", "propose", "--node", &node(1), "remove-keeper", keeper];
        let id = self.keyward.json(&propose)["id"].as_str().unwrap().to_owned();
        for n in [2, 3] {
            self.keyward.json(&["ledger", "member", "approve", "--node", &node(n), &id]);
        }
    }

    /// Waits; each look spends some of what the account may ask for.
    fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "waited for {what}: {}\n{}", self.status(), self.log());
            sleep(Duration::from_millis(500));
        }
    }

    fn log(&self) -> String {
        let log = |n: u32| fs::read_to_string(self.keyward.dir().join(format!("logs/node-{n}.log")));
        let logs = (1..=4).map(|n| log(n).unwrap_or_default());
        let lines: Vec<_> = logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines
            .into_iter()
            .filter(|line| line.contains("share") || line.contains("vault"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The keepers of each renewal, in the order of the ledger.
    fn renewals(&self) -> Vec<usize> {
        let account = self.status()["account"].as_str().unwrap().to_owned();
        let question = ["ledger", "find", "--subject", &account, "--kind", "refresh-vault"];
        let found = self.keyward.json_as("auditor", &question);
        let records = found["records"].as_array().unwrap().iter();
        let accepted = records.filter(|record| record["outcome"] == "ACCEPTED");
        accepted.map(|record| record["vault"]["keepers"].as_array().unwrap().len()).collect()
    }
}

#[test]
fn keepers_keep_a_vault_alive_by_themselves_and_the_password_still_opens_it() {
    let person = Person::registered();
    let made = person.run(&["key", "create", "--alias", "mine", "--scheme", "ed25519"]).done().json();
    let terms =
        ["--cool-down", "0s", "--limit", "9", "--lifetime", "30", "--refill", "0s", "--threshold", "2"];
    person.vault(&[&["seal", "--key", "mine"], &terms[..]].concat()).done();
    assert_eq!(person.status()["share_version"], 1);

    // In time the keepers deal new shares to each other.
    person.expel("keeper-4");
    person.wait("new shares", || person.status()["share_version"].as_u64() >= Some(2));

    // A disk is lost: the others give the share back, unless they deal new ones before.
    let before = person.status()["share_version"].clone();
    person.wipe("node-1");
    person.wait("the lost share", || person.proved().as_u64() >= Some(3));

    // A keeper that the members took out is out of the vault, without a word of its owner.
    person.wait("the others to go on", || person.holders() == ["keeper-1", "keeper-2", "keeper-3"]);
    person.wait("the shares of three", || person.proved() == json!(3));
    let repaired = person.log().contains("a lost share of a vault came back");
    assert!(repaired || person.status()["share_version"] != before);
    person.wait("the deal of three to be found", || person.renewals().contains(&3));
    let renewals = person.renewals();
    let reshared = renewals.iter().position(|keepers| *keepers == 3).unwrap();
    assert!(renewals[..reshared].iter().all(|keepers| *keepers == 4), "{renewals:?}");
    person.wait("shares in time, of the same keepers", || person.renewals().len() >= 2);

    // The device is lost, too. A deal in the middle voids a recovery, which then begins anew.
    fs::remove_dir_all(person.keyward.profile("app").join("keys")).unwrap();
    let mut recovered = Value::Null;
    person.wait("a recovery", || {
        let answer = person.vault(&["recover"]);
        if answer.code == Some(0) {
            recovered = answer.json();
        }
        answer.code == Some(0)
    });
    assert_eq!(recovered["keys"][0]["public_key"], made["public_key"]);
}
