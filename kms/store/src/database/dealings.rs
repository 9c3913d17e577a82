//! Dealings of closed address epochs.

use super::{
    changes::Touches::{self, Any},
    read::all,
    sql::{Place, Query, Readers, query},
};
use crate::{Change, Id, StoreError, ViewingDealing};

/// The statement of a step that is about these rows.
pub(super) fn statement(change: &Change) -> Option<(Query, Touches)> {
    Some(match change {
        Change::KeepDealing(row) => (
            query(
                "INSERT INTO viewing_dealings (account, first_epoch, last_epoch, hash, dealing, kept_ms)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, first_epoch, hash) DO NOTHING",
            )
            .bind(row.account)
            .bind(row.first)
            .bind(row.last)
            .bind(row.hash)
            .bind(row.dealing.as_slice())
            .bind(row.kept_ms),
            Any,
        ),
        Change::ForgetDealings { account, first, before_ms } => (
            query("DELETE FROM viewing_dealings WHERE account = $1 AND first_epoch = $2 AND kept_ms < $3")
                .bind(*account)
                .bind(*first)
                .bind(*before_ms),
            Any,
        ),
        Change::ForgetDealingsOf(account) => {
            (query("DELETE FROM viewing_dealings WHERE account = $1").bind(*account), Any)
        }
        _ => return None,
    })
}

pub(super) async fn within(
    on: &Readers,
    account: Id,
    (first, last): (u32, u32),
    limit: u32,
) -> Result<Vec<ViewingDealing>, StoreError> {
    let rows = query(
        "SELECT first_epoch, last_epoch, hash, dealing, kept_ms FROM viewing_dealings
         WHERE account = $1 AND first_epoch >= $2 AND last_epoch <= $3 ORDER BY first_epoch, kept_ms, hash LIMIT $4",
    );
    let rows = rows.bind(account).bind(first).bind(last).bind(limit).read(on).await?;
    let at = |column| Place("viewing_dealings", column);
    all(rows, |row| {
        Ok(ViewingDealing {
            account,
            first: row.number(0, at("first_epoch"))?,
            last: row.number(1, at("last_epoch"))?,
            hash: row.array(2, at("hash"))?,
            dealing: row.bytes(3)?,
            kept_ms: row.number(4, at("kept_ms"))?,
        })
    })
}
