//! Everything is lost, and comes back by those whom the owner trusts; a thief's own delegate comes too late.

use std::{
    cell::RefCell,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use keyward_client::Password;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::{
    contracts::authored::authored_message,
    entry::{
        Act, Author, Authored, Define, DelegationAct, DelegationTerms, Entry, Party, RuleName, Scope, Window,
    },
};
use keyward_proto::custody::DelegationEntryRequest;
use serde_json::{Value, json};

use crate::support::keyward::{Answer, Keyward};

const DELAY_MS: u64 = 3_000;
const DELAY: &str = "3s";
/// How long members' decisions, delays and their effects may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Somebody with a profile of their own.
pub struct Somebody {
    pub keyward: Rc<Keyward>,
    profile: PathBuf,
    pub password: String,
    pub account: String,
}

/// Alice, those whom she trusts, and everything that was written on the way.
pub struct Circle {
    pub alice: Somebody,
    pub bob: Somebody,
    pub carol: Somebody,
    receipts: RefCell<Vec<String>>,
}

fn secret(keyward: &Keyward, name: &str, text: &str) -> String {
    let path = keyward.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Waits until `done` gives something.
fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Somebody {
    /// Registers, in a copy of the app's profile.
    pub fn registered(keyward: &Rc<Keyward>, name: &str, password: &str) -> Self {
        Self::registered_as("app", keyward, name, password)
    }

    /// The same in a copy of a role's.
    pub fn registered_as(role: &str, keyward: &Rc<Keyward>, name: &str, password: &str) -> Self {
        let (from, profile) = (keyward.profile(role), keyward.dir().join(format!("profiles/{name}")));
        fs::create_dir(&profile).unwrap();
        for file in ["profile.toml", "certificate.pem", "key.pem"] {
            fs::copy(from.join(file), profile.join(file)).unwrap();
        }
        let password = secret(keyward, &format!("{name}-password"), password);
        let mut somebody = Self { keyward: Rc::clone(keyward), profile, password, account: String::new() };
        somebody.word(&["account", "register", name]).done();
        somebody.log_in(name);
        somebody
    }

    fn log_in(&mut self, name: &str) {
        let session = self.word(&["account", "login", name]).done().json();
        self.account = session["account"].as_str().unwrap().to_owned();
    }

    /// A command without a password.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        self.keyward.run_with(&self.profile, &[&["--output", "json"], arguments].concat())
    }

    /// A command with their password.
    pub fn word(&self, arguments: &[&str]) -> Answer {
        self.run(&[arguments, &["--password-file", &self.password]].concat())
    }

    pub fn path(&self, name: &str) -> String {
        self.keyward.work(name).to_str().unwrap().to_owned()
    }

    /// The one delegation of an account that names them, or their own.
    fn delegation(&self, of: &str) -> Value {
        let shown = self.run(&["delegate", "list", "--of", of]).done().json();
        shown["delegations"][0].clone()
    }
}

/// Has the members decide that recoveries may wait for less than a day. It counts when the epoch ends.
fn shorten_delays(keyward: &Keyward) {
    let as_operator = |arguments: &[&str]| keyward.json_as("operator", arguments);
    let node = |n: usize| keyward.dir().join(format!("node-{n}/node.toml")).to_str().unwrap().to_owned();
    let (member, delay) = (["ledger", "member"], DELAY_MS.to_string());
    let asked = ["propose", "--node", &node(1), "configure", "--recovery-delay-min-ms", &delay];
    let proposed = as_operator(&[&member[..], &asked].concat());
    for n in [2, 3] {
        let approve = ["approve", "--node", &node(n), proposed["id"].as_str().unwrap()];
        as_operator(&[&member[..], &approve].concat());
    }
    // Somebody signs one thing after the other, each in a block of its own.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = keyward.client("app").await;
        app.create_app_key("pace", Scheme::Ed25519).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !as_operator(&["ledger", "member", "list"])["changes"].as_array().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "the epoch does not end");
            for _ in 0..32 {
                app.sign_message("pace", b"one more block").await.unwrap();
            }
        }
    });
}

