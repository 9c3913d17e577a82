//! The rows of keys: read, searched, kept and changed.

use std::collections::BTreeMap;

use super::{
    read::{all, one},
    sql::{Connection, Place, Readers, Row, query},
};
use crate::{Custody, Id, Key, KeyFilter, KeyState, StoreError};

const KEY: &str = "SELECT key_id, account, alias, scheme, public_key, mode, sealed_private, kek, token_label, \
                   token_serial, token_key, agent, state, changed_ms, version, successor, labels, revision, \
                   claims, created_ms, shared FROM keys WHERE ";

pub(super) async fn key(on: &Readers, key_id: Id) -> Result<Option<Key>, StoreError> {
    one(query(KEY).then("key_id = $1").bind(key_id).read(on).await?, to_key)
}

pub(super) async fn by_alias(on: &Readers, account: Id, alias: &str) -> Result<Option<Key>, StoreError> {
    let newest =
        query(KEY).then("account = $1 AND alias = $2 ORDER BY state = 'pending', version DESC LIMIT 1");
    one(newest.bind(account).bind(alias).read(on).await?, to_key)
}

pub(super) async fn by_version(
    on: &Readers,
    account: Id,
    alias: &str,
    version: u32,
) -> Result<Option<Key>, StoreError> {
    let exact = query(KEY).then("account = $1 AND alias = $2 AND version = $3");
    one(exact.bind(account).bind(alias).bind(version).read(on).await?, to_key)
}

pub(super) async fn of_account(on: &Readers, account: Id) -> Result<Vec<Key>, StoreError> {
    all(query(KEY).then("account = $1 ORDER BY alias, version").bind(account).read(on).await?, to_key)
}

pub(super) async fn linked(on: &Readers) -> Result<Vec<Key>, StoreError> {
    all(query(KEY).then("mode = 'linked' ORDER BY created_ms").read(on).await?, to_key)
}

pub(super) async fn scheduled(on: &Readers, before_ms: u64, limit: u32) -> Result<Vec<Key>, StoreError> {
    let due = query(KEY).then("state = 'scheduled' AND changed_ms <= $1 ORDER BY changed_ms LIMIT $2");
    all(due.bind(before_ms).bind(limit).read(on).await?, to_key)
}

/// Keys of closed accounts that nothing else will end.
pub(super) async fn of_closed_accounts(on: &Readers, limit: u32) -> Result<Vec<Key>, StoreError> {
    let left = query(KEY).then(
        "state IN ('active', 'frozen', 'superseded')
         AND account IN (SELECT accounts.account FROM accounts WHERE accounts.state = 'closed')
         ORDER BY key_id LIMIT $1",
    );
    all(left.bind(limit).read(on).await?, to_key)
}

pub(super) async fn not_under(on: &Readers, kek: &str, limit: u32) -> Result<Vec<Key>, StoreError> {
    let others = query(KEY).then("sealed_private IS NOT NULL AND kek <> $1 ORDER BY key_id LIMIT $2");
    all(others.bind(kek).bind(limit).read(on).await?, to_key)
}

/// Every part of the filter that is given becomes a condition; values go into places, never into the text.
pub(super) async fn search(on: &Readers, filter: KeyFilter) -> Result<Vec<Key>, StoreError> {
    let KeyFilter { account, state, label, alias_prefix, after, limit } = filter;
    let mut search = query(KEY).then("1 = 1");
    let mut place = 0;
    let mut next = || {
        place += 1;
        place
    };
    if let Some(account) = account {
        search = search.then(&format!(" AND account = ${}", next())).bind(account);
    }
    if let Some(state) = state {
        search = search.then(&format!(" AND state = ${}", next())).bind(state.word());
    }
    if let Some((name, value)) = label {
        let (name_at, value_at) = (next(), next());
        let exists = format!(
            " AND key_id IN (SELECT key_id FROM key_labels WHERE label = ${name_at} AND value = ${value_at})"
        );
        search = search.then(&exists).bind(name).bind(value);
    }
    if let Some(prefix) = alias_prefix {
        let at = next();
        search = search.then(&format!(" AND substr(alias, 1, length(${at})) = ${at}")).bind(prefix);
    }
    if let Some(after) = after {
        search = search.then(&format!(" AND key_id > ${}", next())).bind(after);
    }
    let search = search.then(&format!(" ORDER BY key_id LIMIT ${}", next())).bind(limit);
    all(search.read(on).await?, to_key)
}

