//! Dealings stay as they were handed in first, until they are forgotten.

use keyward_store::{Change, Store, ViewingDealing};

use super::id;

fn dealing(name: &str, (first, last): (u32, u32), kept_ms: u64) -> ViewingDealing {
    let dealing = name.as_bytes().to_vec();
    ViewingDealing { account: id("dealer"), first, last, hash: id(name), dealing, kept_ms }
}

pub(super) async fn dealings_are_found_by_their_epochs_and_kept_as_they_were_first(store: &dyn Store) {
    let [one, other, later] = [("one", (3, 5), 10), ("other", (3, 6), 20), ("later", (7, u32::MAX), 30)]
        .map(|(a, b, c)| dealing(a, b, c));
    let again = ViewingDealing { kept_ms: 40, ..one.clone() };
    let foreign = ViewingDealing { account: id("another dealer"), ..one.clone() };
    let all = [&later, &other, &one, &again, &foreign].map(|row| Change::KeepDealing(row.clone()));
    store.apply(all.to_vec()).await.unwrap();
    let within = async |first, last, limit| store.dealings(id("dealer"), first, last, limit).await.unwrap();
    assert_eq!(within(0, u32::MAX, 9).await, [one.clone(), other.clone(), later.clone()]);
    assert_eq!(within(0, u32::MAX, 2).await, [one.clone(), other.clone()]);
    assert_eq!(within(3, 5, 9).await, std::slice::from_ref(&one));
    assert_eq!(within(4, u32::MAX, 9).await, std::slice::from_ref(&later));
    assert_eq!(within(0, 4, 9).await, []);
    let forget = Change::ForgetDealings { account: id("dealer"), first: 3, before_ms: 20 };
    store.apply(vec![forget]).await.unwrap();
    assert_eq!(within(0, u32::MAX, 9).await, [other, later]);
    store.apply(vec![Change::ForgetDealingsOf(id("dealer"))]).await.unwrap();
    assert_eq!(within(0, u32::MAX, 9).await, []);
    assert_eq!(store.dealings(id("another dealer"), 0, 9, 9).await.unwrap(), [foreign]);
}
