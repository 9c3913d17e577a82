//! What the server ends by itself when nobody looks after readers any more, and what a reader may have logged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use crate::support::{
    self, Postgres,
    asking::{asks, counts, said, sessions, stays},
    database, server_of,
    site::{GRANTS, Site, bounds, now_ms},
    until_free,
};
use keyward_projection::{Bounds, Credentials, Guard, Seen};

const WATCHDOGS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keyward-watchdog'";

async fn until(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Has all leases run out so many milliseconds from now: what time does when nobody looks.
fn run_out(site: &Site, in_ms: u64) {
    let ends = format!(
        "SELECT setval(to_regclass('keyward.' || role), (1000 * extract(epoch FROM clock_timestamp()))::int8 + {in_ms}) FROM keyward.readers"
    );
    site.server.sql(&site.url, &ends);
}

async fn end_watchdog(site: &Site) {
    let ends =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyward-watchdog'";
    site.server.sql(&site.url, ends);
    until("it ends", || site.server.sql(&site.url, WATCHDOGS) == "0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_when_nobody_looks_and_rows_come_back() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    // They lift what would end them by themselves; one holds what it read, one its own role, one works.
    let lifted = "SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0; SET statement_timeout = 0;";
    let held = "BEGIN; DECLARE c CURSOR FOR SELECT * FROM transactions; FETCH 1 FROM c;";
    let own = "SET default_transaction_read_only = off; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine';";
    let endless = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b;";
    let mut open: Vec<_> = [(&site.one, held), (&site.other, own), (&site.records, endless)]
        .map(|(login, says)| stays(login, &format!("{lifted}{says}")))
        .into();
    let working = "SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^[gr]_' AND query ~ '^(FETCH|ALTER|SELECT count)' \
        AND state <> 'idle'";
    until("they begin", || site.server.sql(&site.url, working) == "3").await;
    // As if it were killed: nothing of it is done any more, and the server's own goes on.
    drop(guard);
    run_out(&site, 300);
    sessions(&site, "true", "0").await;
    let refused = said(&asks(&site.one, "SELECT count(*) FROM transactions").await);
    assert!(refused.contains("55000") || refused.contains("57P01") || refused.contains("FATAL"), "{refused}");
    for session in &mut open {
        session.kill().unwrap();
        session.wait().unwrap();
    }
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    assert_eq!(counts(&site.one).await, "3");
    assert_eq!(site.server.sql(&site.url, WATCHDOGS), "1", "the earlier one's is gone");
    guard.leave().await.unwrap();
}

/// Should somebody end the watchdog and the guard both, the rows are not shown all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_not_shown_when_nobody_looks() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    end_watchdog(&site).await;
    assert_eq!(said(&asks(&site.one, "SELECT count(*) FROM transactions").await), "ERROR:  55000");
    guard.look(now_ms()).await.unwrap();
    assert_eq!(counts(&site.one).await, "3");
    assert_eq!(site.server.sql(&site.url, WATCHDOGS), "1", "the guard begins another");

    drop(guard);

    // A query that began before is stopped at the next row; nothing that is cut short passes for whole.
    let folder = tempfile::tempdir().unwrap();
    let (waits, goes_on) = (folder.path().join("waits"), folder.path().join("goes-on"));
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", goes_on.display());
    std::fs::write(&waits, script).unwrap();
    let cursor = "BEGIN ISOLATION LEVEL REPEATABLE READ;DECLARE c CURSOR FOR SELECT leaf_index FROM transactions;FETCH 1 FROM c";
    let cursor = format!("{cursor};\\! sh {};FETCH ALL FROM c", waits.display());
    let (mut told, role) = (String::new(), &site.one.role);
    // On a busy machine the lease may be over before the first row: then one that is longer.
    for lease_ms in [1_000, 4_000, 12_000, 36_000] {
        site.unguarded().await.look(now_ms()).await.unwrap();
        run_out(&site, lease_ms);
        let (reader, cursor) = (site.one.clone(), cursor.clone());
        let fetches = tokio::spawn(async move { said(&asks(&reader, &cursor).await) });
        let fetched = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND query LIKE 'FETCH%' AND state LIKE 'idle in%'"
        );
        let over =
            format!("SELECT extract(epoch FROM clock_timestamp()) * 1000 > last_value FROM keyward.{role}");
        let is_over = || site.server.sql(&site.url, &over) == "t";
        until("a row, or none", || site.server.sql(&site.url, &fetched) == "1" || is_over()).await;
        end_watchdog(&site).await;
        until("the lease to be over", is_over).await;
        std::fs::write(&goes_on, "").unwrap();
        told = fetches.await.unwrap();
        assert!(!told.contains("30"), "{told}");
        if told.starts_with("10") && told.contains("55000") {
            break;
        }
        std::fs::remove_file(&goes_on).unwrap();
    }
    assert!(told.starts_with("10") && told.contains("55000"), "{told}");

    for question in [
        "SELECT count(*) FROM transactions",
        "SELECT * FROM records",
        "SELECT purpose FROM about",
        "COPY transactions TO STDOUT",
        "SELECT count(*) FROM transactions a JOIN records b USING (leaf_index)",
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT said FROM transactions",
    ] {
        assert_eq!(said(&asks(&site.one, question).await), "ERROR:  55000", "{question}");
    }
    assert_eq!(said(&asks(&site.one, "SELECT 1").await), "1", "it is the rows that are not shown");
    assert_eq!(said(&asks(&site.records, "SELECT count(*) FROM records").await), "ERROR:  55000");
}

