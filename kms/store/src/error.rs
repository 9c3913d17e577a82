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

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database { source: Box::new(source) }
    }
}
