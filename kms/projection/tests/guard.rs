//! The guard: what it ends, restores, closes and lends, and what it keeps of what readers asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    Chain, Postgres,
    asking::{asks, counts, said, sessions, stays},
    database, left_out, server_of,
    site::{GRANTS, Login, Site, bounds, now_ms},
    until_free,
};
use keyward_ledger_core::entry::{Entry, UseGrant};
use keyward_ledger_core::hash::sha256;
use keyward_ledger_core::log::Frontier;
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::record::Record;
use keyward_projection::{Archive, Block, Guard, Projector, Seen, Segment};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_in_works_while_the_guard_looks_and_no_longer() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    assert!(counts(&site.one).await.contains("FATAL"), "nobody looks yet");
    let guarded = site.guard().await;
    assert_eq!(counts(&site.one).await, "3");
    let wrong = Login { password: site.other.password.clone(), ..site.one.clone() };
    assert!(counts(&wrong).await.contains("FATAL"), "another's password");
    let until = site.server.sql(
        &site.url,
        "SELECT max(rolvaliduntil) < now() + interval '6 min' FROM pg_authid WHERE rolname LIKE 'g%'",
    );
    assert_eq!(until, "t", "a guard that is killed is missed in minutes");
    let mut guard = guarded.end().await;
    guard.leave().await.unwrap();
    assert!(counts(&site.one).await.contains("FATAL"));
    // One that serves the other alone lets the first in no more.
    let mut guard = Guard::new(&server_of(&site.url), bounds(), vec![site.other.role.clone()]).await.unwrap();
    guard.look(now_ms()).await.unwrap();
    assert!(counts(&site.one).await.contains("FATAL"));
    assert_eq!(counts(&site.other).await, "3");
    // One that serves nobody yet lends nothing, however often it looks; then at once.
    let mut guard = Guard::new(&server_of(&site.url), bounds(), Vec::new()).await.unwrap();
    for later in [0, 61_000] {
        guard.look(now_ms() + later).await.unwrap();
        assert!(counts(&site.other).await.contains("FATAL"));
    }
    guard.serve(vec![site.other.role.clone()], now_ms()).await.unwrap();
    assert_eq!(counts(&site.other).await, "3");
    assert!(counts(&site.one).await.contains("FATAL"));
    // By the server's clock, whatever that of the guard says.
    guard.look(now_ms() + 1_800_000).await.unwrap();
    let soon =
        "SELECT bool_and(rolvaliduntil < now() + interval '6 min') FROM pg_authid WHERE rolname LIKE 'g%'";
    assert_eq!(site.server.sql(&site.url, soon), "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_the_records_read_them_and_nothing_else() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let _guarded = site.guard().await;
    assert_eq!(said(&asks(&site.records, "SELECT count(*) FROM records").await), "28");
    assert_eq!(said(&asks(&site.records, "SELECT name, height FROM ledger").await), "story|8");
    for table in ["readers", "queries", "segments", "log_places"] {
        let told = said(&asks(&site.records, &format!("SELECT * FROM keyward.{table}")).await);
        assert!(told.contains("42501"), "{table}: {told}");
    }
    for login in [&site.one, &site.other] {
        let told = said(&asks(&site.records, &format!("SELECT * FROM {}.transactions", login.role)).await);
        assert!(told.contains("42501"), "{told}");
    }
    let told =
        said(&asks(&site.records, "SET default_transaction_read_only = off; DELETE FROM records").await);
    assert!(told.contains("42501"), "{told}");
}

