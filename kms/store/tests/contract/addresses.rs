//! Addresses: a choice for good, indices that nobody gets twice, one intent for an address, one closing for an epoch.

use std::collections::BTreeSet;

use keyward_store::{
    AccountState, AddressAccount, AddressCustody, AddressOrigin, AddressSpan, AddressState, AddressUse,
    Change, Claimed, Id, IntentState, NewAddress, NewIntent, RiskHistory, Store, StoreError,
};

use super::{id, open_account};

const EPOCH_MS: u64 = 1000;

fn chosen(name: &str, custody: AddressCustody) -> AddressAccount {
    let hosted = custody == AddressCustody::Hosted;
    AddressAccount {
        account: id(name),
        custody,
        state: AddressState::Pending,
        epoch_ms: EPOCH_MS,
        sealed_key: if hosted { vec![1; 60] } else { Vec::new() },
        kek: if hosted { "kek".into() } else { String::new() },
        sealed_root: if hosted { vec![2; 60] } else { Vec::new() },
        created_ms: 5,
    }
}

async fn with_addresses(store: &dyn Store, name: &str, custody: AddressCustody) -> Id {
    open_account(store, name).await;
    let put = Change::PutAddressAccount(chosen(name, custody));
    store.apply(vec![put, Change::SetAddressesChosen(id(name))]).await.unwrap();
    id(name)
}

fn address(account: &str, epoch: u32, index: u32) -> NewAddress {
    let mut public_key = [2; 33];
    public_key[1..].copy_from_slice(&id(account));
    public_key[24..28].copy_from_slice(&epoch.to_be_bytes());
    public_key[28..32].copy_from_slice(&index.to_be_bytes());
    NewAddress { public_key, epoch, origin: AddressOrigin::Index(index) }
}

fn span(account: Id, epoch: u32, count: u32) -> AddressSpan {
    AddressSpan { account, epoch, count, sealed: b"closes".to_vec() }
}

fn wanted(account: &str, address: NewAddress) -> AddressUse {
    let (account, epoch, sealed) = (id(account), address.epoch, Some(b"closes".to_vec()));
    AddressUse { account, address, epoch, sealed, leaf_pin: None, spending_pin: None }
}

/// Of a key that has no row.
fn intent(name: &str) -> NewIntent {
    NewIntent { key_id: id("an address"), key_revision: 0, ..super::intent(name) }
}

fn missing<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(StoreError::Missing { what }) => what,
        other => panic!("{other:?}"),
    }
}

async fn close_account(store: &dyn Store, account: Id) {
    let closed = Change::SetAccountState(account, AccountState::Open, AccountState::Closed);
    store.apply(vec![closed, Change::EraseAddresses(account)]).await.unwrap();
}

