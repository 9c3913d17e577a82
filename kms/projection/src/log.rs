//! What readers asked: their lines of the server's log, cut into segments, and hashed for the ledger.

use keyward_ledger_core::hash::Hash;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::ProjectionError;

/// Lines that a segment has at most: cutting one keeps the guard from looking.
const LINES: i64 = 1 << 14;
/// Lines that are fetched at once.
const PAGE: i64 = 512;
/// How the hash of a segment begins: the length of the label, and the label.
const LABEL: &[u8] = b"\x14keyward/query-log/v1";

/// A segment of the query log of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The role that asked.
    pub role: String,
    /// Its place among those of the role, from 0.
    pub number: u64,
    /// The grant.
    pub grant_id: Hash,
    /// The hash of its lines: SPEC.md "The query log".
    pub what: Hash,
    /// How many statements it has.
    pub count: u32,
    /// Whether an [`Archive`](crate::Archive) has its file.
    pub filed: bool,
}

/// Cuts a segment of one role from lines that are in none; whether there were any: then there may be more.
pub(crate) async fn cut(on: &mut PgConnection) -> Result<bool, ProjectionError> {
    let ready = sqlx::query(
        "SELECT r.role, r.grant_id FROM keyward.readers r WHERE r.grant_id IS NOT NULL AND EXISTS (SELECT FROM keyward.queries q \
         WHERE q.role = r.role AND q.segment IS NULL AND q.statements > 0) LIMIT 1",
    );
    let Some(row) = ready.fetch_optional(&mut *on).await? else { return Ok(false) };
    let (role, grant_id): (String, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
    cut_one(on, &role, &grant_id).await?;
    Ok(true)
}

async fn cut_one(on: &mut PgConnection, role: &str, grant_id: &[u8]) -> Result<(), ProjectionError> {
    let mut made = on.begin().await?;
    let number =
        sqlx::query("SELECT COALESCE(max(number) + 1, 0) FROM keyward.segments WHERE role = $1").bind(role);
    let number: i64 = number.fetch_one(&mut *made).await?.try_get(0)?;
    let lines = sqlx::query(
        "SELECT COALESCE(max(number), -1), COALESCE(sum(statements), 0)::int8 FROM (SELECT number, statements FROM keyward.queries \
         WHERE role = $1 AND segment IS NULL ORDER BY number LIMIT $2) lines",
    );
    let row = lines.bind(role).bind(LINES).fetch_one(&mut *made).await?;
    let (last, count): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let mark = sqlx::query(
        "UPDATE keyward.queries SET segment = $2 WHERE role = $1 AND segment IS NULL AND number <= $3",
    );
    mark.bind(role).bind(number).bind(last).execute(&mut *made).await?;
    let mut hash = Sha256::new();
    bytes_of(&mut made, role, number, grant_id, |bytes| {
        hash.update(bytes);
        Ok(())
    })
    .await?;
    let what: Hash = hash.finalize().into();
    let segment = sqlx::query("INSERT INTO keyward.segments VALUES ($1, $2, $3, $4, $5, NULL, NULL, NULL)");
    let segment = segment.bind(role).bind(number).bind(grant_id).bind(what.to_vec()).bind(count);
    segment.execute(&mut *made).await?;
    Ok(made.commit().await?)
}

/// Gives the bytes that a segment's hash is of, piece by piece:
/// `u8 len || "keyward/query-log/v1" || grant id || u8 len || role || u64 number || u32 lines || (u32 len || line)*`.
pub(crate) async fn bytes_of(
    on: &mut PgConnection,
    role: &str,
    number: i64,
    grant_id: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<(), ProjectionError>,
) -> Result<(), ProjectionError> {
    let lines = sqlx::query("SELECT count(*) FROM keyward.queries WHERE role = $1 AND segment = $2");
    let lines: i64 = lines.bind(role).bind(number).fetch_one(&mut *on).await?.try_get(0)?;
    let role_len = u8::try_from(role.len()).unwrap_or(u8::MAX);
    take(&[LABEL, grant_id, &[role_len], role.as_bytes()].concat())?;
    take(&number.to_be_bytes())?;
    take(&u32::try_from(lines).unwrap_or(u32::MAX).to_be_bytes())?;
    let mut after = -1_i64;
    loop {
        let page = sqlx::query(
            "SELECT number, line FROM keyward.queries WHERE role = $1 AND segment = $2 AND number > $3 ORDER BY number LIMIT $4",
        );
        let page = page.bind(role).bind(number).bind(after).bind(PAGE).fetch_all(&mut *on).await?;
        for row in &page {
            let line: Vec<u8> = row.try_get(1)?;
            take(&u32::try_from(line.len()).unwrap_or(u32::MAX).to_be_bytes())?;
            take(&line)?;
            after = row.try_get(0)?;
        }
        if page.is_empty() {
            return Ok(());
        }
    }
}

/// Segments that no record anchors yet.
pub(crate) async fn waiting(on: &mut PgConnection) -> Result<Vec<Segment>, ProjectionError> {
    let rows = sqlx::query(
        "SELECT role, number, grant_id, what, count, filed_ms IS NOT NULL FROM keyward.segments WHERE leaf_index IS NULL AND refused IS NULL ORDER BY 1, 2",
    );
    let rows = rows.fetch_all(on).await?;
    let hash = |row: &sqlx::postgres::PgRow, column| {
        let bytes: Vec<u8> = row.try_get(column)?;
        Ok::<_, sqlx::Error>(Hash::try_from(bytes).unwrap_or_default())
    };
    let segment = |row: &sqlx::postgres::PgRow| {
        Ok(Segment {
            role: row.try_get(0)?,
            number: row.try_get::<i64, _>(1)?.cast_unsigned(),
            grant_id: hash(row, 2)?,
            what: hash(row, 3)?,
            count: u32::try_from(row.try_get::<i64, _>(4)?).unwrap_or(u32::MAX),
            filed: row.try_get(5)?,
        })
    };
    rows.iter().map(segment).collect()
}

pub(crate) async fn refused(
    on: &mut PgConnection,
    segment: &Segment,
    why: &str,
) -> Result<(), ProjectionError> {
    let text = "UPDATE keyward.segments SET refused = $3 WHERE role = $1 AND number = $2";
    let update = sqlx::query(AssertSqlSafe(text)).bind(&segment.role).bind(segment.number.cast_signed());
    update.bind(why).execute(on).await?;
    Ok(())
}
