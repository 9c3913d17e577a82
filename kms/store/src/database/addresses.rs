//! Unlinkable addresses: indices are given out once, an address is begun by one intent, an epoch is closed by one entry.

use std::collections::HashSet;

use super::{
    changes::Touches::{self, Any, One},
    hot,
    read::{all, one},
    risk,
    sql::{Connection, Place, Query, Readers, Row, query},
};
use crate::{
    AccountState, AddressAccount, AddressCustody, AddressEpoch, AddressOrigin, AddressRow, AddressSpan,
    AddressState, AddressUse, Change, Claimed, Id, NewAddress, NewIntent, RiskHistory, StoreError,
};

const ACCOUNT: &str = "SELECT account, custody, state, epoch_ms, sealed_key, kek, sealed_root, created_ms \
                       FROM address_accounts WHERE ";
const ADDRESS: &str = "SELECT public_key, account, epoch, number, payment, intent, used_epoch, leaf_index, \
                       leaf_hash, created_ms FROM addresses WHERE ";
/// What an account knows of an address is its own: nobody takes one from another here, that says the ledger.
const KNOWN: &str = " ON CONFLICT (account, public_key) DO NOTHING";
const EPOCH: &str = "SELECT e.account, e.epoch, a.epoch_ms, e.given, e.sealed, e.leaf_pin, e.spending_pin, \
                     e.closing, e.closed_leaf, (SELECT count(*) FROM addresses u WHERE u.account = e.account \
                     AND u.used_epoch = e.epoch AND u.leaf_index IS NOT NULL) \
                     FROM address_epochs e JOIN address_accounts a ON a.account = e.account WHERE ";

/// The statement of a step that is about these rows.
pub(super) fn statement(change: &Change) -> Option<(Query, Touches)> {
    Some(match change {
        Change::PutAddressAccount(row) => (
            query(
                "INSERT INTO address_accounts (account, custody, state, epoch_ms, sealed_key, kek, sealed_root,
                 last_ms, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (account) DO NOTHING",
            )
            .bind(row.account)
            .bind(row.custody.word())
            .bind(row.state.word())
            .bind(row.epoch_ms)
            .bind(row.sealed_key.as_slice())
            .bind(row.kek.as_str())
            .bind(row.sealed_root.as_slice())
            .bind(row.created_ms)
            .bind(row.created_ms),
            One("account without addresses"),
        ),
        Change::SetAddressesChosen(account) => (
            query("UPDATE address_accounts SET state = 'chosen' WHERE account = $1 AND state = 'pending'")
                .bind(*account),
            Any,
        ),
        Change::RemovePendingAddresses(account) => (
            query("DELETE FROM address_accounts WHERE account = $1 AND state = 'pending'").bind(*account),
            Any,
        ),
        Change::ResealAddresses { account, from_sealed, to_sealed, kek } => (
            query("UPDATE address_accounts SET sealed_key = $1, kek = $2 WHERE account = $3 AND sealed_key = $4")
                .bind(to_sealed.as_slice())
                .bind(kek.as_str())
                .bind(*account)
                .bind(from_sealed.as_slice()),
            One("address account"),
        ),
        Change::AddressUsed { account, public_key, intent, leaf_index, leaf_hash } => (
            query(
                "UPDATE addresses SET leaf_index = $1, leaf_hash = $2 WHERE account = $3 AND public_key = $4
                 AND intent = $5 AND leaf_index IS NULL",
            )
            .bind(*leaf_index)
            .bind(*leaf_hash)
            .bind(*account)
            .bind(public_key.to_vec())
            .bind(*intent),
            Any,
        ),
        Change::FreeAddress { account, public_key, intent } => (
            query(
                "UPDATE addresses SET intent = NULL, used_epoch = NULL WHERE account = $1 AND public_key = $2
                 AND intent = $3 AND leaf_index IS NULL",
            )
            .bind(*account)
            .bind(public_key.to_vec())
            .bind(*intent),
            Any,
        ),
        Change::ForgetAddress { account, public_key, intent } => (
            query(
                "DELETE FROM addresses WHERE account = $1 AND public_key = $2 AND intent = $3
                 AND leaf_index IS NULL",
            )
            .bind(*account)
            .bind(public_key.to_vec())
            .bind(*intent),
            Any,
        ),
        Change::KeepAddressClosing { account, epoch, entry } => (
            query(
                "INSERT INTO address_epochs (account, epoch, given, closing) VALUES ($1, $2, 0, $3)
                 ON CONFLICT (account, epoch) DO UPDATE SET closing = excluded.closing
                 WHERE address_epochs.closing IS NULL",
            )
            .bind(*account)
            .bind(*epoch)
            .bind(entry.as_slice()),
            One("open address epoch"),
        ),
        _ => return None,
    })
}

