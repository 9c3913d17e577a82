//! The projection's own database: its tables, which ledger it is of, and that nobody else keeps it.

use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::Frontier;
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::record::Record;
use keyward_store::PostgresServer;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::ProjectionError;
use crate::connect::connect;
use crate::contents::GRANT_TABLES;
use crate::tables::{FORM, LEAF_COLUMNS, Leaf, OWN, RECORDS, SCHEMA};

/// The advisory lock of who projects: "keyward" in ASCII.
const LOCK: i64 = 0x006b_6579_7761_7264;
/// Records that are read back at once.
const PAGE: i64 = 4096;

/// Which ledger a projection is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The genesis hash.
    pub chain_id: Hash,
    /// Its name.
    pub name: String,
}

/// A database that is this projector's alone while the value lives.
#[derive(Debug)]
pub struct Database {
    pub(crate) connection: PgConnection,
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
    pub(crate) leaves: u64,
}

impl Database {
    /// Opens it, and makes the tables if it is empty. Refused: another ledger's, one that holds anything else, one that another
    /// projector keeps.
    pub async fn open(server: &PostgresServer, ledger: Ledger) -> Result<Self, ProjectionError> {
        let mut connection = connect(server).await?;
        let alone =
            sqlx::query("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
        if !alone.try_get::<bool, _>(0)? {
            return Err(ProjectionError::InUse);
        }
        let relations = relations(&mut connection).await?;
        let has_tables = relations.iter().any(|(schema, name)| schema == SCHEMA && name == "ledger");
        let roles = if has_tables { roles(&mut connection).await? } else { Vec::new() };
        if let Some((schema, name)) = relations.iter().find(|found| !(has_tables && is_ours(found, &roles))) {
            return Err(ProjectionError::NotOwn { what: format!("{schema}.{name}") });
        }
        if !has_tables {
            make(&mut connection, &ledger).await?;
        }
        let (height, time_ms, leaves) = place(&mut connection, &ledger).await?;
        Ok(Self { connection, height, time_ms, leaves })
    }

    /// The height up to which blocks are in; 0 before the first.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// How many records are in.
    pub const fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Whether there are readers, or were: what they asked may wait, and a role whose time is over.
    pub async fn has_readers(&mut self) -> Result<bool, ProjectionError> {
        Ok(!roles(&mut self.connection).await?.is_empty())
    }

    /// The next records of a log that is read back, up to a page: each must be the one that its row says, in its place.
    pub(crate) async fn read_back(&mut self, log: &mut Frontier) -> Result<Vec<Leaf>, ProjectionError> {
        let page = self.page(log.size()).await?;
        if page.is_empty() {
            return Err(ProjectionError::Changed { leaf: log.size() });
        }
        for leaf in &page {
            if leaf.index != log.size() || leaf.record.id() != leaf.hash {
                return Err(ProjectionError::Changed { leaf: log.size() });
            }
            log.append(leaf.hash);
        }
        Ok(page)
    }

    async fn page(&mut self, from: u64) -> Result<Vec<Leaf>, ProjectionError> {
        let text = format!(
            "SELECT {LEAF_COLUMNS} FROM {SCHEMA}.records WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT {PAGE}"
        );
        let rows =
            sqlx::query(AssertSqlSafe(text)).bind(from.cast_signed()).fetch_all(&mut self.connection).await?;
        rows.iter().map(leaf).collect()
    }
}

/// A role's lease has its name, and so has a grant's schema.
fn is_ours((schema, name): &(String, String), roles: &[String]) -> bool {
    match &**schema {
        SCHEMA => name == RECORDS.name || OWN.iter().any(|table| table.name == name) || roles.contains(name),
        _ => roles.contains(schema) && GRANT_TABLES.iter().any(|table| table.name == name),
    }
}

/// Everything in the database that holds rows and is no part of PostgreSQL.
async fn relations(connection: &mut PgConnection) -> Result<Vec<(String, String)>, ProjectionError> {
    let rows = sqlx::query(
        "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
         AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%' ORDER BY 1, 2",
    );
    let rows = rows.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn roles(connection: &mut PgConnection) -> Result<Vec<String>, ProjectionError> {
    let text = format!("SELECT role FROM {SCHEMA}.readers");
    let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn make(connection: &mut PgConnection, ledger: &Ledger) -> Result<(), ProjectionError> {
    let mut made = connection.begin().await?;
    let mut text = format!("CREATE SCHEMA {SCHEMA};");
    for table in OWN.iter().chain([&RECORDS]) {
        text.push_str(&table.postgres(SCHEMA));
    }
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *made).await?;
    let text = format!("INSERT INTO {SCHEMA}.ledger VALUES ($1, $2, $3, 0, 0, 0)");
    let row = sqlx::query(AssertSqlSafe(text)).bind(ledger.chain_id.to_vec()).bind(FORM).bind(&ledger.name);
    row.execute(&mut *made).await?;
    Ok(made.commit().await?)
}

/// Up to where the projection is, if it is of that ledger.
async fn place(connection: &mut PgConnection, ledger: &Ledger) -> Result<(u64, u64, u64), ProjectionError> {
    let text = format!("SELECT form, chain_id, name, height, time_ms, leaves FROM {SCHEMA}.ledger");
    let row = sqlx::query(AssertSqlSafe(text)).fetch_one(connection).await?;
    let form: i64 = row.try_get(0)?;
    if form > FORM {
        return Err(ProjectionError::TooNew { found: form, known: FORM });
    }
    let (chain_id, name): (Vec<u8>, String) = (row.try_get(1)?, row.try_get(2)?);
    if chain_id != ledger.chain_id {
        return Err(ProjectionError::OtherLedger { found: format!("{name} {}", hex::encode(chain_id)) });
    }
    let number = |index| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(index)?.cast_unsigned());
    Ok((number(3)?, number(4)?, number(5)?))
}

/// A record as its row says; whether the row holds together is for the caller.
fn leaf(row: &PgRow) -> Result<Leaf, ProjectionError> {
    let index = row.try_get::<i64, _>(0)?.cast_unsigned();
    let changed = || ProjectionError::Changed { leaf: index };
    let number = |column| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(column)?.cast_unsigned());
    let hash = |column| {
        let bytes: Vec<u8> = row.try_get(column)?;
        Hash::try_from(bytes).map_err(|_length| changed())
    };
    let record = Record {
        height: number(2)?,
        time_ms: number(3)?,
        submitter: hash(4)?,
        sequence: number(5)?,
        index: u32::try_from(number(6)?).map_err(|_range| changed())?,
        entry: row.try_get(7)?,
        outcome: Outcome {
            code: u16::try_from(number(8)?).map_err(|_range| changed())?,
            data: row.try_get(9)?,
        },
    };
    Ok(Leaf { index, hash: hash(1)?, record })
}
