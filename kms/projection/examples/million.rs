//! Fills an empty database with a million opened transactions of one grant and a million records, and prints what questions over them
//! take: `cargo run --release -p keyward-projection --example million -- postgres://user@host:port/empty`.
//!
//! The rows are made up by the server; a projector writes the same tables. Readers ask, under their policies and a lease that does not
//! run out. Beside the time of each question stands the plan's own, without the way to the client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a measurement")]

use std::time::{Duration, Instant, SystemTime};

use keyward_projection::{Bounds, Credentials, Database, Guard, Ledger};
use keyward_store::Location;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

const ROWS: u32 = 1_000_000;

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).expect("usage: million URL");
    let Location::Postgres(server) = Location::postgres(&url, None).unwrap() else { unreachable!("a URL") };
    let ledger = Ledger { chain_id: [7; 32], name: "million".into() };
    let mut database = Database::open(&server, ledger).await.unwrap();
    database.harden().await.unwrap();
    let keep = |_: &Credentials| Ok::<_, std::convert::Infallible>(());
    let grant = Some(([1; 32], u64::MAX >> 1));
    let role = database.reader(grant, &Bounds::default(), 1, keep).await.unwrap();
    let of_records = database.reader(None, &Bounds::default(), 1, keep).await.unwrap();
    let mut connection = PgConnection::connect_with(&server.options().unwrap()).await.unwrap();
    let hash = "sha256(int8send(g))";
    let fill = [
        format!(
            "INSERT INTO {role}.transactions SELECT g, {hash}, g / 100, 1700000000000 + g * 50::bigint, sha256(int8send(g % 50)), g / 20000, \
             3600000, {hash}, 'bip340', '\\x02' || {hash}, 'derived', 'index', g % 20000, g / 20000, NULL, {hash}, {hash}, sha256('p'), \
             'app-' || g % 40, 'opaque', 'amount ' || g % 10000 || ' EUR' || E'\\n' || 'to creditor ' || g % 5000, NULL, NULL, g + 1, {hash}, {hash}, '', '' \
             FROM generate_series(1, {ROWS}) g"
        ),
        format!(
            "INSERT INTO keyward.records SELECT g, {hash}, g / 100, 1700000000000 + g * 50::bigint, sha256(int8send(g % 4)), g, 0, 193, 'use-address', \
             decode(repeat('ab', 1500), 'hex'), 0, 'ACCEPTED', '', ARRAY[{hash}, sha256(int8send(g % 1000))] FROM generate_series(1, {ROWS}) g"
        ),
        "VACUUM ANALYZE".to_owned(),
    ];
    for statement in fill {
        let began = Instant::now();
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        println!("filled in {:.1} s", began.elapsed().as_secs_f64());
    }
    let day = "time_ms BETWEEN 1700010000000 AND 1700020000000";
    let questions = [
        ("everything, counted", "SELECT count(*) FROM transactions".to_owned()),
        ("by app: how many, from when, until when", "SELECT app, count(*), min(time_ms), max(time_ms) FROM transactions GROUP BY app".to_owned()),
        ("an account's uses in a time", format!("SELECT * FROM transactions WHERE account = sha256('\\x0000000000000007') AND {day}")),
        ("one payload", "SELECT * FROM transactions WHERE payload_hash = sha256('\\x00000000000b2a9c')".to_owned()),
        ("words in what was said, without an index", "SELECT count(*) FROM transactions WHERE said LIKE '%creditor 4711%'".to_owned()),
        ("accounts by day, with a window", "SELECT account, time_ms / 86400000 AS day, count(*), rank() OVER (PARTITION BY time_ms / 86400000 \
            ORDER BY count(*) DESC) FROM transactions GROUP BY 1, 2".to_owned()),
        ("the newest hundred that lie or are foreign", "SELECT * FROM transactions WHERE lies <> '' OR address <> 'derived' ORDER BY leaf_index DESC LIMIT 100".to_owned()),
        ("ledger: records that name something", "SELECT leaf_index FROM keyward.records WHERE subjects @> ARRAY[sha256('\\x0000000000000007')]".to_owned()),
        ("ledger: by kind and submitter", "SELECT kind_name, submitter, count(*) FROM keyward.records GROUP BY 1, 2".to_owned()),
    ];
    // A guard that looked once: rows are shown for a day, and a watchdog goes on.
    let bounds = Bounds { shown: Duration::from_secs(86_400), ..Bounds::default() };
    let mut guard = Guard::new(&server, bounds, vec![role.clone(), of_records.clone()]).await.unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    guard.look(u64::try_from(now.as_millis()).unwrap()).await.unwrap();
    sqlx::raw_sql("SET work_mem = '32MB'").execute(&mut connection).await.unwrap();
    for (what, question) in questions {
        let asks = if what.starts_with("ledger") { &of_records } else { &role };
        let text = format!(
            "RESET SESSION AUTHORIZATION; SET SESSION AUTHORIZATION {asks}; SET search_path = {role}, pg_catalog"
        );
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
        let mut best = f64::MAX;
        let mut first = None;
        let mut rows = 0;
        for _ in 0..3 {
            let began = Instant::now();
            rows =
                sqlx::query(AssertSqlSafe(question.clone())).fetch_all(&mut connection).await.unwrap().len();
            let took = began.elapsed().as_secs_f64();
            first = first.or(Some(took));
            best = best.min(took);
        }
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN ANALYZE {question}")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let own: String = plan.last().unwrap().get(0);
        println!("{what}: {:.3} s, first {:.3} s, {rows} rows ({own})", best, first.unwrap_or(best));
    }
}
