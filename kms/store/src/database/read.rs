//! Reading: rows into plain data, and nothing unreadable taken for something else.

use super::sql::{Place, Readers, Row, query};
use crate::{
    Account, AccountState, Act, ActKind, AgentJob, Id, IdempotencyKey, Intent, IntentState, JobState,
    NewIntent, Pin, Profile, QueuedRelease, Server, Session, StoreError,
};

const ACCOUNT: &str = "SELECT account, kind, name, salt, opaque_record, credential, state, login_failures, \
                       login_last_ms, created_ms FROM accounts WHERE ";
const INTENT: &str = "SELECT id, key_id, r, payload_hash, policy, not_after, created_ms, state, leaf_index, \
                      height, signature_hash, submitter, key_revision FROM intents WHERE ";
const PROFILE: &str = "SELECT account, sealed_key, kek, body, erased_ms FROM profiles WHERE ";
const JOB: &str =
    "SELECT id, agent, kind, body, state, answer, created_ms, expires_ms FROM agent_jobs WHERE ";

pub(super) async fn account(on: &Readers, account: Id) -> Result<Option<Account>, StoreError> {
    one(query(ACCOUNT).then("account = $1").bind(account).read(on).await?, to_account)
}

pub(super) async fn account_by_name(
    on: &Readers,
    kind: &str,
    name: &str,
) -> Result<Option<Account>, StoreError> {
    one(query(ACCOUNT).then("kind = $1 AND name = $2").bind(kind).bind(name).read(on).await?, to_account)
}

pub(super) async fn unknown_name(on: &Readers, name: Id) -> Result<Option<(u32, u64)>, StoreError> {
    let at = |column| Place("unknown_names", column);
    let rows =
        query("SELECT failures, last_ms FROM unknown_names WHERE name = $1").bind(name).read(on).await?;
    one(rows, |row| Ok((row.number(0, at("failures"))?, row.number(1, at("last_ms"))?)))
}

pub(super) async fn session(
    on: &Readers,
    token_hash: Id,
    now_ms: u64,
) -> Result<Option<Session>, StoreError> {
    let at = |column| Place("sessions", column);
    let rows = query(
        "SELECT account, fingerprint, expires_ms FROM sessions WHERE token_hash = $1 AND expires_ms > $2",
    )
    .bind(token_hash)
    .bind(now_ms)
    .read(on)
    .await?;
    one(rows, |row| {
        Ok(Session {
            token_hash,
            account: row.array(0, at("account"))?,
            fingerprint: row.optional_array(1, at("fingerprint"))?,
            expires_ms: row.number(2, at("expires_ms"))?,
        })
    })
}

pub(super) async fn authorisations(on: &Readers, key_id: Id) -> Result<Vec<String>, StoreError> {
    let rows =
        query("SELECT app FROM authorisations WHERE key_id = $1 ORDER BY app").bind(key_id).read(on).await?;
    all(rows, |row| Ok(row.string(0)?))
}

pub(super) async fn pins(on: &Readers) -> Result<Vec<Pin>, StoreError> {
    let rows = query("SELECT token_serial, token_label, sealed FROM pins ORDER BY token_serial, token_label")
        .read(on)
        .await?;
    all(rows, |row| Ok(Pin { serial: row.string(0)?, label: row.string(1)?, sealed: row.bytes(2)? }))
}

pub(super) async fn secret(on: &Readers, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
    one(query("SELECT sealed FROM secrets WHERE name = $1").bind(name).read(on).await?, |row| {
        Ok(row.bytes(0)?)
    })
}

pub(super) async fn servers(on: &Readers) -> Result<Vec<Server>, StoreError> {
    let at = |column| Place("servers", column);
    let rows = query("SELECT boot, name, submitter FROM servers ORDER BY name, boot").read(on).await?;
    all(rows, |row| {
        Ok(Server {
            boot: row.array(0, at("boot"))?,
            name: row.string(1)?,
            submitter: row.array(2, at("submitter"))?,
        })
    })
}

pub(super) async fn acts(on: &Readers, boot: [u8; 16]) -> Result<Vec<Act>, StoreError> {
    let rows = query(
        "SELECT id, kind, subject, detail, until, created_ms, boot, principal, mark, ticket FROM acts
         WHERE boot = $1 ORDER BY created_ms",
    )
    .bind(boot)
    .read(on)
    .await?;
    all(rows, to_act)
}

pub(super) async fn open_intents(on: &Readers, submitter: Id, limit: u32) -> Result<Vec<Intent>, StoreError> {
    let rows = query(INTENT)
        .then("state IN ('submitted', 'final') AND submitter = $1 ORDER BY created_ms LIMIT $2")
        .bind(submitter)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_intent)
}

pub(super) async fn intent(on: &Readers, id: Id) -> Result<Option<Intent>, StoreError> {
    one(query(INTENT).then("id = $1").bind(id).read(on).await?, to_intent)
}

