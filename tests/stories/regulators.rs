//! Two regulators with a grant each ask in SQL: each sees one account, what they asked is on the ledger, and the one whose grant is
//! revoked is put out while the other goes on.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use keyward_ledger_core::{
    block::Block,
    export::{Chunk, ChunkName, Manifest},
    hash::sha256,
    trust::{Checkpoint, Trust},
};
use serde_json::Value;

use crate::consortium::Party;
use crate::support::{
    keyward::{Answer, Keyward, binary, clean, signal, wait_until},
    postgres::Postgres,
};

const HOUR_MS: u64 = 3_600_000;
/// How long epochs may take to elapse, and the machine to notice.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bob and carol approve, alice and dora pay.
struct Bank<'a> {
    keyward: &'a Keyward,
    alice: Party<'a>,
    bob: Party<'a>,
    carol: Party<'a>,
    dora: Party<'a>,
}

/// A grant that was opened, and what its reader must see.
struct Granted {
    id: String,
    folder: String,
    rows: String,
}

impl<'a> Bank<'a> {
    fn of(keyward: &'a Keyward) -> Self {
        let [alice, bob, carol, dora] =
            ["alice", "bob", "carol", "dora"].map(|name| Party::at(keyward, "app", name).logged_in(name));
        let office = Party::at(keyward, "officer", "olga").logged_in("olga");
        let board = [&bob.account[..], &carol.account].join(",");
        carol.done(&["approve", "rule", "define", "--rule", "supervision", "--group", "board", "2", &board]);
        let rule = carol.json(&["approve", "rule", "show", "--rule", "supervision"]);
        let terms =
            ["audit", "terms", "publish", "--accounts", "1", "--period", "1d", "--live", "1d", "--rule"];
        office.done(&[&terms[..], &[rule["rule"].as_str().unwrap()]].concat());
        Self { keyward, alice, bob, carol, dora }
    }

    /// What somebody pays with a fresh address each.
    fn pay(&self, who: &Party<'_>, whom: &[&str]) -> Vec<Value> {
        let pay = |whom: &&str| {
            let message = self.keyward.write(&format!("pay-{whom}"), format!("pay {whom}"));
            who.json(&["sign", "--address", "new", &message])
        };
        whom.iter().map(pay).collect()
    }

    /// A grant over what one account has paid, approved, issued, and opened as far as that.
    fn grant(&self, regulator: &Party<'_>, whom: &Party<'_>, paid: &[Value]) -> Granted {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let now_ms = u64::try_from(now).unwrap();
        let [from, until, expires] =
            [now_ms - HOUR_MS, now_ms + HOUR_MS, now_ms + 2 * HOUR_MS].map(|at| at.to_string());
        let ask = ["audit", "request", "--account", &whom.account, "--from", &from, "--until", &until];
        let asked = regulator.done(&[&ask[..], &["--expires", &expires, "--purpose", "case 17"]].concat());
        let text = |name: &str| asked[name].as_str().unwrap().to_owned();
        let (id, case, hash) = (text("grant"), text("case"), text("hash"));
        for one in [&self.bob, &self.carol] {
            one.done(&["approve", "give", &case, "--hash", &hash]);
        }
        regulator.done(&["audit", "issue", &id, "--case", &case]);
        let folder = regulator.path(&format!("grant-{}", &id[..8]));
        let granted = Granted { id, folder, rows: rows(whom, paid) };
        granted.open(regulator, paid);
        granted
    }
}

/// What a reader must see of what an account has paid.
fn rows(whom: &Party<'_>, paid: &[Value]) -> String {
    let row = |signed: &Value| format!("{}|{}", signed["leaf_index"], whom.account);
    paid.iter().map(row).collect::<Vec<_>>().join("\n")
}

