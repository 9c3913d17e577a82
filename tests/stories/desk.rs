//! A day at the desk: a bank's own token beside the clerk, an agent that answers for it, and every step on the ledger.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use keyward_ledger_core::{entry::Entry, record::Record};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    keyward::{Answer, Keyward, binary, clean, wait_until},
    load::{Claims, records},
};

const PIN: &str = "24681357";
const RULES: &str = "otherwise = \"refuse\"\nlink = \"sign\"\n\
                     [[rule]]\nname = \"payments\"\ndo = \"sign\"\nprefix = \"pay \"\nbytes_max = 64\n\
                     limit = { count = 100, window_s = 3600 }\n\
                     [[rule]]\nname = \"groups\"\ndo = \"sign\"\nkind = \"association\"\n\
                     limit = { count = 10, window_s = 3600 }\n";
/// How long a refusal may take: the token's own deadline, and some more.
const REFUSED_WITHIN: Duration = Duration::from_secs(180);

/// The clerk's machine: a token of its own, rules, a journal, and an agent that is started and killed.
struct Desk<'a> {
    keyward: &'a Keyward,
    agent: Option<Child>,
}

impl<'a> Desk<'a> {
    /// A token with three keys, and the rules.
    fn new(keyward: &'a Keyward) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let desk = Self { keyward, agent: None };
        fs::create_dir(desk.token()).unwrap();
        let pin = keyward.write("desk.pin", PIN);
        fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
        keyward.write("desk.rules", RULES);
        let mut prepare = desk.command();
        prepare.args(["token", "prepare", "--label", "desk", "--pin-file", &pin]);
        prepare.args(["--key", "p256:first", "--key", "p256:second", "--key", "secp256k1:third"]);
        assert!(prepare.status().unwrap().success());
        desk
    }

    fn token(&self) -> PathBuf {
        self.keyward.work("desk-token")
    }

    fn command(&self) -> Command {
        let mut command = clean(binary());
        command.env("HSM_SIM_DIR", self.token()).env("KEYWARD_PROFILE", self.keyward.profile("agent"));
        command.stdin(Stdio::null());
        command
    }

