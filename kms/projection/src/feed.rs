//! A grant whose rows are kept up to date: fed with records, written as what is new since the last time.

use std::collections::hash_map::{HashMap, RandomState};

use keyward_audit::Relinker;
use keyward_ledger_core::entry::{kind, kind_of};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::record::Record;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::ProjectionError;
use crate::contents::{Contents, GRANT_RECORDS};
use crate::projector::copy_into;
use crate::table::{Row, Table, Value, print_of};
use crate::tables::SCHEMA;

/// Where rows lie before they are held against what is there.
const STAGE: &str = "staged";

/// A row's table and key.
type Name = (&'static str, Vec<Value>);

/// A grant under way.
#[derive(Debug)]
pub struct Feed {
    /// The role's name, which is its schema's too.
    role: String,
    relinker: Relinker,
    /// Whether the database may hold rows of an earlier run, or of another grant file.
    first: bool,
    /// Whether a record came that may change what was found.
    stale: bool,
    /// When an epoch of its period elapses, which changes what is whole.
    elapses_ms: Option<u64>,
    /// What the database holds: the rows by table and key.
    printed: HashMap<Name, u64>,
    state: RandomState,
    /// What it holds once the transaction under way is done.
    next: Vec<(Name, u64)>,
}

impl Feed {
    /// Of a role's grant.
    pub fn new(role: String, relinker: Relinker) -> Self {
        let (printed, state, next) = (HashMap::new(), RandomState::new(), Vec::new());
        Self { role, relinker, first: true, stale: true, elapses_ms: None, printed, state, next }
    }

    /// Which grant.
    pub fn grant_id(&self) -> &Hash {
        &self.relinker.granted().grant.id
    }

    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    pub(crate) fn feed(&mut self, leaf_index: u64, record: &Record) -> Result<(), ProjectionError> {
        self.stale = self.stale
            || record.outcome.is_accepted() && kind_of(&record.entry).is_some_and(matters)
            || self.elapses_ms.is_some_and(|elapses_ms| elapses_ms <= record.time_ms);
        self.relinker.feed(leaf_index, record).map_err(ProjectionError::Audit)
    }

    /// Whether a record came that may change what the database should hold.
    pub(crate) const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether the log so far lacks records that the grant file shows.
    pub(crate) fn lacks_records(&self) -> bool {
        !self.relinker.unseen().is_empty()
    }

    /// Says up to where the rows are.
    pub(crate) async fn place(&self, on: &mut PgConnection, place: [u64; 3]) -> Result<(), ProjectionError> {
        let text = format!("UPDATE {}.about SET leaves = $1, height = $2, time_ms = $3", self.role);
        let numbers = place.map(u64::cast_signed).into_iter();
        numbers.fold(sqlx::query(AssertSqlSafe(text)), sqlx::query::Query::bind).execute(on).await?;
        Ok(())
    }

    /// Writes what the database does not hold yet; the records must be in it.
    pub(crate) async fn write(&mut self, on: &mut PgConnection) -> Result<(), ProjectionError> {
        let contents = Contents::of(&self.relinker.relinked());
        self.next.clear();
        if self.holds_others_than(&contents) {
            self.printed.clear();
            self.first = true;
        }
        for (table, rows) in contents.rows {
            let new: Vec<Row> = rows.into_iter().filter(|row| self.is_new(table, row)).collect();
            self.next.extend(new.iter().map(|row| (name_of(table, row), print_of(&self.state, row))));
            put(on, &self.role, table, &new, self.first).await?;
        }
        let leaves = contents.leaves.keys().map(|leaf| leaf.cast_signed());
        let new: Vec<i64> = leaves.filter(|leaf| !self.printed.contains_key(&leaf_name(*leaf))).collect();
        self.next.extend(new.iter().map(|leaf| (leaf_name(*leaf), 0)));
        put_records(on, &self.role, &new, self.first).await
    }

    /// Whether the database holds a row that is no longer found: an approval was taken back.
    fn holds_others_than(&self, contents: &Contents) -> bool {
        let of = |&(table, ref rows): &(&'static Table, Vec<Row>)| -> Vec<Name> {
            rows.iter().map(|row| name_of(table, row)).collect()
        };
        let rows = contents.rows.iter().flat_map(of);
        let leaves = contents.leaves.keys().map(|leaf| leaf_name(leaf.cast_signed()));
        rows.chain(leaves).filter(|name| self.printed.contains_key(name)).count() < self.printed.len()
    }

    fn is_new(&self, table: &'static Table, row: &Row) -> bool {
        self.printed.get(&name_of(table, row)) != Some(&print_of(&self.state, row))
    }

    /// What was written stands.
    pub(crate) fn written(&mut self) {
        self.printed.extend(self.next.drain(..));
        (self.first, self.stale) = (false, false);
        self.elapses_ms = self.relinker.next_elapses_ms();
    }
}

/// What an audit looks at, and the steps of a grant's life.
const fn matters(kind: u16) -> bool {
    matches!(
        kind,
        kind::RELEASE
            | kind::OPEN_APPROVAL
            | kind::APPROVE
            | kind::WITHDRAW_APPROVAL
            | kind::CLOSE_ACCOUNT
            | kind::CLOSE_OWN_ACCOUNT
            | kind::CHOOSE_ADDRESSES
            | kind::USE_ADDRESS
            | kind::CLOSE_EPOCH
            | kind::ANNOUNCE_PAYMENT
            | kind::DEAL_VIEWING
            | kind::REQUEST_GRANT
            | kind::ISSUE_GRANT
            | kind::OPEN_GRANT
            | kind::DELIVER_GRANT
            | kind::USE_GRANT
            | kind::REVOKE_GRANT
    )
}

fn name_of(table: &'static Table, row: &Row) -> Name {
    (table.name, table.key_of(row).to_vec())
}

fn leaf_name(leaf: i64) -> Name {
    (GRANT_RECORDS.name, vec![Value::Int(leaf)])
}

/// Rows that are new or other than before; `whole` where the table may hold some that are gone.
async fn put(
    on: &mut PgConnection,
    schema: &str,
    table: &Table,
    rows: &[Row],
    whole: bool,
) -> Result<(), ProjectionError> {
    if rows.is_empty() && !whole {
        return Ok(());
    }
    let (stage, into) = (Table { name: STAGE, ..*table }, format!("{schema}.{}", table.name));
    let text = format!("CREATE TEMP TABLE {STAGE} (LIKE {into}) ON COMMIT DROP");
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *on).await?;
    copy_into(on, "pg_temp", &stage, rows).await?;
    let (names, key) = (table.names(), table.key_names());
    let others: Vec<_> = table.columns.iter().skip(table.key).map(|column| column.name).collect();
    let set = |from: &str| others.iter().map(|name| format!("{from}{name}")).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    if whole {
        text += &format!("DELETE FROM {into} WHERE ({key}) NOT IN (SELECT {key} FROM pg_temp.{STAGE});");
    }
    text += &format!(
        "INSERT INTO {into} AS old ({names}) SELECT {names} FROM pg_temp.{STAGE} ON CONFLICT ({key}) DO UPDATE \
         SET ({}) = ROW({}) WHERE ROW({}) IS DISTINCT FROM ROW({}); DROP TABLE pg_temp.{STAGE}",
        set(""),
        set("excluded."),
        set("old."),
        set("excluded."),
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(on).await?;
    Ok(())
}

/// The records that the other rows speak of.
async fn put_records(
    on: &mut PgConnection,
    schema: &str,
    leaves: &[i64],
    whole: bool,
) -> Result<(), ProjectionError> {
    if whole {
        let text =
            format!("DELETE FROM {schema}.records WHERE leaf_index NOT IN (SELECT unnest($1::bigint[]))");
        sqlx::query(AssertSqlSafe(text)).bind(leaves).execute(&mut *on).await?;
    }
    let names = GRANT_RECORDS.names();
    let text = format!(
        "INSERT INTO {schema}.records ({names}) SELECT {names} FROM {SCHEMA}.records \
         JOIN unnest($1::bigint[]) AS wanted (leaf) ON leaf_index = leaf ON CONFLICT DO NOTHING"
    );
    sqlx::query(AssertSqlSafe(text)).bind(leaves).execute(on).await?;
    Ok(())
}
