//! What can go wrong with a projection; nothing of what was refused was kept.

use std::error::Error;
use std::path::PathBuf;

/// Why the projector did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// Nobody answers there, or no longer.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The database answered with an error.
    #[error("the database failed")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// Another projector is at work there.
    #[error("another projector keeps this database")]
    InUse,
    /// It holds the rows of another ledger.
    #[error("the database is the projection of another ledger, `{found}`")]
    OtherLedger {
        /// That ledger's name and chain id.
        found: String,
    },
    /// It holds something that no projector made.
    #[error("the database is not the projection's own: it holds `{what}`")]
    NotOwn {
        /// A relation in it.
        what: String,
    },
    /// A newer version made it.
    #[error("the database has form {found}; this version knows form {known}")]
    TooNew {
        /// Its form.
        found: i64,
        /// The form known here.
        known: i64,
    },
    /// Its rows are no longer those of the ledger.
    #[error("the database's records are not those of the ledger: something is wrong at leaf {leaf}")]
    Changed {
        /// The first leaf that does not fit, or the size of the log whose root does not.
        leaf: u64,
    },
    /// A block was handed in out of its turn.
    #[error("the projection needs height {expected}; it was given {found}")]
    Gap {
        /// What comes next.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The server is not fit for readers.
    #[error("the server is not fit for readers: {what}")]
    Unfit {
        /// What is in the way.
        what: String,
        /// What to do about it.
        next: &'static str,
    },
    /// A grant's records could not be followed.
    #[error("what the grant opens cannot be followed")]
    Audit(#[source] keyward_audit::AuditError),
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness(#[source] getrandom::Error),
    /// Others may write where query logs are kept.
    #[error("others may write to the folder `{}`", path.display())]
    FolderOpen {
        /// The folder.
        path: PathBuf,
    },
    /// A query log's place is taken.
    #[error("the file `{file}` is there already, and holds something else")]
    FileOther {
        /// Its name.
        file: String,
    },
    /// Lines of a query log are no longer those that were hashed.
    #[error("the lines of `{file}` in the database are not those that its hash was made of")]
    QueriesChanged {
        /// The name of its file.
        file: String,
    },
    /// A file could not be written.
    #[error("the file cannot be written")]
    File(#[source] std::io::Error),
}

impl ProjectionError {
    /// Whether somebody else was changing the same thing meanwhile; it may work the next time.
    pub(crate) fn is_collision(&self) -> bool {
        let Self::Database(source) = self else { return false };
        let Some(sqlx::Error::Database(error)) = source.downcast_ref::<sqlx::Error>() else { return false };
        match error.code().as_deref() {
            Some("55P03" | "40P01" | "40001") => true,
            Some("XX000") => error.message().starts_with("tuple concurrently"),
            _ => false,
        }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "DATABASE_UNREACHABLE",
            Self::Database(_) => "DATABASE_FAILED",
            Self::InUse => "PROJECTION_IN_USE",
            Self::OtherLedger { .. } => "PROJECTION_OTHER_LEDGER",
            Self::NotOwn { .. } => "PROJECTION_NOT_OWN",
            Self::TooNew { .. } => "PROJECTION_TOO_NEW",
            Self::Changed { .. } => "PROJECTION_CHANGED",
            Self::Gap { .. } => "PROJECTION_GAP",
            Self::Unfit { .. } => "PROJECTION_SERVER_UNFIT",
            Self::Audit(error) => error.code(),
            Self::Randomness(_) => "RANDOMNESS_FAILED",
            Self::FolderOpen { .. } => "QUERY_LOG_FOLDER_OPEN",
            Self::FileOther { .. } => "QUERY_LOG_FILE_OTHER",
            Self::QueriesChanged { .. } => "QUERY_LOG_CHANGED",
            Self::File(_) => "FILE_FAILED",
        }
    }

    /// What to do next.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => {
                "see whether the server runs; a projector that is started again goes on where it was"
            }
            Self::Database(_) => "see the server's log",
            Self::InUse => "let that one go on, or end it first: one projector keeps a database",
            Self::OtherLedger { .. } => "give each ledger a database of its own",
            Self::NotOwn { .. } => "give the projection an empty database of its own",
            Self::TooNew { .. } => "run the version that made it, or a newer one",
            Self::Changed { .. } => {
                "somebody wrote into the database: find out who, drop it and project again into an empty one"
            }
            Self::Gap { .. } => "give an export that begins no later than that height",
            Self::Unfit { next, .. } => next,
            Self::Audit(error) => error.next(),
            Self::Randomness(_) => "see the system's log",
            Self::FolderOpen { .. } => "take that from them (`chmod go-w`), or give another folder",
            Self::FileOther { .. } => "keep that file elsewhere, and find out whose it is",
            Self::QueriesChanged { .. } => "somebody wrote into the database: find out who",
            Self::File(_) => "check the path, its permissions and the disk",
        }
    }
}

impl From<sqlx::Error> for ProjectionError {
    fn from(error: sqlx::Error) -> Self {
        let passing = match &error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| ["08", "57P"].iter().any(|class| code.starts_with(class)))
            }
            _ => false,
        };
        let source = Box::new(error);
        if passing { Self::Unreachable(source) } else { Self::Database(source) }
    }
}

impl From<keyward_store::StoreError> for ProjectionError {
    fn from(error: keyward_store::StoreError) -> Self {
        Self::Database(Box::new(error))
    }
}
