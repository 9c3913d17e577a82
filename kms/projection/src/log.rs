//! What readers asked: their lines of the server's log, cut into segments, and hashed for the ledger.

use keyward_ledger_core::hash::Hash;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::ProjectionError;

/// Lines that a segment has at most: cutting one keeps the guard from looking.
const LINES: i64 = 1 << 14;
/// Lines that are hashed at once.
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
        "SELECT count(*), COALESCE(max(number), -1), COALESCE(sum(statements), 0)::int8 FROM (SELECT number, statements FROM keyward.queries \
         WHERE role = $1 AND segment IS NULL ORDER BY number LIMIT $2) lines",
    );
    let row = lines.bind(role).bind(LINES).fetch_one(&mut *made).await?;
    let (lines, last, count): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let mut hash = begin_hash(grant_id, role, number.cast_unsigned(), lines);
    let mut after = -1_i64;
    while after < last {
        let page = sqlx::query(
            "SELECT number, line FROM keyward.queries WHERE role = $1 AND segment IS NULL AND number > $2 AND number <= $3 \
             ORDER BY number LIMIT $4",
        );
        let page = page.bind(role).bind(after).bind(last).bind(PAGE).fetch_all(&mut *made).await?;
        for row in &page {
            let line: Vec<u8> = row.try_get(1)?;
            hash.update(u32::try_from(line.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(&line);
            after = row.try_get(0)?;
        }
        if page.is_empty() {
            break;
        }
    }
    let what: Hash = hash.finalize().into();
    let mark = sqlx::query(
        "UPDATE keyward.queries SET segment = $2 WHERE role = $1 AND segment IS NULL AND number <= $3",
    );
    mark.bind(role).bind(number).bind(last).execute(&mut *made).await?;
    let segment = sqlx::query("INSERT INTO keyward.segments VALUES ($1, $2, $3, $4, $5, NULL, NULL)");
    let segment = segment.bind(role).bind(number).bind(grant_id).bind(what.to_vec()).bind(count);
    segment.execute(&mut *made).await?;
    Ok(made.commit().await?)
}

/// `SHA-256(u8 len || "keyward/query-log/v1" || grant id || u8 len || role || u64 number || u32 lines || (u32 len || line)*)`,
/// up to its lines.
fn begin_hash(grant_id: &[u8], role: &str, number: u64, lines: i64) -> Sha256 {
    let (role_len, lines) = (u8::try_from(role.len()), u32::try_from(lines));
    Sha256::new()
        .chain_update(LABEL)
        .chain_update(grant_id)
        .chain_update([role_len.unwrap_or(u8::MAX)])
        .chain_update(role)
        .chain_update(number.to_be_bytes())
        .chain_update(lines.unwrap_or(u32::MAX).to_be_bytes())
}

/// Segments that no record anchors yet.
pub(crate) async fn waiting(on: &mut PgConnection) -> Result<Vec<Segment>, ProjectionError> {
    let rows = sqlx::query(
        "SELECT role, number, grant_id, what, count FROM keyward.segments WHERE leaf_index IS NULL AND refused IS NULL ORDER BY 1, 2",
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
