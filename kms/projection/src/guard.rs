//! The guard: ends what takes too long, keeps roles as they were made, closes those whose time is over, reads the log.
//!
//! A role may lift its own time-out and change its own settings and password; nothing stops that but somebody who looks.
//! Logging in works only while the guard looks: it lends each role a few minutes at a time.

use std::collections::BTreeMap;

use keyward_ledger_core::hash::Hash;
use keyward_store::PostgresServer;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::time::Duration;

use crate::ProjectionError;
use crate::connect::connect;
use crate::log::{self, Segment};
use crate::readers::{Bounds, Reader, configuration, open_readers, remove, settings, shut, terminate};
use crate::reading::Reading;

/// How long a role can be logged in with after the guard last looked.
const LEASE_MS: u64 = 300_000;
/// How often that is renewed.
const RENEW_MS: u64 = 60_000;
/// When that is tried again for a role that its own sessions were changing.
const RETRY_MS: u64 = 5_000;
/// How the guard talks to the server: it waits for nobody's lock longer than this, as a reader can hold that of its own role.
const BRIEF: &str = "SET lock_timeout = 1000; SET lc_messages = 'C'";
/// What a role's sessions hold while they change it.
const CHANGING: &str = "SELECT pid FROM pg_locks WHERE mode = 'RowExclusiveLock' \
     AND relation IN ('pg_authid'::regclass, 'pg_db_role_setting'::regclass)";
/// How long a cancelled query may go on before its session is ended.
const GRACE: Duration = Duration::from_secs(5);

/// Steps of reading the log that a look takes at most, so that what else it does need not wait.
const STEPS: u32 = 4;

/// What a look found to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A query took too long and was cancelled.
    Cancelled {
        /// Whose.
        role: String,
    },
    /// A session was ended: its query went on, it did nothing for too long, or it held changes of its own role open.
    Ended {
        /// Whose.
        role: String,
    },
    /// A role had changed its own settings or password; they are as before, and its sessions were ended.
    Restored {
        /// Which.
        role: String,
    },
    /// Lines of the server's log that do not parse; they are kept, and whose they are nobody knows.
    Unread {
        /// How many.
        lines: u64,
    },
    /// A role was closed.
    Closed {
        /// Which.
        role: String,
        /// Why.
        because: &'static str,
    },
}

/// Looks after the readers, on a connection of its own.
#[derive(Debug)]
pub struct Guard {
    server: PostgresServer,
    connection: PgConnection,
    bounds: Bounds,
    /// Who may log in.
    served: Vec<String>,
    lend_at_ms: u64,
    /// Roles that are to be closed, and why; it may take more than one look.
    closing: BTreeMap<String, &'static str>,
    reading: Reading,
}

impl Guard {
    /// Of a database that was made fit for readers. These roles may log in from the first look on; others that there are
    /// stay shut.
    pub async fn new(
        server: &PostgresServer,
        bounds: Bounds,
        served: Vec<String>,
    ) -> Result<Self, ProjectionError> {
        let mut connection = connect_briefly(server).await?;
        for reader in open_readers(&mut connection).await? {
            if !served.contains(&reader.role) {
                shut(&mut connection, &reader.role).await?;
            }
        }
        let (server, closing) = (server.clone(), BTreeMap::new());
        Ok(Self { server, connection, bounds, served, lend_at_ms: 0, closing, reading: Reading::default() })
    }

    /// From now on these roles may log in: what the ledger says of their grants is known. One look.
    pub async fn serve(&mut self, served: Vec<String>, now_ms: u64) -> Result<Vec<Seen>, ProjectionError> {
        (self.served, self.lend_at_ms) = (served, 0);
        self.look(now_ms).await
    }