impl Circle {
    /// Bob and carol together may take alice's account back; bob may sign for her within limits.
    pub fn around_alice(keyward: &Rc<Keyward>, password: &str) -> Self {
        shorten_delays(keyward);
        let password = password.to_owned();
        let mut alice = Somebody {
            keyward: Rc::clone(keyward),
            profile: keyward.profile("app"),
            password,
            account: String::new(),
        };
        alice.log_in("alice");
        let bob = Somebody::registered(keyward, "bob", "bob remembers this");
        let carol = Somebody::registered(keyward, "carol", "carol remembers that");
        let circle = Self { alice, bob, carol, receipts: RefCell::default() };
        let hasty = circle.appoint(&["--delegate", &circle.bob.account, "--delay", "1s"]);
        assert_eq!(
            (hasty.code, hasty.refusal()),
            (Some(1), "RULE_INVALID".to_owned()),
            "less than the ledger's shortest"
        );
        let both = ["--delegate", &circle.bob.account, "--delegate", &circle.carol.account, "--needed", "2"];
        circle.appoint(&[&both[..], &["--delay", DELAY, "--open", "1h"]].concat()).done();
        let shop = ["--name", "shop", "--scope", "operate", "--delegate", &circle.bob.account];
        let limits = ["--limit", "366d", "3", "100", "--delay", DELAY];
        circle.appoint(&[&shop[..], &limits].concat()).done();
        circle
    }

    /// One of them at an officer's certificate, in a session of their own.
    pub fn at_office(&self, name: &str) -> Somebody {
        let keyward = &self.alice.keyward;
        let (from, profile) =
            (keyward.profile("officer"), keyward.dir().join(format!("profiles/office-{name}")));
        fs::create_dir(&profile).unwrap();
        for file in ["profile.toml", "certificate.pem", "key.pem"] {
            fs::copy(from.join(file), profile.join(file)).unwrap();
        }
        let (keyward, password) = (Rc::clone(keyward), self.alice.password.clone());
        let mut officer = Somebody { keyward, profile, password, account: String::new() };
        officer.log_in(name);
        officer
    }

    /// A place for a receipt; all of them are verified in the end.
    fn receipt(&self) -> String {
        let mut receipts = self.receipts.borrow_mut();
        let path = self.alice.path(&format!("delegation-{}.receipt", receipts.len()));
        receipts.push(path.clone());
        path
    }

    fn appoint(&self, terms: &[&str]) -> Answer {
        let receipt = self.receipt();
        let appointed =
            self.alice.word(&[&["delegate", "appoint"], terms, &["--receipt", &receipt]].concat());
        if appointed.code != Some(0) {
            self.receipts.borrow_mut().pop();
        }
        appointed
    }

    /// What somebody does under a delegation, and keeps the receipt of.
    fn done(&self, who: &Somebody, arguments: &[&str]) -> Value {
        who.word(&[&["delegate"], arguments, &["--receipt", &self.receipt()]].concat()).done().json()
    }

    /// Bob signs with alice's hosted key within his limits, and no further; nobody hands his limits on.
    pub fn acts_within_limits(&self, message: &str) {
        let made = ["key", "create", "--alias", "theirs", "--scheme", "ed25519", "--mode", "hosted"];
        let made = self.alice.word(&made).done().json();
        let key = made["key_id"].as_str().unwrap();
        let act = |who: &Somebody, of: &str, name: &str, amount: &str, more: &[&str]| {
            let act = ["delegate", "act", "--of", of, "--name", name, "--key", key, "--message", message];
            who.word(&[&act[..], &["--amount", amount], more].concat())
        };
        let alice = &self.alice.account;
        let (signed_receipt, receipt) = (self.bob.path("bobs-signature.receipt"), self.receipt());
        let kept = ["--signature-receipt", signed_receipt.as_str(), "--receipt", receipt.as_str()];
        let acted = act(&self.bob, alice, "shop", "60", &kept).done().json();
        let verdict = self.verified(message, &signed_receipt);
        assert_eq!(verdict["signature"], acted["signature"]);
        assert!(
            verdict["leaf_index"].as_u64() > acted["leaf_index"].as_u64(),
            "charged before it was signed"
        );
        let over = act(&self.bob, alice, "shop", "41", &[]);
        assert_eq!((over.code, over.refusal()), (Some(1), "RATE_EXCEEDED".to_owned()), "{over:?}");
        // Under what lets him take the account back he signs nothing; carol is no delegate there at all.
        let recover_only = act(&self.bob, alice, "main", "1", &[]);
        assert_eq!(recover_only.refusal(), "DELEGATION_NOT_IN_FORCE", "{recover_only:?}");
        let carol = act(&self.carol, alice, "shop", "1", &[]);
        assert_eq!(carol.refusal(), "DELEGATION_NOT_IN_FORCE", "{carol:?}");
        self.bob_raises_nothing();
        // Carol acts for bob with a key of alice's: what alice trusts bob with goes no further.
        let chained =
            ["--scope", "operate", "--delegate", &self.carol.account, "--limit", "366d", "9", "any"];
        let chain = [&["appoint", "--delay", DELAY], &chained[..]].concat();
        self.done(&self.bob, &chain);
        self.in_force(&self.carol, &self.bob.account);
        let chained = act(&self.carol, &self.bob.account, "main", "1", &[]);
        assert_eq!((chained.code, chained.refusal()), (Some(1), "KEY_UNKNOWN".to_owned()), "{chained:?}");
        // Revoked, bob signs no more, at once.
        self.done(&self.alice, &["revoke", "--name", "shop"]);
        let revoked = act(&self.bob, alice, "shop", "1", &[]);
        assert_eq!((revoked.code, revoked.refusal()), (Some(1), "DELEGATION_NOT_IN_FORCE".to_owned()));
    }

