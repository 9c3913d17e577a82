//! The writes of every signature, many rows to a statement. Rows are taken in the order of their names, so that two
//! servers that write the same ones wait for each other rather than both for ever.

use std::collections::{HashMap, HashSet};

use super::{
    risk,
    sql::{Connection, Place, Value, query},
};
use crate::{Claim, Claimed, Id, IdempotencyKey, NewIntent, RiskHistory, Signed, StoreError};

/// Rows to a statement: few sizes, so that the statements are prepared once.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

/// What begins an intent.
pub(super) type Begin = (NewIntent, Option<Claim>, Option<RiskHistory>);

/// Claims keys and keeps intents; one result for each, in order. An error is the whole transaction's.
pub(super) async fn begin(
    on: &mut Connection,
    begins: &[&Begin],
) -> Result<Vec<Result<Claimed, StoreError>>, StoreError> {
    let revisions = revisions(on, begins).await?;
    let current = |intent: &NewIntent| revisions.get(&intent.key_id) == Some(&intent.key_revision);
    let claims: Vec<&Claim> = begins
        .iter()
        .filter(|(intent, ..)| current(intent))
        .filter_map(|(_, claim, _)| claim.as_ref())
        .collect();
    let mut claimed = claim_all(on, &claims).await?.into_iter();
    let mut results: Vec<Claimed> = begins
        .iter()
        .map(|(intent, claim, _)| match claim {
            _ if !current(intent) => Claimed::Stale,
            None => Claimed::New,
            Some(_) => claimed.next().unwrap_or(Claimed::InProgress),
        })
        .collect();
    keep_histories(on, begins, &mut results).await?;
    let fresh: Vec<&NewIntent> = begins
        .iter()
        .zip(&results)
        .filter(|(_, claimed)| **claimed == Claimed::New)
        .map(|((intent, ..), _)| intent)
        .collect();
    let mut kept = insert(on, &fresh).await?;
    let mut answers = Vec::with_capacity(begins.len());
    for ((intent, claim, _), claimed) in begins.iter().zip(results) {
        // Of two intents with one id the first is kept.
        answers.push(match claimed {
            Claimed::New if !kept.remove(&intent.id) => {
                if let Some(claim) = claim {
                    forget(on, &claim.name).await?;
                }
                Err(StoreError::Missing { what: "new intent" })
            }
            claimed => Ok(claimed),
        });
    }
    Ok(answers)
}

/// Keeps the histories of what is new; what follows another revision than the one that stands is stale.
async fn keep_histories(
    on: &mut Connection,
    begins: &[&Begin],
    results: &mut [Claimed],
) -> Result<(), StoreError> {
    let mut histories: Vec<_> = begins
        .iter()
        .zip(results)
        .filter(|(_, claimed)| **claimed == Claimed::New)
        .filter_map(|((_, claim, history), claimed)| Some((history.as_ref()?, claim.as_ref(), claimed)))
        .collect();
    histories.sort_by_key(|(history, ..)| (history.account, history.from));
    for (history, claim, claimed) in histories {
        if !risk::try_put(on, history).await? {
            if let Some(claim) = claim {
                forget(on, &claim.name).await?;
            }
            *claimed = Claimed::Stale;
        }
    }
    Ok(())
}

/// The revisions of the keys that are going to sign.
async fn revisions(on: &mut Connection, begins: &[&Begin]) -> Result<HashMap<Id, u64>, StoreError> {
    let keys: Vec<Id> =
        begins.iter().map(|(intent, ..)| intent.key_id).collect::<HashSet<_>>().into_iter().collect();
    let mut revisions = HashMap::with_capacity(keys.len());
    for chunk in chunks(&keys) {
        let rows = query("SELECT key_id, revision FROM keys WHERE key_id IN (VALUES ")
            .rows_of(chunk.iter().map(|id| [Value::from(*id)]))
            .then(")")
            .rows(on)
            .await?;
        for row in rows {
            revisions
                .insert(row.array(0, Place("keys", "key_id"))?, row.number(1, Place("keys", "revision"))?);
        }
    }
    Ok(revisions)
}

