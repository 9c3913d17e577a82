//! Reading: rows into plain data, and nothing unreadable taken for something else.

use sqlx::{Row as _, SqlitePool, sqlite::SqliteRow};

use crate::{
    Account, AccountState, Act, ActKind, Custody, Id, Intent, IntentState, Key, KeyState, NewIntent, Pin,
    QueuedRelease, Session, StoreError,
};

macro_rules! account_query {
    ($where:literal) => {
        concat!(
            "SELECT account, kind, name, salt, opaque_record, credential, state, login_failures, ",
            "login_last_ms, created_ms FROM accounts WHERE ",
            $where
        )
    };
}

macro_rules! key_query {
    ($where:literal) => {
        concat!(
            "SELECT key_id, account, alias, scheme, public_key, sealed_private, token_label, token_serial, ",
            "token_key, state, version, claims, created_ms FROM keys WHERE ",
            $where
        )
    };
}

macro_rules! intent_query {
    ($where:literal) => {
        concat!(
            "SELECT id, key_id, r, payload_hash, policy, not_after, created_ms, state, leaf_index, height, ",
            "signature_hash FROM intents WHERE ",
            $where
        )
    };
}

pub(super) async fn account(pool: &SqlitePool, account: Id) -> Result<Option<Account>, StoreError> {
    let query = sqlx::query(account_query!("account = ?")).bind(account.to_vec());
    query.fetch_optional(pool).await?.map(|row| to_account(&row)).transpose()
}

pub(super) async fn account_by_name(
    pool: &SqlitePool,
    kind: &str,
    name: &str,
) -> Result<Option<Account>, StoreError> {
    let query =
        sqlx::query(account_query!("kind = ? AND name = ?")).bind(kind.to_owned()).bind(name.to_owned());
    query.fetch_optional(pool).await?.map(|row| to_account(&row)).transpose()
}

pub(super) async fn session(
    pool: &SqlitePool,
    token_hash: Id,
    now_ms: u64,
) -> Result<Option<Session>, StoreError> {
    let row = sqlx::query(
        "SELECT account, fingerprint, expires_ms FROM sessions WHERE token_hash = ? AND expires_ms > ?",
    )
    .bind(token_hash.to_vec())
    .bind(int(now_ms))
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Session {
        token_hash,
        account: id_at(&row, 0, "sessions", "account")?,
        fingerprint: optional_id_at(&row, 1, "sessions", "fingerprint")?,
        expires_ms: uint_at(&row, 2, "sessions", "expires_ms")?,
    }))
}

pub(super) async fn key(pool: &SqlitePool, key_id: Id) -> Result<Option<Key>, StoreError> {
    let query = sqlx::query(key_query!("key_id = ?")).bind(key_id.to_vec());
    query.fetch_optional(pool).await?.map(|row| to_key(&row)).transpose()
}

pub(super) async fn key_by_alias(
    pool: &SqlitePool,
    account: Id,
    alias: &str,
) -> Result<Option<Key>, StoreError> {
    let query =
        sqlx::query(key_query!("account = ? AND alias = ?")).bind(account.to_vec()).bind(alias.to_owned());
    query.fetch_optional(pool).await?.map(|row| to_key(&row)).transpose()
}

pub(super) async fn keys(pool: &SqlitePool, account: Id) -> Result<Vec<Key>, StoreError> {
    let query = sqlx::query(key_query!("account = ? ORDER BY alias")).bind(account.to_vec());
    query.fetch_all(pool).await?.iter().map(to_key).collect()
}

pub(super) async fn linked_keys(pool: &SqlitePool) -> Result<Vec<Key>, StoreError> {
    let query = sqlx::query(key_query!("mode = 'linked' ORDER BY created_ms"));
    query.fetch_all(pool).await?.iter().map(to_key).collect()
}

pub(super) async fn authorisations(pool: &SqlitePool, key_id: Id) -> Result<Vec<String>, StoreError> {
    let query =
        sqlx::query("SELECT app FROM authorisations WHERE key_id = ? ORDER BY app").bind(key_id.to_vec());
    query.fetch_all(pool).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(super) async fn pins(pool: &SqlitePool) -> Result<Vec<Pin>, StoreError> {
    let rows = sqlx::query("SELECT token_serial, token_label, sealed FROM pins").fetch_all(pool).await?;
    let pin = |row: &SqliteRow| {
        Ok(Pin { serial: row.try_get(0)?, label: row.try_get(1)?, sealed: row.try_get(2)? })
    };
    rows.iter().map(pin).collect()
}

pub(super) async fn secret(pool: &SqlitePool, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
    let row =
        sqlx::query("SELECT sealed FROM secrets WHERE name = ?").bind(name).fetch_optional(pool).await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

pub(super) async fn acts(pool: &SqlitePool) -> Result<Vec<Act>, StoreError> {
    let query =
        sqlx::query("SELECT id, kind, subject, detail, until, created_ms FROM acts ORDER BY created_ms");
    query.fetch_all(pool).await?.iter().map(to_act).collect()
}

pub(super) async fn open_intents(pool: &SqlitePool, limit: u32) -> Result<Vec<Intent>, StoreError> {
    let query = sqlx::query(intent_query!("state IN ('submitted', 'final') ORDER BY created_ms LIMIT ?"));
    query.bind(i64::from(limit)).fetch_all(pool).await?.iter().map(to_intent).collect()
}

pub(super) async fn intent(pool: &SqlitePool, id: Id) -> Result<Option<Intent>, StoreError> {
    let query = sqlx::query(intent_query!("id = ?")).bind(id.to_vec());
    query.fetch_optional(pool).await?.map(|row| to_intent(&row)).transpose()
}

pub(super) async fn queued_releases(pool: &SqlitePool, limit: u32) -> Result<Vec<QueuedRelease>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, signature_hash FROM intents WHERE state = 'signed' ORDER BY created_ms LIMIT ?",
    )
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    let release = |row: &SqliteRow| {
        Ok(QueuedRelease {
            intent: id_at(row, 0, "intents", "id")?,
            signature_hash: id_at(row, 1, "intents", "signature_hash")?,
        })
    };
    rows.iter().map(release).collect()
}

