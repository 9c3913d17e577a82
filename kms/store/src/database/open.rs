//! Where the database is, and how a connection to it is made.

use std::{
    fmt,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::sql::{Connection, Readers, query};
use crate::{Location, StoreError};

/// Connections that read.
const SQLITE_READERS: u32 = 2;
const POSTGRES_READERS: u32 = 8;
/// Connections that write. SQLite has one writer; PostgreSQL's wait for the disk beside each other.
const POSTGRES_WRITERS: usize = 3;
/// How long a connection waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reader is waited for, connecting included.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a writer may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Statements kept prepared.
const STATEMENTS: usize = 128;
/// Bounds that the server itself keeps, in milliseconds: a statement, a lock, a transaction that does nothing.
const BOUNDS: [(&str, &str); 6] = [
    ("statement_timeout", "10000"),
    ("lock_timeout", "5000"),
    ("idle_in_transaction_session_timeout", "15000"),
    // A server whose machine is gone must not hold its locks for hours; in seconds.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

const SQLITE: [(&str, &str); 14] = [
    ("custody", include_str!("../../migrations/sqlite/0001_custody.sql")),
    ("life", include_str!("../../migrations/sqlite/0002_life.sql")),
    ("names", include_str!("../../migrations/sqlite/0003_names.sql")),
    ("names_kept", include_str!("../../migrations/sqlite/0004_names_kept.sql")),
    ("vaults", include_str!("../../migrations/sqlite/0005_vaults.sql")),
    ("self_keys", include_str!("../../migrations/sqlite/0006_self_keys.sql")),
    ("notices", include_str!("../../migrations/sqlite/0007_notices.sql")),
    ("shared", include_str!("../../migrations/sqlite/0008_shared.sql")),
    ("approvals", include_str!("../../migrations/sqlite/0009_approvals.sql")),
    ("policies", include_str!("../../migrations/sqlite/0010_policies.sql")),
    ("risk", include_str!("../../migrations/sqlite/0011_risk.sql")),
    ("addresses", include_str!("../../migrations/sqlite/0012_addresses.sql")),
    ("grants", include_str!("../../migrations/sqlite/0013_grants.sql")),
    ("dealings", include_str!("../../migrations/sqlite/0014_dealings.sql")),
];
const POSTGRES: [(&str, &str); 13] = [
    ("custody", include_str!("../../migrations/postgres/0001_custody.sql")),
    ("names", include_str!("../../migrations/postgres/0002_names.sql")),
    ("names_kept", include_str!("../../migrations/postgres/0003_names_kept.sql")),
    ("vaults", include_str!("../../migrations/postgres/0004_vaults.sql")),
    ("self_keys", include_str!("../../migrations/postgres/0005_self_keys.sql")),
    ("notices", include_str!("../../migrations/postgres/0006_notices.sql")),
    ("shared", include_str!("../../migrations/postgres/0007_shared.sql")),
    ("approvals", include_str!("../../migrations/postgres/0008_approvals.sql")),
    ("policies", include_str!("../../migrations/postgres/0009_policies.sql")),
    ("risk", include_str!("../../migrations/postgres/0010_risk.sql")),
    ("addresses", include_str!("../../migrations/postgres/0011_addresses.sql")),
    ("grants", include_str!("../../migrations/postgres/0012_grants.sql")),
    ("dealings", include_str!("../../migrations/postgres/0013_dealings.sql")),
];

/// How to open connections.
#[derive(Clone)]
pub(super) enum Opener {
    Sqlite { file: PathBuf },
    Postgres { options: Box<PgConnectOptions> },
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { file } => write!(f, "Sqlite({})", file.display()),
            // The options hold the password.
            Self::Postgres { .. } => f.write_str("Postgres(redacted)"),
        }
    }
}

