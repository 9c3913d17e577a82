//! The steps of an atomic change, and pruning.

use super::{
    addresses, approvals, dealings, grants,
    hot::chunks,
    keys::{self, is_unique},
    notices, policies, risk,
    sql::{Connection, Query, Value, query},
    vaults,
};
use crate::{Account, Change, Id, JobState, StoreError};

/// Settled rows that one pruning removes at most.
const PRUNE_MAX: i64 = 5_000;
/// Names that nobody has whose tries are remembered after a pruning; beyond those one pruning removes as many at most.
const NAMES_MAX: i64 = 65_536;

/// All of the changes; the caller rolls back when one fails.
pub(super) async fn apply(on: &mut Connection, changes: &[Change]) -> Result<(), StoreError> {
    for change in changes {
        step(on, change).await?;
    }
    Ok(())
}

/// How many rows a statement must touch.
pub(super) enum Touches {
    Any,
    One(&'static str),
}

async fn step(on: &mut Connection, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::InsertAccount(account) => return insert_account(on, account).await,
        Change::InsertKey(key) => return keys::insert(on, key).await,
        Change::SetLabels { key_id, from, to } => {
            return one(keys::set_labels(on, *key_id, from, to).await?, "labels");
        }
        Change::PutApproval { row, readers, room } => return approvals::put(on, row, readers, *room).await,
        Change::Released(intents) => return released(on, "released", intents).await,
        Change::Late(intents) => return released(on, "late", intents).await,
        Change::KeepViewing { .. }
        | Change::EraseAddresses(_)
        | Change::PutAddresses { .. }
        | Change::CloseAddressEpoch { .. } => {
            return addresses::step(on, change).await;
        }
        _ => {}
    }
    let Some((statement, touches)) = statement(change) else { return Ok(()) };
    let touched = statement.execute(on).await?;
    if let Touches::One(what) = touches {
        one(touched, what)?;
    }
    match change {
        Change::SetAccountState(account, _, _) => {
            touch(on, "UPDATE keys SET revision = revision + 1 WHERE account = $1", *account).await
        }
        Change::PutAuthorisation { key_id, .. } | Change::RemoveAuthorisation { key_id, .. } => {
            touch(on, "UPDATE keys SET revision = revision + 1 WHERE key_id = $1", *key_id).await
        }
        _ => Ok(()),
    }
}