pub(super) async fn a_choice_is_made_once_and_the_root_goes_with_the_account(store: &dyn Store) {
    open_account(store, "address: one").await;
    let (account, row) = (id("address: one"), chosen("address: one", AddressCustody::Hosted));
    let put = || store.apply(vec![Change::PutAddressAccount(row.clone())]);
    put().await.unwrap();
    assert_eq!(missing(put().await), "account without addresses");
    assert_eq!(missing(store.allocate_addresses(span(account, 1, 1)).await), "chosen addresses");
    store.apply(vec![Change::RemovePendingAddresses(account)]).await.unwrap();
    assert_eq!(store.address_account(account).await.unwrap(), None);
    put().await.unwrap();
    store.apply(vec![Change::SetAddressesChosen(account)]).await.unwrap();
    store.apply(vec![Change::RemovePendingAddresses(account)]).await.unwrap();
    let stands = AddressAccount { state: AddressState::Chosen, ..row.clone() };
    assert_eq!(store.address_account(account).await.unwrap(), Some(stands.clone()));
    assert!(!format!("{stands:?}").contains('2'), "nothing sealed is shown");
    assert!(store.address_accounts([0; 32], 99).await.unwrap().contains(&stands));
    let behind = store.address_accounts(account, 99).await.unwrap();
    assert!(behind.iter().all(|row| row.account > account));

    let reseal = |from: u8| Change::ResealAddresses {
        account,
        from_sealed: vec![from; 60],
        to_sealed: vec![3; 60],
        kek: "kek-2".into(),
    };
    assert!(store.address_accounts_not_under("kek-2", 99).await.unwrap().contains(&stands));
    assert_eq!(missing(store.apply(vec![reseal(9)]).await), "address account");
    store.apply(vec![reseal(1)]).await.unwrap();
    let under = store.address_accounts_not_under("kek-2", 99).await.unwrap();
    assert!(under.iter().all(|row| row.account != account));

    // By how the account stands, and one page after the other.
    let of = async |state, after| {
        let rows = store.chosen_address_accounts(state, after, 99).await.unwrap();
        rows.into_iter().filter(|row| row.account == account).count()
    };
    let (open, closed) = (AccountState::Open, AccountState::Closed);
    assert_eq!((of(open, [0; 32]).await, of(closed, [0; 32]).await), (1, 0));
    assert_eq!(of(open, account).await, 0);
    assert_eq!(store.chosen_address_accounts(open, [0; 32], 0).await.unwrap(), []);
    store.apply(vec![Change::SetAccountState(account, open, closed)]).await.unwrap();
    assert_eq!((of(open, [0; 32]).await, of(closed, [0; 32]).await), (0, 1));
    store.apply(vec![Change::SetAccountState(account, closed, open)]).await.unwrap();

    close_account(store, account).await;
    assert_eq!((of(open, [0; 32]).await, of(closed, [0; 32]).await), (0, 0));
    let erased = store.address_account(account).await.unwrap().unwrap();
    assert_eq!((erased.state, erased.sealed_key, erased.sealed_root), (AddressState::Erased, vec![], vec![]));
    assert!(store.address_accounts([0; 32], 99).await.unwrap().iter().all(|row| row.account != account));
    assert!(
        !store.address_accounts_not_under("kek", 99).await.unwrap().iter().any(|row| row.account == account)
    );
    assert_eq!(missing(put().await), "account without addresses");
}

pub(super) async fn of_an_own_root_nothing_stays_when_its_account_is_closed(store: &dyn Store) {
    for (name, keep) in [("address: own kept", true), ("address: own erased", false)] {
        let account = with_addresses(store, name, AddressCustody::Own).await;
        // Used in an epoch that is closed, and in one that nobody will close.
        for epoch in [1, 2] {
            let (used, asked) = (address(name, epoch, 0), intent(&format!("{name} {epoch}")));
            store.begin_address_intent(asked, wanted(name, used), None).await.unwrap();
        }
        store.apply(vec![Change::CloseAddressEpoch { account, epoch: 1, leaf_index: 7 }]).await.unwrap();
        assert_eq!(store.addresses(account, u64::MAX, 9).await.unwrap().len(), 2);
        let taken = store.address_of_intent(account, id(&format!("{name} 2"))).await.unwrap().unwrap();
        assert_eq!(taken.new, address(name, 2, 0));
        assert_eq!(store.address_of_intent(id("another"), taken.intent.unwrap()).await.unwrap(), None);
        let (sealed_key, kek, sealed) = (Vec::new(), String::new(), Vec::new());
        store
            .apply(vec![match keep {
                true => Change::KeepViewing { account, sealed_key, kek, sealed },
                false => Change::EraseAddresses(account),
            }])
            .await
            .unwrap();
        assert_eq!(store.addresses(account, u64::MAX, 9).await.unwrap(), []);
        let left = store.address_epochs(account, 9).await.unwrap();
        assert_eq!(left.iter().map(|row| row.epoch).collect::<Vec<_>>(), [1], "what stands on the ledger");
    }
}

