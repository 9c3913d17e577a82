//! A regulator looks at what others have allowed, as it elapses, each time on record; and after the revocation at nothing more.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::delegation::Somebody;
use crate::support::keyward::{Answer, Keyward, wait_until};

const PURPOSE: &str = "case 17: where did the money go?";
const HOUR_MS: u64 = 3_600_000;
/// How long an epoch may take to elapse, and the machine to notice.
const PATIENCE: Duration = Duration::from_secs(120);

fn refused(answer: &Answer, code: &str) {
    assert_eq!((answer.code, answer.refusal()), (Some(1), code.to_owned()), "{answer:?}");
}

/// Ruth asks, bob and carol approve, alice has addresses, olga publishes.
struct Bank {
    keyward: Rc<Keyward>,
    alice: Somebody,
    bob: Somebody,
    carol: Somebody,
    ruth: Somebody,
    now_ms: u64,
}

impl Bank {
    fn new() -> Self {
        let keyward = Rc::new(Keyward::start_under(&[], &[("KEYWARD_SERVE_ADDRESSES__EPOCH", "2s")]));
        let as_role =
            |role, name| Somebody::registered_as(role, &keyward, name, &format!("{name} knows this one"));
        let (alice, bob, carol) = (as_role("app", "alice"), as_role("app", "bob"), as_role("app", "carol"));
        let (olga, ruth) = (as_role("officer", "olga"), as_role("auditor", "ruth"));
        let both = format!("{},{}", bob.account, carol.account);
        let define = ["approve", "rule", "define", "--rule", "grants", "--group", "supervisors", "2", &both];
        carol.word(&[&define[..], &["--live", "1h"]].concat()).done();
        let rule = carol.run(&["approve", "rule", "show", "--rule", "grants"]).done().json();
        let rule = rule["rule"].as_str().unwrap().to_owned();
        let none = ruth.run(&["audit", "terms", "show"]).done().json();
        assert_eq!(none["version"], 0);
        let publish = [
            "audit",
            "terms",
            "publish",
            "--accounts",
            "1",
            "--period",
            "1d",
            "--live",
            "1d",
            "--rule",
            &rule,
        ];
        refused(&ruth.word(&publish), "NOT_ALLOWED");
        assert_eq!(olga.word(&publish).done().json()["version"], 1);
        let shown = alice.run(&["audit", "terms", "show"]).done().json();
        assert_eq!((&shown["rule"], &shown["groups"][0]["needed"]), (&rule.into(), &2.into()));
        let chosen = alice.word(&["address", "choose"]).done().json();
        assert_eq!((&chosen["terms"]["version"], &chosen["terms"]["rule"]), (&1.into(), &shown["rule"]));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Self { keyward, alice, bob, carol, ruth, now_ms: u64::try_from(now).unwrap() }
    }

    fn request(&self, who: &Somebody, whom: &[&str]) -> Answer {
        let [from, until, expires] =
            [self.now_ms - HOUR_MS, self.now_ms + HOUR_MS, self.now_ms + 2 * HOUR_MS]
                .map(|at| at.to_string());
        let purpose = self.keyward.write("purpose", PURPOSE);
        let times = ["--from", &from, "--until", &until, "--expires", &expires, "--purpose-file", &purpose];
        who.word(&[&["audit", "request"], whom, &times].concat())
    }

    /// Opens until something has elapsed; gives the runs.
    fn open(&self, grant: &str, folder: &str) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let opened = self.ruth.word(&["audit", "open", grant, folder]).done().json();
            let opened = opened["opened"].as_array().unwrap().clone();
            if !opened.is_empty() {
                return opened;
            }
            assert!(Instant::now() < deadline, "no epoch elapses");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// How many records of a kind name the grant.
    fn records(&self, kind: &str, grant: &str) -> usize {
        let find = ["ledger", "find", "--kind", kind, "--subject", grant];
        self.keyward.json_as("auditor", &find)["records"].as_array().unwrap().len()
    }
}