/// The statement of a step that is one.
fn statement(change: &Change) -> Option<(Query, Touches)> {
    use Touches::{Any, One};
    Some(match change {
        // These are more than one statement.
        Change::InsertAccount(_) | Change::InsertKey(_) | Change::SetLabels { .. } => return None,
        Change::Released(_) | Change::Late(_) | Change::PutApproval { .. } => return None,
        Change::KeepViewing { .. } | Change::EraseAddresses(_) | Change::PutAddresses { .. } | Change::CloseAddressEpoch { .. } => {
            return None;
        }

        Change::PutAddressAccount(_)
        | Change::SetAddressesChosen(_)
        | Change::RemovePendingAddresses(_)
        | Change::ResealAddresses { .. }
        | Change::AddressUsed { .. }
        | Change::FreeAddress { .. }
        | Change::ForgetAddress { .. }
        | Change::KeepAddressClosing { .. } => return addresses::statement(change),

        Change::OpenApproval { .. }
        | Change::SetApprovalUse { .. }
        | Change::RemoveApproval(_)
        | Change::EndApproval(_)
        | Change::WithdrawApproval(_)
        | Change::RemoveApprovalsOf(_)
        | Change::EndApprovals { .. }
        | Change::PutApprovalRule(_) => return approvals::statement(change),

        Change::RememberVault { .. }
        | Change::SealVault { .. }
        | Change::ForgetPendingVault { .. }
        | Change::EndVault { .. }
        | Change::PutCode(_)
        | Change::ChargeCode { .. }
        | Change::NeedNoLiveCode(_)
        | Change::ConfirmCode(_)
        | Change::RemoveCode(..)
        | Change::ResealCode { .. } => return vaults::statement(change),

        Change::KeepPolicyText { .. }
        | Change::ForgetPolicyText(_)
        | Change::PutPolicyVersion(_)
        | Change::KeepPolicyRequests(_)
        | Change::PrunePolicyRequests { .. } => return policies::statement(change),

        Change::PutRiskHistory(_)
        | Change::EraseRiskHistory(_)
        | Change::PutRiskVersion(_)
        | Change::KeepRiskRequests(_)
        | Change::PruneRiskRequests { .. } => return risk::statement(change),

        Change::PutGrant(_) | Change::ForgetGrant(_) | Change::LookedAtGrant(_) => {
            return grants::statement(change);
        }
        Change::KeepDealing(_) | Change::ForgetDealings { .. } | Change::ForgetDealingsOf(_) => {
            return dealings::statement(change);
        }

        Change::PutNotice(_)
        | Change::TakeNotice { .. }
        | Change::RetryNotice { .. }
        | Change::ReplaceNotices { .. }
        | Change::EndNotice { .. } => return notices::statement(change),

        Change::SetAccountState(account, from, to) => (
            query("UPDATE accounts SET state = $1 WHERE account = $2 AND state = $3")
                .bind(to.word())
                .bind(*account)
                .bind(from.word()),
            One("account"),
        ),
        Change::SetPassword { account, opaque_record, credential } => (
            query(
                "UPDATE accounts SET opaque_record = $1, credential = $2 WHERE account = $3 AND state = 'open'",
            )
            .bind(opaque_record.as_slice())
            .bind(*credential)
            .bind(*account),
            One("open account"),
        ),
        // A write, so that it waits for whoever is closing the account.
        Change::NeedOpenAccount(account) => (
            query("UPDATE accounts SET state = state WHERE account = $1 AND state = 'open'").bind(*account),
            One("open account"),
        ),
        Change::NeedLogin { account, opaque_record } => (
            query("UPDATE accounts SET state = state WHERE account = $1 AND state = 'open' AND opaque_record = $2")
                .bind(*account)
                .bind(opaque_record.as_slice()),
            One("login"),
        ),
        Change::RemovePendingAccount(account) => {
            (query("DELETE FROM accounts WHERE account = $1 AND state = 'pending'").bind(*account), Any)
        }
        Change::SetLogins { account, from, failures, last_ms } => {
            let set = query("UPDATE accounts SET login_failures = $1, login_last_ms = $2 WHERE account = $3")
                .bind(*failures)
                .bind(*last_ms)
                .bind(*account);
            match from {
                None => (set, Any),
                Some((failures, last_ms)) => {
                    let set = set.then(" AND login_failures = $4 AND login_last_ms = $5");
                    (set.bind(*failures).bind(*last_ms), One("count of logins"))
                }
            }
        }
        Change::SetUnknownName { name, from, failures, last_ms, expires_ms } => {
            let kept = |statement| query(statement).bind(*failures).bind(*last_ms).bind(*expires_ms).bind(*name);
            let set = match from {
                None => kept(
                    "INSERT INTO unknown_names (failures, last_ms, expires_ms, name) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (name) DO NOTHING",
                ),
                Some((failures, last_ms)) => kept(
                    "UPDATE unknown_names SET failures = $1, last_ms = $2, expires_ms = $3
                     WHERE name = $4 AND failures = $5 AND last_ms = $6",
                )
                .bind(*failures)
                .bind(*last_ms),
            };
            (set, One("count of logins"))
        }
        Change::PutRegistration(row) => (
            query(
                "INSERT INTO registrations (id, name, account, salt, nonce, not_after, expires_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(row.id)
            .bind(row.name.as_str())
            .bind(row.account)
            .bind(row.salt)
            .bind(row.nonce)
            .bind(row.not_after)
            .bind(row.expires_ms),
            Any,
        ),
        Change::PutSession(row) => (
            query("INSERT INTO sessions (token_hash, account, fingerprint, expires_ms) VALUES ($1, $2, $3, $4)")
                .bind(row.token_hash)
                .bind(row.account)
                .bind(row.fingerprint)
                .bind(row.expires_ms),
            Any,
        ),
        Change::BindSession { token_hash, fingerprint } => (
            query("UPDATE sessions SET fingerprint = $1 WHERE token_hash = $2 AND fingerprint IS NULL")
                .bind(*fingerprint)
                .bind(*token_hash),
            One("session"),
        ),
        Change::EndSessions(account) => {
            (query("DELETE FROM sessions WHERE account = $1").bind(*account), Any)
        }
        Change::KeepSessions { account, newest, most } => {
            (keep_newest("sessions", "token_hash", *account, *newest, *most), Any)
        }

        Change::SetKeyState { key_id, from, to, changed_ms, successor } => (
            query(
                "UPDATE keys SET state = $1, changed_ms = $2, successor = coalesce($3, successor),
                 revision = revision + 1 WHERE key_id = $4 AND state = $5",
            )
            .bind(to.word())
            .bind(*changed_ms)
            .bind(*successor)
            .bind(*key_id)
            .bind(from.word()),
            One("key"),
        ),
        Change::EraseKey(key_id) => (
            query(
                "UPDATE keys SET sealed_private = NULL, kek = '', revision = revision + 1
                 WHERE key_id = $1 AND state = 'destroyed'",
            )
            .bind(*key_id),
            One("key"),
        ),
        Change::Reseal { key_id, from_sealed, to_sealed, kek } => (
            query(
                "UPDATE keys SET sealed_private = $1, kek = $2, revision = revision + 1
                 WHERE key_id = $3 AND sealed_private = $4",
            )
            .bind(to_sealed.as_slice())
            .bind(kek.as_str())
            .bind(*key_id)
            .bind(from_sealed.as_slice()),
            One("key"),
        ),
        Change::ReplaceShared { key_id, from, to } => (
            query(
                "UPDATE keys SET shared = $1, revision = revision + 1
                 WHERE key_id = $2 AND mode = 'shared' AND shared = $3",
            )
            .bind(to.as_slice())
            .bind(*key_id)
            .bind(from.as_slice()),
            One("key"),
        ),
        Change::RemovePendingKey(key_id) => {
            (query("DELETE FROM keys WHERE key_id = $1 AND state = 'pending'").bind(*key_id), Any)
        }
        Change::PutAuthorisation { key_id, app, created_ms } => (
            query(
                "INSERT INTO authorisations (key_id, app, created_ms) VALUES ($1, $2, $3)
                 ON CONFLICT (key_id, app) DO NOTHING",
            )
            .bind(*key_id)
            .bind(app.as_str())
            .bind(*created_ms),
            Any,
        ),
        Change::RemoveAuthorisation { key_id, app } => (
            query("DELETE FROM authorisations WHERE key_id = $1 AND app = $2")
                .bind(*key_id)
                .bind(app.as_str()),
            Any,
        ),

        Change::PutPin(pin) => (
            query(
                "INSERT INTO pins (token_serial, token_label, sealed) VALUES ($1, $2, $3)
                 ON CONFLICT (token_serial, token_label) DO UPDATE SET sealed = excluded.sealed",
            )
            .bind(pin.serial.as_str())
            .bind(pin.label.as_str())
            .bind(pin.sealed.as_slice()),
            Any,
        ),
        Change::ForgetIdlePins => (
            query(
                "DELETE FROM pins WHERE NOT EXISTS
                 (SELECT 1 FROM keys WHERE keys.token_serial = pins.token_serial AND keys.state <> 'destroyed')",
            ),
            Any,
        ),
        Change::ReplacePin { serial, label, from, to } => (
            query(
                "UPDATE pins SET sealed = $1
                 WHERE token_serial = $2 AND token_label = $3 AND sealed = $4",
            )
            .bind(to.as_slice())
            .bind(serial.as_str())
            .bind(label.as_str())
            .bind(from.as_slice()),
            One("pin"),
        ),
        Change::PutSecret(name, sealed) => (
            query("INSERT INTO secrets (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
                .bind(*name)
                .bind(sealed.as_slice()),
            Any,
        ),
        Change::ReplaceSecret { name, from, to } => (
            query("UPDATE secrets SET sealed = $1 WHERE name = $2 AND sealed = $3")
                .bind(to.as_slice())
                .bind(*name)
                .bind(from.as_slice()),
            One("secret"),
        ),
        Change::KeepChallenges { account, newest, most } => {
            (keep_newest("challenges", "nonce", *account, *newest, *most), Any)
        }
        Change::PutChallenge(row) => (
            query(
                "INSERT INTO challenges (nonce, account, scheme, not_after, expires_ms)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(row.nonce)
            .bind(row.account)
            .bind(row.scheme)
            .bind(row.not_after)
            .bind(row.expires_ms),
            Any,
        ),

        Change::PutAct(act) => {
            let name = act.name.as_ref();
            (
                query(
                    "INSERT INTO acts (id, kind, subject, detail, until, created_ms, boot, principal, mark, ticket)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                )
                .bind(act.id)
                .bind(act.kind.word())
                .bind(act.subject)
                .bind(act.detail.as_str())
                .bind(act.until)
                .bind(act.created_ms)
                .bind(act.boot)
                .bind(name.map(|name| name.principal.clone()))
                .bind(name.map(|name| name.key.clone()))
                .bind(name.map(|name| name.ticket)),
                Any,
            )
        }
        // Of several that settle an act, one does.
        Change::RemoveAct(id) => (query("DELETE FROM acts WHERE id = $1").bind(*id), One("act")),
        Change::Complete(name, response) => (
            query(
                "UPDATE idempotency SET response = $1
                 WHERE principal = $2 AND key = $3 AND ticket = $4 AND response IS NULL",
            )
            .bind(response.as_slice())
            .bind(name.principal.as_str())
            .bind(name.key.as_slice())
            .bind(name.ticket),
            Any,
        ),
        // While an act is under way the claim stays: what settles the act completes or forgets it.
        Change::Forget(name) => (
            query(
                "DELETE FROM idempotency WHERE principal = $1 AND key = $2 AND ticket = $3 AND response IS NULL
                 AND NOT EXISTS (SELECT 1 FROM acts WHERE acts.ticket = idempotency.ticket)",
            )
            .bind(name.principal.as_str())
            .bind(name.key.as_slice())
            .bind(name.ticket),
            Any,
        ),

        Change::SetIntentState { intent, state, place } => (
            query(
                "UPDATE intents SET state = $1, leaf_index = coalesce($2, leaf_index),
                 height = coalesce($3, height) WHERE id = $4 AND state IN ('submitted', 'final')",
            )
            .bind(state.word())
            .bind(place.map(|(leaf_index, _)| leaf_index))
            .bind(place.map(|(_, height)| height))
            .bind(*intent),
            Any,
        ),

        Change::PutProfile(row) => (
            query(
                "INSERT INTO profiles (account, sealed_key, kek, body) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (account) DO UPDATE SET sealed_key = excluded.sealed_key, kek = excluded.kek,
                 body = excluded.body WHERE profiles.erased_ms IS NULL",
            )
            .bind(row.account)
            .bind(row.sealed_key.as_slice())
            .bind(row.kek.as_str())
            .bind(row.body.as_slice()),
            One("profile"),
        ),
        Change::ResealProfile { account, from_sealed, to_sealed, kek } => (
            query("UPDATE profiles SET sealed_key = $1, kek = $2 WHERE account = $3 AND sealed_key = $4")
                .bind(to_sealed.as_slice())
                .bind(kek.as_str())
                .bind(*account)
                .bind(from_sealed.as_slice()),
            One("profile"),
        ),
        Change::EraseProfile { account, at_ms } => (
            query(
                "UPDATE profiles SET sealed_key = $1, body = $1, kek = '', erased_ms = $2
                 WHERE account = $3 AND erased_ms IS NULL",
            )
            .bind(Vec::new())
            .bind(*at_ms)
            .bind(*account),
            Any,
        ),

        Change::PutAgentJob(job) => (
            query(
                "INSERT INTO agent_jobs (id, agent, kind, body, state, answer, created_ms, expires_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(job.id)
            .bind(job.agent.as_str())
            .bind(job.kind.as_str())
            .bind(job.body.as_slice())
            .bind(job.state.word())
            .bind(job.answer.clone())
            .bind(job.created_ms)
            .bind(job.expires_ms),
            Any,
        ),
        Change::AnswerAgentJob { id, state, answer, now_ms } => {
            let from = match state {
                JobState::Taken => "state = 'waiting' AND expires_ms > $4",
                JobState::Answered | JobState::Refused => "state IN ('waiting', 'taken') AND expires_ms > $4",
                JobState::Expired => "state IN ('waiting', 'taken') AND $4 = $4",
                JobState::Waiting => "1 = 0 AND $4 = $4",
            };
            let set = match state {
                JobState::Waiting | JobState::Taken => "state = $1, answer = $2 WHERE id = $3 AND ",
                // What was shown at the desk is nobody's any more.
                _ => "state = $1, answer = $2, body = $5 WHERE id = $3 AND ",
            };
            let row = query("UPDATE agent_jobs SET ").then(set).then(from).bind(state.word());
            let row = row.bind(answer.clone()).bind(*id).bind(*now_ms);
            let ended = !matches!(state, JobState::Waiting | JobState::Taken);
            (if ended { row.bind(Vec::new()) } else { row }, One("agent job"))
        }
    })
}

/// Removes an account's rows that end first until `most` are left; the newest one stays in any case.
fn keep_newest(table: &'static str, name: &'static str, account: Id, newest: Id, most: usize) -> Query {
    let others = format!("account = $1 AND {name} <> $2");
    query(format!(
        "DELETE FROM {table} WHERE {others} AND {name} NOT IN
         (SELECT {name} FROM {table} WHERE {others} ORDER BY expires_ms DESC, {name} LIMIT $3)"
    ))
    .bind(account)
    .bind(newest)
    .bind(most.saturating_sub(1) as u64)
}

async fn insert_account(on: &mut Connection, row: &Account) -> Result<(), StoreError> {
    let result = query(
        "INSERT INTO accounts (account, kind, name, salt, opaque_record, credential, state, login_failures,
         login_last_ms, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(row.account)
    .bind(row.kind.as_str())
    .bind(row.name.as_str())
    .bind(row.salt)
    .bind(row.opaque_record.clone())
    .bind(row.credential)
    .bind(row.state.word())
    .bind(row.login_failures)
    .bind(row.login_last_ms)
    .bind(row.created_ms)
    .execute(on)
    .await;
    match result {
        Err(error) if is_unique(&error) => Err(StoreError::AccountExists),
        other => other.map(drop).map_err(Into::into),
    }
}

async fn released(on: &mut Connection, state: &'static str, intents: &[Id]) -> Result<(), StoreError> {
    for chunk in chunks(intents) {
        // `|| ''` keeps SQLite from walking the index of all that wait.
        query("UPDATE intents SET state = '")
            .then(state)
            .then("' WHERE state || '' = 'signed' AND id IN (VALUES ")
            .rows_of(chunk.iter().map(|id| [Value::from(*id)]))
            .then(")")
            .execute(on)
            .await?;
    }
    Ok(())
}

/// Removes what has expired; returns how many rows went.
pub(super) async fn prune(on: &mut Connection, now_ms: u64, keep_from_ms: u64) -> Result<u64, StoreError> {
    let expired = [
        "DELETE FROM registrations WHERE expires_ms <= $1",
        "DELETE FROM sessions WHERE expires_ms <= $1",
        "DELETE FROM challenges WHERE expires_ms <= $1",
        "DELETE FROM unknown_names WHERE expires_ms <= $1",
    ];
    let mut gone = 0;
    for statement in expired {
        gone += query(statement).bind(now_ms).execute(on).await?;
    }
    // Whoever tries names without end is not to fill the disk, nor to wash out a name that is held back: those with the
    // most failures are kept, and the newest of them.
    gone += query(
        "DELETE FROM unknown_names WHERE name IN
         (SELECT name FROM unknown_names ORDER BY failures DESC, expires_ms DESC, name LIMIT $1 OFFSET $2)",
    )
    .bind(NAMES_MAX)
    .bind(NAMES_MAX)
    .execute(on)
    .await?;
    let settled = [
        "DELETE FROM idempotency WHERE (principal, key) IN
         (SELECT principal, key FROM idempotency WHERE created_ms < $1 LIMIT $2)",
        "DELETE FROM intents WHERE id IN (SELECT id FROM intents
         WHERE state IN ('released', 'late', 'refused', 'abandoned') AND created_ms < $1 LIMIT $2)",
        "DELETE FROM notices WHERE id IN (SELECT id FROM notices
         WHERE state <> 'waiting' AND created_ms < $1 AND until_ms < $1 LIMIT $2)",
        "DELETE FROM agent_jobs WHERE id IN (SELECT id FROM agent_jobs WHERE expires_ms < $1 LIMIT $2)",
    ];
    for statement in settled {
        gone += query(statement).bind(keep_from_ms).bind(PRUNE_MAX).execute(on).await?;
    }
    Ok(gone)
}

async fn touch(on: &mut Connection, statement: &'static str, id: Id) -> Result<(), StoreError> {
    query(statement).bind(id).execute(on).await?;
    Ok(())
}

fn one(rows: u64, what: &'static str) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Missing { what }) }
}
