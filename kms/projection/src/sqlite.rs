//! A grant's rows in a file of SQLite, for where there is no PostgreSQL: the same tables, nothing else.

use std::path::Path;

use keyward_audit::Relinked;
use keyward_ledger_core::record::Record;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use crate::ProjectionError;
use crate::contents::{Contents, GRANT_RECORDS, GRANT_TABLES};
use crate::table::{Row, Table, Value};
use crate::tables::record_row;

/// A file in the making. It must be finished.
#[derive(Debug)]
pub struct SqliteFile {
    connection: SqliteConnection,
    contents: Contents,
}

impl SqliteFile {
    /// Begins it in an empty file that is there already, so that who made it says who may read it.
    pub async fn begin(path: &Path, found: &Relinked) -> Result<Self, ProjectionError> {
        let options = SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Off);
        let mut connection = options.disable_statement_logging().connect().await?;
        let tables: String = GRANT_TABLES.iter().map(Table::sqlite).collect();
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        sqlx::raw_sql(AssertSqlSafe(tables)).execute(&mut connection).await?;
        let contents = Contents::of(found);
        for (table, rows) in &contents.rows {
            for row in rows {
                insert(&mut connection, table, row).await?;
            }
        }
        Ok(Self { connection, contents })
    }

    /// Takes a record of the log if the other rows speak of it. All of the log are to be offered, once.
    pub async fn offer(&mut self, leaf_index: u64, record: &Record) -> Result<(), ProjectionError> {
        match self.contents.leaves.remove(&leaf_index) {
            None => return Ok(()),
            Some(hash) if hash == record.id() => {}
            Some(_other) => return Err(ProjectionError::Changed { leaf: leaf_index }),
        }
        let mut row = record_row(leaf_index, record);
        row.truncate(GRANT_RECORDS.columns.len());
        insert(&mut self.connection, &GRANT_RECORDS, &row).await
    }

    /// Ends it: every record that was spoken of must have come.
    pub async fn finish(mut self) -> Result<(), ProjectionError> {
        if let Some(leaf) = self.contents.leaves.keys().next() {
            return Err(ProjectionError::Changed { leaf: *leaf });
        }
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await?;
        Ok(self.connection.close().await?)
    }
}

async fn insert(on: &mut SqliteConnection, table: &Table, row: &Row) -> Result<(), ProjectionError> {
    let places: Vec<_> = (1..=row.len()).map(|place| format!("${place}")).collect();
    let text = format!("INSERT INTO {} ({}) VALUES ({})", table.name, table.names(), places.join(", "));
    let mut query = sqlx::query(AssertSqlSafe(text));
    for value in row {
        query = match value.clone() {
            Value::Null => query.bind(None::<i64>),
            Value::Int(number) => query.bind(number),
            Value::Bytes(bytes) => query.bind(bytes),
            Value::Text(text) => query.bind(text),
            Value::Hashes(hashes) => query.bind(hashes.concat()),
        };
    }
    query.execute(on).await?;
    Ok(())
}