/// Claims keys; one answer for each, in order. The insert decides between racers: here, in this group and elsewhere.
pub(super) async fn claim_all(on: &mut Connection, claims: &[&Claim]) -> Result<Vec<Claimed>, StoreError> {
    let mut first: Vec<&Claim> = Vec::with_capacity(claims.len());
    let mut names = HashSet::with_capacity(claims.len());
    for claim in claims {
        if names.insert((claim.name.principal.as_str(), claim.name.key.as_slice())) {
            first.push(claim);
        }
    }
    first.sort_by_key(|claim| (claim.name.principal.as_str(), claim.name.key.as_slice()));
    let mut won = HashSet::with_capacity(first.len());
    for chunk in chunks(&first) {
        let rows =
            query("INSERT INTO idempotency (principal, key, request_hash, boot, ticket, created_ms) VALUES ")
                .rows_of(chunk.iter().map(|claim| {
                    [
                        Value::from(claim.name.principal.as_str()),
                        Value::from(claim.name.key.as_slice()),
                        Value::from(claim.request_hash),
                        Value::from(claim.boot),
                        Value::from(claim.name.ticket),
                        Value::from(claim.now_ms),
                    ]
                }))
                .then(
                    " ON CONFLICT (principal, key) DO UPDATE
                 SET boot = excluded.boot, ticket = excluded.ticket, created_ms = excluded.created_ms
                 WHERE idempotency.response IS NULL AND idempotency.request_hash = excluded.request_hash
                 AND idempotency.boot <> excluded.boot
                 AND NOT EXISTS (SELECT 1 FROM servers WHERE servers.boot = idempotency.boot)
                 AND NOT EXISTS (SELECT 1 FROM acts WHERE acts.ticket = idempotency.ticket)
                 RETURNING ticket",
                )
                .rows(on)
                .await?;
        for row in rows {
            won.insert(row.array::<16>(0, Place("idempotency", "ticket"))?);
        }
    }
    let mut answers = Vec::with_capacity(claims.len());
    for claim in claims {
        // A second claim of the same key in one group must not win with the first one's ticket.
        answers.push(if won.remove(&claim.name.ticket) { Claimed::New } else { standing(on, claim).await? });
    }
    Ok(answers)
}

/// What stands where a claim did not win.
async fn standing(on: &mut Connection, claim: &Claim) -> Result<Claimed, StoreError> {
    let row = query("SELECT request_hash, response FROM idempotency WHERE principal = $1 AND key = $2")
        .bind(claim.name.principal.as_str())
        .bind(claim.name.key.as_slice())
        .row(on)
        .await?;
    // Another server may have given the key back just now: the caller asks again.
    let Some(row) = row else { return Ok(Claimed::InProgress) };
    if row.slice(0)? != claim.request_hash {
        return Ok(Claimed::Conflict);
    }
    Ok(row.optional_bytes(1)?.map_or(Claimed::InProgress, Claimed::Done))
}

/// Gives a claim back whose intent was not kept.
async fn forget(on: &mut Connection, name: &IdempotencyKey) -> Result<(), StoreError> {
    query("DELETE FROM idempotency WHERE principal = $1 AND key = $2 AND ticket = $3 AND response IS NULL")
        .bind(name.principal.as_str())
        .bind(name.key.as_slice())
        .bind(name.ticket)
        .execute(on)
        .await?;
    Ok(())
}

/// Keeps intents; the ids of those that are new.
pub(super) async fn insert(on: &mut Connection, intents: &[&NewIntent]) -> Result<HashSet<Id>, StoreError> {
    let mut kept = HashSet::with_capacity(intents.len());
    for chunk in chunks(intents) {
        let rows = query(
            "INSERT INTO intents (id, key_id, r, payload_hash, policy, not_after, state, created_ms, submitter,
             key_revision) VALUES ",
        )
        .rows_of(chunk.iter().map(|intent| {
            [
                Value::from(intent.id),
                Value::from(intent.key_id),
                Value::from(intent.r),
                Value::from(intent.payload_hash),
                Value::from(intent.policy),
                Value::from(intent.not_after),
                Value::from("submitted"),
                Value::from(intent.created_ms),
                Value::from(intent.submitter),
                Value::from(intent.key_revision),
            ]
        }))
        .then(" ON CONFLICT (id) DO NOTHING RETURNING id")
        .rows(on)
        .await?;
        for row in rows {
            kept.insert(row.array(0, Place("intents", "id"))?);
        }
    }
    Ok(kept)
}

