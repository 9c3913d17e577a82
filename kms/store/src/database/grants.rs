//! Grants that were asked for here, and what they are for.

use super::{
    changes::Touches::{self, Any, One},
    read::{all, one},
    sql::{Place, Query, Readers, Row, query},
};
use crate::{Change, GrantRow, Id, StoreError};

const GRANT: &str = "SELECT grant_id, account, purpose, requested_ms FROM audit_grants ";

/// The statement of a step that is about these rows.
pub(super) fn statement(change: &Change) -> Option<(Query, Touches)> {
    Some(match change {
        Change::PutGrant(row) => (
            query(
                "INSERT INTO audit_grants (grant_id, account, purpose, requested_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (grant_id) DO NOTHING",
            )
            .bind(row.grant)
            .bind(row.account)
            .bind(row.purpose.as_slice())
            .bind(row.requested_ms),
            One("place for a grant"),
        ),
        Change::ForgetGrant(grant) => {
            (query("DELETE FROM audit_grants WHERE grant_id = $1").bind(*grant), Any)
        }
        Change::LookedAtGrant(grant) => (
            query(
                "INSERT INTO audit_grants_looked_at (grant_id) VALUES ($1) ON CONFLICT (grant_id) DO NOTHING",
            )
            .bind(*grant),
            Any,
        ),
        _ => return None,
    })
}

pub(super) async fn by_id(on: &Readers, grant: Id) -> Result<Option<GrantRow>, StoreError> {
    one(query(GRANT).then("WHERE grant_id = $1").bind(grant).read(on).await?, to_row)
}

pub(super) async fn is_looked_at(on: &Readers, grant: Id) -> Result<bool, StoreError> {
    let rows = query("SELECT 1 FROM audit_grants_looked_at WHERE grant_id = $1").bind(grant).read(on).await?;
    Ok(!rows.is_empty())
}

/// Those of an account, or all; newest first, from behind a time and id on.
pub(super) async fn newest(
    on: &Readers,
    account: Option<Id>,
    after: Option<(u64, Id)>,
    limit: u32,
) -> Result<Vec<GrantRow>, StoreError> {
    let (before_ms, behind) = after.unwrap_or((u64::MAX, Id::default()));
    let page = query(GRANT)
        .then("WHERE (requested_ms < $1 OR (requested_ms = $1 AND grant_id > $2)) ")
        .bind(before_ms)
        .bind(behind);
    let rows = match account {
        Some(account) => page
            .then("AND account = $3 ORDER BY requested_ms DESC, grant_id LIMIT $4")
            .bind(account)
            .bind(limit),
        None => page.then("ORDER BY requested_ms DESC, grant_id LIMIT $3").bind(limit),
    };
    all(rows.read(on).await?, to_row)
}

fn to_row(row: &Row) -> Result<GrantRow, StoreError> {
    let at = |column| Place("audit_grants", column);
    Ok(GrantRow {
        grant: row.array(0, at("grant_id"))?,
        account: row.array(1, at("account"))?,
        purpose: row.bytes(2)?,
        requested_ms: row.number(3, at("requested_ms"))?,
    })
}
