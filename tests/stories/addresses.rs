//! One account, many addresses that sign once: a hosted root and an own one side by side, with epochs of two seconds.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::keyward::{Answer, Keyward, wait_until};

const EPOCH: &[(&str, &str)] = &[("KEYWARD_SERVE_ADDRESSES__EPOCH", "2s")];
/// How long epochs that elapse, and their ends, may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Somebody with a profile of their own.
struct Somebody {
    keyward: Rc<Keyward>,
    profile: PathBuf,
    password: String,
    name: &'static str,
}

/// Tries again as long as an epoch ends between two commands: how fast they follow each other is the machine's affair.
fn in_one_epoch<T>(mut attempt: impl FnMut() -> Result<T, Answer>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(answer) => {
                assert_eq!(answer.refusal(), "ADDRESS_EPOCH", "{answer:?}");
                assert!(Instant::now() < deadline, "{answer:?}");
            }
        }
    }
}

fn done(answer: Answer) -> Result<Value, Answer> {
    if answer.code == Some(0) { Ok(answer.json()) } else { Err(answer) }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

impl Somebody {
    /// Registers, in a copy of the app's profile, and chooses.
    fn with(keyward: &Rc<Keyward>, name: &'static str, custody: &[&str]) -> Self {
        let (from, profile) = (keyward.profile("app"), keyward.dir().join(format!("profiles/{name}")));
        std::fs::create_dir(&profile).unwrap();
        for file in ["profile.toml", "certificate.pem", "key.pem"] {
            std::fs::copy(from.join(file), profile.join(file)).unwrap();
        }
        let password = keyward.write(&format!("{name}-password"), format!("{name}'s horse battery"));
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
        let somebody = Self { keyward: Rc::clone(keyward), profile, password, name };
        somebody.word(&["account", "register", name]).done();
        somebody.word(&["account", "login", name]).done();
        let chosen = somebody.word(&[&["address", "choose", "--tenant", "default"], custody].concat());
        assert_eq!(chosen.done().json()["epoch_ms"], 2000);
        somebody
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.keyward.run_with(&self.profile, &[&["--output", "json"], arguments].concat())
    }

    fn word(&self, arguments: &[&str]) -> Answer {
        self.run(&[arguments, &["--password-file", &self.password]].concat())
    }

    fn path(&self, name: &str) -> String {
        self.keyward.work(&format!("{}-{name}", self.name)).to_str().unwrap().to_owned()
    }

    fn sign(&self, address: &str, message: &str) -> Answer {
        let receipt = self.path("receipt");
        self.word(&["sign", "--address", address, "--receipt", &receipt, message])
    }

    /// Signs with a fresh address; its receipt verifies offline.
    fn signed(&self, message: &str, more: &[&str]) -> Value {
        let receipt = self.path("receipt");
        let sign = [&["sign", "--address", "new", "--receipt", &receipt], more, &[message]].concat();
        let signed = in_one_epoch(|| done(self.word(&sign)));
        let verdict = self.verified(&receipt, &["--message", message]);
        assert_eq!(
            [&verdict["entry"], &verdict["signature"], &verdict["leaf_index"]],
            [&json!("use-address"), &signed["signature"], &signed["leaf_index"]]
        );
        assert!(signed["undealt_days"].as_u64().unwrap() <= 1, "chosen a moment ago: {signed}");
        signed
    }

    fn verified(&self, receipt: &str, more: &[&str]) -> Value {
        let trust = self.keyward.trust();
        let verify = [&["verify", "--trust", trust.to_str().unwrap()], more, &[receipt]].concat();
        self.keyward.json(&verify)
    }

    fn refused(&self, address: &str, message: &str) -> String {
        let refused = self.sign(address, message);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        refused.refusal()
    }

    /// Gives a meta-address, and somebody pays to it; where to, and the receipt of the announcement.
    fn paid_by(&self, payer: &Self) -> (String, String) {
        let announced = payer.path("announced");
        let paid = in_one_epoch(|| {
            let meta = self.word(&["address", "meta"]).done().json();
            done(payer.run(&["address", "pay", text(&meta, "meta_address"), "--receipt", &announced]))
        });
        assert_eq!(self.verified(&announced, &[])["entry"], "announce-payment");
        (text(&paid, "address").to_owned(), announced)
    }

    /// The addresses of what is listed or brought back.
    fn addresses(&self, verb: &str) -> Vec<Value> {
        self.word(&["address", verb]).done().json()["addresses"].as_array().unwrap().clone()
    }
}

/// An app, which has its certificate and a key that it keeps itself, and no password.
fn app_signs(keyward: &Keyward, message: &str) {
    // PKCS#8 of an Ed25519 key.
    let head = hex::decode("302e020100300506032b657004220420").unwrap();
    let speaker = keyward.write("speaker.der", [&head[..], &[0x52; 32]].concat());
    std::fs::set_permissions(&speaker, std::fs::Permissions::from_mode(0o600)).unwrap();
    let import =
        ["key", "import", "--stays", "--file", &speaker, "--alias", "speaker", "--scheme", "ed25519"];
    keyward.json(&import);
    keyward.json(&["address", "choose", "--own", "--key-file", &speaker]);
    let sign = ["--output", "json", "sign", "--address", "new", "--key-file", &speaker, message];
    let signed = in_one_epoch(|| done(keyward.run(&sign)));
    let address = text(&signed, "one_time_address");
    let again =
        keyward.run(&["--output", "json", "sign", "--address", address, "--key-file", &speaker, message]);
    assert_eq!((again.code, again.refusal()), (Some(1), "ADDRESS_USED".to_owned()));
}

/// Every use of an address that the ledger has.
fn uses(keyward: &Keyward) -> Vec<Value> {
    let found = keyward.json_as("auditor", &["ledger", "find", "--kind", "use-address", "--limit", "1000"]);
    let records = found["records"].as_array().unwrap().clone();
    records.into_iter().filter(|record| record["outcome"] == "ACCEPTED").collect()
}

#[test]
fn addresses_of_hosted_and_own_roots_sign_once_are_paid_and_end_with_their_epochs() {
    let keyward = Rc::new(Keyward::start_under(&[], EPOCH));
    let alice = Somebody::with(&keyward, "alice", &["--own"]);
    let bob = Somebody::with(&keyward, "bob", &[]);
    let message = keyward.write("message", "pay 12.50 to carol");
    let root = std::fs::read_dir(alice.profile.join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let root: Vec<_> = root.filter(|path| path.extension().is_some_and(|end| end == "root")).collect();
    assert_eq!(std::fs::metadata(&root[0]).unwrap().permissions().mode() & 0o777, 0o600);
    let fresh = std::fs::read(&root[0]).unwrap();

    for (somebody, custody) in [(&alice, "own"), (&bob, "hosted")] {
        let again = somebody.word(&["address", "choose"]);
        assert_eq!((again.code, again.refusal()), (Some(1), "ADDRESSES_CHOSEN".to_owned()));
        let shown = somebody.run(&["address", "show"]).done().json();
        assert_eq!(shown["chosen"]["custody"], custody, "{shown}");

        // Fresh ones sign, under either scheme, and once.
        let signed = somebody.signed(&message, &[]);
        let used = text(&signed, "one_time_address");
        assert_eq!(somebody.refused(used, &message), "ADDRESS_USED");
        let signed = somebody.signed(&message, &["--scheme", "bip340"]);
        assert_eq!(text(&signed, "public_key"), &text(&signed, "one_time_address")[2..]);
        // One that was given out before.
        let given = in_one_epoch(|| {
            let given = somebody.word(&["address", "new"]).done().json();
            assert!(given["addresses"][0]["ends_unix_ms"].as_u64() > Some(0), "{given}");
            let address = text(&given["addresses"][0], "address").to_owned();
            done(somebody.sign(&address, &message)).map(|_signed| address)
        });
        assert_eq!(somebody.refused(&given, &message), "ADDRESS_USED");
        // A stranger's is nobody's here.
        assert_eq!(somebody.refused(&format!("02{}", "79".repeat(32)), &message), "ADDRESS_UNKNOWN");
        let listed = somebody.addresses("list");
        assert!(listed.iter().any(|one| one["address"] == *given && one["state"] == "used"), "{listed:?}");
    }
    let twice = alice.word(&["sign", "--address", "new", "--key", "x", &message]);
    assert_eq!(twice.code, Some(2), "{twice:?}");

    // Each pays the other; only the receiver finds it, and it signs once, in whatever epoch.
    for (payer, receiver) in [(&bob, &alice), (&alice, &bob)] {
        let (address, announced) = receiver.paid_by(payer);
        let found = receiver.word(&["address", "scan", "--receipt", &announced]).done().json();
        let found = found["found"].as_array().unwrap();
        assert!(found.iter().any(|one| one["address"] == *address), "{found:?}");
        assert_eq!(payer.refused(&address, &message), "ADDRESS_UNKNOWN");
        in_one_epoch(|| done(receiver.sign(&address, &message)));
        assert_eq!(receiver.refused(&address, &message), "ADDRESS_USED");
    }

    app_signs(&keyward, &message);
    // What the ledger has names none of them, and nothing twice. A validator's look-up may be a moment behind.
    let mut records = Vec::new();
    wait_until("the uses to be found", || {
        records = uses(&keyward);
        records.len() >= 9
    });
    let keys: BTreeSet<_> = records.iter().map(|one| text(&one["addresses"], "public_key")).collect();
    assert_eq!((records.len(), keys.len()), (9, 9));
    for somebody in [&alice, &bob] {
        let account = text(&somebody.run(&["address", "show"]).done().json(), "account").to_owned();
        assert!(!records.iter().any(|record| record.to_string().contains(&account)));
    }

    // All epochs with records end: bob's by the service, alice's by her word.
    let deadline = Instant::now() + PATIENCE;
    let (mut ends, mut left) = (Vec::new(), true);
    while left {
        assert!(Instant::now() < deadline, "epochs do not end");
        match done(alice.word(&["address", "close"])) {
            Ok(closed) => {
                let closed = closed["closed"].as_array().unwrap().clone();
                ends.extend(closed.iter().map(|one| one["leaf_index"].as_u64().unwrap()));
            }
            // A validator that the service asks may lag.
            Err(early) => assert_eq!(early.refusal(), "EPOCH_UNDER_WAY", "{early:?}"),
        }
        let open = |somebody: &Somebody| {
            let shown = somebody.run(&["address", "show"]).done().json();
            shown["epochs"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["closed"] == false && one["records"] != 0)
        };
        left = open(&alice) || open(&bob);
    }
    let shown = bob.run(&["address", "show"]).done().json();
    let epochs = shown["epochs"].as_array().unwrap();
    ends.extend(epochs.iter().filter_map(|one| one["closed_leaf_index"].as_u64()));
    for leaf in &ends {
        let receipt = alice.path("closing");
        let got = keyward.json_as("auditor", &["ledger", "get", &leaf.to_string(), "--receipt", &receipt]);
        assert_eq!((text(&got, "kind"), text(&got, "outcome")), ("close-epoch", "ACCEPTED"));
        assert_eq!(alice.verified(&receipt, &[])["entry"], "close-epoch");
    }
    for verb in ["close", "uncertain"] {
        let hosted = bob.word(&["address", verb]);
        assert_eq!((hosted.code, hosted.refusal()), (Some(1), "ADDRESSES_HOSTED".to_owned()));
    }
    // Whether an address was used, validators prove to an app too: nobody has to believe the service.
    let uncertain = alice.word(&["address", "uncertain"]).done().json();
    let denied = uncertain["uncertain"].as_array().unwrap().iter().find(|one| !one["leaf_index"].is_null());
    assert_eq!(denied, None, "its record was answered, or refused at the end of its epoch");
    let (one, place) = (text(&records[0]["addresses"], "public_key"), &records[0]["leaf_index"]);
    let used = alice.run(&["ledger", "state", &format!("address/used {}", &one[2..])]).done().json();
    assert_eq!(&used["decoded"]["leaf_index"], place, "{used}");

    // What this device and the service know comes again, with its record.
    let back = alice.addresses("recover");
    let used = |back: &[Value]| -> BTreeSet<String> {
        let used = back.iter().filter(|one| one["state"] == "used" && !one["leaf_index"].is_null());
        used.map(|one| text(one, "address").to_owned()).collect()
    };
    let known = used(&back);
    assert!(known.len() >= 4 && known.iter().all(|address| keys.contains(&**address)), "{back:?}");
    // From the root as it was made and an export alone, every address that has signed, and no index of them is given out again.
    std::fs::write(&root[0], fresh).unwrap();
    let export = alice.path("export");
    keyward.json_as("auditor", &["ledger", "export", &export]);
    let back = alice.word(&["address", "recover", "--export", &export]).done().json();
    assert_eq!(used(back["addresses"].as_array().unwrap()), known);
    assert!(back["looked_at"]["to_height"].as_u64().unwrap() > 0, "{back}");
    let hosted = bob.word(&["address", "recover", "--export", &export]);
    assert_eq!((hosted.code, hosted.refusal()), (Some(1), "ADDRESSES_HOSTED".to_owned()));
}

/// The service, started again under its configuration with this line.
fn limited(keyward: &Keyward, limit: &str) {
    let path = keyward.dir().join("service/serve.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let section = "[addresses]\n";
    let line = format!("{section}limit = \"{limit}\"\n");
    let config =
        if config.contains(section) { config.replace(section, &line) } else { format!("{config}\n{line}") };
    std::fs::write(&path, config).unwrap();
    let killed = keyward.kill("service");
    keyward.is_back("service", killed);
}

#[test]
fn as_many_addresses_sign_in_a_window_as_the_limit_says() {
    let keyward = Rc::new(Keyward::start_under(&["--validators", "1"], EPOCH));
    let alice = Somebody::with(&keyward, "alice", &["--own"]);
    let bob = Somebody::with(&keyward, "bob", &[]);
    let message = keyward.write("message", "pay 12.50 to carol");
    // Signed, or refused because as many were used as the limit lets through.
    let sign = || {
        in_one_epoch(|| match done(bob.sign("new", &message)) {
            Err(refused) if refused.refusal() == "RATE_EXCEEDED" => Ok(false),
            signed => signed.map(|_signed| true),
        })
    };
    let define = |count, window| {
        let receipt = alice.path("limit");
        let define = ["address", "limit", "define", "--count", count, "--window", window];
        alice.word(&[&define[..], &["--receipt", &receipt]].concat())
    };

    for (count, window, code) in [("0", "1h", 1), ("2", "367d", 1), ("-1", "1h", 2), ("2", "0s", 2)] {
        let refused = define(count, window);
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(code == 2 || refused.refusal() == "RULE_INVALID", "{refused:?}");
    }
    let defined = define("2", "366d").done().json();
    let rule = text(&defined, "rule");
    assert_eq!(alice.verified(&alice.path("limit"), &[])["entry"], "define-rate");
    let shown = bob.run(&["address", "limit", "show", rule]).done().json();
    assert_eq!([&shown["version"], &shown["count"]], [&json!(1), &json!(2)]);
    let unknown = bob.run(&["address", "limit", "show", &"0".repeat(64)]);
    assert_eq!((unknown.code, unknown.refusal()), (Some(1), "RULE_UNKNOWN".to_owned()));

    // Nothing is counted before the configuration names it, and a service that cannot count does not start.
    assert!(sign() && sign() && sign());
    let config = keyward.dir().join("service/serve.toml");
    let set = format!("addresses.limit={}", "ab".repeat(32));
    let serve = ["serve", "--config", config.to_str().unwrap(), "--set", "listen=127.0.0.1:0", "--set", &set];
    let started = crate::support::keyward::clean(crate::support::keyward::binary())
        .args(serve)
        .env("HSM_SIM_DIR", keyward.dir().join("token"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(!started.status.success() && said.contains("keyward address limit define"), "{said}");

    limited(&keyward, rule);
    assert!(sign() && sign());
    assert!(!sign() && !sign());
    let own = alice.sign("new", &message);
    assert_eq!((own.code, own.refusal()), (Some(1), "ADDRESS_LIMIT_HOSTED".to_owned()), "{own:?}");
    // The next version holds at once, in the same window.
    assert_eq!(define("3", "366d").done().json()["rule"], *rule);
    assert!(sign() && !sign());
    // Windows that end: in each of them there is room again.
    define("1", "1s").done();
    let killed = keyward.kill("service");
    keyward.is_back("service", killed);
    let deadline = Instant::now() + PATIENCE;
    let mut signed = 0;
    while signed < 3 {
        assert!(Instant::now() < deadline, "there is no room in the next window");
        signed += u8::from(sign());
    }
}

#[test]
fn nothing_is_used_twice_however_the_service_dies() {
    let keyward = Rc::new(Keyward::start_under(&[], EPOCH));
    let alice = Somebody::with(&keyward, "alice", &["--own"]);
    let bob = Somebody::with(&keyward, "bob", &[]);
    let message = keyward.write("message", "pay 12.50 to carol");
    let (paid_alice, announced) = alice.paid_by(&bob);
    alice.word(&["address", "scan", "--receipt", &announced]).done();
    let (paid_bob, _) = bob.paid_by(&alice);
    bob.word(&["address", "scan"]).done();

    let mut given = BTreeSet::new();
    for pause_ms in [0, 30, 120] {
        // Killed while both sign, then everything is asked for again.
        std::thread::scope(|scope| {
            let signing: Vec<_> = [&alice, &bob]
                .map(|somebody| {
                    let (binary, profile) = (crate::support::keyward::binary(), somebody.profile.clone());
                    let (password, message) = (somebody.password.clone(), message.clone());
                    scope.spawn(move || {
                        let mut command = crate::support::keyward::clean(binary);
                        command.env("KEYWARD_PROFILE", profile).args(["--output", "json", "sign"]);
                        command.args(["--address", "new", "--password-file", &password, &message]);
                        command.output().unwrap()
                    })
                })
                .into_iter()
                .collect();
            std::thread::sleep(Duration::from_millis(pause_ms));
            let killed = keyward.kill("service");
            keyward.is_back("service", killed);
            for signed in signing {
                let output = signed.join().unwrap();
                let answer = String::from_utf8(output.stdout).unwrap();
                if output.status.success() {
                    let signed: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
                    assert!(given.insert(text(&signed, "one_time_address").to_owned()), "{signed}");
                }
            }
        });
        for somebody in [&alice, &bob] {
            let signed = somebody.signed(&message, &[]);
            assert!(given.insert(text(&signed, "one_time_address").to_owned()), "{signed}");
        }
    }

    // What was paid signs one payload, killed or not.
    let killed = keyward.kill("service");
    keyward.is_back("service", killed);
    let other = keyward.write("other", "pay everything to mallory");
    for (somebody, address) in [(&alice, &paid_alice), (&bob, &paid_bob)] {
        in_one_epoch(|| done(somebody.sign(address, &message)));
        assert_eq!(somebody.refused(address, &other), "ADDRESS_USED");
    }
    let mut keys: Vec<String> = Vec::new();
    wait_until("every use to be found", || {
        keys = uses(&keyward).iter().map(|one| text(&one["addresses"], "public_key").to_owned()).collect();
        given.iter().all(|address| keys.contains(address))
    });
    assert_eq!(
        keys.iter().collect::<BTreeSet<_>>().len(),
        keys.len(),
        "no address stands on the ledger twice"
    );
}