#[test]
fn a_regulator_sees_what_two_have_allowed_as_it_elapses_and_each_look_is_on_record() {
    let bank = Bank::new();
    let Bank { alice, bob, carol, ruth, .. } = &bank;
    let whom = ["--account", &alice.account];
    refused(&bank.request(bob, &whom), "NOT_ALLOWED");
    refused(&bank.request(ruth, &["--whole-tenant"]), "GRANT_TOO_WIDE");
    refused(&bank.request(ruth, &["--account", &carol.account]), "ADDRESSES_UNKNOWN");
    let asked = bank.request(ruth, &whom).done().json();
    let text = |name: &str| asked[name].as_str().unwrap().to_owned();
    let (grant, case, hash) = (text("grant"), text("case"), text("hash"));
    let folder = ruth.path("opened");
    refused(&ruth.word(&["audit", "open", &grant, &folder]), "GRANT_STATE");
    let issue = ["audit", "issue", &grant, "--case", &case];
    refused(&ruth.word(&issue), "APPROVALS_MISSING");
    for who in [bob, carol] {
        let shown = who.run(&["approve", "show", &case]).done().json();
        let words = shown["words"].to_string();
        assert!(words.contains(PURPOSE) && words.contains(&alice.account), "{words}");
        who.word(&["approve", "give", &case, "--hash", &hash]).done();
    }
    ruth.word(&issue).done();
    refused(&ruth.word(&issue), "GRANT_STATE");
    assert_eq!(ruth.run(&["audit", "show", &grant]).done().json()["in_force"], true);

    // Alice pays; nobody has looked yet, and nobody looks without a record.
    let message = bank.keyward.write("payment", "pay the landlord");
    let paid = alice.run(&["sign", "--address", "new", &message]).done().json();
    assert_eq!((bank.records("open-grant", &grant), bank.records("deliver-grant", &grant)), (0, 0));
    let epoch = paid["epoch"].as_u64().unwrap();
    let mut runs = Vec::new();
    while runs.last().is_none_or(|run: &Value| run["last"].as_u64().unwrap() < epoch) {
        runs.extend(bank.open(&grant, &folder));
    }
    // Epochs that have elapsed since come by themselves, each once.
    runs.extend(bank.open(&grant, &folder));
    let whole = runs.windows(2).all(|pair| pair[0]["last"].as_u64().unwrap() + 1 == pair[1]["first"]);
    assert!(whole, "{runs:?}");
    // A validator's look-up may be a moment behind.
    for kind in ["open-grant", "deliver-grant"] {
        wait_until("every look to be on record", || bank.records(kind, &grant) == runs.len());
    }
    let kept = fs::metadata(format!("{folder}/grant")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);

    // What she finds with it, offline: alice's payment and no other's.
    let export = ruth.path("copy");
    bank.keyward.json_as("auditor", &["ledger", "export", &export]);
    for how in [&[][..], &["--execute"]] {
        let relink = [&["audit", "relink", &export, "--grant", &folder][..], how].concat();
        let found = ruth.run(&relink).done();
        assert!(found.out.contains(paid["public_key"].as_str().unwrap()), "{found:?}");
    }

    // Without an export her own is brought up to date by the nodes first, and goes on where it ended.
    for _ in 0..2 {
        let found = ruth.run(&["audit", "relink", "--grant", &folder]).done();
        assert!(found.out.contains(paid["public_key"].as_str().unwrap()), "{found:?}");
    }

    // Who approved ends it: what comes after stays closed.
    let listed = carol.run(&["audit", "list"]).done().json();
    assert_eq!(
        (&listed["grants"][0]["grant"], &listed["grants"][0]["purpose"]),
        (&grant.clone().into(), &PURPOSE.into())
    );
    refused(&alice.run(&["audit", "show", &grant]), "GRANT_UNKNOWN");
    let reason = bank.keyward.write("reason", "the case is closed\n");
    carol.word(&["audit", "revoke", &grant, "--reason-file", &reason]).done();
    let before = fs::read(format!("{folder}/grant")).unwrap();
    refused(&ruth.word(&["audit", "open", &grant, &folder, "--first", "0"]), "GRANT_STATE");
    assert_eq!(fs::read(format!("{folder}/grant")).unwrap(), before);
    assert_eq!(bank.records("deliver-grant", &grant), runs.len());
    refused(&bob.word(&["audit", "revoke", &grant, "--reason", "once more"]), "GRANT_STATE");
}
