//! Versions, states, labels, envelopes.

use keyward_store::{Change, Custody, Id, Key, KeyFilter, KeyState, Store, StoreError};

use super::{id, key, open_account};

pub(super) fn set(key_id: Id, from: KeyState, to: KeyState) -> Change {
    Change::SetKeyState { key_id, from, to, changed_ms: 60, successor: None }
}

fn version(account: &str, alias: &str, version: u32) -> Key {
    Key { key_id: id(&format!("{account}/{alias}@{version}")), version, ..key(account, alias) }
}

async fn revision(store: &dyn Store, key_id: Id) -> u64 {
    store.key(key_id).await.unwrap().unwrap().revision
}

pub(super) async fn versions_of_an_alias_stand_beside_each_other(store: &dyn Store) {
    open_account(store, "versions").await;
    let (first, second) = (version("versions", "k", 1), version("versions", "k", 2));
    store.apply(vec![Change::InsertKey(first.clone()), Change::InsertKey(second.clone())]).await.unwrap();
    let again = Key { key_id: id("another"), ..second.clone() };
    let refused = store.apply(vec![Change::InsertKey(again)]).await;
    assert!(matches!(refused, Err(StoreError::AliasTaken)), "{refused:?}");
    assert_eq!(store.key_by_alias(id("versions"), "k").await.unwrap(), Some(second.clone()));
    assert_eq!(store.key_by_version(id("versions"), "k", 1).await.unwrap(), Some(first.clone()));
    assert_eq!(store.key_by_version(id("versions"), "k", 3).await.unwrap(), None);
    assert_eq!(store.keys(id("versions")).await.unwrap(), [first.clone(), second.clone()]);
    store.apply(vec![set(first.key_id, KeyState::Pending, KeyState::Active)]).await.unwrap();
    let superseded = Change::SetKeyState {
        key_id: first.key_id,
        from: KeyState::Active,
        to: KeyState::Superseded,
        changed_ms: 70,
        successor: Some(second.key_id),
    };
    store.apply(vec![superseded]).await.unwrap();
    store.apply(vec![set(first.key_id, KeyState::Superseded, KeyState::Scheduled)]).await.unwrap();
    let row = store.key(first.key_id).await.unwrap().unwrap();
    assert_eq!((row.state, row.changed_ms), (KeyState::Scheduled, 60));
    assert_eq!(row.successor, Some(second.key_id), "none leaves the row's own");
    assert_eq!(store.scheduled_keys(59, 10).await.unwrap(), []);
    assert_eq!(store.scheduled_keys(60, 10).await.unwrap(), [row]);
}

pub(super) async fn every_change_of_a_key_grows_its_revision(store: &dyn Store) {
    open_account(store, "revisions").await;
    let row = key("revisions", "k");
    store.apply(vec![Change::InsertKey(row.clone())]).await.unwrap();
    let app = || "app".to_owned();
    let changes = [
        set(row.key_id, KeyState::Pending, KeyState::Active),
        Change::PutAuthorisation { key_id: row.key_id, app: app(), created_ms: 1 },
        Change::RemoveAuthorisation { key_id: row.key_id, app: app() },
        Change::SetLabels { key_id: row.key_id, from: [].into(), to: [("a".into(), "b".into())].into() },
        Change::SetAccountState(
            id("revisions"),
            keyward_store::AccountState::Open,
            keyward_store::AccountState::Closed,
        ),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        store.apply(vec![change.clone()]).await.unwrap();
        assert_eq!(revision(store, row.key_id).await, place as u64 + 2, "{change:?}");
    }
}

pub(super) async fn keys_are_found_by_what_is_known_of_them(store: &dyn Store) {
    open_account(store, "search").await;
    let labelled = |number: u32, value: &str| Key {
        labels: [("team".to_owned(), value.to_owned()), ("quote\"d".to_owned(), "100%".to_owned())].into(),
        ..version("search", "pay_", number)
    };
    let (one, two) = (labelled(1, "red"), labelled(2, "blue"));
    let other = version("search", "other", 3);
    for row in [&one, &two, &other] {
        store.apply(vec![Change::InsertKey(row.clone())]).await.unwrap();
    }
    let all = KeyFilter { account: Some(id("search")), limit: 10, ..KeyFilter::default() };
    let search = async |filter: KeyFilter| store.search_keys(filter).await.unwrap();
    assert_eq!(search(all.clone()).await, [other.clone(), one.clone(), two.clone()], "by id");
    assert_eq!(search(KeyFilter { limit: 1, ..all.clone() }).await, std::slice::from_ref(&other));
    assert_eq!(
        search(KeyFilter { after: Some(one.key_id), ..all.clone() }).await,
        std::slice::from_ref(&two)
    );
    let label =
        |name: &str, value: &str| KeyFilter { label: Some((name.into(), value.into())), ..all.clone() };
    assert_eq!(search(label("team", "red")).await, std::slice::from_ref(&one));
    assert_eq!(search(label("team", "re")).await, []);
    assert_eq!(search(label("quote\"d", "100%")).await.len(), 2);
    let prefix = |text: &str| KeyFilter { alias_prefix: Some(text.into()), ..all.clone() };
    assert_eq!(search(prefix("pay_")).await.len(), 2);
    assert_eq!(search(prefix("p%")).await, [], "no pattern");
    assert_eq!(search(prefix("payx")).await, [], "no pattern");
    let nowhere = KeyFilter { account: Some(id("nobody")), ..all.clone() };
    assert_eq!(search(nowhere).await, []);
    store.apply(vec![set(two.key_id, KeyState::Pending, KeyState::Active)]).await.unwrap();
    let active = search(KeyFilter { state: Some(KeyState::Active), ..all.clone() }).await;
    assert_eq!(active.iter().map(|key| key.key_id).collect::<Vec<_>>(), [two.key_id]);
    let remove = |key_id| Change::SetLabels { key_id, from: one.labels.clone(), to: [].into() };
    store.apply(vec![remove(one.key_id)]).await.unwrap();
    assert_eq!(search(label("team", "red")).await, []);
    for (overtaken, why) in [(one.key_id, "they changed meanwhile"), (id("no such key"), "no key")] {
        let refused = store.apply(vec![remove(overtaken)]).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "labels" })), "{why}: {refused:?}");
    }
}