impl Granted {
    /// Opens what has elapsed, until that has.
    fn open(&self, regulator: &Party<'_>, paid: &[Value]) {
        let (last, until) = (paid.last().unwrap()["epoch"].as_u64(), Instant::now() + PATIENCE);
        loop {
            let opened = regulator.done(&["audit", "open", &self.id, &self.folder]);
            if opened["opened"].as_array().unwrap().iter().any(|run| run["last"].as_u64() >= last) {
                break;
            }
            assert!(Instant::now() < until, "the epoch does not elapse");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Where regulators ask.
struct Desk<'a> {
    keyward: &'a Keyward,
    server: &'a Postgres,
    url: String,
    grants: [Granted; 2],
}

/// A projector that serves readers until it is told to end.
struct Projecting {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// What psql logs in with.
struct Reader {
    role: String,
    url: String,
}

impl Desk<'_> {
    /// Projects; everything is in, and readers are let in.
    fn project(&self, run: &str, more: &[&str]) -> Projecting {
        self.until_free();
        let [out, err] = ["out", "err"].map(|end| self.keyward.work(&format!("{run}.{end}")));
        let mut command = clean(binary());
        command.args(["--output", "json", "ledger", "project", "--database", &self.url]);
        command.arg("--logins").arg(self.keyward.work("logins")).args(more);
        command.arg("--query-log").arg(self.keyward.work("query-log"));
        for grant in &self.grants {
            command.args(["--grant", &grant.folder]);
        }
        command.env("KEYWARD_PROFILE", self.keyward.profile("auditor")).stdin(Stdio::null());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut projecting = Projecting { child: command.spawn().unwrap(), out, err };
        wait_until("the ledger to be projected", || {
            let ended = projecting.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}{:?}", projecting.noted(), projecting.said());
            projecting.said().iter().any(|line| line.get("records").is_some())
        });
        projecting
    }

    /// Waits until the projector before is gone for the server too.
    fn until_free(&self) {
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        wait_until("the lock", || self.server.sql(&self.url, locks) == "0");
    }

    /// The login of a grant's reader, which is written once.
    fn reader(&self, projecting: &Projecting, grant: &Granted) -> Reader {
        let said = projecting.said();
        let made = said.iter().find(|line| line["grant"] == grant.id.as_str()).unwrap();
        let login = fs::read_to_string(made["login"].as_str().unwrap()).unwrap();
        let field = |name: &str| login.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let (role, port) = (field("user=").to_owned(), self.server.port.unwrap());
        assert_eq!(made["role"], role.as_str());
        let url = format!("postgresql://{role}:{}@127.0.0.1:{port}/{}", field("password="), field("dbname="));
        Reader { role, url }
    }

    /// What the database keeps of what a grant's reader asked: hash and number of statements of each segment.
    fn segments(&self, grant: &Granted) -> BTreeSet<String> {
        let question = format!(
            "SELECT encode(what, 'hex') || '|' || count FROM keyward.segments WHERE grant_id = decode('{}', 'hex')",
            grant.id
        );
        lines(&self.server.sql(&self.url, &question))
    }

    /// What the ledger has of it.
    fn on_ledger(&self, grant: &Granted) -> BTreeSet<String> {
        let find = ["ledger", "find", "--kind", "use-grant", "--subject", &grant.id];
        let found = self.keyward.json_as("auditor", &find);
        let of = |record: &Value| {
            assert_eq!(record["outcome"], "ACCEPTED", "{record}");
            format!("{}|{}", record["audit"]["what"].as_str().unwrap(), record["audit"]["count"])
        };
        found["records"].as_array().unwrap().iter().map(of).collect()
    }

    /// Waits until the ledger has what the database keeps, and gives that. A validator's look-up may be a moment behind.
    fn anchored(&self, grant: &Granted) -> BTreeSet<String> {
        let mut kept = BTreeSet::new();
        wait_until("what was asked to be on the ledger", || {
            kept = self.segments(grant);
            self.on_ledger(grant) == kept
        });
        kept
    }

    /// Projects and ends.
    fn once(&self, more: &[&str]) -> Answer {
        self.until_free();
        let head = ["--output", "json", "ledger", "project", "--database", &self.url, "--once"];
        self.keyward.run_as("auditor", &[&head, more].concat())
    }
}

impl Reader {
    /// What comes of a question: rows, or an SQLSTATE.
    fn asks(&self, question: &str) -> Result<String, String> {
        let mut psql = Command::new(Postgres::psql());
        psql.args(["-X", "-At", "-v", "VERBOSITY=sqlstate", "-c", question, &self.url]);
        let asked = psql.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if asked.status.success() { Ok(text(asked.stdout)) } else { Err(text(asked.stderr)) }
    }

