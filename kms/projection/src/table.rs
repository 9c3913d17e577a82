//! Tables as both databases know them: columns, rows, and what PostgreSQL and SQLite are told to make them.

use std::fmt::Write as _;
use std::hash::BuildHasher;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 64 bits. Unsigned numbers are kept as they are: one above 2^63 - 1 shows as itself less 2^64.
    Int,
    /// Bytes.
    Bytes,
    /// Text.
    Text,
    /// 32-byte hashes; in PostgreSQL alone.
    Hashes,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Whether it may be empty.
    pub(crate) optional: bool,
}

impl Column {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, optional: false }
    }

    pub(crate) const fn int(name: &'static str) -> Self {
        Self::new(name, Kind::Int)
    }

    pub(crate) const fn bytes(name: &'static str) -> Self {
        Self::new(name, Kind::Bytes)
    }

    pub(crate) const fn text(name: &'static str) -> Self {
        Self::new(name, Kind::Text)
    }

    pub(crate) const fn hashes(name: &'static str) -> Self {
        Self::new(name, Kind::Hashes)
    }

    pub(crate) const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its columns, in order.
    pub(crate) columns: &'static [Column],
    /// How many of the first columns name a row.
    pub(crate) key: usize,
    /// What else is looked up: columns of an index each, as PostgreSQL and SQLite both read them.
    pub(crate) indexes: &'static [&'static str],
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// Nothing.
    Null,
    /// A number.
    Int(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// Hashes.
    Hashes(Vec<[u8; 32]>),
}

/// The values of a row, in the order of its table's columns.
pub(crate) type Row = Vec<Value>;

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(value.cast_signed())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl From<String> for Value {
    /// Neither database keeps the character 0 in text.
    fn from(value: String) -> Self {
        Self::Text(if value.contains('\0') { value.replace('\0', "\u{fffd}") } else { value })
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Table {
    /// The names of the columns, with commas.
    pub(crate) fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn key_names(&self) -> String {
        let key = self.columns.iter().take(self.key).map(|column| column.name);
        key.collect::<Vec<_>>().join(", ")
    }

    /// The statements that make it in a schema of PostgreSQL.
    pub(crate) fn postgres(&self, schema: &str) -> String {
        let kind = |kind| match kind {
            Kind::Int => "bigint",
            Kind::Bytes => "bytea",
            Kind::Text => "text",
            Kind::Hashes => "bytea[]",
        };
        let table = format!("{schema}.{}", self.name);
        let mut text = format!("CREATE TABLE {table} ({});", self.columns_as(kind));
        for index in self.indexes {
            let method = if self.is_hashes(index) { "gin" } else { "btree" };
            // Writing to text does not fail.
            let _infallible = write!(text, "CREATE INDEX ON {table} USING {method} ({index});");
        }
        text
    }

    /// The statements that make it in a file of SQLite.
    pub(crate) fn sqlite(&self) -> String {
        let kind = |kind| match kind {
            Kind::Int => "INTEGER",
            Kind::Bytes | Kind::Hashes => "BLOB",
            Kind::Text => "TEXT",
        };
        let mut text = format!("CREATE TABLE {} ({}) STRICT;", self.name, self.columns_as(kind));
        for (number, index) in self.indexes.iter().enumerate() {
            let name = self.name;
            let _infallible = write!(text, "CREATE INDEX {name}_{number} ON {name} ({index});");
        }
        text
    }

    fn is_hashes(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name && column.kind == Kind::Hashes)
    }

    fn columns_as(&self, kind: impl Fn(Kind) -> &'static str) -> String {
        let column = |column: &Column| {
            let bound = if column.optional { "" } else { " NOT NULL" };
            format!("{} {}{bound}", column.name, kind(column.kind))
        };
        let columns: Vec<_> = self.columns.iter().map(column).collect();
        format!("{}, PRIMARY KEY ({})", columns.join(", "), self.key_names())
    }

    /// The values that name a row.
    pub(crate) fn key_of<'a>(&self, row: &'a Row) -> &'a [Value] {
        row.get(..self.key).unwrap_or(row)
    }
}

/// What tells two rows apart, in memory alone.
pub(crate) fn print_of(state: &impl BuildHasher, values: &[Value]) -> u64 {
    state.hash_one(values)
}
