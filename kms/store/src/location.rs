//! Where a database is, as configuration says it; passwords are never printed.

use std::{fmt, path::PathBuf, str::FromStr as _};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::StoreError;

/// A file, or a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// An SQLite file; its folder must exist.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(PostgresServer),
}

/// A PostgreSQL database, and how to log in to it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresServer {
    url: String,
    password: Option<String>,
    /// Without what it must not show.
    shown: String,
}

impl fmt::Debug for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresServer({})", self.shown)
    }
}

/// Why a text names no database.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// The URL of a PostgreSQL database is malformed.
    #[error("the database's URL is malformed")]
    Malformed,
    /// A password in a configuration would be printed, copied and kept in backups.
    #[error("the database's URL holds a password; put it into a file of its own, or into `PGPASSFILE`")]
    Password,
    /// A database on another machine without a checked certificate.
    #[error("a database on another machine needs `sslmode=verify-full` (`{given}` is weaker)")]
    Tls {
        /// What the URL asks for.
        given: String,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Postgres(server) => f.write_str(&server.shown),
        }
    }
}

impl Location {
    /// Whether a text is the URL of a PostgreSQL database, and not a file's path.
    pub fn is_url(text: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// A PostgreSQL database by its URL: `postgres://user@host:port/name?sslmode=..&sslrootcert=..`, or
    /// `postgres:///name?host=/folder/of/the/socket&user=..`. The password comes apart from it.
    pub fn postgres(url: &str, password: Option<String>) -> Result<Self, LocationError> {
        let options = PgConnectOptions::from_str(url).map_err(|_source| LocationError::Malformed)?;
        let (bare, query) = url.split_once('?').unwrap_or((url, ""));
        let authority = bare.split_once("://").map_or("", |(_, rest)| rest);
        let login = authority.rsplit_once('@').map_or("", |(login, _)| login);
        if login.contains(':') || query.split('&').any(|part| part.starts_with("password=")) {
            return Err(LocationError::Password);
        }
        let near = options.get_socket().is_some() || is_near(options.get_host());
        let mode = options.get_ssl_mode();
        let said = query.split('&').any(|part| part.starts_with("sslmode=") || part.starts_with("ssl-mode="));
        if !near && said && !matches!(mode, PgSslMode::VerifyFull) {
            return Err(LocationError::Tls { given: format!("{mode:?}") });
        }
        let url = url.to_owned();
        Ok(Self::Postgres(PostgresServer { shown: url.clone(), url, password }))
    }
}

/// The same machine: nobody is in between.
fn is_near(host: &str) -> bool {
    host.starts_with('/')
        || host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl PostgresServer {
    /// For connecting: another machine's certificate is checked against its name.
    pub fn options(&self) -> Result<PgConnectOptions, StoreError> {
        let mut options = PgConnectOptions::from_str(&self.url)?.application_name("keyward");
        if options.get_socket().is_none() && !is_near(options.get_host()) {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
        Ok(match &self.password {
            Some(password) => options.password(password),
            None => options,
        })
    }
}