pub(super) async fn erasing_needs_a_destroyed_key_and_leaves_the_row(store: &dyn Store) {
    open_account(store, "erase").await;
    let row = key("erase", "k");
    store.apply(vec![Change::InsertKey(row.clone())]).await.unwrap();
    let early = store.apply(vec![Change::EraseKey(row.key_id)]).await;
    assert!(matches!(early, Err(StoreError::Missing { .. })), "{early:?}");
    let destroyed = set(row.key_id, KeyState::Pending, KeyState::Destroyed);
    store.apply(vec![destroyed, Change::EraseKey(row.key_id)]).await.unwrap();
    let row = store.key(row.key_id).await.unwrap().unwrap();
    assert_eq!((row.custody, row.state), (Custody::Erased, KeyState::Destroyed));
    let mut own = key("erase", "own");
    own.custody = Custody::Own;
    let destroyed = set(own.key_id, KeyState::Pending, KeyState::Destroyed);
    let changes = vec![Change::InsertKey(own.clone()), destroyed, Change::EraseKey(own.key_id)];
    store.apply(changes).await.unwrap();
    let own = store.key(own.key_id).await.unwrap().unwrap();
    assert_eq!(
        (own.custody, own.state),
        (Custody::Own, KeyState::Destroyed),
        "nothing was here to be erased"
    );
}

pub(super) async fn what_is_public_of_a_shared_key_is_exchanged_for_what_was_read(store: &dyn Store) {
    open_account(store, "shared").await;
    let mut row = key("shared", "treasury");
    row.custody = Custody::Shared { shared_key: vec![1; 300] };
    store.apply(vec![Change::InsertKey(row.clone())]).await.unwrap();
    assert_eq!(store.key(row.key_id).await.unwrap().as_ref(), Some(&row), "it comes back as it was kept");
    let exchange = |key_id: Id, from: u8, to: u8| Change::ReplaceShared {
        key_id,
        from: vec![from; 300],
        to: vec![to; 300],
    };
    store.apply(vec![exchange(row.key_id, 1, 2)]).await.unwrap();
    let now = store.key(row.key_id).await.unwrap().unwrap();
    assert_eq!(now.custody, Custody::Shared { shared_key: vec![2; 300] });
    assert_eq!(now.revision, row.revision + 1, "an intent that was decided on the former one is stale");
    let hosted = key("shared", "hosted");
    store.apply(vec![Change::InsertKey(hosted.clone())]).await.unwrap();
    for (overtaken, why) in [(row.key_id, "it changed meanwhile"), (hosted.key_id, "not a shared key")] {
        let refused = store.apply(vec![exchange(overtaken, 1, 3)]).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "key" })), "{why}: {refused:?}");
    }
    assert!(!store.keys_not_under("kek", 1000).await.unwrap().iter().any(|key| key.key_id == row.key_id));
    let destroyed = set(row.key_id, KeyState::Pending, KeyState::Destroyed);
    store.apply(vec![destroyed, Change::EraseKey(row.key_id)]).await.unwrap();
    let row = store.key(row.key_id).await.unwrap().unwrap();
    assert_eq!(row.custody, now.custody, "nothing secret was here to be erased");
}

pub(super) async fn what_is_resealed_is_what_was_opened(store: &dyn Store) {
    open_account(store, "reseal").await;
    let row = key("reseal", "k");
    store.apply(vec![Change::InsertKey(row.clone())]).await.unwrap();
    let reseal = |from: u8| Change::Reseal {
        key_id: row.key_id,
        from_sealed: vec![from; 60],
        to_sealed: vec![5; 61],
        kek: "next".into(),
    };
    assert!(store.keys_not_under("next", 100).await.unwrap().contains(&row));
    let other = store.apply(vec![reseal(9)]).await;
    assert!(matches!(other, Err(StoreError::Missing { .. })), "{other:?}");
    store.apply(vec![reseal(4)]).await.unwrap();
    let again = store.key(row.key_id).await.unwrap().unwrap();
    assert_eq!(again.custody, Custody::Hosted { sealed: vec![5; 61], kek: "next".into() });
    let left = store.keys_not_under("next", 100).await.unwrap();
    assert!(!left.iter().any(|key| key.key_id == row.key_id));
}
