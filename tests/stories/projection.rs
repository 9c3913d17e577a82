//! The ledger as rows: `keyward ledger project` over real validators and over an export, and a reader with psql.

use std::{
    fs,
    io::Write as _,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    exports::other_trust,
    support::{
        keyward::{Keyward, binary, clean, shared, signal, wait_until},
        postgres::Postgres,
    },
};

fn project(keyward: &Keyward, url: &str, more: &[&str]) -> Value {
    keyward.json_as("auditor", &[&["ledger", "project", "--database", url, "--once"], more].concat())
}

fn refused(keyward: &Keyward, role: &str, url: &str, more: &[&str]) -> String {
    let head = ["--output", "json", "ledger", "project", "--database", url, "--once"];
    keyward.run_as(role, &[&head, more].concat()).refusal()
}

#[test]
fn the_ledger_is_projected_from_nodes_and_from_an_export_alike() {
    let (keyward, Some(server)) = (shared(), Postgres::start()) else { return };
    keyward.json(&["key", "create", "--alias", "projected", "--scheme", "ed25519"]);
    let [live, copied] = [server.database(), server.database()];
    let dir = keyward.work("projection.export").to_str().unwrap().to_owned();
    keyward.json_as("auditor", &["ledger", "export", &dir]);
    let of_export = project(keyward, &copied, &["--export", &dir]);
    let of_nodes = project(keyward, &live, &[]);
    assert!(of_nodes["height"].as_u64() >= of_export["height"].as_u64(), "{of_nodes} {of_export}");
    let (height, records) = (of_export["height"].as_u64().unwrap(), of_export["records"].as_u64().unwrap());
    let digest = format!(
        "SELECT md5(string_agg(r::text, '' ORDER BY leaf_index)), count(*) FROM keyward.records r WHERE height <= {height}"
    );
    let rows = server.sql(&live, &digest);
    assert_eq!((server.sql(&copied, &digest), rows.ends_with(&format!("|{records}"))), (rows, true));
    // A row is the record that a node proves.
    let kinds = "SELECT leaf_index, encode(leaf_hash, 'hex') FROM keyward.records WHERE kind_name = 'bind-key' LIMIT 1";
    let row = server.sql(&live, kinds);
    let (leaf, hash) = row.split_once('|').unwrap();
    assert_eq!(keyward.json_as("auditor", &["ledger", "get", leaf])["id"], hash);
    // From the nodes it goes on where the export ended.
    let again = project(keyward, &copied, &[]);
    assert!(again["height"].as_u64() >= of_nodes["height"].as_u64());

    let strange = keyward.write("projection.trust", other_trust(keyward));
    let refusal = refused(keyward, "auditor", &server.database(), &["--export", &dir, "--trust", &strange]);
    assert_ne!(refusal, "");
    let chunk = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains("blocks-"))
        .unwrap();
    let mut bytes = fs::read(&chunk).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&chunk, bytes).unwrap();
    let changed = server.database();
    assert_ne!(refused(keyward, "auditor", &changed, &["--export", &dir]), "");
    // What was verified before the change may stand there, and nothing else.
    let before = server.sql(&changed, "SELECT height FROM keyward.ledger");
    let digest = |url: &str| {
        server.sql(url, &format!("SELECT md5(string_agg(r::text, '' ORDER BY leaf_index)) FROM keyward.records r WHERE height <= {before}"))
    };
    assert_eq!(digest(&changed), digest(&live));
    server.sql(&live, "UPDATE keyward.records SET entry = entry || '\\x00' WHERE leaf_index = 1");
    assert_eq!(refused(keyward, "auditor", &live, &[]), "PROJECTION_CHANGED");
    assert_eq!(
        refused(keyward, "auditor", "postgres:///nothing?host=/nowhere&user=x", &[]),
        "DATABASE_UNREACHABLE"
    );
    assert_eq!(refused(keyward, "auditor", &copied, &["--reader"]), "PROJECTION_SERVER_UNFIT");
}

