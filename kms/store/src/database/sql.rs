//! One way to speak to both databases: statements with `$1` places, values, rows. The statements themselves are the
//! part of SQL that SQLite and PostgreSQL understand alike; where they differ, [`Kind`] is asked.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgExecutor, PgPool, Row as _, SqliteConnection,
    SqliteExecutor, SqlitePool, postgres::PgRow, sqlite::SqliteRow,
};

use crate::{Id, StoreError};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// How long a step may take at a server: longer than any bound that the server keeps itself. Only one whose machine
/// vanished reaches it, which TCP alone would notice much later.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a server may take to answer a word that needs no work.
pub(crate) const WORD_TIMEOUT: Duration = Duration::from_secs(3);

/// A step at a server that may have vanished; whether it was done is not known when it is late.
pub(crate) async fn within<T, E: Into<StoreError>>(
    bound: Duration,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(bound, step).await {
        Ok(done) => done.map_err(Into::into),
        Err(elapsed) => Err(StoreError::Unavailable { source: Box::new(elapsed) }),
    }
}

/// A connection that writes.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connection {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Sqlite(_) => Kind::Sqlite,
            Self::Postgres(_) => Kind::Postgres,
        }
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

/// Connections that read.
#[derive(Clone, Debug)]
pub(crate) enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Readers {
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A value of a statement's place. Integers are 64 bits in both databases.
#[derive(Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Text(Option<String>),
}

macro_rules! values {
    ($($from:ty => $variant:ident($name:ident) $value:expr;)+) => {
        $(impl From<$from> for Value {
            fn from($name: $from) -> Self {
                Self::$variant($value)
            }
        })+
    };
}

values! {
    u64 => Int(value) Some(int(value));
    Option<u64> => Int(value) value.map(int);
    u32 => Int(value) Some(i64::from(value));
    u8 => Int(value) Some(i64::from(value));
    i64 => Int(value) Some(value);
    &[u8] => Bytes(value) Some(value.to_vec());
    Vec<u8> => Bytes(value) Some(value);
    Option<Vec<u8>> => Bytes(value) value;
    Id => Bytes(value) Some(value.to_vec());
    Option<Id> => Bytes(value) value.map(|id| id.to_vec());
    [u8; 16] => Bytes(value) Some(value.to_vec());
    Option<[u8; 16]> => Bytes(value) value.map(|id| id.to_vec());
    &str => Text(value) Some(value.to_owned());
    String => Text(value) Some(value);
    Option<String> => Text(value) value;
}

/// What a database keeps of a `u64`; nothing here comes near its bound.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A statement and its values. Its text is made of constants only, never of a caller's bytes.
#[derive(Debug)]
pub(crate) struct Query {
    text: String,
    values: Vec<Value>,
}

/// A statement.
pub(crate) fn query(text: impl Into<String>) -> Query {
    Query { text: text.into(), values: Vec::new() }
}

macro_rules! bound {
    ($query:expr) => {{
        let mut bound = sqlx::query(AssertSqlSafe($query.text));
        for value in $query.values {
            bound = match value {
                Value::Int(value) => bound.bind(value),
                Value::Bytes(value) => bound.bind(value),
                Value::Text(value) => bound.bind(value),
            };
        }
        bound
    }};
}

impl Query {
    /// The value of the next place.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Appends `($7, $8, ..), (..)` with the values of each row.
    pub(crate) fn rows_of<const N: usize>(mut self, rows: impl Iterator<Item = [Value; N]>) -> Self {
        for (index, row) in rows.enumerate() {
            self.text.push_str(if index == 0 { "(" } else { ", (" });
            for (column, value) in row.into_iter().enumerate() {
                self.values.push(value);
                if column > 0 {
                    self.text.push_str(", ");
                }
                self.text.push('$');
                self.text.push_str(&self.values.len().to_string());
            }
            self.text.push(')');
        }
        self
    }