pub(super) async fn queued_releases(
    on: &Readers,
    submitter: Id,
    (now_ms, height): (u64, u64),
    limit: u32,
) -> Result<Vec<QueuedRelease>, StoreError> {
    let at = |column| Place("intents", column);
    let rows = query(
        "SELECT id, signature_hash FROM intents WHERE state = 'signed' AND submitter = $1
         AND (held_until_ms <= $2 OR not_after <= $3) ORDER BY created_ms LIMIT $4",
    )
    .bind(submitter)
    .bind(now_ms)
    .bind(height)
    .bind(limit)
    .read(on)
    .await?;
    all(rows, |row| {
        Ok(QueuedRelease {
            intent: row.array(0, at("id"))?,
            signature_hash: row.array(1, at("signature_hash"))?,
        })
    })
}

pub(super) async fn profile(on: &Readers, account: Id) -> Result<Option<Profile>, StoreError> {
    one(query(PROFILE).then("account = $1").bind(account).read(on).await?, to_profile)
}

pub(super) async fn profiles_not_under(
    on: &Readers,
    kek: &str,
    limit: u32,
) -> Result<Vec<Profile>, StoreError> {
    let rows = query(PROFILE)
        .then("erased_ms IS NULL AND kek <> $1 ORDER BY account LIMIT $2")
        .bind(kek)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_profile)
}

pub(super) async fn agent_jobs(
    on: &Readers,
    agent: &str,
    now_ms: u64,
    limit: u32,
) -> Result<Vec<AgentJob>, StoreError> {
    let rows = query(JOB)
        .then(
            "state IN ('waiting', 'taken') AND agent = $1 AND expires_ms > $2 ORDER BY created_ms, id LIMIT $3",
        )
        .bind(agent)
        .bind(now_ms)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_job)
}

pub(super) async fn agent_job(on: &Readers, id: Id) -> Result<Option<AgentJob>, StoreError> {
    one(query(JOB).then("id = $1").bind(id).read(on).await?, to_job)
}

/// The first row's meaning.
pub(super) fn one<T>(
    rows: Vec<Row>,
    parse: impl FnOnce(&Row) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    rows.first().map(parse).transpose()
}

/// Every row's meaning.
pub(super) fn all<T>(
    rows: Vec<Row>,
    parse: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.iter().map(parse).collect()
}

fn to_account(row: &Row) -> Result<Account, StoreError> {
    let at = |column| Place("accounts", column);
    Ok(Account {
        account: row.array(0, at("account"))?,
        kind: row.string(1)?,
        name: row.string(2)?,
        salt: row.array(3, at("salt"))?,
        opaque_record: row.optional_bytes(4)?,
        credential: row.optional_array(5, at("credential"))?,
        state: row.word(6, at("state"), AccountState::from_word)?,
        login_failures: row.number(7, at("login_failures"))?,
        login_last_ms: row.number(8, at("login_last_ms"))?,
        created_ms: row.number(9, at("created_ms"))?,
    })
}

fn to_act(row: &Row) -> Result<Act, StoreError> {
    let at = |column| Place("acts", column);
    let name = match (row.optional_string(7)?, row.optional_bytes(8)?, row.optional_array(9, at("ticket"))?) {
        (Some(principal), Some(key), Some(ticket)) => Some(IdempotencyKey { principal, key, ticket }),
        _ => None,
    };
    Ok(Act {
        id: row.array(0, at("id"))?,
        kind: row.word(1, at("kind"), ActKind::from_word)?,
        subject: row.array(2, at("subject"))?,
        detail: row.string(3)?,
        until: row.number(4, at("until"))?,
        created_ms: row.number(5, at("created_ms"))?,
        boot: row.array(6, at("boot"))?,
        name,
    })
}

fn to_intent(row: &Row) -> Result<Intent, StoreError> {
    let at = |column| Place("intents", column);
    Ok(Intent {
        new: NewIntent {
            id: row.array(0, at("id"))?,
            key_id: row.array(1, at("key_id"))?,
            r: row.array(2, at("r"))?,
            payload_hash: row.array(3, at("payload_hash"))?,
            policy: row.array(4, at("policy"))?,
            not_after: row.number(5, at("not_after"))?,
            created_ms: row.number(6, at("created_ms"))?,
            submitter: row.array(11, at("submitter"))?,
            key_revision: row.number(12, at("key_revision"))?,
        },
        state: row.word(7, at("state"), IntentState::from_word)?,
        leaf_index: row.optional_number(8, at("leaf_index"))?,
        height: row.optional_number(9, at("height"))?,
        signature_hash: row.optional_array(10, at("signature_hash"))?,
    })
}

fn to_profile(row: &Row) -> Result<Profile, StoreError> {
    let at = |column| Place("profiles", column);
    Ok(Profile {
        account: row.array(0, at("account"))?,
        sealed_key: row.bytes(1)?,
        kek: row.string(2)?,
        body: row.bytes(3)?,
        erased_ms: row.optional_number(4, at("erased_ms"))?,
    })
}

fn to_job(row: &Row) -> Result<AgentJob, StoreError> {
    let at = |column| Place("agent_jobs", column);
    Ok(AgentJob {
        id: row.array(0, at("id"))?,
        agent: row.string(1)?,
        kind: row.string(2)?,
        body: row.bytes(3)?,
        state: row.word(4, at("state"), JobState::from_word)?,
        answer: row.optional_bytes(5)?,
        created_ms: row.number(6, at("created_ms"))?,
        expires_ms: row.number(7, at("expires_ms"))?,
    })
}