/// The steps that are more than one statement.
pub(super) async fn step(on: &mut Connection, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::KeepViewing { account, sealed_key, kek, sealed } => {
            let kept = query(
                "UPDATE address_accounts SET state = 'kept', sealed_key = $1, kek = $2, sealed_root = $3
                 WHERE account = $4 AND state = 'chosen'",
            );
            let kept = kept.bind(sealed_key.as_slice()).bind(kek.as_str()).bind(sealed.as_slice());
            kept.bind(*account).execute(on).await?;
            forget(on, *account).await
        }
        Change::EraseAddresses(account) => erase(on, *account).await,
        Change::PutAddresses { account, rows, now_ms } => put(on, *account, rows, *now_ms).await,
        Change::CloseAddressEpoch { account, epoch, leaf_index } => {
            close(on, *account, *epoch, *leaf_index).await
        }
        _ => Ok(()),
    }
}

/// The root goes, or what was kept of it, and what tells whose the addresses were.
async fn erase(on: &mut Connection, account: Id) -> Result<(), StoreError> {
    query(
        "UPDATE address_accounts SET state = 'erased', sealed_key = $1, sealed_root = $1, kek = ''
         WHERE account = $2",
    )
    .bind(Vec::new())
    .bind(account)
    .execute(on)
    .await?;
    forget(on, account).await
}

/// What tells whose the addresses of closed epochs were goes. That of an epoch that is not closed yet stays until it is; of a root that
/// is the person's own it goes at once: nobody can close its epochs any more.
async fn forget(on: &mut Connection, account: Id) -> Result<(), StoreError> {
    query(
        "DELETE FROM address_epochs WHERE account = $1 AND closed_leaf IS NULL AND EXISTS
         (SELECT 1 FROM address_accounts WHERE account = $1 AND custody = 'own')",
    )
    .bind(account)
    .execute(on)
    .await?;
    query(
        "DELETE FROM addresses WHERE account = $1 AND coalesce(used_epoch, epoch) NOT IN
         (SELECT epoch FROM address_epochs WHERE account = $1 AND closed_leaf IS NULL)",
    )
    .bind(account)
    .execute(on)
    .await?;
    Ok(())
}

async fn close(on: &mut Connection, account: Id, epoch: u32, leaf_index: u64) -> Result<(), StoreError> {
    query(
        "UPDATE address_epochs SET closed_leaf = coalesce(closed_leaf, $1), sealed = NULL
         WHERE account = $2 AND epoch = $3",
    )
    .bind(leaf_index)
    .bind(account)
    .bind(epoch)
    .execute(on)
    .await?;
    query(
        "DELETE FROM addresses WHERE account = $1 AND coalesce(used_epoch, epoch) = $2 AND EXISTS
         (SELECT 1 FROM address_accounts WHERE address_accounts.account = addresses.account AND state IN ('kept', 'erased'))",
    )
    .bind(account)
    .bind(epoch)
    .execute(on)
    .await?;
    Ok(())
}

/// Keeps addresses; what is known stays as it is.
async fn put(on: &mut Connection, account: Id, rows: &[NewAddress], now_ms: u64) -> Result<(), StoreError> {
    let first_ms = moments(on, account, rows.len(), now_ms).await?;
    for (row, created_ms) in rows.iter().zip(first_ms..) {
        insert(account, row, created_ms).then(KNOWN).execute(on).await?;
    }
    Ok(())
}

