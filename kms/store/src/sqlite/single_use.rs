//! Rows that are taken once: the delete decides between takers.

use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::read::{id_at, uint_at};
use crate::{Challenge, Id, Registration, StoreError, Taken};

pub(super) async fn registration(
    connection: &mut SqliteConnection,
    id: [u8; 16],
    now_ms: u64,
) -> Result<Taken<Registration>, StoreError> {
    let row = sqlx::query(
        "DELETE FROM registrations WHERE id = ? RETURNING name, account, salt, nonce, not_after, expires_ms",
    )
    .bind(id.as_slice())
    .fetch_optional(&mut *connection)
    .await?;
    judge(row, now_ms, "registrations", 5, |row| {
        Ok(Registration {
            id,
            name: row.try_get(0)?,
            account: id_at(row, 1, "registrations", "account")?,
            salt: id_at(row, 2, "registrations", "salt")?,
            nonce: id_at(row, 3, "registrations", "nonce")?,
            not_after: uint_at(row, 4, "registrations", "not_after")?,
            expires_ms: uint_at(row, 5, "registrations", "expires_ms")?,
        })
    })
}

pub(super) async fn challenge(
    connection: &mut SqliteConnection,
    nonce: Id,
    now_ms: u64,
) -> Result<Taken<Challenge>, StoreError> {
    let row = sqlx::query(
        "DELETE FROM challenges WHERE nonce = ? RETURNING account, scheme, not_after, expires_ms",
    )
    .bind(nonce.as_slice())
    .fetch_optional(&mut *connection)
    .await?;
    judge(row, now_ms, "challenges", 3, |row| {
        Ok(Challenge {
            nonce,
            account: id_at(row, 0, "challenges", "account")?,
            scheme: row.try_get(1)?,
            not_after: uint_at(row, 2, "challenges", "not_after")?,
            expires_ms: uint_at(row, 3, "challenges", "expires_ms")?,
        })
    })
}

fn judge<T>(
    row: Option<SqliteRow>,
    now_ms: u64,
    table: &'static str,
    expires_at: usize,
    parse: impl FnOnce(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Taken<T>, StoreError> {
    let Some(row) = row else { return Ok(Taken::Unknown) };
    if uint_at(&row, expires_at, table, "expires_ms")? <= now_ms {
        return Ok(Taken::Expired);
    }
    Ok(Taken::Live(parse(&row)?))
}
