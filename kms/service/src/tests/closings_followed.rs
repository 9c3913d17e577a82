//! Closings of accounts with addresses that the service has to follow up: where the token failed in between, and where they came by way of
//! another service; and which closed accounts a grant for the whole tenant names.

use std::sync::atomic::Ordering;

use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{Act, Authored, Entry},
    hash::{Hash, sha256},
    state::{
        addresses::{AddressesState, addresses_key},
        layout::{AccountState as LedgerAccount, account_key},
    },
};
use keyward_store::{Account, AccountState, AddressAccount, AddressCustody, AddressState, Change};

use super::{
    audits::{LIMITS, Office},
    audits_closed::same,
    world::{Mood, code},
};
use crate::{accounts::close::Closed, ports::Clock as _};

impl Office {
    /// Other persons with addresses that the ledger has not heard of, ascending.
    async fn others(&self, count: u8, state: AddressState) -> Vec<Hash> {
        let (store, dora) = (&self.desk.world.custody.store, &self.desk.dora);
        let person = store.account(dora.account()).await.unwrap().unwrap();
        let chosen = self.row(dora).await;
        let mut others: Vec<_> = (0..count).map(|number| sha256(&[&[number][..]])).collect();
        for account in &others {
            let (account, name) = (*account, crate::hex::hex(account));
            let row = AddressAccount { account, custody: AddressCustody::Own, state, ..chosen.clone() };
            let person = Account { account, name, ..person.clone() };
            let put = vec![Change::InsertAccount(person), Change::PutAddressAccount(row)];
            store.apply(put).await.unwrap();
        }
        others.sort_unstable();
        others
    }
}

/// Closes Dora's account; once that is recorded, the token fails.
async fn closed_without_token(office: &Office, entry: &[u8], mark: &[u8]) -> Closed {
    let world = &office.desk.world;
    world.ledger.hold.store(true, Ordering::Relaxed);
    let fails = async {
        let closes =
            |entry: &Entry| matches!(entry, Entry::Authored(Authored { act: Act::CloseAccount { .. }, .. }));
        while world.ledger.count(closes) == 0 {
            tokio::task::yield_now().await;
        }
        world.kek.broken.store(true, Ordering::Relaxed);
        world.ledger.let_go();
    };
    let closes = world.custody.close_account(&office.desk.dora.caller, entry, mark);
    tokio::join!(closes, fails).0.unwrap()
}

#[tokio::test]
async fn who_closes_hears_that_the_account_is_closed_though_the_token_fails_and_upkeep_goes_on() {
    let office = Office::new().await;
    let grant = office.issued().await;
    let (before, world, dora) = (office.seen(1, 3).await, &office.desk.world, &office.desk.dora);
    let (custody, account) = (&world.custody, dora.account());
    let entry = dora.say(world, Act::CloseAccount { account });
    let closed = closed_without_token(&office, &entry, b"bye").await;
    assert!(closed.keeping_waits);
    let again = custody.close_account(&dora.caller, &entry, b"bye").await.unwrap();
    assert_eq!((again.receipt, again.keeping_waits), (closed.receipt.clone(), true));
    let state = async || custody.store.account(account).await.unwrap().unwrap().state;
    assert_eq!((state().await, office.row(dora).await.state), (AccountState::Closed, AddressState::Chosen));
    assert_eq!(custody.settle_acts().await.unwrap(), 0, "nothing else is left of it");
    // Nothing is signed; who closes it once more hears that it is closed, and not of the token.
    assert_eq!(code(office.close(dora).await), Code::AccountClosed);
    assert_eq!(code(custody.require_open_on_ledger(office.dora()).await), Code::AccountClosed);
    custody.keep_orphaned_addresses().await.unwrap_err();
    assert_eq!(office.row(dora).await.state, AddressState::Chosen);
    world.kek.broken.store(false, Ordering::Relaxed);
    let beside = world.beside().await;
    let (one, two) = tokio::join!(custody.keep_orphaned_addresses(), beside.keep_orphaned_addresses());
    one.and(two).unwrap();
    let kept = office.row(dora).await;
    assert_eq!(kept.state, AddressState::Kept);
    assert!(custody.roots.find(&account, world.clock.now_ms()).is_none());
    custody.keep_orphaned_addresses().await.unwrap();
    assert_eq!(office.row(dora).await, kept, "once");
    let again = custody.close_account(&dora.caller, &entry, b"bye").await.unwrap();
    assert_eq!((again.receipt, again.keeping_waits), (closed.receipt, false));
    let opened = office.open(&grant, 1, 3).await.unwrap();
    assert!(same(&office.cover(&opened, office.opening(&grant, 1, 3)), &before));
}

