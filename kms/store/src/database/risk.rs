//! Histories of accounts, by revisions that two servers agree by; versions of the rules and requests that were judged lately.

use super::{
    changes::Touches::{self, Any, One},
    policies::RISK,
    read::one,
    sql::{Connection, Place, Query, Readers, query},
};
use crate::{Change, Id, RiskHistory, StoreError};

/// The statement of a step that is about these rows.
pub(super) fn statement(change: &Change) -> Option<(Query, Touches)> {
    Some(match change {
        Change::PutRiskHistory(row) => (put(row), One("risk history")),
        Change::EraseRiskHistory(account) => {
            (query("DELETE FROM risk_histories WHERE account = $1").bind(*account), Any)
        }
        Change::PutRiskVersion(version) => (RISK.put_version(version), Any),
        Change::KeepRiskRequests(requests) => (RISK.keep(requests), Any),
        Change::PruneRiskRequests { rows, before_ms } => (RISK.prune(*rows, *before_ms), Any),
        _ => return None,
    })
}

/// Of an account that is open, so that no history outlives it; touches nothing unless the revision before is as named.
fn put(row: &RiskHistory) -> Query {
    let RiskHistory { account, from, sealed } = row;
    match from {
        0 => query(
            "INSERT INTO risk_histories (account, revision, sealed)
             SELECT account, 1, $2 FROM accounts WHERE account = $1 AND state = 'open'
             ON CONFLICT (account) DO NOTHING",
        )
        .bind(*account)
        .bind(sealed.as_slice()),
        from => query(
            "UPDATE risk_histories SET revision = revision + 1, sealed = $2 WHERE account = $1 AND revision = $3",
        )
        .bind(*account)
        .bind(sealed.as_slice())
        .bind(*from),
    }
}

/// Whether the history was kept. The first one of an account waits for whoever is closing it, by a write: PostgreSQL reads beside it.
pub(super) async fn try_put(on: &mut Connection, row: &RiskHistory) -> Result<bool, StoreError> {
    if row.from == 0 {
        let open = query("UPDATE accounts SET state = state WHERE account = $1 AND state = 'open'");
        if open.bind(row.account).execute(on).await? != 1 {
            return Ok(false);
        }
    }
    Ok(put(row).execute(on).await? == 1)
}

pub(super) async fn history(on: &Readers, account: Id) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let rows = query("SELECT revision, sealed FROM risk_histories WHERE account = $1").bind(account);
    one(rows.read(on).await?, |row| Ok((row.number(0, Place("risk_histories", "revision"))?, row.bytes(1)?)))
}