pub(super) async fn what_is_kept_of_a_closed_account_signs_nothing_and_goes_in_the_end(store: &dyn Store) {
    let account = with_addresses(store, "address: kept", AddressCustody::Hosted).await;
    let keep = |account, byte| Change::KeepViewing {
        account,
        sealed_key: vec![byte; 60],
        kek: "kek-3".into(),
        sealed: vec![byte; 99],
    };
    let row = async || store.address_account(account).await.unwrap().unwrap();
    let kept = async || {
        let rows = store.kept_address_accounts([0; 32], 99).await.unwrap();
        rows.into_iter().filter(|row| row.account == account).collect::<Vec<_>>()
    };
    let given = [address("address: kept", 1, 0), address("address: kept", 2, 0)];
    for epoch in [1, 2] {
        store.allocate_addresses(span(account, epoch, 1)).await.unwrap();
    }
    let put = || store.apply(vec![Change::PutAddresses { account, rows: given.to_vec(), now_ms: 9 }]);
    put().await.unwrap();
    let close = |epoch| Change::CloseAddressEpoch { account, epoch, leaf_index: 7 };
    store.apply(vec![close(1)]).await.unwrap();
    assert_eq!(kept().await, []);

    store.apply(vec![keep(account, 4)]).await.unwrap();
    let stands = AddressAccount {
        state: AddressState::Kept,
        sealed_key: vec![4; 60],
        kek: "kek-3".into(),
        sealed_root: vec![4; 99],
        ..chosen("address: kept", AddressCustody::Hosted)
    };
    assert_eq!((row().await, kept().await), (stands.clone(), vec![stands.clone()]));
    assert_eq!(store.kept_address_accounts(account, 1).await.unwrap().first().map(|row| row.account), {
        let all = store.kept_address_accounts([0; 32], 99).await.unwrap();
        all.iter().map(|row| row.account).find(|other| *other > account)
    });
    assert!(store.address_accounts([0; 32], 99).await.unwrap().contains(&stands));
    assert!(store.address_accounts_not_under("kek-9", 99).await.unwrap().contains(&stands));
    // Nothing is given out or found any more, and it is known of open epochs alone whose an address was.
    assert_eq!(missing(store.allocate_addresses(span(account, 3, 1)).await), "chosen addresses");
    assert_eq!(missing(put().await), "chosen addresses");
    let left = async || store.addresses(account, u64::MAX, 9).await.unwrap().len();
    assert_eq!(left().await, 1);
    store.apply(vec![close(2)]).await.unwrap();
    assert_eq!(left().await, 0);

    // Neither a second closing nor a choice that comes late brings anything back.
    store.apply(vec![keep(account, 5), Change::SetAddressesChosen(account)]).await.unwrap();
    assert_eq!(row().await, stands);
    store.apply(vec![Change::EraseAddresses(account)]).await.unwrap();
    let erased = row().await;
    assert_eq!((erased.state, erased.sealed_key, erased.sealed_root), (AddressState::Erased, vec![], vec![]));
    assert_eq!(kept().await, []);
    store.apply(vec![keep(account, 6)]).await.unwrap();
    assert_eq!(row().await.state, AddressState::Erased);
    let unknown = id("address: never chosen");
    store.apply(vec![keep(unknown, 6)]).await.unwrap();
    assert_eq!(store.address_account(unknown).await.unwrap(), None);
}

pub(super) async fn no_index_is_given_out_twice(store: &dyn Store) {
    let account = with_addresses(store, "address: indices", AddressCustody::Hosted).await;
    let take = |count| store.allocate_addresses(span(account, 7, count));
    let (a, b, c, d) = tokio::join!(take(3), take(1), take(256), take(2));
    let mut seen = BTreeSet::new();
    for (first, count) in [(a.unwrap(), 3), (b.unwrap(), 1), (c.unwrap(), 256), (d.unwrap(), 2)] {
        assert!((first..first + count).all(|index| seen.insert(index)));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (0..262).collect::<Vec<_>>());
    assert_eq!(take(0).await.unwrap(), 262, "an epoch may be remembered alone");
    assert_eq!(
        store.allocate_addresses(span(account, 8, 1)).await.unwrap(),
        0,
        "each epoch counts for itself"
    );
    let row = store.address_epoch(account, 7).await.unwrap().unwrap();
    assert_eq!((row.given, row.records, row.epoch_ms), (262, 0, EPOCH_MS));
    assert_eq!(row.sealed.as_deref(), Some(&b"closes"[..]));
}

