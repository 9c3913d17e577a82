//! What cases are about while they last, who may read it, and the names of rules.

use super::{
    changes::Touches::{self, Any},
    read::{all, one},
    sql::{Connection, Place, Query, Readers, Row, Value, query},
};
use crate::{Approval, ApprovalLine, ApprovalRoom, ApprovalRule, Change, Id, StoreError};

const APPROVAL: &str =
    "SELECT id, account, principal, case_id, sealed, used, created_ms, ends_ms FROM approvals WHERE ";
const RULE: &str = "SELECT rule, owner, name, created_ms FROM approval_rules WHERE ";

/// The statement of a step that is about these rows.
pub(super) fn statement(change: &Change) -> Option<(Query, Touches)> {
    Some(match change {
        Change::OpenApproval { id, case, ends_ms } => (
            query("UPDATE approvals SET case_id = $1, ends_ms = $2 WHERE id = $3")
                .bind(*case)
                .bind(*ends_ms)
                .bind(*id),
            Any,
        ),
        Change::SetApprovalUse { case, from, to } => {
            let set = query("UPDATE approvals SET used = $1 WHERE case_id = $2").bind(to.clone()).bind(*case);
            let set = match from {
                None => set.then(" AND used IS NULL"),
                Some(from) => set.then(" AND used = $3").bind(from.as_slice()),
            };
            (set, Any)
        }
        Change::RemoveApprovalsOf(account) => {
            (query("DELETE FROM approvals WHERE account = $1").bind(*account), Any)
        }
        Change::RemoveApproval(id) => (query("DELETE FROM approvals WHERE id = $1").bind(*id), Any),
        Change::EndApproval(case) => (query("DELETE FROM approvals WHERE case_id = $1").bind(*case), Any),
        Change::WithdrawApproval(case) => {
            (query("UPDATE approvals SET sealed = $1 WHERE case_id = $2").bind(Vec::new()).bind(*case), Any)
        }
        Change::EndApprovals { before_ms } => {
            (query("DELETE FROM approvals WHERE ends_ms < $1").bind(*before_ms), Any)
        }
        Change::PutApprovalRule(row) => (
            query(
                "INSERT INTO approval_rules (rule, owner, name, created_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (rule) DO NOTHING",
            )
            .bind(row.rule)
            .bind(row.owner)
            .bind(row.name)
            .bind(row.created_ms),
            Any,
        ),
        _ => return None,
    })
}

/// A row and its readers, if there is room for it.
pub(super) async fn put(
    on: &mut Connection,
    row: &Approval,
    readers: &[Id],
    room: ApprovalRoom,
) -> Result<(), StoreError> {
    let put = query(
        "INSERT INTO approvals (id, account, principal, case_id, sealed, used, created_ms, ends_ms)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8
         WHERE (SELECT count(*) FROM approvals WHERE account = $2 AND length(sealed) > 0) < $9
         AND (SELECT coalesce(sum(length(sealed)), 0) FROM approvals WHERE account = $2) + $10 <= $11
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(row.id)
    .bind(row.account)
    .bind(row.principal.as_str())
    .bind(row.case)
    .bind(row.sealed.as_slice())
    .bind(row.used.clone())
    .bind(row.created_ms)
    .bind(row.ends_ms)
    .bind(room.cases)
    .bind(u64::try_from(row.sealed.len()).unwrap_or(u64::MAX))
    .bind(room.bytes);
    if put.execute(on).await? != 1 {
        return Err(StoreError::Missing { what: "room for an approval" });
    }
    if readers.is_empty() {
        return Ok(());
    }
    let rows = readers.iter().map(|reader| [Value::from(row.id), Value::from(*reader)]);
    query("INSERT INTO approval_readers (id, account) VALUES ")
        .rows_of(rows)
        .then(" ON CONFLICT (id, account) DO NOTHING")
        .execute(on)
        .await?;
    Ok(())
}

pub(super) async fn by_id(on: &Readers, id: Id) -> Result<Option<Approval>, StoreError> {
    one(query(APPROVAL).then("id = $1").bind(id).read(on).await?, to_approval)
}

pub(super) async fn by_case(on: &Readers, case: Id) -> Result<Option<Approval>, StoreError> {
    one(query(APPROVAL).then("case_id = $1").bind(case).read(on).await?, to_approval)
}

pub(super) async fn of_account(
    on: &Readers,
    account: Id,
    limit: u32,
) -> Result<Vec<ApprovalLine>, StoreError> {
    let rows = query(
        "SELECT case_id, account, created_ms, ends_ms FROM approvals WHERE case_id IS NOT NULL
         AND length(sealed) > 0 AND (account = $1
         OR id IN (SELECT id FROM approval_readers WHERE account = $1)) ORDER BY created_ms DESC, id LIMIT $2",
    )
    .bind(account)
    .bind(limit)
    .read(on)
    .await?;
    all(rows, to_line)
}

pub(super) async fn rules(on: &Readers, owner: Id, limit: u32) -> Result<Vec<ApprovalRule>, StoreError> {
    let rows = query(RULE).then("owner = $1 ORDER BY created_ms, rule LIMIT $2").bind(owner).bind(limit);
    all(rows.read(on).await?, to_rule)
}

pub(super) async fn rule(on: &Readers, rule: Id) -> Result<Option<ApprovalRule>, StoreError> {
    one(query(RULE).then("rule = $1").bind(rule).read(on).await?, to_rule)
}

fn to_approval(row: &Row) -> Result<Approval, StoreError> {
    let at = |column| Place("approvals", column);
    Ok(Approval {
        id: row.array(0, at("id"))?,
        account: row.array(1, at("account"))?,
        principal: row.string(2)?,
        case: row.optional_array(3, at("case_id"))?,
        sealed: row.bytes(4)?,
        used: row.optional_bytes(5)?,
        created_ms: row.number(6, at("created_ms"))?,
        ends_ms: row.number(7, at("ends_ms"))?,
    })
}

fn to_line(row: &Row) -> Result<ApprovalLine, StoreError> {
    let at = |column| Place("approvals", column);
    Ok(ApprovalLine {
        case: row.array(0, at("case_id"))?,
        account: row.array(1, at("account"))?,
        created_ms: row.number(2, at("created_ms"))?,
        ends_ms: row.number(3, at("ends_ms"))?,
    })
}

fn to_rule(row: &Row) -> Result<ApprovalRule, StoreError> {
    let at = |column| Place("approval_rules", column);
    Ok(ApprovalRule {
        rule: row.array(0, at("rule"))?,
        owner: row.array(1, at("owner"))?,
        name: row.array(2, at("name"))?,
        created_ms: row.number(3, at("created_ms"))?,
    })
}
