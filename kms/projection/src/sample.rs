//! A grant's rows that are made up, by the server, and what questions over them take: for `keyward bench query`.
//!
//! Tables, indexes, roles, policies, lease and guard are those of a projection, and a reader is logged in with its password.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use keyward_store::PostgresServer;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

use crate::lease::Watchdog;
use crate::readers::{MEMORY, remove};
use crate::tables::SCHEMA;
use crate::{Bounds, Credentials, Database, Guard, Ledger, ProjectionError, ReaderError};

/// How long the rows are shown, in seconds: nobody looks meanwhile.
const SHOWN: u64 = 86_400;
/// Each question is asked so often; the best counts, and the first.
const TIMES: u32 = 3;

/// What a reader asks.
#[derive(Debug)]
pub struct Question {
    /// In words.
    pub what: &'static str,
    sql: &'static str,
    /// Whether the ledger's records are asked; else a grant's tables.
    of_records: bool,
}

/// What readers ask, from what an index answers to what reads every row.
pub const QUESTIONS: [Question; 9] = [
    of_grant("everything, counted", "SELECT count(*) FROM transactions"),
    of_grant(
        "by app: how many, from when, until when",
        "SELECT app, count(*), min(time_ms), max(time_ms) FROM transactions GROUP BY app",
    ),
    of_grant(
        "an account's uses in a time",
        "SELECT * FROM transactions WHERE account = sha256('\\x0000000000000007') \
         AND time_ms BETWEEN 1700010000000 AND 1700020000000",
    ),
    of_grant("one payload", "SELECT * FROM transactions WHERE payload_hash = sha256('\\x00000000000002a9')"),
    of_grant(
        "words in what was said, without an index",
        "SELECT count(*) FROM transactions WHERE said LIKE '%creditor 4711%'",
    ),
    of_grant(
        "accounts by day, with a window",
        "SELECT account, time_ms / 86400000 AS day, count(*), rank() OVER (PARTITION BY time_ms / 86400000 \
         ORDER BY count(*) DESC) FROM transactions GROUP BY 1, 2",
    ),
    of_grant(
        "the newest hundred that lie or are foreign",
        "SELECT * FROM transactions WHERE lies <> '' OR address <> 'derived' ORDER BY leaf_index DESC LIMIT 100",
    ),
    of_records(
        "ledger: records that name something",
        "SELECT leaf_index FROM keyward.records WHERE subjects @> ARRAY[sha256('\\x0000000000000007')]",
    ),
    of_records(
        "ledger: by kind and submitter",
        "SELECT kind_name, submitter, count(*) FROM keyward.records GROUP BY 1, 2",
    ),
];

const fn of_grant(what: &'static str, sql: &'static str) -> Question {
    Question { what, sql, of_records: false }
}

const fn of_records(what: &'static str, sql: &'static str) -> Question {
    Question { what, sql, of_records: true }
}

/// What a question takes.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// How many rows came.
    pub rows: usize,
    /// The best time as a reader.
    pub best: Duration,
    /// The first.
    pub first: Duration,
    /// The best as the projector, whom no policy asks.
    pub bare: Duration,
}

/// A database with made-up rows, and readers in it.
#[derive(Debug)]
pub struct Sample {
    database: Database,
    guard: Guard,
    grant: Asker,
    records: Asker,
}

#[derive(Debug)]
struct Asker {
    role: String,
    session: PgConnection,
}

