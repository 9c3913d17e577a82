//! A grant is kept once under its id, and found by who asked and by how new it is.

use keyward_store::{Change, GrantRow, Store, StoreError};

use super::id;

fn row(grant: &str, account: &str, requested_ms: u64) -> GrantRow {
    GrantRow { grant: id(grant), account: id(account), purpose: grant.as_bytes().to_vec(), requested_ms }
}

pub(super) async fn a_grant_is_kept_once_and_found_by_who_asked(store: &dyn Store) {
    let rows =
        [row("grant one", "auditor", 1), row("grant two", "auditor", 3), row("grant three", "other", 2)];
    for row in &rows {
        store.apply(vec![Change::PutGrant(row.clone())]).await.unwrap();
    }
    let again = store.apply(vec![Change::PutGrant(row("grant one", "thief", 9))]).await;
    assert!(matches!(again, Err(StoreError::Missing { .. })), "{again:?}");
    let [one, two, three] = rows;
    assert_eq!(store.grant(id("grant one")).await.unwrap(), Some(one.clone()));
    assert_eq!(store.grant(id("grant four")).await.unwrap(), None);
    assert_eq!(store.grants(Some(id("auditor")), None, 9).await.unwrap(), [two.clone(), one.clone()]);
    assert_eq!(store.grants(None, None, 2).await.unwrap(), [two.clone(), three.clone()]);
    // A page begins behind the last one of the page before.
    let behind = |row: &GrantRow| Some((row.requested_ms, row.grant));
    assert_eq!(store.grants(None, behind(&two), 9).await.unwrap(), [three.clone(), one.clone()]);
    assert_eq!(store.grants(Some(id("auditor")), behind(&two), 9).await.unwrap(), std::slice::from_ref(&one));
    assert!(store.grants(None, behind(&one), 9).await.unwrap().is_empty());
    for known in [false, true, true] {
        assert_eq!(store.is_grant_looked_at(one.grant).await.unwrap(), known);
        store.apply(vec![Change::LookedAtGrant(one.grant)]).await.unwrap();
    }
    assert!(!store.is_grant_looked_at(two.grant).await.unwrap());
    let twin = row("grant three, twin", "other", 2);
    store.apply(vec![Change::PutGrant(twin.clone())]).await.unwrap();
    assert_eq!(store.grants(None, behind(&three), 9).await.unwrap(), [twin, one.clone()]);
    store.apply(vec![Change::ForgetGrant(one.grant), Change::ForgetGrant(one.grant)]).await.unwrap();
    assert_eq!(store.grants(Some(id("auditor")), None, 9).await.unwrap(), [two]);
}
