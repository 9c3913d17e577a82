//! What is remembered of vaults and of one-time codes.

use super::{
    changes::Touches::{self, Any, One},
    read::{all, one},
    sql::{Place, Query, Readers, Row, query},
};
use crate::{Change, CodeState, Id, OneTimeCode, StoreError, Vault, VaultState};

const VAULT: &str =
    "SELECT vaults.account, vaults.vault, vaults.state, vaults.ended_leaf, vaults.created_ms FROM vaults ";
const CODE: &str =
    "SELECT account, state, sealed, kek, last_step, failures, last_ms FROM one_time_codes WHERE ";

/// The statement of a step that is about these rows.
pub(super) fn statement(change: &Change) -> Option<(Query, Touches)> {
    Some(match change {
        Change::RememberVault { account, vault, created_ms } => (
            query(
                "INSERT INTO vaults (account, vault, state, created_ms) VALUES ($1, $2, 'pending', $3)
                 ON CONFLICT (account, vault) DO NOTHING",
            )
            .bind(*account)
            .bind(*vault)
            .bind(*created_ms),
            Any,
        ),
        Change::SealVault { account, vault, created_ms } => (
            query(
                "INSERT INTO vaults (account, vault, state, created_ms) VALUES ($1, $2, 'sealed', $3)
                 ON CONFLICT (account, vault) DO UPDATE SET state = 'sealed' WHERE vaults.state = 'pending'",
            )
            .bind(*account)
            .bind(*vault)
            .bind(*created_ms),
            Any,
        ),
        Change::ForgetPendingVault { account, vault } => (
            query("DELETE FROM vaults WHERE account = $1 AND vault = $2 AND state = 'pending'")
                .bind(*account)
                .bind(*vault),
            Any,
        ),
        Change::EndVault { account, vault, leaf_index } => (
            query(
                "UPDATE vaults SET state = 'ended', ended_leaf = coalesce(ended_leaf, $1)
                 WHERE account = $2 AND vault = $3",
            )
            .bind(*leaf_index)
            .bind(*account)
            .bind(*vault),
            Any,
        ),
        Change::PutCode(row) => (
            query(
                "INSERT INTO one_time_codes (account, state, sealed, kek, last_step, failures, last_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (account, state) DO UPDATE SET sealed = excluded.sealed, kek = excluded.kek,
                 last_step = excluded.last_step, failures = excluded.failures, last_ms = excluded.last_ms",
            )
            .bind(row.account)
            .bind(row.state.word())
            .bind(row.sealed.as_slice())
            .bind(row.kek.as_str())
            .bind(row.last_step)
            .bind(row.failures)
            .bind(row.last_ms),
            Any,
        ),
        // The counts too: of two that show a code at once, one is the first.
        Change::ChargeCode { from, last_step, failures, last_ms } => (
            query(
                "UPDATE one_time_codes SET last_step = $1, failures = $2, last_ms = $3 WHERE account = $4
                 AND state = $5 AND sealed = $6 AND last_step = $7 AND failures = $8 AND last_ms = $9",
            )
            .bind(*last_step)
            .bind(*failures)
            .bind(*last_ms)
            .bind(from.account)
            .bind(from.state.word())
            .bind(from.sealed.as_slice())
            .bind(from.last_step)
            .bind(from.failures)
            .bind(from.last_ms),
            One("one-time code"),
        ),
        Change::NeedNoLiveCode(account) => (
            query(
                "UPDATE accounts SET state = state WHERE account = $1 AND NOT EXISTS
                 (SELECT 1 FROM one_time_codes WHERE one_time_codes.account = accounts.account
                  AND one_time_codes.state = 'live')",
            )
            .bind(*account),
            One("one-time code"),
        ),
        Change::ConfirmCode(account) => (
            query("UPDATE one_time_codes SET state = 'live' WHERE account = $1 AND state = 'fresh'")
                .bind(*account),
            One("one-time code"),
        ),
        Change::RemoveCode(account, state) => (
            query("DELETE FROM one_time_codes WHERE account = $1 AND state = $2")
                .bind(*account)
                .bind(state.word()),
            Any,
        ),
        Change::ResealCode { account, state, from_sealed, to_sealed, kek } => (
            query(
                "UPDATE one_time_codes SET sealed = $1, kek = $2
                 WHERE account = $3 AND state = $4 AND sealed = $5",
            )
            .bind(to_sealed.as_slice())
            .bind(kek.as_str())
            .bind(*account)
            .bind(state.word())
            .bind(from_sealed.as_slice()),
            One("one-time code"),
        ),
        _ => return None,
    })
}

pub(super) async fn of_account(on: &Readers, account: Id) -> Result<Vec<Vault>, StoreError> {
    all(query(VAULT).then("WHERE account = $1 ORDER BY vault").bind(account).read(on).await?, to_vault)
}

pub(super) async fn of_closed_accounts(
    on: &Readers,
    (account, vault): (Id, Id),
    limit: u32,
) -> Result<Vec<Vault>, StoreError> {
    let rows = query(VAULT)
        .then(
            "JOIN accounts ON accounts.account = vaults.account
             WHERE vaults.state <> 'ended' AND accounts.state = 'closed' AND (vaults.account, vaults.vault) > ($1, $2)
             ORDER BY vaults.account, vaults.vault LIMIT $3",
        )
        .bind(account)
        .bind(vault)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_vault)
}

pub(super) async fn code(
    on: &Readers,
    account: Id,
    state: CodeState,
) -> Result<Option<OneTimeCode>, StoreError> {
    let rows =
        query(CODE).then("account = $1 AND state = $2").bind(account).bind(state.word()).read(on).await?;
    one(rows, to_code)
}

pub(super) async fn codes_not_under(
    on: &Readers,
    kek: &str,
    limit: u32,
) -> Result<Vec<OneTimeCode>, StoreError> {
    let rows =
        query(CODE).then("kek <> $1 ORDER BY account, state LIMIT $2").bind(kek).bind(limit).read(on).await?;
    all(rows, to_code)
}

fn to_vault(row: &Row) -> Result<Vault, StoreError> {
    let at = |column| Place("vaults", column);
    Ok(Vault {
        account: row.array(0, at("account"))?,
        vault: row.array(1, at("vault"))?,
        state: row.word(2, at("state"), VaultState::from_word)?,
        ended_leaf: row.optional_number(3, at("ended_leaf"))?,
        created_ms: row.number(4, at("created_ms"))?,
    })
}

fn to_code(row: &Row) -> Result<OneTimeCode, StoreError> {
    let at = |column| Place("one_time_codes", column);
    Ok(OneTimeCode {
        account: row.array(0, at("account"))?,
        state: row.word(1, at("state"), CodeState::from_word)?,
        sealed: row.bytes(2)?,
        kek: row.string(3)?,
        last_step: row.number(4, at("last_step"))?,
        failures: row.number(5, at("failures"))?,
        last_ms: row.number(6, at("last_ms"))?,
    })
}