pub(super) async fn an_address_is_begun_by_one_intent_of_an_open_account(store: &dyn Store) {
    let name = "address: use";
    let account = with_addresses(store, name, AddressCustody::Hosted).await;
    let given = address(name, 3, 0);
    store.apply(vec![Change::PutAddresses { account, rows: vec![given], now_ms: 50 }]).await.unwrap();
    let begin =
        |intent_name: &str, given| store.begin_address_intent(intent(intent_name), wanted(name, given), None);
    let (one, two) = tokio::join!(begin("address use 1", given), begin("address use 2", given));
    let (kept, lost) = if one.is_ok() { ("address use 1", two) } else { ("address use 2", one) };
    assert_eq!(missing(lost), "free address");
    let lost_name = if kept == "address use 1" { "address use 2" } else { "address use 1" };
    assert_eq!(store.intent(id(lost_name)).await.unwrap(), None, "all of it or nothing");
    let row = store.address(account, given.public_key).await.unwrap().unwrap();
    assert_eq!((row.intent, row.used_epoch, row.leaf), (Some(id(kept)), Some(3), None));
    assert_eq!(store.intent(id(kept)).await.unwrap().unwrap().state, IntentState::Submitted);

    // What was never used is free again; what the ledger took is not.
    let free = |of: &str| Change::FreeAddress { account, public_key: given.public_key, intent: id(of) };
    store.apply(vec![free(lost_name)]).await.unwrap();
    assert_eq!(missing(begin("address use 3", given).await), "free address");
    store.apply(vec![free(kept)]).await.unwrap();
    assert_eq!(begin("address use 4", given).await.unwrap(), Claimed::New);
    let used = |of: &str, leaf_index| Change::AddressUsed {
        account,
        public_key: given.public_key,
        intent: id(of),
        leaf_index,
        leaf_hash: [8; 32],
    };
    store.apply(vec![used(kept, 98), used("address use 4", 99)]).await.unwrap();
    store.apply(vec![free("address use 4"), used("address use 4", 100)]).await.unwrap();
    let row = store.address(account, given.public_key).await.unwrap().unwrap();
    assert_eq!((row.intent, row.leaf), (Some(id("address use 4")), Some((99, [8; 32]))));
    assert_eq!(store.address_epoch(account, 3).await.unwrap().unwrap().records, 1);
    assert_eq!(store.addresses_used_in(account, 3).await.unwrap(), [row]);

    // With a history of another revision nothing is kept.
    let history = RiskHistory { account, from: 4, sealed: b"stale".to_vec() };
    let unknown = address(name, 3, 1);
    let stale = store.begin_address_intent(intent("address use 5"), wanted(name, unknown), Some(history));
    assert_eq!(stale.await.unwrap(), Claimed::Stale);
    assert_eq!(store.address(account, unknown.public_key).await.unwrap(), None);
    let history = RiskHistory { account, from: 0, sealed: b"first".to_vec() };
    let kept = store.begin_address_intent(intent("address use 5"), wanted(name, unknown), Some(history));
    assert_eq!(kept.await.unwrap(), Claimed::New);
    assert_eq!(store.risk_history(account).await.unwrap(), Some((1, b"first".to_vec())));
    // What another account says of an address is its own, and takes it from nobody; what it gives up is forgotten.
    let thief = with_addresses(store, "address: thief", AddressCustody::Own).await;
    let foreign =
        store.begin_address_intent(intent("address use 6"), wanted("address: thief", unknown), None);
    assert_eq!(foreign.await.unwrap(), Claimed::New);
    let of = async |account| store.address(account, unknown.public_key).await.unwrap();
    assert_eq!(of(account).await.unwrap().intent, Some(id("address use 5")));
    let forget =
        |of: &str| Change::ForgetAddress { account: thief, public_key: unknown.public_key, intent: id(of) };
    store.apply(vec![forget("address use 5")]).await.unwrap();
    assert_eq!(of(thief).await.unwrap().intent, Some(id("address use 6")));
    store.apply(vec![forget("address use 6")]).await.unwrap();
    assert_eq!((of(thief).await, of(account).await.is_some()), (None, true));
    // A root of one's own is sealed under nothing: no rotation waits for it.
    assert!(
        store.address_accounts_not_under("kek-9", 99).await.unwrap().iter().all(|row| row.account != thief)
    );

    close_account(store, account).await;
    assert_eq!(missing(begin("address use 7", address(name, 3, 2)).await), "open account");
    // Until its epoch is closed it is known what was used in it.
    assert_eq!(store.addresses_used_in(account, 3).await.unwrap().len(), 2);
    store.apply(vec![Change::CloseAddressEpoch { account, epoch: 3, leaf_index: 7 }]).await.unwrap();
    assert_eq!(store.addresses(account, u64::MAX >> 1, 99).await.unwrap(), []);
}

