//! The writes of every signature, many rows to a statement.

use std::collections::HashSet;

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::read::{id_at, int};
use crate::{Claim, Claimed, Id, NewIntent, Signed, StoreError};

/// Rows to a statement: few sizes, so that the statements are prepared once.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

/// Claims keys and keeps intents; pushes one result for each, in order.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
    begins: &[(NewIntent, Option<Claim>)],
    results: &mut Vec<Result<Claimed, StoreError>>,
) {
    let mut fresh = Vec::with_capacity(begins.len());
    for (place, (intent, claim)) in begins.iter().enumerate() {
        let claimed = match claim {
            Some(claim) => self::claim(connection, claim).await,
            None => Ok(Claimed::New),
        };
        if matches!(claimed, Ok(Claimed::New)) {
            fresh.push((place, intent));
        }
        results.push(claimed);
    }
    for chunk in chunks(&fresh) {
        if insert(connection, chunk).await.is_ok() {
            continue;
        }
        // One row of the chunk does not fit: the others must not fall with it.
        for row @ (place, _) in chunk {
            if let Err(error) = insert(connection, std::slice::from_ref(row)).await {
                tracing::error!(%error, "an intent was not kept");
                if let Some((_, Some(claim))) = begins.get(*place) {
                    forget(connection, claim).await;
                }
                if let Some(result) = results.get_mut(*place) {
                    *result = Err(error);
                }
            }
        }
    }
}

/// Claims one key: the insert decides between racers.
pub(super) async fn claim(connection: &mut SqliteConnection, claim: &Claim) -> Result<Claimed, StoreError> {
    let won = sqlx::query(
        "INSERT INTO idempotency (principal, key, request_hash, boot, created_ms) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (principal, key) DO UPDATE SET boot = excluded.boot, created_ms = excluded.created_ms
         WHERE response IS NULL AND boot <> excluded.boot AND request_hash = excluded.request_hash",
    )
    .bind(claim.name.principal.as_str())
    .bind(claim.name.key.as_slice())
    .bind(claim.request_hash.as_slice())
    .bind(claim.boot.as_slice())
    .bind(int(claim.now_ms))
    .execute(&mut *connection)
    .await?;
    if won.rows_affected() > 0 {
        return Ok(Claimed::New);
    }
    let row = sqlx::query("SELECT request_hash, response FROM idempotency WHERE principal = ? AND key = ?")
        .bind(claim.name.principal.as_str())
        .bind(claim.name.key.as_slice())
        .fetch_one(&mut *connection)
        .await?;
    if row.try_get::<&[u8], _>(0)? != claim.request_hash {
        return Ok(Claimed::Conflict);
    }
    Ok(row.try_get::<Option<Vec<u8>>, _>(1)?.map_or(Claimed::InProgress, Claimed::Done))
}

/// Gives a claim back whose intent was not kept.
async fn forget(connection: &mut SqliteConnection, claim: &Claim) {
    let query = sqlx::query("DELETE FROM idempotency WHERE principal = ? AND key = ? AND response IS NULL")
        .bind(claim.name.principal.as_str())
        .bind(claim.name.key.as_slice());
    if let Err(error) = query.execute(connection).await {
        tracing::error!(%error, "a claim was not given back");
    }
}

/// Queues releases and completes requests; pushes one result for each, in order.
pub(super) async fn finish(
    connection: &mut SqliteConnection,
    signed: &[Signed],
    results: &mut Vec<Result<(), StoreError>>,
) {
    for chunk in chunks(signed) {
        match update(connection, chunk).await {
            Ok(done) => {
                for one in chunk {
                    results.push(match done.contains(&one.intent) {
                        true => complete(connection, one).await,
                        false => Err(StoreError::Missing { what: "intent" }),
                    });
                }
            }
            Err(error) => {
                tracing::error!(%error, "releases were not queued");
                let failed = || Err(StoreError::Database { source: error.to_string().into() });
                results.extend(chunk.iter().map(|_| failed()));
            }
        }
    }
}

async fn insert(connection: &mut SqliteConnection, rows: &[(usize, &NewIntent)]) -> Result<(), StoreError> {
    let mut statement = QueryBuilder::<Sqlite>::new(
        "INSERT INTO intents (id, key_id, r, payload_hash, policy, not_after, state, created_ms) ",
    );
    statement.push_values(rows, |mut row, (_, intent)| {
        row.push_bind(intent.id.as_slice())
            .push_bind(intent.key_id.as_slice())
            .push_bind(intent.r.as_slice())
            .push_bind(intent.payload_hash.as_slice())
            .push_bind(intent.policy.as_slice())
            .push_bind(int(intent.not_after))
            .push("'submitted'")
            .push_bind(int(intent.created_ms));
    });
    statement.build().execute(&mut *connection).await?;
    Ok(())
}

async fn update(connection: &mut SqliteConnection, rows: &[Signed]) -> Result<HashSet<Id>, StoreError> {
    let mut statement = QueryBuilder::<Sqlite>::new(
        "UPDATE intents SET state = 'signed', leaf_index = new.column2, height = new.column3, \
         signature_hash = new.column4 FROM (",
    );
    statement.push_values(rows, |mut row, one| {
        row.push_bind(one.intent.as_slice())
            .push_bind(int(one.leaf_index))
            .push_bind(int(one.height))
            .push_bind(one.signature_hash.as_slice());
    });
    statement.push(") AS new WHERE id = new.column1 AND +state IN ('submitted', 'final') RETURNING id");
    let done = statement.build().fetch_all(&mut *connection).await?;
    done.iter().map(|row| id_at(row, 0, "intents", "id")).collect()
}

async fn complete(connection: &mut SqliteConnection, signed: &Signed) -> Result<(), StoreError> {
    let Some((name, response)) = &signed.response else { return Ok(()) };
    sqlx::query("UPDATE idempotency SET response = ? WHERE principal = ? AND key = ?")
        .bind(response.as_slice())
        .bind(name.principal.as_str())
        .bind(name.key.as_slice())
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Cuts rows into the sizes of `CHUNKS`.
fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = CHUNKS.into_iter().find(|size| *size <= rows.len())?;
        let (chunk, rest) = rows.split_at_checked(size)?;
        rows = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn chunks_cover_every_row_once() {
        for len in [0_usize, 1, 3, 4, 63, 64, 65, 200] {
            let rows: Vec<usize> = (0..len).collect();
            assert_eq!(super::chunks(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        }
    }
}