    /// One look; several a second are meant. What goes wrong with one role keeps it from no other.
    pub async fn look(&mut self, now_ms: u64) -> Result<Vec<Seen>, ProjectionError> {
        let mut seen = self.end_overdue().await?;
        let readers = open_readers(&mut self.connection).await?;
        let lends = now_ms >= self.lend_at_ms;
        if lends {
            self.lend_at_ms = now_ms.saturating_add(RENEW_MS);
        }
        let mut failed = None;
        for reader in &readers {
            match self.look_at(reader, lends, now_ms).await {
                Ok(found) => seen.extend(found),
                // Its own sessions are changing it: they end, and a later look tries again.
                Err(error) if error.is_collision() => {
                    if terminate(&mut self.connection, &reader.role).await? > 0 {
                        seen.push(Seen::Ended { role: reader.role.clone() });
                    }
                    if lends {
                        self.lend_at_ms = now_ms.saturating_add(RETRY_MS);
                    }
                    // Waiting for it took a while.
                    seen.extend(self.end_overdue().await?);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.reading.read(&mut self.connection, STEPS).await?;
        let lines = std::mem::take(&mut self.reading.unread);
        seen.extend((lines > 0).then_some(Seen::Unread { lines }));
        failed.map_or(Ok(seen), Err)
    }

    async fn look_at(
        &mut self,
        reader: &Reader,
        lends: bool,
        now_ms: u64,
    ) -> Result<Option<Seen>, ProjectionError> {
        let expired = reader.expires_ms.is_some_and(|expires| expires <= now_ms);
        let because = if expired { Some("expired") } else { self.closing.get(&reader.role).copied() };
        if let Some(because) = because {
            return self.close_role(&reader.role, now_ms, because).await.map(Some);
        }
        let restored = match self.is_as_made(reader).await? {
            true => None,
            false => Some(self.restore(reader).await?),
        };
        if lends && self.served.contains(&reader.role) {
            self.lend(reader, now_ms).await?;
        }
        Ok(restored)
    }

    /// Closes the role of a grant, if it has one; later looks go on with it where that takes longer.
    pub async fn close_grant(
        &mut self,
        grant_id: &Hash,
        now_ms: u64,
        because: &'static str,
    ) -> Result<Vec<Seen>, ProjectionError> {
        let mut seen = Vec::new();
        for reader in open_readers(&mut self.connection).await? {
            if reader.grant_id.as_ref() == Some(grant_id) {
                self.closing.insert(reader.role.clone(), because);
                match self.close_role(&reader.role, now_ms, because).await {
                    Ok(closed) => seen.push(closed),
                    Err(error) if error.is_collision() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(seen)
    }

    /// Cuts one segment of each role that has lines in none; whether there were any. Called until there are none, it lets looks
    /// come between.
    pub async fn cut(&mut self) -> Result<bool, ProjectionError> {
        log::cut(&mut self.connection, true).await
    }

    /// Query logs that are not anchored yet; with `all`, those that are short still too.
    pub async fn segments(&mut self, all: bool) -> Result<Vec<Segment>, ProjectionError> {
        while log::cut(&mut self.connection, all).await? {}
        log::waiting(&mut self.connection).await
    }

    /// Keeps why the ledger did not take a segment, so that it is not handed in for ever.
    pub async fn refused(&mut self, segment: &Segment, why: &str) -> Result<(), ProjectionError> {
        log::refused(&mut self.connection, segment, why).await
    }

    /// Lets nobody log in any more, and ends all sessions: nobody looks from now on.
    pub async fn leave(&mut self) -> Result<(), ProjectionError> {
        self.served.clear();
        // First of all, and anew where this connection is no good any more.
        if end_sessions(&mut self.connection).await.is_err() {
            self.connection = connect_briefly(&self.server).await?;
            end_sessions(&mut self.connection).await?;
        }
        let mut failed = None;
        for reader in open_readers(&mut self.connection).await? {
            if let Err(error) = shut(&mut self.connection, &reader.role).await {
                failed = failed.or(Some(error));
            }
        }
        self.reading.read(&mut self.connection, u32::MAX).await?;
        while self.cut().await? {}
        failed.map_or(Ok(()), Err)
    }

    async fn end_overdue(&mut self) -> Result<Vec<Seen>, ProjectionError> {
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
        let bounds = [self.bounds.query, self.bounds.transaction, self.bounds.idle, GRACE];
        let bounds = bounds.map(|bound| bound.as_millis() as f64);
        let rows = bounds.into_iter().fold(rows, sqlx::query::Query::bind);
        let rows = rows.fetch_all(&mut self.connection).await?;
        let seen = |row: &sqlx::postgres::PgRow| {
            let (role, late): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
            Ok(if late { Seen::Ended { role } } else { Seen::Cancelled { role } })
        };
        rows.iter().map(seen).collect()
    }

    /// Whether a role has the settings and the password that it was made with, and none for one database apart.
    async fn is_as_made(&mut self, reader: &Reader) -> Result<bool, ProjectionError> {
        let row = sqlx::query(
            "SELECT rolpassword = $2, ARRAY(SELECT unnest(setconfig) FROM pg_db_role_setting s WHERE s.setrole = a.oid \
             AND s.setdatabase = 0), EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setrole = a.oid AND s.setdatabase <> 0) \
             FROM pg_authid a WHERE rolname = $1",
        );
        let row = row.bind(&reader.role).bind(&reader.verifier).fetch_optional(&mut self.connection).await?;
        let Some(row) = row else { return Ok(true) };
        let mut found: Vec<String> = row.try_get(1)?;
        let made = configuration(&reader.role, reader.grant_id.is_some(), &self.bounds);
        let mut made: Vec<_> = made.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        found.sort_unstable();
        made.sort_unstable();
        Ok(row.try_get::<Option<bool>, _>(0)? == Some(true) && !row.try_get::<bool, _>(2)? && found == made)
    }

    async fn restore(&mut self, reader: &Reader) -> Result<Seen, ProjectionError> {
        let role = reader.role.clone();
        let mut made = self.connection.begin().await?;
        let apart = sqlx::query(
            "SELECT quote_ident(d.datname) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
             WHERE s.setrole = $1::regrole",
        );
        let mut text = settings(&role, reader.grant_id.is_some(), &self.bounds);
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
        let ended = sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1")
            .bind(&role);
        ended.fetch_all(&mut self.connection).await?;
        Ok(Seen::Restored { role })
    }

    async fn lend(&mut self, reader: &Reader, now_ms: u64) -> Result<(), ProjectionError> {
        let until_ms = now_ms.saturating_add(LEASE_MS).min(reader.expires_ms.unwrap_or(u64::MAX));
        let row = sqlx::query(
            "SELECT to_char(to_timestamp($1 / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')",
        );
        let row = row.bind(until_ms as f64).fetch_one(&mut self.connection).await?;
        let until: String = row.try_get(0)?;
        let there = sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(&reader.role);
        if there.fetch_optional(&mut self.connection).await?.is_some() {
            let text = format!("ALTER ROLE {} LOGIN VALID UNTIL '{until}+00'", reader.role);
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    /// What it did last is read before it is gone.
    async fn close_role(
        &mut self,
        role: &str,
        now_ms: u64,
        because: &'static str,
    ) -> Result<Seen, ProjectionError> {
        shut(&mut self.connection, role).await?;
        self.reading.read(&mut self.connection, STEPS).await?;
        remove(&mut self.connection, role, now_ms, because).await?;
        Ok(Seen::Closed { role: role.to_owned(), because })
    }
}

async fn connect_briefly(server: &PostgresServer) -> Result<PgConnection, ProjectionError> {
    let mut connection = connect(server).await?;
    sqlx::raw_sql(BRIEF).execute(&mut connection).await?;
    Ok(connection)
}

/// Ends every session of every reader.
async fn end_sessions(on: &mut PgConnection) -> Result<(), ProjectionError> {
    let ended = sqlx::query(
        "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN keyward.readers r ON r.role = a.usename",
    );
    ended.fetch_all(on).await?;
    Ok(())
}
