//! Roles: one for each grant, and one that reads the ledger's records; made once, closed for good.

use keyward_ledger_core::hash::Hash;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::time::{Duration, sleep};
use zeroize::Zeroizing;

use crate::contents::GRANT_TABLES;
use crate::lease::{self, IS_SHOWN};
use crate::tables::{RECORDS, SCHEMA};
use crate::{Database, ProjectionError};

/// Sessions that a role may have at once.
const CONNECTIONS: u32 = 4;
/// Disk that a query's temporary files may take, which a role cannot lift.
const TEMPORARY: &str = "256MB";
/// Memory of a sort or hash that a query begins with; a role can lift it.
pub(crate) const MEMORY: &str = "32MB";
/// How often it is looked whether sessions that were ended are gone, and how long there is between.
const ENDING: Duration = Duration::from_millis(50);
const ENDINGS_MAX: u32 = 40;
/// How often a role is tried to be shut that its own sessions are changing.
const SHUT_TRIES: u32 = 5;
/// How long somebody else's change of a role is waited for.
const BRIEFLY: &str = "SET lock_timeout = 1000; SET lc_messages = 'C'";

/// How long a reader may take, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A query: then it is cancelled, and a moment later its session ended.
    pub query: Duration,
    /// A transaction that does nothing: then its session is ended.
    pub transaction: Duration,
    /// A session that does nothing: then it is ended.
    pub idle: Duration,
    /// How long rows are shown, and sessions go on, after the guard last looked.
    pub shown: Duration,
    /// How many bytes a statement's line in the log may have: a longer one costs its role all sessions.
    pub statement_bytes: u64,
    /// How many bytes a role may have logged in an hour: then it is shut until that is over.
    pub hour_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        let [query, transaction, idle, shown] = [60, 600, 900, 15].map(Duration::from_secs);
        Self { query, transaction, idle, shown, statement_bytes: 1 << 20, hour_bytes: 64 << 20 }
    }
}

/// What a reader logs in with.
#[derive(Debug)]
pub struct Credentials {
    /// The role.
    pub role: String,
    /// Its password, 64 hex digits.
    pub password: Zeroizing<String>,
}

/// A role that is open.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) role: String,
    pub(crate) grant_id: Option<Hash>,
    pub(crate) verifier: String,
    pub(crate) expires_ms: Option<u64>,
}

/// Why a reader's role was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError<E> {
    /// The database.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// What had to be kept beside it.
    #[error("the credentials could not be kept")]
    Keep(#[source] E),
}

impl<E> From<sqlx::Error> for ReaderError<E> {
    fn from(error: sqlx::Error) -> Self {
        Self::Projection(error.into())
    }
}

impl Database {
    /// The role of a grant, or, without one, of those who read the ledger's records. It is made if there is none; then its credentials
    /// are handed to `keep` before it is there.
    pub async fn reader<E>(
        &mut self,
        grant: Option<(Hash, u64)>,
        bounds: &Bounds,
        now_ms: u64,
        keep: impl FnOnce(&Credentials) -> Result<(), E>,
    ) -> Result<String, ReaderError<E>> {
        let (grant_id, expires_ms) = grant.unzip();
        let open = open_readers(&mut self.connection).await?;
        if let Some(there) = open.into_iter().find(|reader| reader.grant_id == grant_id) {
            self.set_anew(&there.role, grant_id.is_some(), bounds).await?;
            return Ok(there.role);
        }
        let credentials = Credentials::draw(if grant_id.is_some() { 'g' } else { 'r' })?;
        let role = &credentials.role;
        let mut made = self.connection.begin().await?;
        // The password must not be in the server's log.
        let quiet = "SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1; \
             SET LOCAL log_min_error_statement = 'panic'; SET LOCAL password_encryption = 'scram-sha-256'";
        sqlx::raw_sql(quiet).execute(&mut *made).await?;
        let text = Zeroizing::new(format!(
            "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT \
             CONNECTION LIMIT {CONNECTIONS} VALID UNTIL '-infinity' PASSWORD '{}'",
            *credentials.password
        ));
        sqlx::raw_sql(AssertSqlSafe(&**text)).execute(&mut *made).await?;
        sqlx::raw_sql(AssertSqlSafe(settings(role, grant_id.is_some(), bounds))).execute(&mut *made).await?;
        let rights = if grant_id.is_some() { grant_rights(role) } else { records_rights(role) };
        sqlx::raw_sql(AssertSqlSafe(rights)).execute(&mut *made).await?;
        let text = format!(
            "INSERT INTO {SCHEMA}.readers SELECT $1, $2, rolpassword, $3, $4, NULL, NULL FROM pg_authid WHERE rolname = $1"
        );
        let row = sqlx::query(AssertSqlSafe(text)).bind(role).bind(grant_id.map(|id| id.to_vec()));
        let row = row.bind(now_ms.cast_signed()).bind(expires_ms.map(u64::cast_signed));
        row.execute(&mut *made).await?;
        keep(&credentials).map_err(ReaderError::Keep)?;
        made.commit().await?;
        Ok(credentials.role)
    }