fn insert(account: Id, row: &NewAddress, created_ms: u64) -> Query {
    let (number, payment) = parts(row.origin);
    query(
        "INSERT INTO addresses (public_key, account, epoch, number, payment, created_ms, intent, used_epoch)
         VALUES ($1, $2, $3, $4, $5, $6, ",
    )
    .then("NULL, NULL)")
    .bind(row.public_key.to_vec())
    .bind(account)
    .bind(row.epoch)
    .bind(number)
    .bind(payment)
    .bind(created_ms)
}

fn parts(origin: AddressOrigin) -> (Option<u64>, Option<Vec<u8>>) {
    match origin {
        AddressOrigin::Index(index) => (Some(u64::from(index)), None),
        AddressOrigin::Payment(payment) => (None, Some(payment.to_vec())),
    }
}

/// Moments for so many addresses, each later than all before: pages begin where the last one ended. Refused unless the account
/// has chosen addresses and is open.
async fn moments(on: &mut Connection, account: Id, count: usize, now_ms: u64) -> Result<u64, StoreError> {
    let count = count.max(1) as u64;
    let rows = query(
        "UPDATE address_accounts SET last_ms = CASE WHEN last_ms >= $1 THEN last_ms + $2 ELSE $1 + $2 - 1 END
         WHERE account = $3 AND state = 'chosen' RETURNING last_ms",
    )
    .bind(now_ms)
    .bind(count)
    .bind(account)
    .rows(on)
    .await?;
    let row = rows.first().ok_or(StoreError::Missing { what: "chosen addresses" })?;
    let last: u64 = row.number(0, Place("address_accounts", "last_ms"))?;
    Ok(last.saturating_sub(count - 1))
}

/// Takes indices that nobody has; the first of them.
pub(super) async fn allocate(on: &mut Connection, span: &AddressSpan) -> Result<u64, StoreError> {
    let AddressSpan { account, epoch, count, sealed } = span;
    chosen(on, *account).await?;
    let rows = query(
        "INSERT INTO address_epochs (account, epoch, given, sealed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, epoch) DO UPDATE SET given = address_epochs.given + excluded.given,
         sealed = coalesce(address_epochs.sealed, excluded.sealed) WHERE address_epochs.closing IS NULL
         RETURNING given",
    )
    .bind(*account)
    .bind(*epoch)
    .bind(*count)
    .bind(sealed.as_slice())
    .rows(on)
    .await?;
    let row = rows.first().ok_or(StoreError::Missing { what: "open address epoch" })?;
    let given: u32 = row.number(0, Place("address_epochs", "given"))?;
    Ok(u64::from(given.saturating_sub(*count)))
}

/// Holds off whoever erases the root until this is kept.
async fn chosen(on: &mut Connection, account: Id) -> Result<(), StoreError> {
    let held = query("UPDATE address_accounts SET last_ms = last_ms WHERE account = $1 AND state = 'chosen'")
        .bind(account)
        .execute(on)
        .await?;
    if held == 1 { Ok(()) } else { Err(StoreError::Missing { what: "chosen addresses" }) }
}

/// What begins an intent of an address.
pub(super) type Begin = (NewIntent, AddressUse, Option<RiskHistory>);

/// Keeps an intent that uses an address, with the account's history; all of it or nothing.
pub(super) async fn begin(on: &mut Connection, begin: &Begin) -> Result<Claimed, StoreError> {
    let (intent, wanted, history) = begin;
    // Whoever closes the account waits for this, or this for the closing: by a write, for PostgreSQL reads beside it.
    let open = query("UPDATE accounts SET state = state WHERE account = $1 AND state = 'open'");
    if open.bind(wanted.account).execute(on).await? != 1 {
        return Err(StoreError::Missing { what: "open account" });
    }
    if let Some(history) = history
        && !risk::try_put(on, history).await?
    {
        return Ok(Claimed::Stale);
    }
    let kept: HashSet<Id> = hot::insert(on, &[intent]).await?;
    if !kept.contains(&intent.id) {
        return Err(StoreError::Missing { what: "new intent" });
    }
    open_epoch(on, wanted).await?;
    take(on, wanted, intent).await?;
    Ok(Claimed::New)
}

/// The epoch of the intent: not closed, and of the same leaf as before.
async fn open_epoch(on: &mut Connection, wanted: &AddressUse) -> Result<(), StoreError> {
    let AddressUse { account, epoch, .. } = wanted;
    let kept = query(
        "INSERT INTO address_epochs (account, epoch, given, sealed, leaf_pin, spending_pin)
         VALUES ($1, $2, 0, $3, $4, $5)
         ON CONFLICT (account, epoch) DO UPDATE SET sealed = coalesce(address_epochs.sealed, excluded.sealed),
         leaf_pin = coalesce(address_epochs.leaf_pin, excluded.leaf_pin),
         spending_pin = coalesce(address_epochs.spending_pin, excluded.spending_pin)
         WHERE address_epochs.closing IS NULL
         AND coalesce(address_epochs.leaf_pin = excluded.leaf_pin, 1 = 1)
         AND coalesce(address_epochs.spending_pin = excluded.spending_pin, 1 = 1)",
    )
    .bind(*account)
    .bind(*epoch)
    .bind(wanted.sealed.clone())
    .bind(wanted.leaf_pin)
    .bind(wanted.spending_pin)
    .execute(on)
    .await?;
    if kept == 1 {
        return Ok(());
    }
    let closed =
        query("SELECT 1 FROM address_epochs WHERE account = $1 AND epoch = $2 AND closing IS NOT NULL")
            .bind(*account)
            .bind(*epoch)
            .row(on)
            .await?;
    let what = if closed.is_some() { "open address epoch" } else { "address epoch of this leaf" };
    Err(StoreError::Missing { what })
}

/// Of two intents that want one address, one gets it.
async fn take(on: &mut Connection, wanted: &AddressUse, intent: &NewIntent) -> Result<(), StoreError> {
    let created_ms = moments(on, wanted.account, 1, intent.created_ms).await?;
    insert(wanted.account, &wanted.address, created_ms).then(KNOWN).execute(on).await?;
    let taken = query(
        "UPDATE addresses SET intent = $1, used_epoch = $2 WHERE public_key = $3 AND account = $4
         AND intent IS NULL",
    )
    .bind(intent.id)
    .bind(wanted.epoch)
    .bind(wanted.address.public_key.to_vec())
    .bind(wanted.account)
    .execute(on)
    .await?;
    if taken == 1 { Ok(()) } else { Err(StoreError::Missing { what: "free address" }) }
}

pub(super) async fn account(on: &Readers, account: Id) -> Result<Option<AddressAccount>, StoreError> {
    one(query(ACCOUNT).then("account = $1").bind(account).read(on).await?, to_account)
}

pub(super) async fn accounts(on: &Readers, after: Id, limit: u32) -> Result<Vec<AddressAccount>, StoreError> {
    let rows = query(ACCOUNT)
        .then("state IN ('chosen', 'kept') AND account > $1 ORDER BY account LIMIT $2")
        .bind(after)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_account)
}

