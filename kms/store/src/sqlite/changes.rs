//! The steps of an atomic change, and pruning.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::read::int;
use crate::{Account, Change, Custody, Id, IdempotencyKey, Key, StoreError};

/// Settled rows that one pruning removes at most.
const PRUNE_MAX: i64 = 5_000;
/// Ids to a statement.
const IDS_MAX: usize = 512;

/// All of the changes; the caller rolls back when one fails.
pub(super) async fn apply(connection: &mut SqliteConnection, changes: Vec<Change>) -> Result<(), StoreError> {
    for change in changes {
        step(connection, change).await?;
    }
    Ok(())
}

async fn step(connection: &mut SqliteConnection, change: Change) -> Result<(), StoreError> {
    match change {
        Change::InsertAccount(account) => insert_account(connection, account).await,
        Change::SetAccountState(account, from, to) => {
            let query = sqlx::query("UPDATE accounts SET state = ? WHERE account = ? AND state = ?")
                .bind(to.word())
                .bind(account.to_vec())
                .bind(from.word());
            one(query.execute(connection).await?.rows_affected(), "account")
        }
        Change::RemovePendingAccount(account) => {
            run(connection, "DELETE FROM accounts WHERE account = ? AND state = 'pending'", account).await
        }
        Change::SetLogins { account, failures, last_ms } => {
            sqlx::query("UPDATE accounts SET login_failures = ?, login_last_ms = ? WHERE account = ?")
                .bind(i64::from(failures))
                .bind(int(last_ms))
                .bind(account.to_vec())
                .execute(connection)
                .await?;
            Ok(())
        }
        Change::PutRegistration(row) => {
            sqlx::query(
                "INSERT INTO registrations (id, name, account, salt, nonce, not_after, expires_ms)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(row.id.to_vec())
            .bind(row.name)
            .bind(row.account.to_vec())
            .bind(row.salt.to_vec())
            .bind(row.nonce.to_vec())
            .bind(int(row.not_after))
            .bind(int(row.expires_ms))
            .execute(connection)
            .await?;
            Ok(())
        }
        Change::PutSession(row) => {
            sqlx::query(
                "INSERT INTO sessions (token_hash, account, fingerprint, expires_ms) VALUES (?, ?, ?, ?)",
            )
            .bind(row.token_hash.to_vec())
            .bind(row.account.to_vec())
            .bind(row.fingerprint.map(|fingerprint| fingerprint.to_vec()))
            .bind(int(row.expires_ms))
            .execute(connection)
            .await?;
            Ok(())
        }
        Change::BindSession { token_hash, fingerprint } => {
            let query = sqlx::query(
                "UPDATE sessions SET fingerprint = ? WHERE token_hash = ? AND fingerprint IS NULL",
            )
            .bind(fingerprint.to_vec())
            .bind(token_hash.to_vec());
            one(query.execute(connection).await?.rows_affected(), "session")
        }
        Change::EndSessions(account) => {
            run(connection, "DELETE FROM sessions WHERE account = ?", account).await
        }
        Change::InsertKey(key) => insert_key(connection, key).await,
        Change::SetKeyState(key_id, from, to) => {
            let query = sqlx::query("UPDATE keys SET state = ? WHERE key_id = ? AND state = ?")
                .bind(to.word())
                .bind(key_id.to_vec())
                .bind(from.word());
            one(query.execute(connection).await?.rows_affected(), "key")
        }
        Change::RemovePendingKey(key_id) => {
            run(connection, "DELETE FROM keys WHERE key_id = ? AND state = 'pending'", key_id).await
        }
        Change::PutPin(pin) => {
            sqlx::query("INSERT OR REPLACE INTO pins (token_serial, token_label, sealed) VALUES (?, ?, ?)")
                .bind(pin.serial)
                .bind(pin.label)
                .bind(pin.sealed)
                .execute(connection)
                .await?;
            Ok(())
        }
        Change::PutChallenge(row) => {
            sqlx::query("INSERT INTO challenges (nonce, account, scheme, not_after, expires_ms) VALUES (?, ?, ?, ?, ?)")
                .bind(row.nonce.to_vec())
                .bind(row.account.to_vec())
                .bind(row.scheme)
                .bind(int(row.not_after))
                .bind(int(row.expires_ms))
                .execute(connection)
                .await?;
            Ok(())
        }
        Change::PutAuthorisation { key_id, app, created_ms } => {
            sqlx::query("INSERT OR IGNORE INTO authorisations (key_id, app, created_ms) VALUES (?, ?, ?)")
                .bind(key_id.to_vec())
                .bind(app)
                .bind(int(created_ms))
                .execute(connection)
                .await?;
            Ok(())
        }
        Change::RemoveAuthorisation { key_id, app } => {
            sqlx::query("DELETE FROM authorisations WHERE key_id = ? AND app = ?")
                .bind(key_id.to_vec())
                .bind(app)
                .execute(connection)
                .await?;
            Ok(())
        }
        Change::PutAct(act) => {
            sqlx::query(
                "INSERT OR REPLACE INTO acts (id, kind, subject, detail, until, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(act.id.to_vec())
            .bind(act.kind.word())
            .bind(act.subject.to_vec())
            .bind(act.detail)
            .bind(int(act.until))
            .bind(int(act.created_ms))
            .execute(connection)
            .await?;
            Ok(())
        }
        Change::RemoveAct(id) => run(connection, "DELETE FROM acts WHERE id = ?", id).await,
        Change::Complete(name, response) => complete(connection, name, response).await,
        Change::Forget(name) => {
            sqlx::query("DELETE FROM idempotency WHERE principal = ? AND key = ? AND response IS NULL")
                .bind(name.principal)
                .bind(name.key)
                .execute(connection)
                .await?;
            Ok(())
        }
        Change::SetIntentState { intent, state, place } => {
            sqlx::query(
                "UPDATE intents SET state = ?, leaf_index = coalesce(?, leaf_index), height = coalesce(?, height)
                 WHERE id = ? AND state IN ('submitted', 'final')",
            )
            .bind(state.word())
            .bind(place.map(|(leaf_index, _)| int(leaf_index)))
            .bind(place.map(|(_, height)| int(height)))
            .bind(intent.to_vec())
            .execute(connection)
            .await?;
            Ok(())
        }
        Change::Released(intents) => {
            released(
                connection,
                "UPDATE intents SET state = 'released' WHERE +state = 'signed' AND id IN (",
                &intents,
            )
            .await
        }
        Change::Late(intents) => {
            released(
                connection,
                "UPDATE intents SET state = 'late' WHERE +state = 'signed' AND id IN (",
                &intents,
            )
            .await
        }
        Change::PutSecret(name, sealed) => {
            sqlx::query("INSERT OR IGNORE INTO secrets (name, sealed) VALUES (?, ?)")
                .bind(name)
                .bind(sealed)
                .execute(connection)
                .await?;
            Ok(())
        }
    }
}

async fn insert_account(connection: &mut SqliteConnection, row: Account) -> Result<(), StoreError> {
    let result = sqlx::query(
        "INSERT INTO accounts (account, kind, name, salt, opaque_record, credential, state, login_failures,
         login_last_ms, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.account.to_vec())
    .bind(row.kind)
    .bind(row.name)
    .bind(row.salt.to_vec())
    .bind(row.opaque_record)
    .bind(row.credential.map(|credential| credential.to_vec()))
    .bind(row.state.word())
    .bind(i64::from(row.login_failures))
    .bind(int(row.login_last_ms))
    .bind(int(row.created_ms))
    .execute(connection)
    .await;
    match result {
        Err(error) if is_unique(&error) => Err(StoreError::AccountExists),
        other => other.map(|_| ()).map_err(Into::into),
    }
}

async fn insert_key(connection: &mut SqliteConnection, row: Key) -> Result<(), StoreError> {
    let (mode, sealed, label, serial, token_key) = match row.custody {
        Custody::Hosted { sealed } => ("hosted", Some(sealed), None, None, None),
        Custody::Linked { label, serial, id } => ("linked", None, Some(label), Some(serial), Some(id)),
    };
    let result = sqlx::query(
        "INSERT INTO keys (key_id, account, alias, scheme, public_key, mode, state, version, sealed_private,
         token_label, token_serial, token_key, claims, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.key_id.to_vec())
    .bind(row.account.to_vec())
    .bind(row.alias)
    .bind(row.scheme)
    .bind(row.public_key)
    .bind(mode)
    .bind(row.state.word())
    .bind(i64::from(row.version))
    .bind(sealed)
    .bind(label)
    .bind(serial)
    .bind(token_key)
    .bind(row.claims.join("\n"))
    .bind(int(row.created_ms))
    .execute(connection)
    .await;
    match result {
        Err(error) if is_unique(&error) && names(&error, "alias") => Err(StoreError::AliasTaken),
        Err(error) if is_unique(&error) => Err(StoreError::KeyExists),
        other => other.map(|_| ()).map_err(Into::into),
    }
}

async fn complete(
    connection: &mut SqliteConnection,
    name: IdempotencyKey,
    response: Vec<u8>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE idempotency SET response = ? WHERE principal = ? AND key = ?")
        .bind(response)
        .bind(name.principal)
        .bind(name.key)
        .execute(connection)
        .await?;
    Ok(())
}

async fn released(connection: &mut SqliteConnection, update: &str, intents: &[Id]) -> Result<(), StoreError> {
    for chunk in intents.chunks(IDS_MAX) {
        let mut statement = QueryBuilder::<Sqlite>::new(update);
        let mut list = statement.separated(", ");
        for id in chunk {
            list.push_bind(id.as_slice());
        }
        statement.push(")");
        statement.build().persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Removes what has expired; returns how many rows went.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    now_ms: u64,
    keep_from_ms: u64,
) -> Result<u64, StoreError> {
    let expired = [
        "DELETE FROM registrations WHERE expires_ms <= ?",
        "DELETE FROM sessions WHERE expires_ms <= ?",
        "DELETE FROM challenges WHERE expires_ms <= ?",
    ];
    let mut gone = 0;
    for statement in expired {
        gone += sqlx::query(statement).bind(int(now_ms)).execute(&mut *connection).await?.rows_affected();
    }
    let settled = [
        "DELETE FROM idempotency WHERE (principal, key) IN
         (SELECT principal, key FROM idempotency WHERE created_ms < ? LIMIT ?)",
        "DELETE FROM intents WHERE id IN (SELECT id FROM intents
         WHERE state IN ('released', 'late', 'refused', 'abandoned') AND created_ms < ? LIMIT ?)",
    ];
    for statement in settled {
        let query = sqlx::query(statement).bind(int(keep_from_ms)).bind(PRUNE_MAX);
        gone += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(gone)
}

async fn run(connection: &mut SqliteConnection, statement: &'static str, id: Id) -> Result<(), StoreError> {
    sqlx::query(statement).bind(id.to_vec()).execute(connection).await?;
    Ok(())
}

fn one(rows: u64, what: &'static str) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Missing { what }) }
}

fn is_unique(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

fn names(error: &sqlx::Error, column: &str) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains(column))
}