pub(super) async fn an_epoch_has_one_leaf_and_one_closing(store: &dyn Store) {
    let name = "address: epochs";
    let account = with_addresses(store, name, AddressCustody::Own).await;
    let pinned = |index, leaf: u8, spending: Option<u8>| AddressUse {
        sealed: None,
        leaf_pin: Some([leaf; 32]),
        spending_pin: spending.map(|byte| [byte; 32]),
        ..wanted(name, address(name, 4, index))
    };
    let begin = |intent_name: &str, wanted| store.begin_address_intent(intent(intent_name), wanted, None);
    assert_eq!(begin("epoch 1", pinned(0, 1, None)).await.unwrap(), Claimed::New);
    assert_eq!(begin("epoch 2", pinned(1, 1, Some(5))).await.unwrap(), Claimed::New);
    assert_eq!(begin("epoch 3", pinned(2, 1, None)).await.unwrap(), Claimed::New);
    for (leaf, spending) in [(2, Some(5)), (2, None), (1, Some(6))] {
        assert_eq!(missing(begin("epoch 4", pinned(3, leaf, spending)).await), "address epoch of this leaf");
    }
    let row = store.address_epoch(account, 4).await.unwrap().unwrap();
    assert_eq!((row.leaf_pin, row.spending_pin, row.sealed), (Some([1; 32]), Some([5; 32]), None));
    assert!(
        store.elapsed_address_epochs(1 << 50, 999).await.unwrap().iter().all(|row| row.account != account)
    );

    let keep = |account, epoch, entry: &[u8]| {
        store.apply(vec![Change::KeepAddressClosing { account, epoch, entry: entry.to_vec() }])
    };
    keep(account, 4, b"entry").await.unwrap();
    assert_eq!(missing(keep(account, 4, b"another").await), "open address epoch");
    assert_eq!(missing(begin("epoch 5", pinned(4, 1, None)).await), "open address epoch");
    assert_eq!(store.address_epoch(account, 4).await.unwrap().unwrap().closing, Some(b"entry".to_vec()));

    let hosted = with_addresses(store, "address: epochs 2", AddressCustody::Hosted).await;
    store.allocate_addresses(span(hosted, 9, 1)).await.unwrap();
    let elapsed = async |before_ms| {
        let rows = store.elapsed_address_epochs(before_ms, 999).await.unwrap();
        rows.into_iter().filter(|row| row.account == hosted).map(|row| row.epoch).collect::<Vec<_>>()
    };
    assert!(elapsed(10 * EPOCH_MS - 1).await.is_empty());
    assert_eq!(elapsed(10 * EPOCH_MS).await, [9]);
    keep(hosted, 9, b"entry").await.unwrap();
    assert_eq!(missing(store.allocate_addresses(span(hosted, 9, 1)).await), "open address epoch");
    assert_eq!(elapsed(10 * EPOCH_MS).await, [9], "until the ledger has it");
    let closed = |leaf_index| Change::CloseAddressEpoch { account: hosted, epoch: 9, leaf_index };
    store.apply(vec![closed(31), closed(32)]).await.unwrap();
    let row = store.address_epoch(hosted, 9).await.unwrap().unwrap();
    assert_eq!((row.closed_leaf, &row.sealed), (Some(31), &None), "what closed it is gone");
    assert!(elapsed(10 * EPOCH_MS).await.is_empty());
    assert_eq!(store.address_epochs(hosted, 9).await.unwrap(), [row]);
}

pub(super) async fn listed_newest_first_without_gaps_or_repeats(store: &dyn Store) {
    let name = "address: list";
    let account = with_addresses(store, name, AddressCustody::Hosted).await;
    let put = |from: u32, to: u32, now_ms| {
        let rows = (from..to).map(|index| address(name, 1, index)).collect();
        store.apply(vec![Change::PutAddresses { account, rows, now_ms }])
    };
    let (a, b) = tokio::join!(put(0, 5, 100), put(5, 9, 100));
    a.unwrap();
    b.unwrap();
    // A clock that goes back, and what is known already.
    put(7, 10, 40).await.unwrap();
    let payment =
        NewAddress { public_key: [3; 33], origin: AddressOrigin::Payment([9; 50]), ..address(name, 1, 0) };
    store.apply(vec![Change::PutAddresses { account, rows: vec![payment], now_ms: 41 }]).await.unwrap();
    let (mut seen, mut before) = (Vec::new(), u64::MAX >> 1);
    loop {
        let page = store.addresses(account, before, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        before = last.created_ms;
        seen.extend(page);
    }
    assert_eq!(seen[0].new, payment);
    assert_eq!(seen.len(), 11);
    assert_eq!(seen.iter().map(|row| row.new.public_key).collect::<BTreeSet<_>>().len(), 11);
    let nobody = Change::PutAddresses { account: id("nobody"), rows: vec![payment], now_ms: 1 };
    assert_eq!(missing(store.apply(vec![nobody]).await), "chosen addresses");
}