/// Should somebody ever give a reader a right by mistake, row level security still stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_was_given_by_mistake_shows_no_row() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let _guarded = site.guard().await;
    let (one, other) = (&site.one.role, &site.other.role);
    site.server.sql(
        &site.url,
        &format!(
            "GRANT USAGE ON SCHEMA {other}, keyward TO {one}; GRANT SELECT ON ALL TABLES IN SCHEMA {other} TO {one}; \
             GRANT SELECT ON keyward.records, keyward.ledger TO {one}"
        ),
    );
    for table in [
        format!("{other}.transactions"),
        format!("{other}.records"),
        format!("{other}.about"),
        "keyward.records".into(),
        "keyward.ledger".into(),
    ] {
        assert_eq!(said(&asks(&site.one, &format!("SELECT count(*) FROM {table}")).await), "0", "{table}");
    }
    assert_eq!(counts(&site.one).await, "3");
    let bypass = site.server.sql(
        &site.url,
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text ~ '^g_' \
        AND NOT (relrowsecurity AND relforcerowsecurity)",
    );
    assert_eq!(bypass, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_do_nothing_are_ended_with_what_they_hold() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let short = keyward_projection::Bounds {
        transaction: Duration::from_secs(1),
        idle: Duration::from_secs(2),
        ..bounds()
    };
    let served = vec![site.one.role.clone(), site.other.role.clone()];
    let mut guard = Guard::new(&server_of(&site.url), short, served).await.unwrap();
    guard.look(now_ms()).await.unwrap();
    // They lift what would end them by itself.
    let lifted = "SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0;";
    let held = "BEGIN; DECLARE c CURSOR FOR SELECT * FROM transactions; FETCH 1 FROM c; LOCK TABLE transactions IN ACCESS SHARE MODE;";
    let mut sessions = Vec::new();
    for (login, statements) in [(&site.one, format!("{lifted}{held}")), (&site.other, lifted.to_owned())] {
        let mut session = Command::new(Postgres::psql());
        session
            .args(["-X", "-q"])
            .arg(login.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut session = session.spawn().unwrap();
        std::io::Write::write_all(session.stdin.as_mut().unwrap(), format!("{statements}\n").as_bytes())
            .unwrap();
        sessions.push(session);
    }
    let (mut seen, until) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    // One that was ended may be there for a while, and is ended again.
    let ended = |seen: &[Seen], login: &Login| seen.contains(&Seen::Ended { role: login.role.clone() });
    while !(ended(&seen, &site.one) && ended(&seen, &site.other)) {
        assert!(Instant::now() < until, "{seen:?}");
        seen.extend(guard.look(now_ms()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'g%'";
    while site.server.sql(&site.url, left) != "0" {
        assert!(Instant::now() < until, "a session stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for mut session in sessions {
        session.kill().unwrap();
        session.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_changes_itself_is_put_back() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    let before = site.digest();
    for change in [
        "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
        "ALTER ROLE CURRENT_USER SET work_mem = '1GB'",
        "ALTER ROLE CURRENT_USER SET default_transaction_read_only = off",
        "ALTER ROLE CURRENT_USER RESET ALL",
        "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
        "ALTER ROLE CURRENT_USER PASSWORD NULL",
        "DO_IN_DATABASE SET search_path = pg_temp",
    ] {
        let change =
            change.replace("DO_IN_DATABASE", &format!("ALTER ROLE CURRENT_USER IN DATABASE {}", site.name()));
        let done = asks(&site.one, &format!("SET default_transaction_read_only = off; {change}")).await;
        assert!(done.status.success(), "{change}: {}", said(&done));
        assert_ne!(site.digest(), before, "{change}");
        let seen = guard.look(now_ms()).await.unwrap();
        assert_eq!(seen, [Seen::Restored { role: site.one.role.clone() }], "{change}");
        assert_eq!(site.digest(), before, "{change}");
        assert_eq!(counts(&site.one).await, "3", "{change}");
        assert!(guard.look(now_ms()).await.unwrap().is_empty());
    }
}

/// A change of its own role that a reader does not commit holds up whoever changes that role, and cannot be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_holds_its_own_role_holds_up_nobody() {
    const HOLDS: &str =
        "SET default_transaction_read_only = off; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine';";
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    let before = site.digest();
    let mut held = Vec::new();

    // While logins are lent anew.
    held.push(stays(&site.one, HOLDS));
    sessions(&site, "state = 'idle in transaction' AND query LIKE 'ALTER%'", "1").await;
    held.push(stays(
        &site.other,
        "SET statement_timeout = 0; SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b;",
    ));
    sessions(&site, "state = 'active' AND query LIKE 'SELECT%'", "1").await;
    let (mut seen, until) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    let cancelled = Seen::Cancelled { role: site.other.role.clone() };
    while !seen.contains(&cancelled) {
        assert!(Instant::now() < until, "{seen:?}");
        seen.extend(guard.look(now_ms() + 61_000).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(seen.contains(&Seen::Ended { role: site.one.role.clone() }), "{seen:?}");
    sessions(&site, "state LIKE 'idle in%'", "0").await;
    assert_eq!(site.digest(), before, "nothing of the change is left");

    // While nothing is lent: a moment of it is enough.
    held.push(stays(&site.one, HOLDS));
    sessions(&site, "state = 'idle in transaction' AND query LIKE 'ALTER%'", "1").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let seen = guard.look(now_ms()).await.unwrap();
    assert!(seen.contains(&Seen::Ended { role: site.one.role.clone() }), "{seen:?}");

    // While it is closed, and while the guard leaves.
    held.push(stays(&site.one, HOLDS));
    held.push(stays(&site.records, HOLDS));
    sessions(&site, "state = 'idle in transaction' AND query LIKE 'ALTER%'", "2").await;
    closes(&mut guard, &site.one).await;
    guard.leave().await.unwrap();
    sessions(&site, "true", "0").await;
    assert!(counts(&site.other).await.contains("FATAL"));
    for mut session in held {
        session.kill().unwrap();
        session.wait().unwrap();
    }
}

/// The log is read in English, whatever the server speaks: no role can change that, and a change by hand is put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_logs_is_in_english() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    let told = said(&asks(&site.one, "SET lc_messages = 'POSIX'").await);
    assert!(told.contains("42501"), "{told}");
    let set = format!(
        "SELECT count(*) FROM pg_db_role_setting WHERE setrole = '{}'::regrole AND 'lc_messages=C' = ANY (setconfig)",
        site.one.role
    );
    assert_eq!(site.server.sql(&site.url, &set), "1");
    site.server.sql(&site.url, &format!("ALTER ROLE {} SET lc_messages = 'POSIX'", site.one.role));
    assert_eq!(guard.look(now_ms()).await.unwrap(), [Seen::Restored { role: site.one.role.clone() }]);
    assert_eq!(site.server.sql(&site.url, &set), "1");
}

/// The first grant is closed. Where a busy machine takes its time to end sessions, later looks go on with it.
async fn closes(guard: &mut Guard, login: &Login) {
    let closed = Seen::Closed { role: login.role.clone(), because: "revoked" };
    let mut seen = guard.close_grant(&GRANTS[0], now_ms(), "revoked").await.unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !seen.contains(&closed) {
        assert!(Instant::now() < until, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen = guard.look(now_ms()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_or_was_revoked_is_gone_with_its_sessions() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    let mut session = Command::new(Postgres::psql());
    session
        .args(["-X", "-q"])
        .arg(site.one.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut session = session.spawn().unwrap();
    let hold = "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM transactions; LOCK TABLE transactions IN ACCESS SHARE MODE;\n";
    std::io::Write::write_all(session.stdin.as_mut().unwrap(), hold.as_bytes()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while site.server.sql(
        &site.url,
        "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'g%' AND state LIKE 'idle in%'",
    ) != "1"
    {
        assert!(Instant::now() < until, "the session does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    closes(&mut guard, &site.one).await;
    // Its log is kept, its role and rows are not.
    let left = format!(
        "SELECT count(*) FROM pg_roles WHERE rolname = '{0}' UNION ALL SELECT count(*) FROM pg_namespace WHERE nspname = '{0}' \
        UNION ALL SELECT count(*) FROM pg_policy WHERE polname = '{0}'",
        site.one.role
    );
    assert_eq!(site.server.sql(&site.url, &left), "0\n0\n0");
    assert!(
        site.server
            .sql(&site.url, "SELECT convert_from(line, 'UTF8') FROM keyward.queries")
            .contains("LOCK TABLE")
    );
    assert!(counts(&site.one).await.contains("FATAL"));
    session.kill().unwrap();
    session.wait().unwrap();
    assert!(guard.close_grant(&GRANTS[0], now_ms(), "revoked").await.unwrap().is_empty(), "once is enough");

    assert_eq!(counts(&site.other).await, "3");
    let later = now_ms() + 3_700_000;
    let seen = guard.look(later).await.unwrap();
    assert_eq!(seen, [Seen::Closed { role: site.other.role.clone(), because: "expired" }]);
    assert!(counts(&site.other).await.contains("FATAL"));
    until_free(&site.server, &site.url).await;
    database(&site.url).await.unwrap();
}

/// A statement is not hidden by its length: beginning, length and hash of its line are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_statement_is_kept_too() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    for length in [4_500_000, 9_000_000, 100_000] {
        let mut session = stays(&site.one, &format!("SELECT 'long' /* {} */;", "x".repeat(length)));
        drop(session.stdin.take());
        session.wait().unwrap();
    }
    let kept =
        "SELECT count(*) FROM keyward.queries WHERE statements = 1 AND position('/* xxx'::bytea IN line) > 0";
    let until = Instant::now() + Duration::from_secs(60);
    while site.server.sql(&site.url, kept) != "3" {
        assert!(Instant::now() < until, "not all are kept");
        guard.look(now_ms()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The lines as the server has them.
    let same = "SELECT count(*) FROM keyward.queries q, pg_ls_logdir() f, \
        string_to_table(convert_from(pg_read_binary_file(current_setting('log_directory') || '/' || f.name), 'UTF8'), chr(10)) l \
        WHERE f.name LIKE '%.json' AND length(l) > 65536 AND q.line = convert_to(left(l, 65536) || chr(10) || length(l) || ' bytes, SHA-256 ' \
        || encode(sha256(convert_to(l, 'UTF8')), 'hex'), 'UTF8')";
    assert_eq!(site.server.sql(&site.url, same), "3");
    let segments = cut_segments(&mut guard).await;
    assert_eq!(segments.iter().map(|segment| segment.count).sum::<u32>(), 3);
}

/// In a database of any other encoding one wrong byte in a comment makes a line that is no JSON.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_utf_8_gets_no_readers() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let url = server.database();
    server.sql(&url, "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0");
    let name = url.split(['/', '?']).nth(3).unwrap();
    let ascii = url.replacen(&format!("/{name}"), "/ascii", 1);
    let unfit = database(&ascii).await.unwrap().harden().await.unwrap_err();
    assert_eq!(unfit.code(), "PROJECTION_SERVER_UNFIT");
    assert!(unfit.to_string().contains("UTF-8"), "{unfit}");
}

/// Nothing waits for more.
async fn cut_segments(guard: &mut Guard) -> Vec<Segment> {
    while guard.cut().await.unwrap() {}
    guard.segments().await.unwrap()
}

/// However much one asks, nothing of it waits for a later segment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_cut_to_its_end() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    site.server.sql(
        &site.url,
        &format!(
            "INSERT INTO keyward.queries SELECT '{}', g, convert_to(g::text, 'UTF8'), 1, NULL FROM generate_series(0, 16384) g",
            site.one.role
        ),
    );
    for more in [true, true, false] {
        assert_eq!(guard.cut().await.unwrap(), more);
    }
    let segments = cut_segments(&mut guard).await;
    assert_eq!(segments.iter().map(|segment| segment.count).collect::<Vec<_>>(), [16_384, 1]);
    let mut bytes = b"\x14keyward/query-log/v1".to_vec();
    bytes.extend(GRANTS[0]);
    bytes.push(34);
    bytes.extend(site.one.role.as_bytes());
    bytes.extend(0_u64.to_be_bytes());
    bytes.extend(16_384_u32.to_be_bytes());
    for line in (0..16_384).map(|number: u32| number.to_string()) {
        bytes.extend((line.len() as u32).to_be_bytes());
        bytes.extend(line.as_bytes());
    }
    assert_eq!(segments[0].what, sha256(&[&bytes]));
}

/// What was asked is kept line by line, hashed as SPEC.md says, and anchored by the record that the projection sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_readers_ask_is_kept_and_anchored_once() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    guard.look(now_ms()).await.unwrap();
    for statement in [
        "SELECT 'first question'",
        "SELEC 'no question'",
        "SELECT 1 / 0 AS third",
        "SET application_name = '\n{\"user\": \"nobody\"}'",
    ] {
        asks(&site.one, statement).await;
    }
    asks(&site.records, "SELECT 'of the records'").await;
    asks(&site.other, "SELECT 'of the other'").await;
    let (mut segments, until) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    // The server's own process writes its log, when it comes to it.
    while segments.iter().map(|segment: &Segment| segment.count).sum::<u32>() < 5 {
        assert!(Instant::now() < until, "{segments:?}");
        guard.look(now_ms()).await.unwrap();
        segments = cut_segments(&mut guard).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        segments
            .iter()
            .all(|segment| segment.grant_id == GRANTS[usize::from(segment.role == site.other.role)])
    );
    let ones: Vec<_> = segments.iter().filter(|segment| segment.role == site.one.role).collect();
    assert_eq!(ones.iter().map(|segment| segment.count).sum::<u32>(), 4);
    for segment in &ones {
        let lines = site.server.sql(
            &site.url,
            &format!("SELECT encode(line, 'hex') FROM keyward.queries WHERE role = '{}' AND segment = {} ORDER BY number", segment.role, segment.number),
        );
        let lines: Vec<_> = lines.lines().map(|line| hex::decode(line).unwrap()).collect();
        let mut bytes = b"\x14keyward/query-log/v1".to_vec();
        bytes.extend(segment.grant_id);
        bytes.push(34);
        bytes.extend(segment.role.as_bytes());
        bytes.extend(segment.number.to_be_bytes());
        bytes.extend((lines.len() as u32).to_be_bytes());
        for line in &lines {
            bytes.extend((line.len() as u32).to_be_bytes());
            bytes.extend(line);
        }
        assert_eq!(segment.what, sha256(&[&bytes]));
    }
    assert_eq!(cut_segments(&mut guard).await, segments, "what waits is not cut again");

    guard.refused(&segments[0], "GRANT_EXPIRED").await.unwrap();
    assert_eq!(cut_segments(&mut guard).await, segments[1..]);

    // The records of the others: with them the projection goes on.
    until_free(&site.server, &site.url).await;
    let chain = Chain::new(8);
    let mut log = Frontier::default();
    chain.blocks.iter().flat_map(|block| &block.records).for_each(|record| log.append(record.id()));
    let used = |(index, segment): (usize, &Segment)| Record {
        height: 9,
        time_ms: 2_000_000,
        submitter: [5; 32],
        sequence: 99,
        index: index as u32,
        entry: Entry::UseGrant(UseGrant {
            grant: segment.grant_id,
            what: segment.what,
            count: segment.count,
        })
        .encode(),
        outcome: if index == 0 { Outcome { code: 221, data: Vec::new() } } else { Outcome::ACCEPTED },
    };
    let mut records: Vec<_> = segments[1..].iter().enumerate().map(used).collect();
    // Somebody else's, that have the hash and not the rest, anchor nothing either.
    for (grant, count) in [([9; 32], segments[1].count), (segments[1].grant_id, 0)] {
        let entry = Entry::UseGrant(UseGrant { grant, what: segments[1].what, count }).encode();
        let index = records.len() as u32;
        records.push(Record { entry, index, outcome: Outcome::ACCEPTED, ..records[0].clone() });
    }
    records.iter().for_each(|record| log.append(record.id()));
    let block = Block { height: 9, time_ms: 2_000_000, log_size: log.size(), log_root: log.root(), records };
    let mut projector =
        Projector::begin(database(&site.url).await.unwrap(), Vec::new(), |_| {}).await.unwrap();
    projector.push(&block).await.unwrap();
    projector.finish().await.unwrap();
    assert_eq!(cut_segments(&mut guard).await, segments[1..2], "one that the ledger refused anchors nothing");
}

/// What is anchored stands in files, each the bytes of its hash, whole before it is handed in, and never replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_logs_are_kept_as_files() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let mut guard = site.unguarded().await;
    for (login, lines) in [(&site.one, 600), (&site.other, 1)] {
        let lines = format!(
            "INSERT INTO keyward.queries SELECT '{}', g, convert_to('line ' || g, 'UTF8'), 1, NULL FROM generate_series(1, {lines}) g",
            login.role
        );
        site.server.sql(&site.url, &lines);
    }
    let segments = cut_segments(&mut guard).await;
    assert_eq!(segments.iter().map(|segment| segment.filed).collect::<Vec<_>>(), [false, false]);
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("query/logs");
    let mut archive = Archive::open(&server_of(&site.url), &folder).await.unwrap();
    let paths: Vec<_> = segments
        .iter()
        .map(|segment| folder.join(format!("{}-{:020}.queries", segment.role, segment.number)))
        .collect();

    // One's place is taken, the other's writer was killed.
    std::fs::write(&paths[0], "something else").unwrap();
    std::fs::write(paths[1].with_extension("new"), "begun").unwrap();
    let unfiled = archive.file(7).await.unwrap().unfiled;
    assert_eq!((unfiled.len(), unfiled[0].error.code()), (1, "QUERY_LOG_FILE_OTHER"));
    assert!(paths[0].ends_with(&unfiled[0].file));
    assert_eq!(std::fs::read(&paths[0]).unwrap(), b"something else");
    let filed = guard.segments().await.unwrap();
    assert_eq!(filed.iter().map(|segment| segment.filed).collect::<Vec<_>>(), [false, true]);
    std::fs::remove_file(&paths[0]).unwrap();
    assert!(archive.file(8).await.unwrap().unfiled.is_empty());
    let whole = |segment: &Segment, path: &std::path::PathBuf| {
        sha256(&[&std::fs::read(path).unwrap()]) == segment.what
    };
    assert!(segments.iter().zip(&paths).all(|(segment, path)| whole(segment, path)));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&paths[0])), (0o700, 0o400));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "nothing lies beside them");

    if !left_out("python3") {
        // The program in SPEC.md.
        let program =
            include_str!("../SPEC.md").split("```python\n").nth(1).unwrap().split("```").next().unwrap();
        let told = Command::new("python3").args(["-c", program]).arg(&paths[0]).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let head = format!(
            "grant {} role {} segment 0\nline 1\n",
            hex::encode(segments[0].grant_id),
            segments[0].role
        );
        assert!(told.stdout.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&told.stdout));
    }

    // Written and not marked: it is there already. Lines that somebody changed: it is not made of them.
    let again = "UPDATE keyward.segments SET filed_ms = NULL";
    site.server.sql(&site.url, again);
    assert!(archive.file(9).await.unwrap().unfiled.is_empty());
    let role = &segments[1].role;
    site.server.sql(
        &site.url,
        &format!("UPDATE keyward.queries SET line = 'x' WHERE role = '{role}' AND number = 1; {again}"),
    );
    let unfiled = archive.file(10).await.unwrap().unfiled;
    assert_eq!((unfiled.len(), unfiled[0].error.code()), (1, "QUERY_LOG_CHANGED"));
    assert!(segments.iter().zip(&paths).all(|(segment, path)| whole(segment, path)));
    // A name that leads elsewhere, though only a superuser could write one.
    let leads = ["queries", "segments"]
        .map(|table| format!("UPDATE keyward.{table} SET role = '../x' WHERE role = '{role}';"));
    site.server.sql(&site.url, &leads.concat());
    assert_eq!(archive.file(11).await.unwrap().unfiled[0].error.code(), "QUERY_LOG_CHANGED");
    assert_eq!(std::fs::read_dir(parent.path().join("query")).unwrap().count(), 1);

    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o770)).unwrap();
    let open = Archive::open(&server_of(&site.url), &folder).await.unwrap_err();
    assert_eq!(open.code(), "QUERY_LOG_FOLDER_OPEN");
}