/// Leases and logins outlive the server, and what would end sessions does not. Who logs in then is told nothing: not by what an index
/// finds, nor by an estimate, nor by calling itself a watchdog.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_nothing_is_told_until_a_guard_looks() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let mut site = Site::new(server).await;
    for crashes in [false, true] {
        let mut guard = site.unguarded().await;
        guard.look(now_ms()).await.unwrap();
        assert_eq!(counts(&site.one).await, "3");
        drop(guard);
        if crashes {
            // One process alone: the server ends all the others, and itself goes on.
            let pid = WATCHDOGS.replace("count(*)", "pid");
            let pid = site.server.sql(&site.url, &pid);
            signal("-KILL", &pid);
            let process = std::path::PathBuf::from(format!("/proc/{pid}"));
            until("it is gone", || !process.exists()).await;
        } else {
            site.server.kill();
        }
        site.server.restart();
        assert_eq!(site.server.sql(&site.url, WATCHDOGS), "0");
        // However long that took.
        let role = &site.one.role;
        let lives = format!(
            "ALTER ROLE {role} VALID UNTIL 'infinity'; SELECT setval('keyward.{role}', {})",
            now_ms() * 2
        );
        site.server.sql(&site.url, &lives);
        assert_eq!(said(&asks(&site.one, "SELECT 1").await), "1", "it may log in");
        for question in [
            "SELECT count(*) FROM transactions",
            "SELECT count(*) FROM transactions WHERE leaf_index = 10",
            "SELECT count(*) FROM transactions WHERE leaf_index = 11",
            "SELECT 1 WHERE EXISTS (SELECT FROM transactions WHERE leaf_index = 11)",
            "EXPLAIN SELECT * FROM transactions WHERE app = 'rows-of-the-one'",
            "EXPLAIN ANALYZE SELECT * FROM transactions WHERE leaf_index = 11",
            "PREPARE p AS SELECT FROM transactions WHERE leaf_index = 11; EXPLAIN EXECUTE p",
            "WITH x AS MATERIALIZED (SELECT leaf_index FROM records WHERE leaf_index = 11) SELECT count(*) FROM x",
            "EXPLAIN SELECT 1 FROM about LEFT JOIN transactions ON leaf_index = 11",
            "COPY transactions TO STDOUT",
            "SET application_name = 'keyward-watchdog'; SELECT count(*) FROM transactions",
        ] {
            let told = said(&asks(&site.one, question).await);
            assert_eq!(told, "ERROR:  55000", "{question}");
        }
    }
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    assert_eq!(counts(&site.one).await, "3");
}

/// The server knows when a grant ends, whoever looks until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grants_end_ends_its_lease_and_its_login() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    let role = &site.one.role;
    let ends =
        format!("SELECT last_value = expires_ms FROM keyward.{role}, keyward.readers WHERE role = '{role}'");
    assert_eq!(site.server.sql(&site.url, &ends), "f");
    let soon = now_ms() + 100_000;
    site.server
        .sql(&site.url, &format!("UPDATE keyward.readers SET expires_ms = {soon} WHERE role = '{role}'"));
    guard.serve(vec![role.clone()], now_ms()).await.unwrap();
    assert_eq!(site.server.sql(&site.url, &ends), "t", "600 s would be longer");
    let login = format!(
        "SELECT abs(1000 * extract(epoch FROM rolvaliduntil) - {soon}) < 2 FROM pg_roles WHERE rolname = '{role}'"
    );
    assert_eq!(site.server.sql(&site.url, &login), "t");
    // A revocation ends it at once, whatever else takes longer.
    let role = &site.other.role;
    guard.serve(vec![role.clone()], now_ms()).await.unwrap();
    let mut held = stays(&site.other, "BEGIN; SELECT count(*) FROM transactions;");
    sessions(&site, "state = 'idle in transaction'", "1").await;
    guard.leave().await.unwrap();
    let over = format!("SELECT last_value FROM keyward.{role}");
    assert_eq!(site.server.sql(&site.url, &over), "1");
    held.kill().unwrap();
    held.wait().unwrap();
}

