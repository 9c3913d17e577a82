//! Those whom the service serves: clara with a shared key, a vault and a second device that waits, and bob, who approves.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use keyward_ledger_client::Client;
use keyward_ledger_core::{
    entry::{
        Act, Authored, Case, Define, Entry, PublishPolicy, SharedAct, SharedIntent, VaultAct, VaultAttempt,
    },
    hash::Hash,
    scheme::KeyId,
    state::{
        layout::{approval_case_key, approval_key, credential_key},
        policy::policy_key,
        shared::{SharedKeyState, shared_key_key},
    },
};
use serde_json::Value;

use crate::support::keyward::{Answer, Keyward, PATIENCE, binary, clean};

const CLARA: &str = "four horses and a keeper";
const VAULT: &str = "what only clara remembers";

/// Somebody at a device of theirs.
pub struct Person<'a> {
    keyward: &'a Keyward,
    pub profile: PathBuf,
    password: String,
    pub account: String,
}

impl<'a> Person<'a> {
    /// At a device of this name, with a session.
    fn at(keyward: &'a Keyward, device: &str, name: &str, password: &str, is_new: bool) -> Self {
        let (from, profile) = (keyward.profile("app"), keyward.dir().join(format!("profiles/{device}")));
        fs::create_dir(&profile).unwrap();
        for file in ["profile.toml", "certificate.pem", "key.pem"] {
            fs::copy(from.join(file), profile.join(file)).unwrap();
        }
        let password = secret(keyward, &format!("{device}-password"), password);
        let mut person = Self { keyward, profile, password, account: String::new() };
        if is_new {
            person.word(&["account", "register", name]).done();
        }
        let session = person.word(&["account", "login", name]).done().json();
        person.account = session["account"].as_str().unwrap().to_owned();
        person
    }

    /// A command without a password.
    fn run(&self, arguments: &[&str]) -> Answer {
        self.keyward.run_with(&self.profile, &[&["--output", "json"], arguments].concat())
    }