    fn rows(&self) -> Result<String, String> {
        self.asks("SELECT leaf_index, encode(account, 'hex') FROM transactions ORDER BY leaf_index")
    }
}

impl Projecting {
    fn said(&self) -> Vec<Value> {
        let said = fs::read_to_string(&self.out).unwrap();
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn noted(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    /// Ctrl-C.
    fn end(mut self) {
        signal(self.child.id(), rustix::process::Signal::INT);
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.noted());
    }
}

impl Drop for Projecting {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

/// A trust file that pins the last block of an export.
fn pinned(keyward: &Keyward, name: &str, export: &str) -> String {
    let read = |file: &str| fs::read(format!("{export}/{file}")).unwrap();
    let manifest = Manifest::decode(&read("manifest")).unwrap();
    let chunk = read(&ChunkName::file(manifest.chunks.last().unwrap().first));
    let (mut blocks, mut last) = (Chunk::open(&chunk).unwrap(), None);
    while let Some(proven) = blocks.block().unwrap() {
        last = Some(Block::decode(&proven.block).unwrap());
    }
    let block = last.unwrap();
    let (height, set_hash) = (block.header().height, block.header().set_hash);
    let trust = Trust::decode(&fs::read(keyward.trust()).unwrap()).unwrap();
    let checkpoint = Some(Checkpoint { height, digest: *block.digest(), set_hash });
    keyward.write(name, Trust { checkpoint, ..trust }.encode())
}

/// Under a trust file that pins a block, an export must hold the grant's own records, however old their receipts are.
fn a_pin_binds(keyward: &Keyward, early: &str, export: &str, grant: &Granted) {
    let server = Postgres::start_for_readers().unwrap();
    let url = server.database();
    let run = |export: &str, trust: &str| {
        let head = ["--output", "json", "ledger", "project", "--database", &url, "--once", "--logins"];
        let logins = keyward.work("pinned-logins").to_str().unwrap().to_owned();
        let what = ["--grant", &grant.folder, "--export", export, "--trust", trust];
        keyward.run_as("auditor", &[&head, &[&*logins][..], &what].concat())
    };
    let trusts = [("early", early), ("late", export)].map(|(name, export)| pinned(keyward, name, export));
    assert_eq!(run(early, &trusts[0]).refusal(), "GRANT_OUTSIDE_EXPORT");
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    wait_until("the lock", || server.sql(&url, locks) == "0");
    run(export, &trusts[1]).done();
    let role = server.sql(&url, "SELECT role FROM keyward.readers");
    let rows =
        format!("SELECT leaf_index, encode(account, 'hex') FROM {role}.transactions ORDER BY leaf_index");
    assert_eq!(server.sql(&url, &rows), grant.rows);
}

/// A profile whose submitter's key nobody has let in.
fn stranger(keyward: &Keyward) -> &'static str {
    let _at_the_operators_certificate = Party::at(keyward, "operator", "stranger");
    let [secret, key] = ["secret", "key"].map(|name| keyward.work(&format!("stranger-{name}")));
    let [secret, key] = [&secret, &key].map(|path| path.to_str().unwrap());
    let owner = "keyward://operator/local-operator";
    let make = ["ledger", "member", "submitter", "--owner", owner, "--secret", secret, "--key", key];
    assert_eq!(keyward.json(&make)["submitter"].as_str().unwrap().len(), 64);
    let again = keyward.run(&[&["--output", "json"], &make[..]].concat());
    assert_eq!(again.code, Some(1), "keys are never overwritten: {again:?}");
    let file = keyward.dir().join("profiles/operator-stranger/profile.toml");
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replace("../../operator.secret", secret).replace("../../submitters/bench.key", key);
    assert!(changed.contains(secret) && changed.contains(key), "{text}");
    fs::write(&file, changed).unwrap();
    "operator-stranger"
}

#[test]
fn two_regulators_see_one_account_each_and_what_they_ask_is_on_the_ledger() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let keyward = Keyward::start_under(&[], &[("KEYWARD_SERVE_ADDRESSES__EPOCH", "2s")]);
    let bank = Bank::of(&keyward);
    let [erin, ruth] = ["erin", "ruth"].map(|name| Party::at(&keyward, "auditor", name).logged_in(name));
    for one in [&bank.alice, &bank.dora] {
        one.done(&["address", "choose"]);
    }
    let [early, export] =
        ["early.export", "late.export"].map(|name| keyward.work(name).to_str().unwrap().to_owned());
    keyward.json_as("auditor", &["ledger", "export", &early]);
    let paid = [bank.pay(&bank.alice, &["rent", "light"]), bank.pay(&bank.dora, &["bread"])];
    let grants = [bank.grant(&erin, &bank.alice, &paid[0]), bank.grant(&ruth, &bank.dora, &paid[1])];
    let desk = Desk { keyward: &keyward, server: &server, url: server.database(), grants };
    let [first, second] = &desk.grants;