    /// A role's settings as these bounds have them. Nobody may be in who could hold that up: where sessions stay, the guard puts
    /// them so when they are gone. It lets people in again, too.
    async fn set_anew(&mut self, role: &str, of_grant: bool, bounds: &Bounds) -> Result<(), ProjectionError> {
        sqlx::raw_sql(BRIEFLY).execute(&mut self.connection).await?;
        if shut(&mut self.connection, role, false).await? {
            let text = settings(role, of_grant, bounds);
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.connection).await?;
        }
        sqlx::raw_sql("RESET lock_timeout; RESET lc_messages").execute(&mut self.connection).await?;
        Ok(())
    }
}

impl Credentials {
    fn draw(kind: char) -> Result<Self, ProjectionError> {
        let (mut name, mut password) = ([0; 16], Zeroizing::new([0; 32]));
        getrandom::fill(&mut name).map_err(ProjectionError::Randomness)?;
        getrandom::fill(&mut *password).map_err(ProjectionError::Randomness)?;
        let role = format!("{kind}_{}", hex::encode(name));
        Ok(Self { role, password: Zeroizing::new(hex::encode(*password)) })
    }
}

/// What a role's sessions begin with, as `pg_db_role_setting` keeps it. Of these a role can lift all but the last seven for itself.
pub(crate) fn configuration(role: &str, of_grant: bool, bounds: &Bounds) -> Vec<(&'static str, String)> {
    let ms = |duration: Duration| duration.as_millis().to_string();
    let schema = if of_grant { role } else { SCHEMA };
    vec![
        ("search_path", format!("{schema}, pg_catalog")),
        ("default_transaction_read_only", "on".to_owned()),
        ("statement_timeout", ms(bounds.query)),
        ("lock_timeout", ms(bounds.query)),
        ("idle_in_transaction_session_timeout", ms(bounds.transaction)),
        ("idle_session_timeout", ms(bounds.idle)),
        ("work_mem", MEMORY.to_owned()),
        ("temp_file_limit", TEMPORARY.to_owned()),
        ("track_activities", "on".to_owned()),
        ("log_statement", "all".to_owned()),
        ("log_min_messages", "warning".to_owned()),
        ("log_min_error_statement", "error".to_owned()),
        ("log_parameter_max_length", "-1".to_owned()),
        // The log is read in English: which lines are statements, their beginning says.
        ("lc_messages", "C".to_owned()),
    ]
}

/// The statements that set it.
pub(crate) fn settings(role: &str, of_grant: bool, bounds: &Bounds) -> String {
    let all = configuration(role, of_grant, bounds).into_iter();
    let set = all.map(|(name, value)| match name {
        "search_path" => format!("ALTER ROLE {role} SET {name} = {value};"),
        _ => format!("ALTER ROLE {role} SET {name} = '{value}';"),
    });
    std::iter::once(format!("ALTER ROLE {role} RESET ALL;")).chain(set).collect()
}

/// The grant's own schema, whose tables are its role's alone.
fn grant_rights(role: &str) -> String {
    let (connect, lease) = (connect(role), lease::make(role));
    let mut text = format!("{connect} {lease} CREATE SCHEMA {role}; GRANT USAGE ON SCHEMA {role} TO {role};");
    for table in &GRANT_TABLES {
        text += &table.postgres(role);
        text += &select(role, role, table.name);
        text += &format!(
            "ALTER TABLE {role}.{0} ENABLE ROW LEVEL SECURITY; ALTER TABLE {role}.{0} FORCE ROW LEVEL SECURITY;",
            table.name
        );
    }
    text
}

fn records_rights(role: &str) -> String {
    let tables = [RECORDS.name, "ledger"].map(|table| select(role, SCHEMA, table));
    let (connect, lease) = (connect(role), lease::make(role));
    format!("{connect} {lease} GRANT USAGE ON SCHEMA {SCHEMA} TO {role}; {}", tables.concat())
}