pub(super) async fn kept(on: &Readers, after: Id, limit: u32) -> Result<Vec<AddressAccount>, StoreError> {
    let rows = query(ACCOUNT)
        .then("state = 'kept' AND account > $1 ORDER BY account LIMIT $2")
        .bind(after)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_account)
}

pub(super) async fn chosen_of(
    on: &Readers,
    of: AccountState,
    after: Id,
    limit: u32,
) -> Result<Vec<AddressAccount>, StoreError> {
    let rows = query(ACCOUNT)
        .then(
            "state = 'chosen' AND account > $1
             AND account IN (SELECT accounts.account FROM accounts WHERE accounts.state = $2)
             ORDER BY account LIMIT $3",
        )
        .bind(after)
        .bind(of.word())
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_account)
}

pub(super) async fn not_under(
    on: &Readers,
    kek: &str,
    limit: u32,
) -> Result<Vec<AddressAccount>, StoreError> {
    let rows = query(ACCOUNT)
        .then("state <> 'erased' AND custody = 'hosted' AND kek <> $1 ORDER BY account LIMIT $2")
        .bind(kek)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_account)
}

pub(super) async fn address(
    on: &Readers,
    account: Id,
    public_key: [u8; 33],
) -> Result<Option<AddressRow>, StoreError> {
    let rows = query(ADDRESS)
        .then("account = $1 AND public_key = $2")
        .bind(account)
        .bind(public_key.to_vec())
        .read(on)
        .await?;
    one(rows, to_address)
}

pub(super) async fn of_intent(
    on: &Readers,
    account: Id,
    intent: Id,
) -> Result<Option<AddressRow>, StoreError> {
    let rows =
        query(ADDRESS).then("account = $1 AND intent = $2").bind(account).bind(intent).read(on).await?;
    one(rows, to_address)
}

pub(super) async fn listed(
    on: &Readers,
    account: Id,
    before_ms: u64,
    limit: u32,
) -> Result<Vec<AddressRow>, StoreError> {
    let rows = query(ADDRESS)
        .then("account = $1 AND created_ms < $2 ORDER BY created_ms DESC LIMIT $3")
        .bind(account)
        .bind(before_ms)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_address)
}

