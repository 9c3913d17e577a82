//! What the server ends by itself when nobody looks after readers any more, and what a reader may have logged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use keyward_projection::{Bounds, Credentials, Guard, Seen};
use support::{
    Postgres,
    asking::{asks, counts, said, sessions, stays},
    database, server_of,
    site::{GRANTS, Site, bounds, now_ms},
    until_free,
};

const WATCHDOGS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keyward-watchdog'";

async fn until(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Rows are shown for a moment after the guard last looked.
async fn hasty(site: &Site) -> Guard {
    let served = [&site.one, &site.other, &site.records].map(|login| login.role.clone());
    let short = Bounds { shown: Duration::from_secs(2), ..bounds() };
    Guard::new(&server_of(&site.url), short, served.to_vec()).await.unwrap()
}

/// Looks until a reader sees its rows: a busy machine may take longer than they are shown.
async fn shows(guard: &mut Guard, site: &Site) {
    let mut seen = String::new();
    let until = Instant::now() + Duration::from_secs(60);
    while seen != "3" {
        assert!(Instant::now() < until, "{seen}");
        guard.look(now_ms()).await.unwrap();
        seen = counts(&site.one).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_when_nobody_looks_and_rows_come_back() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = hasty(&site).await;
    shows(&mut guard, &site).await;
    // They lift what would end them by themselves; one holds what it read, one its own role, one works.
    let lifted = "SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0; SET statement_timeout = 0;";
    let held = "BEGIN; DECLARE c CURSOR FOR SELECT * FROM transactions; FETCH 1 FROM c;";
    let own = "SET default_transaction_read_only = off; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine';";
    let endless = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b;";
    let mut open: Vec<_> = [(&site.one, held), (&site.other, own), (&site.records, endless)]
        .map(|(login, says)| stays(login, &format!("{lifted}{says}")))
        .into();
    let until_open = Instant::now() + Duration::from_secs(60);
    let working = "SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^[gr]_' AND query ~ '^(FETCH|ALTER|SELECT count)' \
        AND state <> 'idle'";
    while site.server.sql(&site.url, working) != "3" {
        assert!(Instant::now() < until_open, "they do not begin");
        // Without the guard's own ending of what takes long.
        site.server.sql(
            &site.url,
            "SELECT setval(to_regclass('keyward.' || role), 1000 * extract(epoch FROM clock_timestamp())::int8 + 2000) FROM keyward.readers",
        );
    }
    // As if it were killed: nothing of it is done any more, and the server's own goes on.
    drop(guard);
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

/// Should somebody end the watchdog and the guard both, or restart the server, the rows are not shown all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_not_shown_when_nobody_looks() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = hasty(&site).await;
    shows(&mut guard, &site).await;
    site.server.sql(
        &site.url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyward-watchdog'",
    );
    until("it ends", || site.server.sql(&site.url, WATCHDOGS) == "0").await;
    shows(&mut guard, &site).await;
    assert_eq!(site.server.sql(&site.url, WATCHDOGS), "1", "the guard begins another");
    drop(guard);
    site.server.sql(
        &site.url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyward-watchdog'",
    );
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for question in [
        "SELECT count(*) FROM transactions",
        "SELECT * FROM records",
        "SELECT purpose FROM about",
        "COPY transactions TO STDOUT",
        "SELECT count(*) FROM transactions a JOIN records b USING (leaf_index)",
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT said FROM transactions",
    ] {
        let told = said(&asks(&site.one, question).await);
        assert!(told.contains("55000") && !told.contains("own"), "{question}: {told}");
    }
    assert_eq!(said(&asks(&site.one, "SELECT 1").await), "1", "it is the rows that are not shown");
    let told = said(&asks(&site.records, "SELECT count(*) FROM records").await);
    assert!(told.contains("55000"), "{told}");

    // A query that began before is stopped at the next row; nothing that is cut short passes for whole.
    let cursor = "BEGIN ISOLATION LEVEL REPEATABLE READ;DECLARE c CURSOR FOR SELECT leaf_index FROM transactions;FETCH 1 FROM c";
    let (mut told, tried) = (String::new(), Instant::now() + Duration::from_secs(60));
    // On a busy machine the lease may be over before the first row.
    while !told.starts_with("10") {
        assert!(Instant::now() < tried, "{told}");
        let mut guard = hasty(&site).await;
        shows(&mut guard, &site).await;
        drop(guard);
        site.server.sql(
            &site.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyward-watchdog'",
        );
        told = said(&asks(&site.one, &format!("{cursor};\\! sleep 3;FETCH ALL FROM c")).await);
    }
    assert!(told.contains("55000") && !told.contains("30"), "{told}");
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
    assert_eq!(guard.leave().await.unwrap(), [], "it is known");

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
