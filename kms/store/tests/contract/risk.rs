//! Histories follow the revision before, together with the intent that they are of; rules have versions of their own.

use keyward_store::{
    AccountState, Change, Claimed, PolicyRequests, PolicyVersion, RiskHistory, Store, StoreError,
};

use super::{claim, id, intent, open_account};

fn history(name: &str, from: u64, sealed: &[u8]) -> RiskHistory {
    RiskHistory { account: id(name), from, sealed: sealed.to_vec() }
}

async fn put(store: &dyn Store, row: RiskHistory) -> Result<(), StoreError> {
    store.apply(vec![Change::PutRiskHistory(row)]).await
}

pub(super) async fn a_history_follows_the_revision_before_and_ends_with_its_account(store: &dyn Store) {
    let nobody = put(store, history("risk: nobody", 0, b"x")).await;
    assert!(matches!(nobody, Err(StoreError::Missing { .. })), "no account, no history: {nobody:?}");
    open_account(store, "risk: one").await;
    let account = id("risk: one");
    assert_eq!(store.risk_history(account).await.unwrap(), None);
    put(store, history("risk: one", 0, b"first")).await.unwrap();
    for stale in [0, 2, 9] {
        assert!(put(store, history("risk: one", stale, b"stale")).await.is_err(), "{stale}");
    }
    assert_eq!(store.risk_history(account).await.unwrap(), Some((1, b"first".to_vec())));
    put(store, history("risk: one", 1, b"second")).await.unwrap();
    assert_eq!(store.risk_history(account).await.unwrap(), Some((2, b"second".to_vec())));
    let close = Change::SetAccountState(account, AccountState::Open, AccountState::Closed);
    store.apply(vec![close, Change::EraseRiskHistory(account)]).await.unwrap();
    assert_eq!(store.risk_history(account).await.unwrap(), None);
    // Whoever still had it in mind writes nothing back.
    for from in [0, 2] {
        assert!(put(store, history("risk: one", from, b"late")).await.is_err());
    }
}

pub(super) async fn a_history_is_kept_with_the_intent_or_neither_is(store: &dyn Store) {
    open_account(store, "risk: two").await;
    let account = id("risk: two");
    let begin = |name: &str, mark: &str, from: u64, sealed: &[u8]| {
        let claim = Some(claim(mark, 1, 1));
        store.begin_judged_intent(intent(name), claim, Some(history("risk: two", from, sealed)))
    };
    assert_eq!(begin("risk 1", "risk mark 1", 0, b"one").await.unwrap(), Claimed::New);
    // Another revision stands: nothing is kept, and the claim is free again.
    assert_eq!(begin("risk 2", "risk mark 2", 0, b"lost").await.unwrap(), Claimed::Stale);
    assert_eq!(store.intent(id("risk 2")).await.unwrap(), None);
    assert_eq!(store.risk_history(account).await.unwrap(), Some((1, b"one".to_vec())));
    assert_eq!(begin("risk 2", "risk mark 2", 1, b"two").await.unwrap(), Claimed::New);
    // What was claimed before is not counted again.
    assert_eq!(begin("risk 3", "risk mark 2", 2, b"three").await.unwrap(), Claimed::InProgress);
    assert_eq!(store.risk_history(account).await.unwrap(), Some((2, b"two".to_vec())));
}

pub(super) async fn of_servers_that_follow_one_revision_one_gets_it(store: &dyn Store) {
    open_account(store, "risk: race").await;
    let begin = |name: &'static str| {
        store.begin_judged_intent(intent(name), None, Some(history("risk: race", 0, name.as_bytes())))
    };
    let (one, two, three) = tokio::join!(begin("risk race 1"), begin("risk race 2"), begin("risk race 3"));
    let raced = [one, two, three].map(Result::unwrap);
    assert_eq!(raced.iter().filter(|one| **one == Claimed::New).count(), 1, "{raced:?}");
    assert_eq!(raced.iter().filter(|one| **one == Claimed::Stale).count(), 2, "{raced:?}");
    assert_eq!(store.risk_history(id("risk: race")).await.unwrap().unwrap().0, 1);
}

pub(super) async fn rules_have_versions_and_requests_of_their_own(store: &dyn Store) {
    let kept = |name: &str| Change::KeepPolicyText { hash: id(name), text: name.to_owned(), kept_ms: 1 };
    let version = PolicyVersion { version: 7, hash: id("rules 7"), account: None, kept_ms: 1 };
    store.apply(vec![kept("rules 7"), kept("rules 8"), Change::PutRiskVersion(version)]).await.unwrap();
    assert_eq!(store.risk_versions(9).await.unwrap(), [version]);
    assert!(!store.policy_versions(99).await.unwrap().contains(&version));
    let forget = |name: &str| Change::ForgetPolicyText(id(name));
    store.apply(vec![forget("rules 7"), forget("rules 8")]).await.unwrap();
    assert_eq!(store.policy_text(id("rules 7")).await.unwrap().as_deref(), Some("rules 7"));
    assert_eq!(store.policy_text(id("rules 8")).await.unwrap(), None);
    let row = |number: u8| PolicyRequests { sealed: vec![number; 4], kept_ms: u64::from(number) * 10 };
    for number in 1..=3 {
        store.apply(vec![Change::KeepRiskRequests(row(number))]).await.unwrap();
    }
    store.apply(vec![Change::PruneRiskRequests { rows: 2, before_ms: 0 }]).await.unwrap();
    assert_eq!(store.risk_requests(9).await.unwrap(), [row(3), row(2)]);
}