pub(super) async fn used_in(on: &Readers, account: Id, epoch: u32) -> Result<Vec<AddressRow>, StoreError> {
    let rows = query(ADDRESS)
        .then("account = $1 AND used_epoch = $2 ORDER BY leaf_index, public_key")
        .bind(account)
        .bind(epoch)
        .read(on)
        .await?;
    all(rows, to_address)
}

pub(super) async fn unused(on: &Readers, account: Id, epoch: u32) -> Result<u32, StoreError> {
    let rows = query(
        "SELECT count(*) FROM addresses WHERE account = $1 AND epoch = $2 AND number IS NOT NULL
         AND intent IS NULL",
    )
    .bind(account)
    .bind(epoch)
    .read(on)
    .await?;
    rows.first().map_or(Ok(0), |row| row.number(0, Place("addresses", "count")))
}

pub(super) async fn epoch(on: &Readers, account: Id, epoch: u32) -> Result<Option<AddressEpoch>, StoreError> {
    let rows =
        query(EPOCH).then("e.account = $1 AND e.epoch = $2").bind(account).bind(epoch).read(on).await?;
    one(rows, to_epoch)
}

pub(super) async fn epochs(on: &Readers, account: Id, limit: u32) -> Result<Vec<AddressEpoch>, StoreError> {
    let rows = query(EPOCH)
        .then("e.account = $1 ORDER BY e.epoch DESC LIMIT $2")
        .bind(account)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_epoch)
}

pub(super) async fn elapsed(
    on: &Readers,
    before_ms: u64,
    limit: u32,
) -> Result<Vec<AddressEpoch>, StoreError> {
    let rows = query(EPOCH)
        .then(
            "e.closed_leaf IS NULL AND a.custody = 'hosted' AND (e.epoch + 1) * a.epoch_ms <= $1
             ORDER BY random() LIMIT $2",
        )
        .bind(before_ms)
        .bind(limit)
        .read(on)
        .await?;
    all(rows, to_epoch)
}

fn to_account(row: &Row) -> Result<AddressAccount, StoreError> {
    let at = |column| Place("address_accounts", column);
    Ok(AddressAccount {
        account: row.array(0, at("account"))?,
        custody: row.word(1, at("custody"), AddressCustody::from_word)?,
        state: row.word(2, at("state"), AddressState::from_word)?,
        epoch_ms: row.number(3, at("epoch_ms"))?,
        sealed_key: row.bytes(4)?,
        kek: row.string(5)?,
        sealed_root: row.bytes(6)?,
        created_ms: row.number(7, at("created_ms"))?,
    })
}

fn to_address(row: &Row) -> Result<AddressRow, StoreError> {
    let at = |column| Place("addresses", column);
    let narrow = |number: u64, column| u32::try_from(number).map_err(|_| at(column).corrupt());
    let payment = row.optional_array(4, at("payment"))?;
    let origin = match (row.optional_number(3, at("number"))?, payment) {
        (Some(number), None) => AddressOrigin::Index(narrow(number, "number")?),
        (None, Some(payment)) => AddressOrigin::Payment(payment),
        _ => return Err(at("number").corrupt()),
    };
    let used_epoch = row.optional_number(6, at("used_epoch"))?;
    let leaf = (row.optional_number(7, at("leaf_index"))?, row.optional_array(8, at("leaf_hash"))?);
    Ok(AddressRow {
        account: row.array(1, at("account"))?,
        new: NewAddress {
            public_key: row.array(0, at("public_key"))?,
            epoch: row.number(2, at("epoch"))?,
            origin,
        },
        intent: row.optional_array(5, at("intent"))?,
        used_epoch: used_epoch.map(|epoch| narrow(epoch, "used_epoch")).transpose()?,
        leaf: leaf.0.zip(leaf.1),
        created_ms: row.number(9, at("created_ms"))?,
    })
}

fn to_epoch(row: &Row) -> Result<AddressEpoch, StoreError> {
    let at = |column| Place("address_epochs", column);
    Ok(AddressEpoch {
        account: row.array(0, at("account"))?,
        epoch: row.number(1, at("epoch"))?,
        epoch_ms: row.number(2, at("epoch_ms"))?,
        given: row.number(3, at("given"))?,
        sealed: row.optional_bytes(4)?,
        leaf_pin: row.optional_array(5, at("leaf_pin"))?,
        spending_pin: row.optional_array(6, at("spending_pin"))?,
        closing: row.optional_bytes(7)?,
        closed_leaf: row.optional_number(8, at("closed_leaf"))?,
        records: row.number(9, at("records"))?,
    })
}