fn to_account(row: &SqliteRow) -> Result<Account, StoreError> {
    let table = "accounts";
    Ok(Account {
        account: id_at(row, 0, table, "account")?,
        kind: row.try_get(1)?,
        name: row.try_get(2)?,
        salt: id_at(row, 3, table, "salt")?,
        opaque_record: row.try_get(4)?,
        credential: optional_id_at(row, 5, table, "credential")?,
        state: word_at(row, 6, table, "state", AccountState::from_word)?,
        login_failures: row.try_get(7)?,
        login_last_ms: uint_at(row, 8, table, "login_last_ms")?,
        created_ms: uint_at(row, 9, table, "created_ms")?,
    })
}

fn to_key(row: &SqliteRow) -> Result<Key, StoreError> {
    let table = "keys";
    let custody = match row.try_get::<Option<Vec<u8>>, _>(5)? {
        Some(sealed) => Custody::Hosted { sealed },
        None => Custody::Linked { label: row.try_get(6)?, serial: row.try_get(7)?, id: row.try_get(8)? },
    };
    let claims: &str = row.try_get(11)?;
    Ok(Key {
        key_id: id_at(row, 0, table, "key_id")?,
        account: id_at(row, 1, table, "account")?,
        alias: row.try_get(2)?,
        scheme: row.try_get(3)?,
        public_key: row.try_get(4)?,
        custody,
        state: word_at(row, 9, table, "state", KeyState::from_word)?,
        version: row.try_get(10)?,
        claims: claims.lines().map(str::to_owned).collect(),
        created_ms: uint_at(row, 12, table, "created_ms")?,
    })
}

fn to_act(row: &SqliteRow) -> Result<Act, StoreError> {
    let table = "acts";
    Ok(Act {
        id: id_at(row, 0, table, "id")?,
        kind: word_at(row, 1, table, "kind", ActKind::from_word)?,
        subject: id_at(row, 2, table, "subject")?,
        detail: row.try_get(3)?,
        until: uint_at(row, 4, table, "until")?,
        created_ms: uint_at(row, 5, table, "created_ms")?,
    })
}

fn to_intent(row: &SqliteRow) -> Result<Intent, StoreError> {
    let table = "intents";
    Ok(Intent {
        new: NewIntent {
            id: id_at(row, 0, table, "id")?,
            key_id: id_at(row, 1, table, "key_id")?,
            r: id_at(row, 2, table, "r")?,
            payload_hash: id_at(row, 3, table, "payload_hash")?,
            policy: id_at(row, 4, table, "policy")?,
            not_after: uint_at(row, 5, table, "not_after")?,
            created_ms: uint_at(row, 6, table, "created_ms")?,
        },
        state: word_at(row, 7, table, "state", IntentState::from_word)?,
        leaf_index: optional_uint_at(row, 8, table, "leaf_index")?,
        height: optional_uint_at(row, 9, table, "height")?,
        signature_hash: optional_id_at(row, 10, table, "signature_hash")?,
    })
}

/// What SQLite keeps of a `u64`; nothing here comes near its bound.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn uint_at(
    row: &SqliteRow,
    index: usize,
    table: &'static str,
    column: &'static str,
) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<i64, _>(index)?).map_err(|_negative| StoreError::Corrupt { table, column })
}

fn optional_uint_at(
    row: &SqliteRow,
    index: usize,
    table: &'static str,
    column: &'static str,
) -> Result<Option<u64>, StoreError> {
    match row.try_get::<Option<i64>, _>(index)? {
        None => Ok(None),
        Some(_) => uint_at(row, index, table, column).map(Some),
    }
}

fn array_at<const N: usize>(
    row: &SqliteRow,
    index: usize,
    table: &'static str,
    column: &'static str,
) -> Result<[u8; N], StoreError> {
    row.try_get::<&[u8], _>(index)?.try_into().map_err(|_length| StoreError::Corrupt { table, column })
}

pub(super) fn id_at(
    row: &SqliteRow,
    index: usize,
    table: &'static str,
    column: &'static str,
) -> Result<Id, StoreError> {
    array_at(row, index, table, column)
}

fn optional_id_at(
    row: &SqliteRow,
    index: usize,
    table: &'static str,
    column: &'static str,
) -> Result<Option<Id>, StoreError> {
    match row.try_get::<Option<&[u8]>, _>(index)? {
        None => Ok(None),
        Some(_) => id_at(row, index, table, column).map(Some),
    }
}

fn word_at<T>(
    row: &SqliteRow,
    index: usize,
    table: &'static str,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, StoreError> {
    parse(row.try_get(index)?).ok_or(StoreError::Corrupt { table, column })
}