/// A projector that serves a reader until it is told to end.
struct Projecting(Child);

impl Drop for Projecting {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_reader_asks_while_the_projector_runs_and_no_longer() {
    let (keyward, Some(server)) = (shared(), Postgres::start_for_readers()) else { return };
    let (url, logins) = (server.database(), keyward.work("projection.logins"));
    let queries = keyward.work("projection.queries");
    let projects = || {
        let mut command = clean(binary());
        command.args(["ledger", "project", "--database", &url, "--reader", "--logins"]).arg(&logins);
        command.arg("--query-log").arg(&queries);
        command.env("KEYWARD_PROFILE", keyward.profile("auditor")).stdin(Stdio::null()).stdout(Stdio::null());
        Projecting(command.spawn().unwrap())
    };
    let mut projecting = projects();
    // It is written beside its place first: the file that bears its user's name is the one.
    let field_of =
        |text: &str, name: &str| Some(text.lines().find_map(|line| line.strip_prefix(name))?.to_owned());
    let login = || {
        let entries = fs::read_dir(&logins).ok()?.flatten();
        entries.map(|entry| entry.path()).find_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            (field_of(&text, "user=")? == path.file_name()?.to_str()?).then_some(text)
        })
    };
    wait_until("the reader's login", || login().is_some());
    let text = login().unwrap();
    let field = |name: &str| field_of(&text, name).unwrap();
    let reader = format!(
        "postgresql://{}:{}@127.0.0.1:{}/{}",
        field("user="),
        field("password="),
        server.port.unwrap(),
        field("dbname=")
    );
    let asks = |question: &str| {
        let asked =
            Command::new(Postgres::psql()).args(["-X", "-At", "-c", question]).arg(&reader).output().unwrap();
        asked.status.success().then(|| String::from_utf8(asked.stdout).unwrap().trim().to_owned())
    };
    let seen =
        || asks("SELECT count(*) FROM records").and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    wait_until("the first rows", || seen() > 0);
    let before = seen();
    keyward.json(&["key", "create", "--alias", "projected-live", "--scheme", "ed25519"]);
    wait_until("the next rows", || seen() > before);
    assert_eq!(asks("SELECT * FROM keyward.readers"), None);

    // Killed, it ends nothing any more: the server does, in seconds.
    let mut open = Command::new(Postgres::psql());
    open.args(["-X", "-q"]).arg(&reader).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut open = open.spawn().unwrap();
    let lifted = b"SET statement_timeout = 0; SET idle_session_timeout = 0; SELECT count(*) FROM records;\n";
    open.stdin.as_mut().unwrap().write_all(lifted).unwrap();
    let sessions = || {
        server.sql(
            &url,
            "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'r\\_%' AND query LIKE '%count%'",
        )
    };
    wait_until("the session", || sessions() == "1");
    signal(projecting.0.id(), rustix::process::Signal::KILL);
    projecting.0.wait().unwrap();
    wait_until("its end", || sessions() == "0");
    wait_until("no rows", || seen() == 0);
    drop(open.kill());
    open.wait().unwrap();
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    wait_until("the lock", || server.sql(&url, locks) == "0");
    // One that has no readers to serve looks after those of the one before.
    project(keyward, &url, &[]);
    assert_eq!(asks("SELECT 1"), None, "shut");
    wait_until("the lock", || server.sql(&url, locks) == "0");
    let mut projecting = projects();
    wait_until("the rows again", || seen() > before);
    signal(projecting.0.id(), rustix::process::Signal::INT);
    assert_eq!(projecting.0.wait().unwrap().code(), Some(0));
    assert_eq!(asks("SELECT 1"), None, "nobody looks after it");
    assert_eq!(fs::read_dir(&queries).unwrap().count(), 0, "what was asked of the records is no grant's");
}
