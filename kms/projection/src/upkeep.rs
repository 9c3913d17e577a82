//! What the guard does for one role: its settings as they were made, its login for a while, its sessions not for too long.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::time::Duration;

use crate::ProjectionError;
use crate::readers::{Bounds, Reader, configuration, settings};
use crate::seen::Seen;

/// How long a role can be logged in with after the guard last looked; the watchdog of the leases goes on for longer.
const LEASE_MS: f64 = 120_000.0;
/// What a role's sessions hold while they change it.
const CHANGING: &str = "SELECT pid FROM pg_locks WHERE mode = 'RowExclusiveLock' \
     AND relation IN ('pg_authid'::regclass, 'pg_db_role_setting'::regclass)";
/// How long a cancelled query may go on before its session is ended.
const GRACE: Duration = Duration::from_secs(5);

/// Ends what takes too long, and what holds changes of its own role open.
pub(crate) async fn end_overdue(
    on: &mut PgConnection,
    bounds: &Bounds,
) -> Result<Vec<Seen>, ProjectionError> {
    let text = format!(
        "SELECT usename::text, COALESCE(late, false), CASE WHEN late THEN pg_terminate_backend(pid) ELSE pg_cancel_backend(pid) END \
         FROM (SELECT a.pid, a.usename, CASE \
           WHEN a.xact_start < t.at - interval '1 s' AND a.pid IN ({CHANGING}) THEN true \
           WHEN a.state = 'idle' THEN a.state_change < t.at - $3 * interval '1 ms' \
           WHEN a.state LIKE 'idle in transaction%' THEN a.xact_start < t.at - $2 * interval '1 ms' \
           ELSE a.query_start < t.at - ($1 + $4) * interval '1 ms' END AS late, \
           a.state NOT LIKE 'idle%' AND a.query_start < t.at - $1 * interval '1 ms' AS overdue \
           FROM pg_stat_activity a JOIN keyward.readers r ON r.role = a.usename AND r.ended_ms IS NULL, \
           (SELECT clock_timestamp() AS at) t) found WHERE late OR overdue"
    );
    let rows = sqlx::query(AssertSqlSafe(text));
    let bounds = [bounds.query, bounds.transaction, bounds.idle, GRACE];
    let bounds = bounds.map(|bound| bound.as_millis() as f64);
    let rows = bounds.into_iter().fold(rows, sqlx::query::Query::bind);
    let rows = rows.fetch_all(on).await?;
    let seen = |row: &sqlx::postgres::PgRow| {
        let (role, late): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        Ok(if late { Seen::Ended { role } } else { Seen::Cancelled { role } })
    };
    rows.iter().map(seen).collect()
}

/// Ends every session of every reader.
pub(crate) async fn end_sessions(on: &mut PgConnection) -> Result<(), ProjectionError> {
    let ended = sqlx::query(
        "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN keyward.readers r ON r.role = a.usename",
    );
    ended.fetch_all(on).await?;
    Ok(())
}

/// Whether a role has the settings and the password that it was made with, and none for one database apart.
pub(crate) async fn is_as_made(
    on: &mut PgConnection,
    reader: &Reader,
    bounds: &Bounds,
) -> Result<bool, ProjectionError> {
    let row = sqlx::query(
        "SELECT rolpassword = $2, ARRAY(SELECT unnest(setconfig) FROM pg_db_role_setting s WHERE s.setrole = a.oid \
         AND s.setdatabase = 0), EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setrole = a.oid AND s.setdatabase <> 0) \
         FROM pg_authid a WHERE rolname = $1",
    );
    let row = row.bind(&reader.role).bind(&reader.verifier).fetch_optional(on).await?;
    let Some(row) = row else { return Ok(true) };
    let mut found: Vec<String> = row.try_get(1)?;
    let made = configuration(&reader.role, reader.grant_id.is_some(), bounds);
    let mut made: Vec<_> = made.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    found.sort_unstable();
    made.sort_unstable();
    Ok(row.try_get::<Option<bool>, _>(0)? == Some(true) && !row.try_get::<bool, _>(2)? && found == made)
}

/// Makes it so again, and ends its sessions.
pub(crate) async fn restore(
    on: &mut PgConnection,
    reader: &Reader,
    bounds: &Bounds,
) -> Result<Seen, ProjectionError> {
    let role = reader.role.clone();
    let mut made = on.begin().await?;
    let apart = sqlx::query(
        "SELECT quote_ident(d.datname) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
         WHERE s.setrole = $1::regrole",
    );
    let mut text = settings(&role, reader.grant_id.is_some(), bounds);
    for row in apart.bind(&role).fetch_all(&mut *made).await? {
        let database: String = row.try_get(0)?;
        text += &format!("ALTER ROLE {role} IN DATABASE {database} RESET ALL;");
    }
    // A verifier, not a password: it has the form of one that the server made, and is kept as it is.
    text += &format!("ALTER ROLE {role} PASSWORD '{}'", reader.verifier.replace('\'', ""));
    let quiet = "SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1; \
         SET LOCAL log_min_error_statement = 'panic'";
    sqlx::raw_sql(quiet).execute(&mut *made).await?;
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *made).await?;
    made.commit().await?;
    let ended =
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1").bind(&role);
    ended.fetch_all(on).await?;
    Ok(Seen::Restored { role })
}

/// Lets it log in for a while, by the server's clock, and until its grant's end at most.
pub(crate) async fn lend(on: &mut PgConnection, reader: &Reader) -> Result<(), ProjectionError> {
    let row = sqlx::query(
        "SELECT to_char(to_timestamp(least(extract(epoch FROM clock_timestamp())::float8 * 1000 + $1, $2) / 1000) AT TIME ZONE 'UTC', \
         'YYYY-MM-DD HH24:MI:SS.MS')",
    );
    let expires_ms = reader.expires_ms.map(|expires_ms| expires_ms as f64);
    let row = row.bind(LEASE_MS).bind(expires_ms).fetch_one(&mut *on).await?;
    let until: String = row.try_get(0)?;
    let there = sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(&reader.role);
    if there.fetch_optional(&mut *on).await?.is_some() {
        let text = format!("ALTER ROLE {} LOGIN VALID UNTIL '{until}+00'", reader.role);
        sqlx::raw_sql(AssertSqlSafe(text)).execute(on).await?;
    }
    Ok(())
}