    /// A command with their password.
    fn word(&self, arguments: &[&str]) -> Answer {
        self.run(&[arguments, &["--password-file", &self.password]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.word(arguments).done().json()
    }
}

fn secret(keyward: &Keyward, name: &str, text: &str) -> String {
    let path = keyward.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn hex32(value: &Value) -> Hash {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

/// What they have, as everybody can read it on the ledger.
pub struct Victims<'a> {
    pub clara: Person<'a>,
    pub key_id: KeyId,
    /// In hex.
    pub public_key: String,
    /// Clara's and bob's.
    pub accounts: [Hash; 2],
    /// A signature of clara's: its intent as it was recorded, and where.
    pub signed: (Authored, SharedIntent, u64),
    /// What bob is asked to approve.
    pub case: Case,
    /// Bob's rule, as he defined it.
    pub rule: Define<keyward_ledger_core::entry::ApprovalTerms>,
    /// An attempt at clara's vault, with a wrong password.
    pub attempt: VaultAttempt,
    /// The policy set in force.
    pub policy: PublishPolicy,
    message: String,
}

impl<'a> Victims<'a> {
    pub async fn with_keys(keyward: &'a Keyward) -> Self {
        let bob = Person::at(keyward, "bob", "bob", "bob remembers this", true);
        let clara = Person::at(keyward, "clara", "clara", CLARA, true);
        let message = keyward.write("message", "pay 12.50 to bob");
        let create = ["key", "create", "--mode", "shared", "--alias", "treasury", "--scheme", "ed25519"];
        let terms = ["--keepers", "3", "--threshold", "2", "--lock-hours", "1"];
        let made = clara.json(&[&create[..], &terms].concat());
        let key = made["key_id"].as_str().unwrap().to_owned();
        clara.json(&["sign", "--key", "treasury", &message]);
        let group = ["--group", "approvers", "1", &bob.account, "--live", "1h"];
        bob.json(&[&["approve", "rule", "define", "--rule", "joint"], &group[..]].concat());
        let ask = ["approve", "ask", "--rule", "joint", "--of", &bob.account, "--key", &key, &message];
        let case = hex32(&clara.json(&ask)["case"]);
        publish(keyward, &bob);
        lose_a_device(keyward, &clara);

        let ledger = keyward.ledger(&keyward.nodes()).await;
        let all = acts(&ledger).await;
        let find = |found: &dyn Fn(&Act) -> bool| {
            all.iter().rev().find(|(_, authored)| found(&authored.act)).expect("it was recorded")
        };
        let (leaf, authored) = find(&|act| matches!(act, Act::Shared(SharedAct::Intent(_))));
        let Act::Shared(SharedAct::Intent(intent)) = &authored.act else { unreachable!() };
        let signed = (authored.clone(), (**intent).clone(), *leaf);
        let Act::DefineApproval(rule) = &find(&|act| matches!(act, Act::DefineApproval(_))).1.act else {
            unreachable!()
        };
        let Act::OpenApproval { payload, .. } = &find(&|act| matches!(act, Act::OpenApproval { .. })).1.act
        else {
            unreachable!()
        };
        let Act::PublishPolicy(policy) = &find(&|act| matches!(act, Act::PublishPolicy(_))).1.act else {
            unreachable!()
        };
        // The first attempt had the wrong password; the right one came after it.
        let wrong = all.iter().find_map(|(_, authored)| match &authored.act {
            Act::Vault(VaultAct::Attempt(wrong)) => Some(*wrong),
            _ => None,
        });
        let accounts = [&clara.account, &bob.account].map(|id| hex::decode(id).unwrap().try_into().unwrap());
        Self {
            key_id: signed.1.key_id,
            public_key: made["public_key"].as_str().unwrap().to_owned(),
            accounts,
            case: Case { id: case, payload: *payload },
            rule: rule.clone(),
            attempt: wrong.expect("the attempt was recorded"),
            policy: *policy,
            signed,
            clara,
            message,
        }
    }

    /// Everything that the thief is after, with the ledger's proof.
    pub async fn proven(&self, ledger: &Client) -> Vec<Option<Vec<u8>>> {
        let rule = self.rule.rule.id(keyward_ledger_core::entry::kind::DEFINE_APPROVAL);
        let keys = [
            shared_key_key(&self.key_id),
            approval_case_key(&self.case.id),
            approval_key(&rule),
            policy_key(&self.policy.tenant),
            credential_key(&self.accounts[0]),
            credential_key(&self.accounts[1]),
        ];
        let mut values = Vec::new();
        for key in keys {
            let value = ledger.state(&key).await.unwrap().value;
            assert!(value.is_some(), "{}", String::from_utf8_lossy(&key));
            values.push(value);
        }
        values
    }

    /// The shared key as the ledger has it.
    pub async fn shared(&self, ledger: &Client) -> SharedKeyState {
        let value = ledger.state(&shared_key_key(&self.key_id)).await.unwrap().value;
        SharedKeyState::decode(&value.unwrap()).unwrap()
    }

    /// Clara's program in the midst of a signature: it has it, and cannot say so, as nobody reads what it prints.
    pub fn signing(&self, stdout: std::process::Stdio, receipt: &str) -> std::process::Child {
        let mut command = clean(binary());
        command.env("KEYWARD_PROFILE", &self.clara.profile).args(["--output", "json", "sign", "--key"]);
        command.args(["treasury", "--receipt", receipt, &self.message]);
        command.args(["--password-file", &self.clara.password]);
        command.stdin(std::process::Stdio::null()).stdout(stdout).spawn().unwrap()
    }

    /// Clara's login, which opens her share.
    pub async fn login(&self, keyward: &Keyward) -> keyward_client::Login {
        let password = keyward_client::Password::new(CLARA.to_owned()).unwrap();
        keyward.client("app").await.login("clara", &password).await.unwrap()
    }
}

/// An officer publishes the first policy set; the next one takes bob's approval.
fn publish(keyward: &Keyward, bob: &Person<'_>) {
    let (from, profile) = (keyward.profile("officer"), keyward.dir().join("profiles/office"));
    fs::create_dir(&profile).unwrap();
    for file in ["profile.toml", "certificate.pem", "key.pem"] {
        fs::copy(from.join(file), profile.join(file)).unwrap();
    }
    let (password, account) = (bob.password.clone(), bob.account.clone());
    let office = Person { keyward, profile, password, account };
    office.json(&["account", "login", "bob"]);
    let shown = office.run(&["approve", "rule", "show", "--rule", "joint"]);
    let rule = shown.done().json()["rule"].as_str().unwrap().to_owned();
    let nobody = "00".repeat(32);
    let text = format!(
        r#"@id("nobodys") forbid (principal, action == Action::"key.sign", resource == Key::"{nobody}");"#
    );
    let set = keyward.write("set.cedar", text);
    office.json(&["policy", "publish", &set, "--next-rule", &rule]);
}

/// Clara seals a vault and takes the share to another device, which waits; she mistypes the vault's password first.
fn lose_a_device(keyward: &Keyward, clara: &Person<'_>) {
    let right = secret(keyward, "vault-password", VAULT);
    let wrong = secret(keyward, "wrong-password", "what only clara remembered");
    clara.json(&["vault", "seal", "--cool-down", "0s", "--vault-password-file", &right]);
    let other = Person::at(keyward, "clara-elsewhere", "clara", CLARA, false);
    let recover = ["vault", "recover", "--vault-password-file"];
    let mistyped = other.word(&[&recover[..], &[&wrong]].concat());
    assert_eq!(mistyped.code, Some(1), "{mistyped:?}");
    other.json(&[&recover[..], &[&right]].concat());
    other.json(&["key", "shared", "replace-device", "treasury"]);
}

/// Every authored entry so far that was accepted, with its place in the log.
async fn acts(ledger: &Client) -> Vec<(u64, Authored)> {
    let (mut all, mut leaf) = (Vec::new(), 0);
    let deadline = std::time::Instant::now() + PATIENCE;
    let end = loop {
        assert!(std::time::Instant::now() < deadline, "no validator says how long the log is");
        // One that is behind says less.
        let sizes = ledger.statuses().await.into_iter().filter_map(|(_, status)| Some(status.ok()?.log_size));
        if let Some(size) = sizes.max() {
            break size;
        }
    };
    while leaf < end {
        assert!(std::time::Instant::now() < deadline, "the log is not told to its end");
        let Ok(recorded) = ledger.record(leaf).await else { continue };
        if let Ok(Entry::Authored(authored)) = Entry::decode(&recorded.record().entry)
            && recorded.outcome.is_accepted()
        {
            all.push((leaf, authored));
        }
        leaf += 1;
    }
    all
}