pub(super) async fn insert(on: &mut Connection, row: &Key) -> Result<(), StoreError> {
    let (mode, sealed, kek) = match &row.custody {
        Custody::Hosted { sealed, kek } => ("hosted", Some(sealed.clone()), kek.clone()),
        Custody::Linked { .. } => ("linked", None, String::new()),
        Custody::Erased => ("hosted", None, String::new()),
        Custody::Own => ("self", None, String::new()),
        Custody::Shared { .. } => ("shared", None, String::new()),
    };
    let (label, serial, token_key, agent) = match &row.custody {
        Custody::Linked { label, serial, id, agent } => {
            (Some(label.clone()), Some(serial.clone()), Some(id.clone()), agent.clone())
        }
        Custody::Hosted { .. } | Custody::Erased | Custody::Own | Custody::Shared { .. } => {
            (None, None, None, None)
        }
    };
    let shared = match &row.custody {
        Custody::Shared { shared_key } => Some(shared_key.clone()),
        _ => None,
    };
    let kept = query(
        "INSERT INTO keys (key_id, account, alias, scheme, public_key, mode, sealed_private, kek, token_label,
         token_serial, token_key, agent, state, changed_ms, version, successor, labels, revision, claims, created_ms,
         shared)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
    )
    .bind(row.key_id)
    .bind(row.account)
    .bind(row.alias.as_str())
    .bind(row.scheme)
    .bind(row.public_key.as_slice())
    .bind(mode)
    .bind(sealed)
    .bind(kek)
    .bind(label)
    .bind(serial)
    .bind(token_key)
    .bind(agent)
    .bind(row.state.word())
    .bind(row.changed_ms)
    .bind(row.version)
    .bind(row.successor)
    .bind(to_text(&row.labels)?)
    .bind(row.revision)
    .bind(row.claims.join("\n"))
    .bind(row.created_ms)
    .bind(shared)
    .execute(on)
    .await;
    match kept {
        Err(error) if is_unique(&error) && names(&error, "alias") => Err(StoreError::AliasTaken),
        Err(error) if is_unique(&error) => Err(StoreError::KeyExists),
        Err(error) => Err(error.into()),
        Ok(_) if row.labels.is_empty() => Ok(()),
        Ok(_) => index_labels(on, row.key_id, &row.labels).await,
    }
}

/// Replaces the labels, and what searching knows of them. They are compared as text, which names them in order.
pub(super) async fn set_labels(
    on: &mut Connection,
    key_id: Id,
    from: &BTreeMap<String, String>,
    to: &BTreeMap<String, String>,
) -> Result<u64, StoreError> {
    let changed =
        query("UPDATE keys SET labels = $1, revision = revision + 1 WHERE key_id = $2 AND labels = $3")
            .bind(to_text(to)?)
            .bind(key_id)
            .bind(to_text(from)?)
            .execute(on)
            .await?;
    if changed == 1 {
        query("DELETE FROM key_labels WHERE key_id = $1").bind(key_id).execute(on).await?;
        index_labels(on, key_id, to).await?;
    }
    Ok(changed)
}

async fn index_labels(
    on: &mut Connection,
    key_id: Id,
    labels: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    for (name, value) in labels {
        query("INSERT INTO key_labels (key_id, label, value) VALUES ($1, $2, $3)")
            .bind(key_id)
            .bind(name.as_str())
            .bind(value.as_str())
            .execute(on)
            .await?;
    }
    Ok(())
}

fn to_text(labels: &BTreeMap<String, String>) -> Result<String, StoreError> {
    serde_json::to_string(labels).map_err(|source| StoreError::Database { source: source.into() })
}

fn to_key(row: &Row) -> Result<Key, StoreError> {
    let at = |column| Place("keys", column);
    let custody = match (row.text(5)?, row.optional_bytes(6)?) {
        ("hosted", Some(sealed)) => Custody::Hosted { sealed, kek: row.string(7)? },
        ("hosted", None) => Custody::Erased,
        ("self", None) => Custody::Own,
        ("shared", None) => match row.optional_bytes(20)? {
            Some(shared_key) => Custody::Shared { shared_key },
            None => return Err(at("shared").corrupt()),
        },
        ("linked", None) => Custody::Linked {
            label: row.string(8)?,
            serial: row.string(9)?,
            id: row.bytes(10)?,
            agent: row.optional_string(11)?,
        },
        _ => return Err(at("mode").corrupt()),
    };
    Ok(Key {
        key_id: row.array(0, at("key_id"))?,
        account: row.array(1, at("account"))?,
        alias: row.string(2)?,
        scheme: row.number(3, at("scheme"))?,
        public_key: row.bytes(4)?,
        custody,
        state: row.word(12, at("state"), KeyState::from_word)?,
        changed_ms: row.number(13, at("changed_ms"))?,
        version: row.number(14, at("version"))?,
        successor: row.optional_array(15, at("successor"))?,
        labels: serde_json::from_str(row.text(16)?).map_err(|_malformed| at("labels").corrupt())?,
        revision: row.number(17, at("revision"))?,
        claims: row.text(18)?.lines().map(str::to_owned).collect(),
        created_ms: row.number(19, at("created_ms"))?,
    })
}

pub(super) fn is_unique(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// SQLite names the columns of a violated constraint, PostgreSQL the constraint, which is called after them.
fn names(error: &sqlx::Error, column: &str) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    error.message().contains(column) || error.constraint().is_some_and(|name| name.contains(column))
}
