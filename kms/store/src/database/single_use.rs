//! Rows that are taken once: the delete decides between takers, on one server or on several.

use super::sql::{Connection, Place, Row, query};
use crate::{Challenge, Id, Registration, StoreError, Taken};

pub(super) async fn registration(
    on: &mut Connection,
    id: [u8; 16],
    now_ms: u64,
) -> Result<Taken<Registration>, StoreError> {
    let at = |column| Place("registrations", column);
    let row = query(
        "DELETE FROM registrations WHERE id = $1 RETURNING name, account, salt, nonce, not_after, expires_ms",
    )
    .bind(id)
    .row(on)
    .await?;
    judge(row, now_ms, 5, at("expires_ms"), |row| {
        Ok(Registration {
            id,
            name: row.string(0)?,
            account: row.array(1, at("account"))?,
            salt: row.array(2, at("salt"))?,
            nonce: row.array(3, at("nonce"))?,
            not_after: row.number(4, at("not_after"))?,
            expires_ms: row.number(5, at("expires_ms"))?,
        })
    })
}

pub(super) async fn challenge(
    on: &mut Connection,
    nonce: Id,
    now_ms: u64,
) -> Result<Taken<Challenge>, StoreError> {
    let at = |column| Place("challenges", column);
    let row =
        query("DELETE FROM challenges WHERE nonce = $1 RETURNING account, scheme, not_after, expires_ms")
            .bind(nonce)
            .row(on)
            .await?;
    judge(row, now_ms, 3, at("expires_ms"), |row| {
        Ok(Challenge {
            nonce,
            account: row.array(0, at("account"))?,
            scheme: row.number(1, at("scheme"))?,
            not_after: row.number(2, at("not_after"))?,
            expires_ms: row.number(3, at("expires_ms"))?,
        })
    })
}

fn judge<T>(
    row: Option<Row>,
    now_ms: u64,
    expires_at: usize,
    place: Place,
    parse: impl FnOnce(&Row) -> Result<T, StoreError>,
) -> Result<Taken<T>, StoreError> {
    let Some(row) = row else { return Ok(Taken::Unknown) };
    if row.number::<u64>(expires_at, place)? <= now_ms {
        return Ok(Taken::Expired);
    }
    Ok(Taken::Live(parse(&row)?))
}