/// A process of the server's that does nothing it is told, as one in a statement that never looks.
struct Stopped(String);

impl Stopped {
    fn new(pid: String) -> Self {
        signal("-STOP", &pid);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(which: &str, pid: &str) {
    let done = std::process::Command::new("kill").args([which, pid]).status().unwrap();
    assert!(done.success(), "{which} {pid}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_does_not_end_holds_up_nobody() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    let role = site.one.role.clone();
    let mut held = stays(&site.one, "BEGIN; SELECT count(*) FROM transactions;");
    sessions(&site, "state = 'idle in transaction'", "1").await;
    let stopped = Stopped::new(
        site.server.sql(&site.url, &format!("SELECT pid FROM pg_stat_activity WHERE usename = '{role}'")),
    );
    let staying = Seen::Staying { role: role.clone() };
    let seen = guard.close_grant(&GRANTS[0], now_ms(), "revoked").await.unwrap();
    assert_eq!(seen, std::slice::from_ref(&staying));
    for _ in 0..3 {
        assert!(!guard.look(now_ms()).await.unwrap().contains(&staying), "it is told once");
    }
    assert_eq!(counts(&site.other).await, "3");
    assert!(counts(&site.one).await.contains("FATAL"));
    assert!(!guard.leave().await.unwrap().contains(&staying), "it is known");

    // A projector that is started again works too.
    drop(guard);
    until_free(&site.server, &site.url).await;
    let mut again = database(&site.url).await.unwrap();
    again.harden().await.unwrap();
    let keep = |_: &Credentials| Err(std::io::Error::other("there is one"));
    let there = again.reader(Some((GRANTS[0], now_ms() + 3_600_000)), &bounds(), now_ms(), keep).await;
    assert_eq!(there.unwrap(), role);
    let mut guard = Guard::new(&server_of(&site.url), bounds(), vec![site.other.role.clone()]).await.unwrap();
    assert!(guard.look(now_ms()).await.unwrap().contains(&staying));
    assert_eq!(counts(&site.other).await, "3");
    guard.close_grant(&GRANTS[0], now_ms(), "revoked").await.unwrap();
    drop(stopped);
    let closed = Seen::Closed { role, because: "revoked" };
    let until = Instant::now() + Duration::from_secs(60);
    while !guard.look(now_ms()).await.unwrap().contains(&closed) {
        assert!(Instant::now() < until, "it is not closed");
    }
    held.kill().unwrap();
    held.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_statements_cost_the_session_and_many_the_hour() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let tight = Bounds { statement_bytes: 10_000, hour_bytes: 200_000, ..bounds() };
    let served = vec![site.one.role.clone(), site.records.role.clone()];
    let mut guard = Guard::new(&server_of(&site.url), tight, served).await.unwrap();
    guard.look(now_ms()).await.unwrap();
    let role = site.records.role.clone();
    let mut held = stays(&site.records, &format!("SELECT 'long' /* {} */;", "x".repeat(20_000)));
    let (mut seen, until) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    while !seen.contains(&Seen::Long { role: role.clone() }) {
        assert!(Instant::now() < until, "{seen:?}");
        seen.extend(guard.look(now_ms()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sessions(&site, "true", "0").await;
    held.kill().unwrap();
    held.wait().unwrap();
    assert_eq!(said(&asks(&site.records, "SELECT count(*) FROM records").await), "28", "it may log in again");

    // Whoever fails to log in with its name costs it nothing.
    let stranger = support::site::Login { password: "wrong".into(), ..site.records.clone() };
    for _ in 0..3 {
        assert!(said(&asks(&stranger, "SELECT 1").await).contains("FATAL"));
    }
    let many = format!("SELECT 'many' /* {} */", "x".repeat(8_000));
    let until = Instant::now() + Duration::from_secs(60);
    while !seen.contains(&Seen::Flooded { role: role.clone() }) {
        assert!(Instant::now() < until, "{seen:?}");
        asks(&site.records, &[many.as_str(); 10].join(";")).await;
        seen.extend(guard.look(now_ms()).await.unwrap());
    }
    assert!(said(&asks(&site.records, "SELECT 1").await).contains("FATAL"));
    guard.look(now_ms() + 130_000).await.unwrap();
    assert!(
        said(&asks(&site.records, "SELECT 1").await).contains("FATAL"),
        "not when logins are lent anew either"
    );
    assert_eq!(counts(&site.one).await, "3", "the others are not held up");
    let seen = guard.look(now_ms() + 3_600_000 + 60_000).await.unwrap();
    assert_eq!(said(&asks(&site.records, "SELECT count(*) FROM records").await), "28", "an hour later");
    let failed = |one: &Seen| matches!(one, Seen::Failed { role: whose, logins: 3.. } if *whose == role);
    assert!(seen.iter().any(failed), "{seen:?}");
    let kept = "SELECT count(*) FROM keyward.queries WHERE position('password authentication failed'::bytea IN line) > 0";
    assert_eq!(site.server.sql(&site.url, kept), "0", "a stranger fills nobody's query log");
}

/// What a server says to who begins like this, without a password.
fn calls(login: &support::site::Login, with: &str) -> Vec<u8> {
    let body = format!("user\0{}\0database\0{}\0{with}\0\0", login.role, login.database);
    let length = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", login.port)).unwrap();
    let version = 196_608_u32.to_be_bytes();
    stream.write_all(&[&length, &version, body.as_bytes()].concat()).unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    told
}

/// What anybody can have logged is counted once, whoever is killed in between, and is nothing of the role's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_of_strangers_outlives_the_guard() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let role = site.records.role.clone();
    let stranger = support::site::Login { password: "wrong".into(), ..site.records.clone() };
    let logs = site.server.sql(
        &site.url,
        "SELECT current_setting('data_directory') || '/' || current_setting('log_directory')",
    );
    let mut guard = site.unguarded().await;
    // Of 60,000 bytes each, 17 lines are less than a MiB.
    for (logins, counted) in [(2, format!("3|{role}\n3|3")), (3, format!("7|{role}\n23|23"))] {
        for _ in 0..logins {
            assert!(said(&asks(&stranger, "SELECT 1").await).contains("FATAL"));
        }
        let told = calls(&site.records, "replication\0bogus");
        assert!(String::from_utf8_lossy(&told).contains("22023"), "{told:?}");
        let lines = "COPY (SELECT repeat('x', 60000) FROM generate_series(1, 20)) TO";
        site.server.sql(&site.url, &format!("{lines} '{logs}/stray-{logins}.json'"));
        let counts = "SELECT count, CASE role WHEN '' THEN count::text ELSE role END FROM keyward.strangers ORDER BY role = ''";
        let (mut found, until) = (String::new(), Instant::now() + Duration::from_secs(60));
        while found != counted {
            assert!(Instant::now() < until, "{found}");
            guard.look(now_ms()).await.unwrap();
            found = site.server.sql(&site.url, counts);
        }
        // As if it were killed.
        guard = site.unguarded().await;
        guard.look(now_ms()).await.unwrap();
        assert_eq!(site.server.sql(&site.url, counts), counted, "nothing is counted twice");
    }
    let seen = guard.look(now_ms() + 3_600_000 + 60_000).await.unwrap();
    assert!(seen.contains(&Seen::Failed { role: role.clone(), logins: 7 }), "{seen:?}");
    let hash = (0..23).fold([0; 32], |hash, _| {
        keyward_ledger_core::hash::sha256(&[&hash, &60_000_u32.to_be_bytes(), &[b'x'; 60_000]])
    });
    let kept = "SELECT count(*), min(convert_from(line, 'UTF8')) FROM keyward.queries WHERE role = ''";
    assert_eq!(site.server.sql(&site.url, kept), format!("18|23 lines, SHA-256 {}", hex::encode(hash)));
    assert_eq!(site.server.sql(&site.url, "SELECT count(*) FROM keyward.strangers"), "0");
    let own = format!("SELECT count(*) FROM keyward.queries WHERE role = '{role}'");
    assert_eq!(site.server.sql(&site.url, &own), "0", "nothing of a stranger's is the role's");
}