    /// More of its text.
    pub(crate) fn then(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Runs it; how many rows it touched.
    pub(crate) async fn execute(self, on: &mut Connection) -> Result<u64, sqlx::Error> {
        Ok(match on {
            Connection::Sqlite(on) => bound!(self).execute(on).await?.rows_affected(),
            Connection::Postgres(on) => bound!(self).execute(on).await?.rows_affected(),
        })
    }

    /// Runs it; its rows.
    pub(crate) async fn rows(self, on: &mut Connection) -> Result<Vec<Row>, sqlx::Error> {
        match on {
            Connection::Sqlite(on) => self.sqlite_rows(&mut *on).await,
            Connection::Postgres(on) => self.postgres_rows(&mut *on).await,
        }
    }

    /// Runs it; its first row.
    pub(crate) async fn row(self, on: &mut Connection) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(on).await?.into_iter().next())
    }

    /// Its rows, by whichever reader is free.
    pub(crate) async fn read(self, readers: &Readers) -> Result<Vec<Row>, StoreError> {
        match readers {
            Readers::Sqlite(pool) => Ok(self.sqlite_rows(pool).await?),
            Readers::Postgres(pool) => within(STEP_TIMEOUT, self.postgres_rows(pool)).await,
        }
    }

    async fn sqlite_rows<'e>(self, on: impl SqliteExecutor<'e>) -> Result<Vec<Row>, sqlx::Error> {
        Ok(bound!(self).fetch_all(on).await?.into_iter().map(Row::Sqlite).collect())
    }

    async fn postgres_rows<'e>(self, on: impl PgExecutor<'e>) -> Result<Vec<Row>, sqlx::Error> {
        Ok(bound!(self).fetch_all(on).await?.into_iter().map(Row::Postgres).collect())
    }
}

/// A statement without values or prepared form: transactions, savepoints.
pub(crate) async fn command(on: &mut Connection, text: &'static str) -> Result<(), sqlx::Error> {
    match on {
        Connection::Sqlite(on) => sqlx::raw_sql(text).execute(on).await.map(|_done| ()),
        Connection::Postgres(on) => sqlx::raw_sql(text).execute(on).await.map(|_done| ()),
    }
}

/// A row; its columns are read by place, for the table and column that an error would name.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! get {
    ($row:expr, $index:expr) => {
        match $row {
            Self::Sqlite(row) => row.try_get($index),
            Self::Postgres(row) => row.try_get($index),
        }
    };
}

impl Row {
    pub(crate) fn text(&self, index: usize) -> Result<&str, sqlx::Error> {
        get!(self, index)
    }

    pub(crate) fn string(&self, index: usize) -> Result<String, sqlx::Error> {
        get!(self, index)
    }

    pub(crate) fn optional_string(&self, index: usize) -> Result<Option<String>, sqlx::Error> {
        get!(self, index)
    }

    pub(crate) fn slice(&self, index: usize) -> Result<&[u8], sqlx::Error> {
        get!(self, index)
    }

    pub(crate) fn bytes(&self, index: usize) -> Result<Vec<u8>, sqlx::Error> {
        get!(self, index)
    }

    pub(crate) fn optional_bytes(&self, index: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
        get!(self, index)
    }

    pub(crate) fn optional_int(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        get!(self, index)
    }

    /// An integer that fits.
    pub(crate) fn number<T: TryFrom<i64>>(&self, index: usize, place: Place) -> Result<T, StoreError> {
        let value: Result<i64, sqlx::Error> = get!(self, index);
        T::try_from(value?).map_err(|_range| place.corrupt())
    }

    pub(crate) fn optional_number(&self, index: usize, place: Place) -> Result<Option<u64>, StoreError> {
        let value = self.optional_int(index)?;
        value.map(|value| u64::try_from(value).map_err(|_negative| place.corrupt())).transpose()
    }

    /// Exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&self, index: usize, place: Place) -> Result<[u8; N], StoreError> {
        self.slice(index)?.try_into().map_err(|_length| place.corrupt())
    }

    pub(crate) fn optional_array<const N: usize>(
        &self,
        index: usize,
        place: Place,
    ) -> Result<Option<[u8; N]>, StoreError> {
        let bytes = self.optional_bytes(index)?;
        bytes.map(|bytes| bytes.try_into().map_err(|_length| place.corrupt())).transpose()
    }

    /// A word that means something.
    pub(crate) fn word<T>(
        &self,
        index: usize,
        place: Place,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        parse(self.text(index)?).ok_or_else(|| place.corrupt())
    }
}

/// A table and a column, for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(pub(crate) &'static str, pub(crate) &'static str);

impl Place {
    pub(crate) fn corrupt(self) -> StoreError {
        StoreError::Corrupt { table: self.0, column: self.1 }
    }
}