/// Queues releases and completes requests; one result for each, in order.
pub(super) async fn finish(
    on: &mut Connection,
    signed: &[&Signed],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut done = HashSet::with_capacity(signed.len());
    for chunk in chunks(signed) {
        done.extend(update(on, chunk).await?);
    }
    let responses: Vec<(&IdempotencyKey, &[u8])> = signed
        .iter()
        .filter(|one| done.contains(&one.intent))
        .filter_map(|one| one.response.as_ref().map(|(name, response)| (name, response.as_slice())))
        .collect();
    let completed = complete(on, &responses).await?;
    let mut answers = Vec::with_capacity(signed.len());
    for one in signed {
        let ticket = one.response.as_ref().map(|(name, _)| name.ticket);
        answers.push(if !done.contains(&one.intent) {
            Err(StoreError::Missing { what: "intent" })
        } else if ticket.is_some_and(|ticket| !completed.contains(&ticket)) {
            // The claim went to another try: this one's signature must not leave.
            take_back(on, one.intent).await?;
            Err(StoreError::Missing { what: "claim" })
        } else {
            Ok(())
        });
    }
    Ok(answers)
}

async fn update(on: &mut Connection, rows: &[&Signed]) -> Result<Vec<Id>, StoreError> {
    let done = query(
        "UPDATE intents SET state = 'signed', leaf_index = fresh.column2, height = fresh.column3,
         signature_hash = fresh.column4, held_until_ms = fresh.column5 FROM (VALUES ",
    )
    .rows_of(rows.iter().map(|one| {
        [
            Value::from(one.intent),
            Value::from(one.leaf_index),
            Value::from(one.height),
            Value::from(one.signature_hash),
            Value::from(one.held_until_ms),
        ]
    }))
    // `|| ''` keeps SQLite from walking the index of all that are open.
    .then(") AS fresh WHERE id = fresh.column1 AND state || '' IN ('submitted', 'final') RETURNING id")
    .rows(on)
    .await?;
    done.iter().map(|row| row.array(0, Place("intents", "id"))).collect()
}

/// Keeps responses; the tickets of those that were kept.
async fn complete(
    on: &mut Connection,
    responses: &[(&IdempotencyKey, &[u8])],
) -> Result<HashSet<[u8; 16]>, StoreError> {
    let mut kept = HashSet::with_capacity(responses.len());
    for chunk in chunks(responses) {
        let rows = query("UPDATE idempotency SET response = fresh.column4 FROM (VALUES ")
            .rows_of(chunk.iter().map(|(name, response)| {
                [
                    Value::from(name.principal.as_str()),
                    Value::from(name.key.as_slice()),
                    Value::from(name.ticket),
                    Value::from(*response),
                ]
            }))
            .then(
                ") AS fresh WHERE principal = fresh.column1 AND key = fresh.column2
                 AND ticket = fresh.column3 AND response IS NULL RETURNING ticket",
            )
            .rows(on)
            .await?;
        for row in rows {
            kept.insert(row.array(0, Place("idempotency", "ticket"))?);
        }
    }
    Ok(kept)
}

async fn take_back(on: &mut Connection, intent: Id) -> Result<(), StoreError> {
    query("UPDATE intents SET state = 'final', signature_hash = NULL WHERE id = $1 AND state = 'signed'")
        .bind(intent)
        .execute(on)
        .await?;
    Ok(())
}

/// Cuts rows into the sizes of `CHUNKS`.
pub(super) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
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
