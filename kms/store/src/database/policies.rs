//! Texts and versions of the tenant's policy sets, and requests that were decided lately.

use super::{
    changes::Touches::{self, Any},
    read::{all, one},
    sql::{Place, Query, Readers, Row, query},
};
use crate::{Change, Id, PolicyRequests, PolicyVersion, StoreError};

/// The statement of a step that is about these rows.
pub(super) fn statement(change: &Change) -> Option<(Query, Touches)> {
    Some(match change {
        Change::KeepPolicyText { hash, text, kept_ms } => (
            query(
                "INSERT INTO policy_texts (hash, text, kept_ms) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING",
            )
            .bind(*hash)
            .bind(text.as_str())
            .bind(*kept_ms),
            Any,
        ),
        Change::ForgetPolicyText(hash) => (
            query("DELETE FROM policy_texts WHERE hash = $1 AND hash NOT IN (SELECT hash FROM policy_versions)")
                .bind(*hash),
            Any,
        ),
        Change::PutPolicyVersion(PolicyVersion { version, hash, account, kept_ms }) => (
            query(
                "INSERT INTO policy_versions (version, hash, account, kept_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (version) DO UPDATE SET hash = excluded.hash,
                 account = CASE WHEN policy_versions.hash = excluded.hash
                           THEN coalesce(policy_versions.account, excluded.account) ELSE excluded.account END",
            )
            .bind(*version)
            .bind(*hash)
            .bind(*account)
            .bind(*kept_ms),
            Any,
        ),
        Change::KeepPolicyRequests(PolicyRequests { sealed, kept_ms }) => (
            query("INSERT INTO policy_requests (sealed, kept_ms) VALUES ($1, $2)")
                .bind(sealed.as_slice())
                .bind(*kept_ms),
            Any,
        ),
        Change::PrunePolicyRequests { rows, before_ms } => (
            query(
                "DELETE FROM policy_requests WHERE kept_ms < $1
                 OR id <= (SELECT coalesce(max(id), 0) FROM policy_requests) - $2",
            )
            .bind(*before_ms)
            .bind(*rows),
            Any,
        ),
        _ => return None,
    })
}

pub(super) async fn text(on: &Readers, hash: Id) -> Result<Option<String>, StoreError> {
    let rows = query("SELECT text FROM policy_texts WHERE hash = $1").bind(hash).read(on).await?;
    one(rows, |row| Ok(row.string(0)?))
}

pub(super) async fn versions(on: &Readers, limit: u32) -> Result<Vec<PolicyVersion>, StoreError> {
    let rows =
        query("SELECT version, hash, account, kept_ms FROM policy_versions ORDER BY version DESC LIMIT $1")
            .bind(limit);
    all(rows.read(on).await?, to_version)
}

pub(super) async fn requests(on: &Readers, limit: u32) -> Result<Vec<PolicyRequests>, StoreError> {
    let rows = query("SELECT sealed, kept_ms FROM policy_requests ORDER BY id DESC LIMIT $1").bind(limit);
    let at = |column| Place("policy_requests", column);
    all(rows.read(on).await?, |row| {
        Ok(PolicyRequests { sealed: row.bytes(0)?, kept_ms: row.number(1, at("kept_ms"))? })
    })
}

fn to_version(row: &Row) -> Result<PolicyVersion, StoreError> {
    let at = |column| Place("policy_versions", column);
    Ok(PolicyVersion {
        version: row.number(0, at("version"))?,
        hash: row.array(1, at("hash"))?,
        account: row.optional_array(2, at("account"))?,
        kept_ms: row.number(3, at("kept_ms"))?,
    })
}
