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
            query(
                "DELETE FROM policy_texts WHERE hash = $1 AND hash NOT IN (SELECT hash FROM policy_versions)
                 AND hash NOT IN (SELECT hash FROM risk_versions)",
            )
            .bind(*hash),
            Any,
        ),
        Change::PutPolicyVersion(version) => (POLICY.put_version(version), Any),
        Change::KeepPolicyRequests(requests) => (POLICY.keep(requests), Any),
        Change::PrunePolicyRequests { rows, before_ms } => (POLICY.prune(*rows, *before_ms), Any),
        _ => return None,
    })
}

pub(super) async fn text(on: &Readers, hash: Id) -> Result<Option<String>, StoreError> {
    let rows = query("SELECT text FROM policy_texts WHERE hash = $1").bind(hash).read(on).await?;
    one(rows, |row| Ok(row.string(0)?))
}

/// Versions of sets and requests that were decided: policies and risk have the same tables by other names.
pub(super) struct Tables {
    versions: &'static str,
    requests: &'static str,
}

pub(super) const POLICY: Tables = Tables { versions: "policy_versions", requests: "policy_requests" };
pub(super) const RISK: Tables = Tables { versions: "risk_versions", requests: "risk_requests" };

impl Tables {
    pub(super) fn put_version(&self, row: &PolicyVersion) -> Query {
        let (PolicyVersion { version, hash, account, kept_ms }, table) = (row, self.versions);
        query(format!(
            "INSERT INTO {table} (version, hash, account, kept_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (version) DO UPDATE SET hash = excluded.hash,
             account = CASE WHEN {table}.hash = excluded.hash
                       THEN coalesce({table}.account, excluded.account) ELSE excluded.account END"
        ))
        .bind(*version)
        .bind(*hash)
        .bind(*account)
        .bind(*kept_ms)
    }

    pub(super) fn keep(&self, row: &PolicyRequests) -> Query {
        let PolicyRequests { sealed, kept_ms } = row;
        query(format!("INSERT INTO {} (sealed, kept_ms) VALUES ($1, $2)", self.requests))
            .bind(sealed.as_slice())
            .bind(*kept_ms)
    }

    pub(super) fn prune(&self, rows: u64, before_ms: u64) -> Query {
        let table = self.requests;
        query(format!(
            "DELETE FROM {table} WHERE kept_ms < $1 OR id <= (SELECT coalesce(max(id), 0) FROM {table}) - $2"
        ))
        .bind(before_ms)
        .bind(rows)
    }

    pub(super) async fn versions(&self, on: &Readers, limit: u32) -> Result<Vec<PolicyVersion>, StoreError> {
        let table = self.versions;
        let rows = query(format!(
            "SELECT version, hash, account, kept_ms FROM {table} ORDER BY version DESC LIMIT $1"
        ));
        all(rows.bind(limit).read(on).await?, |row| to_version(row, table))
    }

    pub(super) async fn requests(&self, on: &Readers, limit: u32) -> Result<Vec<PolicyRequests>, StoreError> {
        let table = self.requests;
        let rows = query(format!("SELECT sealed, kept_ms FROM {table} ORDER BY id DESC LIMIT $1"));
        all(rows.bind(limit).read(on).await?, |row| {
            Ok(PolicyRequests { sealed: row.bytes(0)?, kept_ms: row.number(1, Place(table, "kept_ms"))? })
        })
    }
}

fn to_version(row: &Row, table: &'static str) -> Result<PolicyVersion, StoreError> {
    let at = |column| Place(table, column);
    Ok(PolicyVersion {
        version: row.number(0, at("version"))?,
        hash: row.array(1, at("hash"))?,
        account: row.optional_array(2, at("account"))?,
        kept_ms: row.number(3, at("kept_ms"))?,
    })
}