impl Opener {
    pub(super) fn new(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::File(file) => Ok(Self::Sqlite { file: file.clone() }),
            Location::Postgres(server) => {
                let options = server.options()?.options(BOUNDS).statement_cache_capacity(STATEMENTS);
                Ok(Self::Postgres { options: Box::new(options.disable_statement_logging()) })
            }
        }
    }

    /// How many connections write.
    pub(super) fn writers(&self) -> usize {
        match self {
            Self::Sqlite { .. } => 1,
            Self::Postgres { .. } => POSTGRES_WRITERS,
        }
    }

    /// A connection that writes.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite { file } => {
                let options = sqlite_options(file).pragma("wal_autocheckpoint", "4000");
                Ok(Connection::Sqlite(options.connect().await?))
            }
            Self::Postgres { options } => {
                let connected = tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await;
                let late = |source| StoreError::Unavailable { source: Box::new(source) };
                Ok(Connection::Postgres(connected.map_err(late)??))
            }
        }
    }

    /// Connections that read.
    pub(super) async fn readers(&self) -> Result<Readers, StoreError> {
        Ok(match self {
            Self::Sqlite { file } => {
                let pool = SqlitePoolOptions::new().max_connections(SQLITE_READERS);
                Readers::Sqlite(pool.connect_with(sqlite_options(file)).await?)
            }
            Self::Postgres { options } => {
                let pool =
                    PgPoolOptions::new().max_connections(POSTGRES_READERS).acquire_timeout(ACQUIRE_TIMEOUT);
                Readers::Postgres(pool.connect_with((**options).clone()).await?)
            }
        })
    }

    /// Makes what is not there, and brings the tables to this version's form.
    pub(super) async fn prepare(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite { file } => {
                private_file(file).map_err(failed)?;
                // Two processes that start together must not both make the tables.
                let alone = private_file(&beside(file, ".migration")).map_err(failed)?;
                let alone = tokio::task::spawn_blocking(move || alone.lock().map(|()| alone)).await;
                let _alone = alone.map_err(|source| failed(source.into()))?.map_err(failed)?;
                migrate_sqlite(file).await?;
                self.connect().await
            }
            Self::Postgres { .. } => {
                let mut connection = self.connect().await?;
                if let Connection::Postgres(connection) = &mut connection {
                    // sqlx takes an advisory lock of its own: servers that start together wait for each other.
                    migrated(migrator(&POSTGRES).run(connection).await, POSTGRES.len())?;
                }
                Ok(connection)
            }
        }
    }
}

/// A table that is made anew must not take the rows that refer to it with it: foreign keys are off meanwhile, and
/// checked afterwards.
async fn migrate_sqlite(file: &Path) -> Result<(), StoreError> {
    let mut connection = sqlite_options(file).foreign_keys(false).connect().await?;
    migrated(migrator(&SQLITE).run(&mut connection).await, SQLITE.len())?;
    let mut connection = Connection::Sqlite(connection);
    let dangling = query("PRAGMA foreign_key_check").rows(&mut connection).await?;
    connection.close().await?;
    match dangling.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Database { source: "rows refer to others that are not there".into() }),
    }
}

fn migrator(files: &[(&'static str, &'static str)]) -> Migrator {
    let migration = |(index, (name, text)): (usize, &(&'static str, &'static str))| {
        let version = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
        Migration::new(version, (*name).into(), MigrationType::Simple, (*text).into_sql_str(), false)
    };
    Migrator::with_migrations(files.iter().enumerate().map(migration).collect())
}

fn migrated(outcome: Result<(), MigrateError>, known: usize) -> Result<(), StoreError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => {
            Err(StoreError::TooNew { found, known: i64::try_from(known).unwrap_or(i64::MAX) })
        }
        Err(MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) => Err(source.into()),
        Err(source) => Err(StoreError::Database { source: source.into() }),
    }
}

fn sqlite_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Sealed keys that are erased leave no copy in free pages.
        .pragma("secure_delete", "ON")
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
}

/// Opens a file that nobody else may read, and makes it if it is not there. SQLite gives its other files the same
/// mode.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file)
}

/// A file beside the database's.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    file.with_file_name(name)
}

fn failed(source: std::io::Error) -> StoreError {
    StoreError::Database { source: Box::new(source) }
}