impl Sample {
    /// Fills an empty database with as many transactions of one grant as records, and lets readers in. The server must be fit for them.
    pub async fn fill(server: &PostgresServer, rows: u32, now_ms: u64) -> Result<Self, ProjectionError> {
        let mut chain_id = [0; 32];
        getrandom::fill(&mut chain_id).map_err(ProjectionError::Randomness)?;
        let mut database = Database::open(server, Ledger { chain_id, name: "sample".into() }).await?;
        database.harden().await?;
        let bounds = Bounds { shown: Duration::from_secs(SHOWN), ..Bounds::default() };
        let grant = Some(([1; 32], now_ms.saturating_add(SHOWN * 1000)));
        let grant = reader(&mut database, grant, &bounds, now_ms).await?;
        let records = reader(&mut database, None, &bounds, now_ms).await?;
        for statement in statements(&grant.role, rows) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut database.connection).await?;
        }
        let served = vec![grant.role.clone(), records.role.clone()];
        let mut guard = Guard::new(server, bounds, served).await?;
        guard.look(now_ms).await?;
        let (grant, records) = (log_in(server, grant).await?, log_in(server, records).await?);
        Ok(Self { database, guard, grant, records })
    }

    /// Asks.
    pub async fn ask(&mut self, question: &Question) -> Result<Answered, ProjectionError> {
        let asker = if question.of_records { &mut self.records } else { &mut self.grant };
        let (rows, first, best) = timed(&mut asker.session, question.sql).await?;
        let as_readers =
            format!("SET search_path = {}, pg_catalog; SET work_mem = '{MEMORY}'", self.grant.role);
        sqlx::raw_sql(AssertSqlSafe(as_readers)).execute(&mut self.database.connection).await?;
        let (_, _, bare) = timed(&mut self.database.connection, question.sql).await?;
        Ok(Answered { rows, best, first, bare })
    }

    /// Removes rows and readers; that the server is closed to everybody else stays.
    pub async fn remove(mut self, now_ms: u64) -> Result<(), ProjectionError> {
        self.guard.leave().await?;
        Watchdog::end_others(&mut self.database.connection).await?;
        for role in [&self.grant.role, &self.records.role] {
            remove(&mut self.database.connection, role, now_ms, "measured").await?;
        }
        let text = format!("DROP SCHEMA {SCHEMA} CASCADE");
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.database.connection).await?;
        Ok(())
    }
}

async fn reader(
    database: &mut Database,
    grant: Option<([u8; 32], u64)>,
    bounds: &Bounds,
    now_ms: u64,
) -> Result<Credentials, ProjectionError> {
    let mut made = None;
    let keep = |credentials: &Credentials| {
        let Credentials { role, password } = credentials;
        made = Some(Credentials { role: role.clone(), password: password.clone() });
        Ok::<_, Infallible>(())
    };
    match database.reader(grant, bounds, now_ms, keep).await {
        Ok(role) => made.ok_or(ProjectionError::NotOwn { what: role }),
        Err(ReaderError::Projection(error)) => Err(error),
        Err(ReaderError::Keep(never)) => match never {},
    }
}

async fn log_in(server: &PostgresServer, reader: Credentials) -> Result<Asker, ProjectionError> {
    let options = server.options()?.username(&reader.role).password(&reader.password);
    let session = options.disable_statement_logging().connect().await?;
    Ok(Asker { role: reader.role, session })
}

/// How many rows came, how long that took first, and at best.
async fn timed(
    on: &mut PgConnection,
    sql: &'static str,
) -> Result<(usize, Duration, Duration), ProjectionError> {
    let (mut rows, mut first, mut best) = (0, None, Duration::MAX);
    for _ in 0..TIMES {
        let began = Instant::now();
        rows = sqlx::query(sql).fetch_all(&mut *on).await?.len();
        let took = began.elapsed();
        first = first.or(Some(took));
        best = best.min(took);
    }
    Ok((rows, first.unwrap_or(best), best))
}

/// 50 accounts and 40 apps; a block each 5 s with a hundred records of four submitters, entries of 1,500 bytes.
fn statements(role: &str, rows: u32) -> [String; 3] {
    let hash = "sha256(int8send(g))";
    [
        format!(
            "INSERT INTO {role}.transactions SELECT g, {hash}, g / 100, 1700000000000 + g * 50::bigint, sha256(int8send(g % 50)), g / 20000, \
             3600000, {hash}, 'bip340', '\\x02' || {hash}, 'derived', 'index', g % 20000, g / 20000, NULL, {hash}, {hash}, sha256('p'), \
             'app-' || g % 40, 'opaque', 'amount ' || g % 10000 || ' EUR' || E'\\n' || 'to creditor ' || g % 5000, NULL, NULL, NULL, NULL, NULL, g + 1, {hash}, {hash}, '', '' \
             FROM generate_series(1, {rows}) g"
        ),
        format!(
            "INSERT INTO {SCHEMA}.records SELECT g, {hash}, g / 100, 1700000000000 + g * 50::bigint, sha256(int8send(g % 4)), g, 0, 193, 'use-address', \
             decode(repeat('ab', 1500), 'hex'), 0, 'ACCEPTED', '', ARRAY[{hash}, sha256(int8send(g % 1000))] FROM generate_series(1, {rows}) g"
        ),
        "VACUUM ANALYZE".to_owned(),
    ]
}
