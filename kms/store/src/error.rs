//! What can go wrong with a row.

use std::error::Error;

/// Why the store did not do what it was asked; nothing of the request was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another account of that kind has the name.
    #[error("an account with that name exists")]
    AccountExists,
    /// The account has a key under that alias.
    #[error("the account has a key under that alias")]
    AliasTaken,
    /// The public key is in the database already.
    #[error("the key is in the database already")]
    KeyExists,
    /// A row that had to be there, in the state named, was not.
    #[error("the {what} is not there in the state that the change needs")]
    Missing {
        /// What was looked for.
        what: &'static str,
    },
    /// More writes wait than the queue holds.
    #[error("the store's queue is full")]
    Busy,
    /// A row holds something that this version cannot read.
    #[error("a row of `{table}` holds an unreadable `{column}`")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The database cannot be reached right now; whether the write was kept is not known. Trying again is safe
    /// under the same idempotency key.
    #[error("the database cannot be reached")]
    Unavailable {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database's disk has no room. Trying again is safe under the same idempotency key, once it has.
    #[error("the database's disk is full")]
    Full {
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another server that lives uses the submitter key.
    #[error("the submitter key is in use by the server `{by}`")]
    SubmitterInUse {
        /// What that server is called.
        by: String,
    },
    /// The database was brought to a newer form by a newer version.
    #[error("the database has form `{found}`; this version knows forms up to `{known}`")]
    TooNew {
        /// The database's form.
        found: i64,
        /// The newest form known here.
        known: i64,
    },
    /// The database did not answer, or answered with an error.
    #[error("the database failed")]
    Database {
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The writer ended: the service is going down, or a write failed in a way that needs a restart.
    #[error("the store's writer has ended")]
    Closed,
}

impl StoreError {
    /// The same for another who waited on the transaction that failed.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Unavailable { source } => Self::Unavailable { source: source.to_string().into() },
            Self::Full { source } => Self::Full { source: source.to_string().into() },
            other => Self::Database { source: other.chain().into() },
        }
    }

    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        text
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let source = Box::new(error);
        match () {
            () if is_full(&source) => Self::Full { source },
            () if is_passing(&source) => Self::Unavailable { source },
            () => Self::Database { source },
        }
    }
}

/// PostgreSQL's `disk_full`; SQLite's `SQLITE_FULL`, and `SQLITE_IOERR_SHMSIZE` of the file beside the database that
/// cannot grow.
fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "53100" | "13" | "4874"))
}

/// Whether the database may answer again by itself: it went away, is starting, is busy or gave up.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| passes(&code)),
        _ => false,
    }
}

/// SQLSTATE classes of PostgreSQL (appendix A of its manual), and SQLite's extended codes of busy and locked.
fn passes(code: &str) -> bool {
    let postgres = code.len() == 5 && ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class));
    let taken = code == "55P03" || code == "25006" || code == "25P03";
    let sqlite = code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6));
    postgres || taken || sqlite
}
