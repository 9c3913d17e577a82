//! What owners are told: rows that wait, are taken for a try, and come to an end.

use super::{
    changes::Touches::{self, Any, One},
    read::all,
    sql::{Place, Query, Readers, Row, query},
};
use crate::{Change, Id, Notice, NoticeChannel, NoticeKind, NoticeState, StoreError};

const NOTICE: &str = "SELECT id, account, kind, subject, channel, sealed, since_ms, until_ms, state, tries, created_ms, \
     next_ms FROM notices WHERE ";

/// The statement of a step that is about these rows.
pub(super) fn statement(change: &Change) -> Option<(Query, Touches)> {
    Some(match change {
        Change::PutNotice(row) => (
            query(
                "INSERT INTO notices (id, account, kind, subject, channel, sealed, since_ms, until_ms, state, tries,
                 created_ms, next_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(row.id)
            .bind(row.account)
            .bind(row.kind.word())
            .bind(row.subject)
            .bind(row.channel.word())
            .bind(row.sealed.clone())
            .bind(row.since_ms)
            .bind(row.until_ms)
            .bind(row.state.word())
            .bind(row.tries)
            .bind(row.created_ms)
            .bind(row.next_ms),
            Any,
        ),
        // The time too: of two servers that take one at once, one is the first.
        Change::TakeNotice { id, from_ms, next_ms } => (
            query(
                "UPDATE notices SET tries = tries + 1, next_ms = $1
                 WHERE id = $2 AND state = 'waiting' AND next_ms = $3",
            )
            .bind(*next_ms)
            .bind(*id)
            .bind(*from_ms),
            One("notice"),
        ),
        Change::RetryNotice { id, next_ms } => (
            query("UPDATE notices SET next_ms = $1 WHERE id = $2 AND state = 'waiting'")
                .bind(*next_ms)
                .bind(*id),
            Any,
        ),
        Change::ReplaceNotices { account, subject, channel, by } => (
            query(
                "UPDATE notices SET state = 'given-up', sealed = NULL WHERE account = $1 AND subject = $2
                 AND channel = $3 AND id <> $4 AND state = 'waiting'
                 AND kind IN ('delegates-appointed', 'delegates-revoked')",
            )
            .bind(*account)
            .bind(*subject)
            .bind(channel.word())
            .bind(*by),
            Any,
        ),
        Change::EndNotice { id, state } => (
            query("UPDATE notices SET state = $1, sealed = NULL WHERE id = $2 AND state = 'waiting'")
                .bind(state.word())
                .bind(*id),
            Any,
        ),
        _ => return None,
    })
}

pub(super) async fn one(on: &Readers, id: Id) -> Result<Option<Notice>, StoreError> {
    super::read::one(query(NOTICE).then("id = $1").bind(id).read(on).await?, to_notice)
}

pub(super) async fn due(
    on: &Readers,
    webhook: bool,
    now_ms: u64,
    limit: u32,
) -> Result<Vec<Notice>, StoreError> {
    let rows = query(NOTICE)
        .then(if webhook { "channel = 'webhook'" } else { "channel <> 'webhook'" })
        .then(" AND state = 'waiting' AND next_ms <= $1 ORDER BY next_ms, id LIMIT $2")
        .bind(now_ms)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_notice)
}

pub(super) async fn undelivered(on: &Readers, limit: u32) -> Result<Vec<Notice>, StoreError> {
    let rows = query(NOTICE)
        .then(
            "state <> 'delivered' ORDER BY CASE WHEN state = 'waiting' THEN 0 ELSE 1 END,
             CASE WHEN state = 'waiting' THEN created_ms ELSE -created_ms END, id LIMIT $1",
        )
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_notice)
}

/// Open accounts of a kind after this one, by id.
pub(super) async fn accounts_after(
    on: &Readers,
    kind: &str,
    after: Id,
    limit: u32,
) -> Result<Vec<Id>, StoreError> {
    let rows = query(
        "SELECT account FROM accounts WHERE account > $1 AND kind = $2 AND state = 'open' ORDER BY account LIMIT $3",
    )
    .bind(after)
    .bind(kind)
    .bind(limit)
    .read(on)
    .await?;
    all(rows, |row| row.array(0, Place("accounts", "account")))
}

fn to_notice(row: &Row) -> Result<Notice, StoreError> {
    let at = |column| Place("notices", column);
    Ok(Notice {
        id: row.array(0, at("id"))?,
        account: row.array(1, at("account"))?,
        kind: row.word(2, at("kind"), NoticeKind::from_word)?,
        subject: row.array(3, at("subject"))?,
        channel: row.word(4, at("channel"), NoticeChannel::from_word)?,
        sealed: row.optional_bytes(5)?,
        since_ms: row.number(6, at("since_ms"))?,
        until_ms: row.number(7, at("until_ms"))?,
        state: row.word(8, at("state"), NoticeState::from_word)?,
        tries: row.number(9, at("tries"))?,
        created_ms: row.number(10, at("created_ms"))?,
        next_ms: row.number(11, at("next_ms"))?,
    })
}