#[tokio::test]
async fn a_closing_of_which_nobody_heard_needs_no_token_to_end_sessions() {
    let office = Office::new().await;
    let (world, dora) = (&office.desk.world, &office.desk.dora);
    world.ledger.set(Mood::Deaf);
    assert_eq!(code(office.close(dora).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    world.kek.broken.store(true, Ordering::Relaxed);
    world.custody.roots.forget(&dora.account());
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    let row = world.custody.store.account(dora.account()).await.unwrap().unwrap();
    assert_eq!((row.state, office.row(dora).await.state), (AccountState::Closed, AddressState::Chosen));
    world.kek.broken.store(false, Ordering::Relaxed);
    world.custody.keep_orphaned_addresses().await.unwrap();
    assert_eq!(office.row(dora).await.state, AddressState::Kept);
}

#[tokio::test]
async fn a_token_that_is_away_keeps_an_account_open_that_nobody_has_closed() {
    let office = Office::new().await;
    let (world, dora) = (&office.desk.world, &office.desk.dora);
    world.kek.broken.store(true, Ordering::Relaxed);
    let records = world.ledger.log().len();
    assert_eq!(code(office.close(dora).await), Code::TokenUnavailable);
    assert_eq!(world.ledger.log().len(), records);
    assert_eq!(office.row(dora).await.state, AddressState::Chosen);
}

#[tokio::test]
async fn upkeep_finds_the_closings_of_other_services_one_account_after_the_other() {
    let office = Office::new().await;
    let (world, dora) = (&office.desk.world, &office.desk.dora);
    let (custody, account) = (&world.custody, dora.account());
    // More accounts than one look is about, of which the ledger knows nothing.
    let others = office.others(130, AddressState::Chosen).await;
    let look = async || {
        for _ in 0..3 {
            custody.look_for_closings().await.unwrap();
        }
        let state = custody.store.account(account).await.unwrap().unwrap().state;
        (state, office.row(dora).await.state)
    };
    assert_eq!(look().await, (AccountState::Open, AddressState::Chosen));
    let before = world.ledger.remember(b"account/");
    let closed = LedgerAccount { open: false, height: 11 };
    world.ledger.set_state(account_key(&account), closed.encode());
    world.ledger.lag(Some(before));
    assert_eq!(look().await, (AccountState::Open, AddressState::Chosen), "a validator that lags");
    world.ledger.lag(None);
    world.ledger.set(Mood::Gone);
    assert_eq!(code(custody.look_for_closings().await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    let records = world.ledger.log().len();
    assert_eq!(look().await, (AccountState::Closed, AddressState::Kept));
    assert_eq!(world.ledger.log().len(), records, "nothing is recorded of it");
    assert_eq!(look().await, (AccountState::Closed, AddressState::Kept));
    let left = custody.store.chosen_address_accounts(AccountState::Open, [0; 32], 200).await.unwrap();
    let left: Vec<_> = left.iter().map(|row| row.account).collect();
    assert_eq!(left, others, "what the ledger does not show closed stays");
}

#[tokio::test]
async fn the_whole_tenant_is_listed_in_order_and_the_ledger_is_asked_about_some_at_once() {
    let office = Office::new().await;
    let (world, custody) = (&office.desk.world, &office.desk.world.custody);
    let others = office.others(40, AddressState::Kept).await;
    world.pass_ms(LIMITS.kept_ms);
    let dora = office.desk.dora.account();
    let value = world.ledger.value(&addresses_key(&dora)).unwrap();
    let chosen = AddressesState::decode(&value).unwrap();
    for (place, account) in others.iter().enumerate() {
        let closed_ms = if place % 3 == 0 { 0 } else { world.ledger.time_ms() };
        let closed = AddressesState { closed_ms: Some(closed_ms), ..chosen };
        world.ledger.set_state(addresses_key(account), closed.encode());
    }
    let mut expected: Vec<_> =
        others.iter().enumerate().filter(|(place, _)| place % 3 != 0).map(|(_, account)| *account).collect();
    expected.push(dora);
    expected.sort_unstable();
    world.ledger.slow.store(true, Ordering::Relaxed);
    assert_eq!(custody.accounts_with_addresses().await.unwrap(), expected);
    let most = world.ledger.reads_most.load(Ordering::Relaxed);
    assert!((2..=16).contains(&most), "{most}");
    world.ledger.slow.store(false, Ordering::Relaxed);
    // One that cannot be judged fails the whole, as if it had been asked alone.
    world.ledger.set_state(addresses_key(&others[20]), vec![1]);
    assert_eq!(code(custody.accounts_with_addresses().await), Code::Internal);
    world.ledger.set(Mood::Gone);
    assert_eq!(code(custody.accounts_with_addresses().await), Code::LedgerUnavailable);
}