fn connect(role: &str) -> String {
    format!(
        "DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO {role}', current_database()); END $$;"
    )
}

fn select(role: &str, schema: &str, table: &str) -> String {
    format!(
        "GRANT SELECT ON {schema}.{table} TO {role}; CREATE POLICY {role} ON {schema}.{table} FOR SELECT TO {role} USING ({IS_SHOWN});"
    )
}

/// The roles that are open.
pub(crate) async fn open_readers(on: &mut PgConnection) -> Result<Vec<Reader>, ProjectionError> {
    let text =
        format!("SELECT role, grant_id, verifier, expires_ms FROM {SCHEMA}.readers WHERE ended_ms IS NULL");
    let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(on).await?;
    let reader = |row: &sqlx::postgres::PgRow| {
        let grant_id: Option<Vec<u8>> = row.try_get(1)?;
        let expires_ms: Option<i64> = row.try_get(3)?;
        Ok(Reader {
            role: row.try_get(0)?,
            grant_id: grant_id.and_then(|id| id.try_into().ok()),
            verifier: row.try_get(2)?,
            expires_ms: expires_ms.map(i64::cast_unsigned),
        })
    };
    rows.iter().map(reader).collect()
}

/// The roles that are open, and stay so until this transaction ends.
pub(crate) async fn hold_open(on: &mut PgConnection) -> Result<Vec<String>, ProjectionError> {
    let text = format!("SELECT role FROM {SCHEMA}.readers WHERE ended_ms IS NULL FOR SHARE");
    let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(on).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Shuts a role: nobody logs in with it from now on, no rows are shown to it, and its sessions are told to end. Whether they are gone:
/// one that reaches none of the places where PostgreSQL looks goes on until it does, and later calls (`again`) wait for nothing.
pub(crate) async fn shut(on: &mut PgConnection, role: &str, again: bool) -> Result<bool, ProjectionError> {
    let there =
        sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(role).fetch_optional(&mut *on).await?;
    if there.is_none() {
        return Ok(true);
    }
    let (tries, endings) = if again { (1, 1) } else { (SHUT_TRIES, ENDINGS_MAX) };
    lease::end(on, role).await?;
    if !close_login(on, role, tries).await? {
        return Ok(false);
    }
    for ending in 0..endings {
        if ending > 0 {
            sleep(ENDING).await;
        }
        if terminate(on, role).await? == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether nobody logs in with a role any more.
async fn close_login(on: &mut PgConnection, role: &str, tries: u32) -> Result<bool, ProjectionError> {
    let text = format!("ALTER ROLE {role} NOLOGIN VALID UNTIL '-infinity'");
    for _ in 0..tries {
        // A session that changes its own role holds up whoever changes it: it ends first.
        terminate(on, role).await?;
        let done = sqlx::raw_sql(AssertSqlSafe(text.clone())).execute(&mut *on).await;
        match done.map_err(ProjectionError::from) {
            Err(error) if error.is_collision() => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(true),
        }
    }
    Ok(false)
}

/// Tells a role's sessions to end; how many there were. They are not gone yet, and others may begin meanwhile.
pub(crate) async fn terminate(on: &mut PgConnection, role: &str) -> Result<usize, ProjectionError> {
    let ended = sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1");
    Ok(ended.bind(role).fetch_all(on).await?.len())
}

/// Removes a role that was shut, with everything that it saw.
pub(crate) async fn remove(
    on: &mut PgConnection,
    role: &str,
    now_ms: u64,
    because: &str,
) -> Result<(), ProjectionError> {
    let mut made = on.begin().await?;
    // First: whoever writes rows for the role holds this one meanwhile.
    let text = format!(
        "UPDATE {SCHEMA}.readers SET ended_ms = $2, ended_because = $3, verifier = '' WHERE role = $1 AND ended_ms IS NULL"
    );
    let update = sqlx::query(AssertSqlSafe(text)).bind(role).bind(now_ms.cast_signed()).bind(because);
    update.execute(&mut *made).await?;
    let there =
        sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(role).fetch_optional(&mut *made).await?;
    if there.is_some() {
        let text = format!(
            "DROP SCHEMA IF EXISTS {role} CASCADE; DROP SEQUENCE {SCHEMA}.{role}; DROP OWNED BY {role} CASCADE; DROP ROLE {role}"
        );
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *made).await?;
    }
    Ok(made.commit().await?)
}