    // Nobody hands in: it says so, and what is asked waits.
    let projecting = desk.project("first", &[]);
    assert!(projecting.noted().contains("not anchored on the ledger"), "{}", projecting.noted());
    let [one, two] = [first, second].map(|grant| desk.reader(&projecting, grant));
    for (own, other, grant) in [(&one, &two, first), (&two, &one, second)] {
        wait_until("the rows", || own.rows().as_ref() == Ok(&grant.rows));
        for (state, question) in [
            ("42501", &*format!("SELECT * FROM {}.transactions", other.role)),
            ("42501", "SELECT * FROM keyward.records"),
            ("25006", "DELETE FROM transactions"),
            ("42501", "START TRANSACTION READ WRITE; DELETE FROM transactions"),
        ] {
            let refused = own.asks(question).unwrap_err();
            assert!(refused.contains(state), "{question}: {refused}");
        }
    }
    projecting.end();
    assert_eq!(one.rows().ok(), None, "nobody looks after it");
    let waits = [first, second].map(|grant| desk.segments(grant));
    for (grant, waits) in [first, second].into_iter().zip(&waits) {
        assert!(!waits.is_empty() && desk.on_ledger(grant).is_empty(), "{waits:?}");
    }

    // An export takes nothing, and a submitter only hands in if the ledger takes it: what that refused would not be handed in again.
    keyward.json_as("auditor", &["ledger", "export", &export]);
    a_pin_binds(&keyward, &early, &export, first);
    let projected = desk.once(&["--export", &export]).done();
    assert!(projected.err.contains("an export takes no entries"), "{projected:?}");
    assert_eq!(desk.once(&["--export", &export, "--submitter", "local-operator"]).code, Some(2));
    assert_eq!(desk.once(&["--submitter", "local-app"]).code, Some(2));
    assert_eq!(desk.once(&["--submitter", stranger(&keyward)]).refusal(), "SUBMITTER_UNKNOWN");

    // With the operator's submitter what waited is handed in at once, and each regulator sees it.
    let projecting = desk.project("second", &["--submitter", "local-operator"]);
    assert!(!projecting.noted().contains("not anchored"), "{}", projecting.noted());
    for (reader, grant) in [(&one, first), (&two, second)] {
        let kept = desk.anchored(grant);
        let used = "SELECT encode(hash, 'hex') || '|' || count FROM acts WHERE step = 'used'";
        wait_until("the record of what was asked", || {
            reader.asks(used).is_ok_and(|used| kept.is_subset(&lines(&used)))
        });
    }

    // One more epoch is opened while that goes on, and its row comes. A file that is not whole meanwhile takes nothing away.
    let file = format!("{}/grant", second.folder);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    wait_until("words of it", || projecting.noted().contains("is not taken, its rows stay"));
    assert_eq!(two.rows().as_ref(), Ok(&second.rows));
    fs::write(&file, &whole).unwrap();
    let paid = [&paid[1][..], &bank.pay(&bank.dora, &["milk"])].concat();
    second.open(&ruth, &paid);
    let second_rows = rows(&bank.dora, &paid);
    wait_until("the row of what was opened later", || two.rows().as_ref() == Ok(&second_rows));
    assert_eq!(one.rows().as_ref(), Ok(&first.rows), "nobody else's");

    // Revoked, the one is put out, and what it asked last is still handed in. The other goes on.
    let mut stays = Command::new(Postgres::psql());
    stays.args(["-X", "-q"]).arg(&one.url).stdin(Stdio::piped());
    let mut stays = stays.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let there = |what: &str| server.sql(&desk.url, &format!("SELECT count(*) FROM {what} = '{}'", one.role));
    wait_until("the session", || there("pg_stat_activity WHERE usename") == "1");
    bank.bob.done(&["audit", "revoke", &first.id, "--reason", "case 17 is closed"]);
    wait_until("the end of the login", || there("pg_roles WHERE rolname") == "0");
    assert_eq!(there("pg_stat_activity WHERE usename"), "0");
    assert_eq!(one.rows().ok(), None);
    wait_until("words of it", || projecting.noted().contains("closed, as its grant is revoked"));
    assert_eq!(two.rows().as_ref(), Ok(&second_rows));
    drop(stays.kill());
    stays.wait().unwrap();
    projecting.end();
    for (grant, waited) in [first, second].into_iter().zip(&waits) {
        assert!(desk.anchored(grant).len() > waited.len(), "what was asked last");
    }
    // Each lies in a file that is the bytes of its hash.
    let files = fs::read_dir(keyward.work("query-log")).unwrap();
    let hash = |file: std::io::Result<fs::DirEntry>| sha256(&[&fs::read(file.unwrap().path()).unwrap()]);
    let hashes: BTreeSet<String> = files.map(|file| hex::encode(hash(file))).collect();
    assert_eq!(hashes, lines(&server.sql(&desk.url, "SELECT encode(what, 'hex') FROM keyward.segments")));

    // The projection itself sees what is final.
    desk.once(&[]).done();
    let open = "SELECT count(*) FROM keyward.segments WHERE leaf_index IS NULL OR refused IS NOT NULL";
    assert_eq!(server.sql(&desk.url, open), "0");
}