    /// The agent, from now on; waits until it holds its stream.
    fn open(&mut self) {
        let before = self.told("connected");
        let log = File::options().create(true).append(true).open(self.keyward.work("agent.log")).unwrap();
        let mut command = self.command();
        command.args(["--output", "json", "token", "agent", "--token", "desk"]);
        command.arg("--pin-file").arg(self.keyward.work("desk.pin"));
        command.arg("--rules").arg(self.keyward.work("desk.rules"));
        command.arg("--journal").arg(self.keyward.work("desk.journal"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(command.spawn().unwrap());
        wait_until("the agent to hold a stream", || self.told("connected") > before);
    }

    /// SIGKILL, as a crash would be.
    fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
    }

    /// What the agent said so far.
    fn events(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.keyward.work("agent.log")).unwrap_or_default();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How often it said that.
    fn told(&self, event: &str) -> usize {
        self.events().iter().filter(|told| told["event"] == event).count()
    }

    /// Out of its slot.
    fn pull(&self) {
        let missing = self.told("missing");
        let draft = self.token().join("faults.draft");
        fs::write(&draft, "hsm-sim faults 1\npull 0\n").unwrap();
        fs::rename(draft, self.token().join("faults")).unwrap();
        wait_until("the agent to miss its token", || self.told("missing") > missing);
    }

    /// Back in.
    fn plug(&self) {
        let attached = self.told("attached");
        fs::remove_file(self.token().join("faults")).unwrap();
        wait_until("the agent to have its token again", || self.told("attached") > attached);
    }

    fn sign_arguments(&self, key: &str, message: &str, receipt: &str) -> Vec<String> {
        let file = self.keyward.write(&format!("{receipt}.message"), message);
        let receipt = self.keyward.work(receipt).to_str().unwrap().to_owned();
        let words = ["--output", "json", "sign", "--key", key, "--wait", "60", "--receipt", &receipt, &file];
        words.map(str::to_owned).to_vec()
    }

    /// Asks for a signature as the operator whose key it is.
    fn sign(&self, key: &str, message: &str, receipt: &str) -> Answer {
        let arguments = self.sign_arguments(key, message, receipt);
        self.keyward.run_as("operator", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same, in the background.
    fn ask(&self, key: &str, message: &str, receipt: &str) -> Child {
        let mut command = clean(binary());
        command.env("KEYWARD_PROFILE", self.keyward.profile("operator"));
        command.args(self.sign_arguments(key, message, receipt)).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The receipt that a step left verifies offline; the kind of its entry.
    fn verified(&self, receipt: &str) -> String {
        let (trust, receipt) = (self.keyward.trust(), self.keyward.work(receipt));
        let words = ["verify", "--trust", trust.to_str().unwrap(), receipt.to_str().unwrap()];
        let verdict = self.keyward.json(&words);
        assert_eq!(verdict["valid"], true, "{verdict}");
        verdict["entry"].as_str().or_else(|| verdict["kind"].as_str()).unwrap_or_default().to_owned()
    }

    /// Runs a step as somebody; it succeeds, and its receipt verifies offline.
    fn step(&self, role: &str, words: &[&str], receipt: &str) -> Value {
        let path = self.keyward.work(receipt).to_str().unwrap().to_owned();
        let answer = self.keyward.json_as(role, &[words, &["--receipt", &path]].concat());
        self.verified(receipt);
        answer
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.keyward.work("agent.log")).unwrap_or_default();
            eprintln!("what the agent said:\n{log}");
        }
    }
}

#[test]
fn a_day_at_the_desk() {
    let keyward = Keyward::start();
    let mut desk = Desk::new(&keyward);
    desk.open();

    // Two keys of two tokens: one beside the server, one at the desk.
    let pin = keyward.dir().join("token.pin");
    let attached =
        ["token", "link", "--token", "keyward-local", "--label", "sample-p256", "--scheme", "ecdsa-p256"];
    let attached = [&attached[..], &["--alias", "attached", "--pin-file", pin.to_str().unwrap()]].concat();
    desk.step("operator", &attached, "link-attached");
    let at_desk = |label: &'static str| ["--token", "desk", "--label", label, "--agent", "local-agent"];
    let link =
        [&["token", "link"][..], &at_desk("first"), &["--scheme", "ecdsa-p256", "--alias", "desk"]].concat();
    let linked = desk.step("operator", &link, "link-desk");
    assert_eq!((linked["mode"].as_str(), linked["token"].as_str()), (Some("linked"), Some("desk")));
    let listed = keyward.json_as("operator", &["token", "list"]);
    assert!(
        listed["tokens"].as_array().unwrap().iter().any(|token| token["agent"] == "local-agent"),
        "{listed}"
    );

    // Both sign; the desk by its own rule, and nothing that the rule does not name.
    for key in ["attached", "desk"] {
        desk.sign(key, "pay 100", &format!("signed-{key}")).done();
        desk.verified(&format!("signed-{key}"));
    }
    let refused = desk.sign("desk", "own everything", "none");
    assert_eq!((refused.code, refused.refusal().as_str()), (Some(1), "AGENT_REFUSED"), "{refused:?}");

    // The token is pulled out: refused by name, in time; the other token does not mind. Then it is back.
    desk.pull();
    let began = Instant::now();
    let refused = desk.sign("desk", "pay 101", "none");
    assert_eq!(refused.refusal(), "TOKEN_MISSING", "{refused:?}");
    assert!(began.elapsed() < REFUSED_WITHIN, "bounded: {:?}", began.elapsed());
    desk.sign("attached", "pay 102", "signed-meanwhile").done();
    desk.plug();
    desk.sign("desk", "pay 103", "signed-again").done();
    desk.verified("signed-again");
    assert!(!keyward.work("none").exists(), "no receipt without a signature");

    // The agent is killed; what is asked meanwhile waits, and is signed once it is back.
    desk.kill();
    let waiting = desk.ask("desk", "pay 104", "signed-late");
    let killed_with = desk.told("signed");
    desk.open();
    let answer = waiting.wait_with_output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    desk.verified("signed-late");
    assert_eq!(desk.told("signed"), killed_with + 1, "once");

    // The server is killed while a request waits for the desk: refused or not answered, and nothing is signed for it.
    desk.kill();
    let before = intents(&keyward);
    let waiting = desk.ask("desk", "pay 105", "none");
    wait_until("the request's intent", || intents(&keyward) > before);
    let service = keyward.kill("service");
    let answer = waiting.wait_with_output().unwrap();
    assert!(!answer.status.success() && !keyward.work("none").exists());
    keyward.is_back("service", service);
    desk.open();
    desk.sign("desk", "pay 106", "signed-after-restart").done();
    desk.verified("signed-after-restart");
    let signed: Vec<_> = desk.events().into_iter().filter(|event| event["event"] == "signed").collect();
    assert!(
        !signed.iter().any(|event| event["text"] == "pay 105"),
        "nobody waited for it any more: {signed:?}"
    );

    // Killed under the agent's eyes, the server is missed and found again.
    let service = keyward.kill("service");
    keyward.is_back("service", service);
    desk.sign("desk", "pay 1066", "signed-reconnected").done();
    desk.verified("signed-reconnected");
    assert!(desk.told("lost") > 0, "the killed server was noticed");

    belongs_together(&desk, &linked);

    // The key of the desk is rotated: the older version verifies what it signed, and signs no more.
    let rotate = [&["key", "rotate", "desk"][..], &at_desk("second")].concat();
    let rotated = desk.step("operator", &rotate, "rotated");
    assert_eq!(rotated["version"], 2);
    desk.sign("desk", "pay 107", "signed-version-2").done();
    desk.verified("signed-version-2");
    let refused = desk.sign("desk@1", "pay 108", "none");
    assert_eq!(refused.refusal(), "KEY_SUPERSEDED", "{refused:?}");
    desk.verified("signed-late");

    // Scheduled for destruction it signs nothing; cancelled it is frozen, and an officer lets it sign again.
    desk.step("operator", &["key", "destroy", "desk", "--wait", "30d"], "scheduled");
    let refused = desk.sign("desk", "pay 109", "none");
    assert_eq!(refused.refusal(), "KEY_SCHEDULED", "{refused:?}");
    desk.step("operator", &["key", "cancel-destroy", "desk"], "cancelled");
    assert_eq!(desk.sign("desk", "pay 110", "none").refusal(), "KEY_FROZEN");
    let key_id = rotated["key_id"].as_str().unwrap();
    desk.step("officer", &["key", "unfreeze", key_id], "unfrozen");
    desk.sign("desk", "pay 111", "signed-at-the-end").done();
    desk.verified("signed-at-the-end");

    every_step_is_on_the_ledger(&keyward, key_id);
    assert!(!keyward.work("none").exists());
    let process = Pid::from_raw(i32::try_from(desk.agent.as_ref().unwrap().id()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    assert!(desk.agent.take().unwrap().wait().unwrap().success(), "it ends in order");
}

/// The bank's key at the desk and an app's own key form an association, and neither has a session.
fn belongs_together(desk: &Desk<'_>, linked: &Value) {
    use std::os::unix::fs::PermissionsExt as _;
    let keyward = desk.keyward;
    // PKCS#8 of an Ed25519 key.
    let speaker = keyward.work("speaker.der");
    let head = hex::decode("302e020100300506032b657004220420").unwrap();
    fs::write(&speaker, [&head[..], &[0x51; 32]].concat()).unwrap();
    fs::set_permissions(&speaker, fs::Permissions::from_mode(0o600)).unwrap();
    let speaker = speaker.to_str().unwrap();
    let import = ["key", "import", "--stays", "--file", speaker, "--alias", "speaker", "--scheme", "ed25519"];
    let own = desk.step("app", &import, "speaker-bound");
    assert_eq!(own["mode"], "self");
    let party = |key: &Value| format!("key:{}", key["key_id"].as_str().unwrap());
    let account = |key: &Value| key["account"].as_str().unwrap().to_owned();
    let (bank, app) = (party(linked), party(&own));
    let request = keyward.work("group.request").to_str().unwrap().to_owned();
    let create = [
        "association",
        "create",
        "--party",
        &bank,
        "--party",
        &app,
        "--needed",
        "2",
        "--member",
        &account(linked),
        &bank,
        "--member",
        &account(&own),
        &app,
        "--request",
        &request,
    ];
    let signed = desk.told("signed");
    let made = keyward.json_as("operator", &[&create[..], &["--key", "desk"]].concat());
    let shown = desk.events().into_iter().rfind(|event| event["event"] == "signed").unwrap();
    assert_eq!((desk.told("signed"), shown["kind"].as_str()), (signed + 1, Some("association")), "{shown}");
    let (id, digits) = (made["association"].as_str().unwrap(), made["fingerprint"].as_str().unwrap());
    for part in [id, digits, &bank, &app] {
        assert!(shown["text"].as_str().unwrap().contains(part), "the desk was not told of {part}: {shown}");
    }
    let consent = ["association", "consent", &request, "--key-file", speaker];
    let unheard =
        keyward.run_as("app", &[&["--output", "json"][..], &consent, &["--fingerprint", "0000"]].concat());
    assert_eq!(unheard.refusal(), "ASSOCIATION_FINGERPRINT_OTHER", "{unheard:?}");
    desk.step("app", &[&consent[..], &["--fingerprint", digits]].concat(), "group-opened");
    let checked = keyward.json_as("app", &["association", "check", id]);
    assert_eq!(
        (checked["version"].as_u64(), checked["members"].as_array().map(Vec::len)),
        (Some(1), Some(2))
    );
    let dispute = ["association", "dispute", id, "--reason", "not ours", "--key-file", speaker];
    desk.step("app", &dispute, "group-disputed");

    // The same key speaks where the app shares one with keepers, and nobody signs with that without it.
    let create =
        ["key", "create", "--mode", "shared", "--alias", "till", "--scheme", "ed25519", "--keepers", "3"];
    desk.step("app", &[&create[..], &["--threshold", "2", "--key-file", speaker]].concat(), "till-bound");
    let message = keyward.write("till.message", "pay 12");
    let sign = ["sign", "--key", "till", &message];
    let alone = keyward.run_as("app", &[&["--output", "json"][..], &sign].concat());
    assert_eq!(alone.refusal(), "KEY_SHARED", "{alone:?}");
    let (trust, receipt) = (keyward.trust(), keyward.work("till-signed"));
    let [trust, receipt] = [&trust, &receipt].map(|path| path.to_str().unwrap());
    let with = ["--key-file", speaker, "--receipt", receipt];
    keyward.run_as("app", &[&sign[..], &with].concat()).done();
    let verdict = keyward.json(&["verify", "--trust", trust, "--message", &message, receipt]);
    assert_eq!(verdict["valid"], true, "{verdict}");
}

/// How many intents were accepted so far.
fn intents(keyward: &Keyward) -> usize {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Claims::read(keyward)).intents.len()
}

/// What the validators recorded of the day, in its order.
fn every_step_is_on_the_ledger(keyward: &Keyward, key_id: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let records = runtime.block_on(async {
        let size = keyward.ledger(&keyward.nodes()).await.status().await.unwrap().log_size;
        records(keyward, &keyward.nodes()[0], size).await
    });
    let (mut steps, mut intents) = (Vec::new(), 0);
    for leaf in records.into_values() {
        let record = Record::decode(&leaf).unwrap();
        if !record.outcome.is_accepted() {
            continue;
        }
        match Entry::decode(&record.entry).unwrap() {
            Entry::Intent(intent) => {
                intents += 1;
                if hex::encode(intent.key_id.as_bytes()) == key_id {
                    steps.push("intent");
                }
            }
            Entry::Release(_) | Entry::Note(_) | Entry::OpenAccount { .. } => {}
            entry => steps.push(entry.name()),
        }
    }
    let expected = [
        "bind-key",
        "bind-key",
        "bind-key",
        "open-association",
        "dispute-association",
        "open-shared-key",
        "bind-shared-key",
        "intent-shared",
        "rotate-key",
        "intent",
        "schedule-destroy-key",
        "cancel-destroy-key",
        "unfreeze-key",
        "intent",
    ];
    assert_eq!(steps, expected);
    // Two at first, the refused one, the one without a token, three around it, and one for each kill: what got no
    // signature has its intent all the same.
    assert!(intents >= 12, "{intents}");
}