    /// An entry in which bob changes what alice lets him do: no command makes one, and nobody takes it.
    fn bob_raises_nothing(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = self.bob.keyward.client("app").await;
            let password = Password::new("bob remembers this".to_owned()).unwrap();
            let login = client.login("bob", &password).await.unwrap();
            let client =
                client.with_session(&login.session.token).unwrap().with_account(login.session.account);
            let owner: [u8; 32] = hex::decode(&self.alice.account).unwrap().try_into().unwrap();
            let trust = client.delegations(Some(owner)).await.unwrap();
            let party = Party::Credential(login.session.account);
            let terms = DelegationTerms {
                scope: Scope::BOTH,
                delay_ms: DELAY_MS,
                open_ms: DELAY_MS,
                needed: 1,
                delegates: vec![party],
                vetoers: Vec::new(),
                judges: None,
                policy: [0; 32],
                windows: vec![Window { length_ms: 86_400_000, count_max: 1_000, amount_max: 1_000_000 }],
            };
            let rule = RuleName { owner, name: trust.delegations[0].rule.name };
            let define = Define { rule, version: trust.changes + 1, terms };
            let act = Act::Delegation(DelegationAct::Appoint(define));
            let (nonce, not_after) = ([7; 32], trust.height + 1_000);
            let chain_id =
                keyward_ledger_core::trust::Trust::decode(&fs::read(self.bob.keyward.trust()).unwrap())
                    .unwrap()
                    .chain_id;
            let message = authored_message(&chain_id, act.kind(), &act.payload(), party, &nonce, not_after);
            let signature = login.credential.sign_message(&message).unwrap();
            let authors = vec![Author { party, nonce, not_after, public_key: Vec::new(), signature }];
            let entry = Entry::Authored(Authored { act, authors }).encode().into();
            let message = DelegationEntryRequest { entry, idempotency_key: vec![1; 16].into() };
            let status = client.delegation().appoint(client.request(message)).await.unwrap_err();
            let refusal = client.refusal(status);
            assert_eq!(refusal.code(), Some("AUTHOR_NOT_NAMED"), "{refusal}");
        });
    }

    /// Waits until a delegation that names somebody is in force.
    fn in_force(&self, who: &Somebody, of: &str) {
        wait_for("an appointment to hold", || (!who.delegation(of)["in_force"].is_null()).then_some(()));
    }

    /// Who knows alice's password appoints a delegate of their own, who opens a recovery: alice looks, and vetoes it.
    pub fn vetoes_a_thief(&self) {
        let mallory = Somebody::registered(&self.alice.keyward, "mallory", "mallory wants it all");
        self.appoint(&[
            "--name",
            "mine-now",
            "--delegate",
            &mallory.account,
            "--delay",
            DELAY,
            "--open",
            "1h",
        ])
        .done();
        self.in_force(&mallory, &self.alice.account);
        let request = self.asks_back(&mallory, "mallory-request", "mine-now");
        mallory.word(&["delegate", "sign", &request.0, "--fingerprint", &request.1]).done();
        let opened = ["delegate", "send", &request.0, "--receipt", &self.receipt()];
        mallory.run(&opened).done();
        let shown = self.alice.run(&["delegate", "list"]).done().json();
        let all = shown["delegations"].as_array().unwrap();
        assert_eq!(all.iter().filter(|one| !one["recovery"].is_null()).count(), 1, "{shown}");
        self.done(&self.alice, &["veto", "--name", "mine-now"]);
        let execute = ["delegate", "execute", &request.0];
        let stopped = mallory.word(&execute);
        assert_eq!((stopped.code, stopped.refusal()), (Some(1), "CASE_UNKNOWN".to_owned()), "{stopped:?}");
        // Revoked, and the end has come: another request is worth nothing.
        let again = self.asks_back(&mallory, "mallory-again", "mine-now");
        mallory.word(&["delegate", "sign", &again.0, "--fingerprint", &again.1]).done();
        self.done(&self.alice, &["revoke", "--name", "mine-now"]);
        wait_for("the end of a delegation", || {
            mallory.delegation(&self.alice.account)["in_force"].is_null().then_some(())
        });
        let revoked = mallory.run(&["delegate", "send", &again.0]);
        assert_eq!((revoked.code, revoked.refusal()), (Some(1), "DELEGATION_NOT_IN_FORCE".to_owned()));
    }

    /// A request for alice's account with a new password, and its fingerprint.
    fn asks_back(&self, who: &Somebody, file: &str, name: &str) -> (String, String) {
        let (request, new) =
            (who.path(file), secret(&who.keyward, &format!("{file}-password"), "all is new here"));
        let recover = ["delegate", "recover", "alice", "--name", name, "--account", &self.alice.account];
        let made = who
            .run(&[&recover[..], &["--request", &request, "--password-file", &new]].concat())
            .done()
            .json();
        (request, made["fingerprint"].as_str().unwrap().to_owned())
    }

    /// Alice has lost device and password. Bob and carol take the account back after its delay, and its hosted key signs.
    pub fn loses_everything(&mut self, message: &str) {
        fs::remove_file(self.alice.profile.join("session")).unwrap();
        let _gone = fs::remove_dir_all(self.alice.profile.join("keys"));
        let (request, fingerprint) = self.asks_back(&self.alice, "request", "main");
        let sign =
            |who: &Somebody, heard: &str| who.word(&["delegate", "sign", &request, "--fingerprint", heard]);
        let other = sign(&self.bob, "0000-0000-0000-0000-0000");
        assert_eq!((other.code, other.refusal()), (Some(1), "DELEGATION_FINGERPRINT_OTHER".to_owned()));
        sign(&self.bob, &fingerprint).done();
        let one = self.bob.run(&["delegate", "send", &request]);
        assert_eq!((one.code, one.refusal()), (Some(1), "AUTHORS_MISSING".to_owned()), "{one:?}");
        sign(&self.carol, &fingerprint).done();
        let send = ["delegate", "send", &request, "--receipt", &self.receipt()];
        let opened = self.carol.run(&send).done().json();
        // Handed in by somebody else too, it is the same record, and opens nothing more.
        let twice = self.bob.run(&["delegate", "send", &request]).done().json();
        assert_eq!(twice["leaf_index"], opened["leaf_index"]);
        let receipt = self.receipt();
        let executed = wait_for("the delay to be over", || {
            let execute = self.bob.word(&["delegate", "execute", &request, "--receipt", &receipt]);
            if execute.code == Some(0) {
                return Some(execute.json());
            }
            assert_eq!(execute.refusal(), "TIMELOCK_EARLY", "{execute:?}");
            None
        });
        let time = |answer: &Value| answer["time_unix_ms"].as_u64().unwrap();
        assert!(time(&executed) >= time(&opened) + DELAY_MS, "the ledger's time, not ours");

        wait_for("the lost password to open nothing", || {
            let lost = self.alice.word(&["account", "login", "alice"]);
            (lost.refusal() == "LOGIN_FAILED").then_some(())
        });
        self.alice.password = self.alice.path("request-password");
        let account = self.alice.account.clone();
        self.alice.log_in("alice");
        assert_eq!(self.alice.account, account, "the same account");
        let receipt = self.alice.path("signature-after-all.receipt");
        let signed =
            self.alice.run(&["sign", "--key", "theirs", "--receipt", &receipt, message]).done().json();
        assert_eq!(self.verified(message, &receipt)["signature"], signed["signature"]);
        // What was sealed under the old password stays closed: that is what a vault of mode `vault` is for.
        assert_eq!(self.alice.word(&["sign", "--key", "mine", message]).code, Some(1));
        // The thief's delegate ended with it: the older trust wins.
        let shown = self.alice.run(&["delegate", "list"]).done().json();
        let named: Vec<_> =
            shown["delegations"].as_array().unwrap().iter().map(|one| &one["needed"]).collect();
        assert_eq!(named.len(), 1, "{shown}");
        assert_eq!(shown["delegations"][0]["in_force"]["needed"], json!(2));
    }

    /// A signature's receipt, held against the trust file and the message.
    pub fn verified(&self, message: &str, receipt: &str) -> Value {
        let trust = self.alice.keyward.trust();
        let verify = ["verify", "--trust", trust.to_str().unwrap(), "--message", message, receipt];
        self.alice.run(&verify).done().json()
    }

    /// Every receipt that was written on the way verifies offline; how many there were.
    pub fn verifies_every_receipt(&self) -> usize {
        let trust = self.alice.keyward.trust();
        let receipts = self.receipts.borrow();
        for receipt in receipts.iter() {
            let verify = ["--output", "json", "verify", "--trust", trust.to_str().unwrap(), receipt];
            assert_eq!(self.alice.keyward.run(&verify).done().json()["accepted"], true, "{receipt}");
        }
        receipts.len()
    }
}
