//! Intents, releases and idempotency.

use keyward_store::{Change, Claimed, IntentState, QueuedRelease, Store, StoreError};

use super::{claim, id, intent, name, signed};

pub(super) async fn an_intent_goes_its_way_once(store: &dyn Store) {
    assert_eq!(store.begin_intent(intent("way"), None).await.unwrap(), Claimed::New);
    assert!(store.begin_intent(intent("way"), None).await.is_err(), "the same id twice");
    store.finish_intent(signed("way", None)).await.unwrap();
    let again = store.finish_intent(signed("way", None)).await;
    assert!(matches!(again, Err(StoreError::Missing { what: "intent" })), "{again:?}");
    let row = store.intent(id("way")).await.unwrap().unwrap();
    assert_eq!(row.new, intent("way"));
    assert_eq!((row.state, row.leaf_index, row.height), (IntentState::Signed, Some(11), Some(12)));
    let queued = QueuedRelease { intent: id("way"), signature_hash: [5; 32] };
    assert!(store.queued_releases(10).await.unwrap().contains(&queued));
    store.apply(vec![Change::Released(vec![id("way"), id("unknown")])]).await.unwrap();
    assert!(!store.queued_releases(10).await.unwrap().contains(&queued));
    let abandon = Change::SetIntentState { intent: id("way"), state: IntentState::Abandoned, place: None };
    store.apply(vec![abandon]).await.unwrap();
    assert_eq!(store.intent(id("way")).await.unwrap().unwrap().state, IntentState::Released);
    let unknown = store.finish_intent(signed("never begun", None)).await;
    assert!(matches!(unknown, Err(StoreError::Missing { .. })), "{unknown:?}");
}

pub(super) async fn an_idempotency_key_is_honoured_once(store: &dyn Store) {
    let racers = (
        store.begin_intent(intent("racer 1"), Some(claim("race", 1, 1))),
        store.begin_intent(intent("racer 2"), Some(claim("race", 1, 1))),
        store.begin_intent(intent("other 3"), Some(claim("race", 2, 1))),
    );
    let (a, b, c) = tokio::join!(racers.0, racers.1, racers.2);
    assert_eq!([a.unwrap(), b.unwrap(), c.unwrap()], [Claimed::New, Claimed::InProgress, Claimed::Conflict]);
    assert_eq!(store.intent(id("racer 2")).await.unwrap(), None);
    store.finish_intent(signed("racer 1", Some((name("race"), b"answer".to_vec())))).await.unwrap();
    assert_eq!(store.claim(claim("race", 1, 1)).await.unwrap(), Claimed::Done(b"answer".to_vec()));
    assert_eq!(store.claim(claim("race", 1, 2)).await.unwrap(), Claimed::Done(b"answer".to_vec()));
    assert_eq!(store.claim(claim("race", 2, 1)).await.unwrap(), Claimed::Conflict);
    let mut stranger = claim("race", 2, 1);
    stranger.name.principal = "app/b".into();
    assert_eq!(store.claim(stranger).await.unwrap(), Claimed::New, "keys belong to principals");
}

pub(super) async fn a_dead_run_leaves_no_claim_behind(store: &dyn Store) {
    assert_eq!(store.claim(claim("dead", 1, 1)).await.unwrap(), Claimed::New);
    assert_eq!(store.claim(claim("dead", 2, 2)).await.unwrap(), Claimed::Conflict);
    assert_eq!(store.claim(claim("dead", 1, 2)).await.unwrap(), Claimed::New);
    assert_eq!(store.claim(claim("dead", 1, 2)).await.unwrap(), Claimed::InProgress);
}

pub(super) async fn failed_requests_may_be_tried_again(store: &dyn Store) {
    assert_eq!(store.claim(claim("failed", 1, 1)).await.unwrap(), Claimed::New);
    store.apply(vec![Change::Forget(name("failed"))]).await.unwrap();
    assert_eq!(store.claim(claim("failed", 2, 1)).await.unwrap(), Claimed::New);
    store.apply(vec![Change::Complete(name("failed"), vec![1])]).await.unwrap();
    store.apply(vec![Change::Forget(name("failed"))]).await.unwrap();
    assert_eq!(store.claim(claim("failed", 2, 1)).await.unwrap(), Claimed::Done(vec![1]));
}

pub(super) async fn open_intents_are_told(store: &dyn Store) {
    for name in ["open 1", "open 2", "open 3"] {
        store.begin_intent(intent(name), None).await.unwrap();
    }
    let set = |name, state, place| Change::SetIntentState { intent: id(name), state, place };
    store.apply(vec![set("open 2", IntentState::Final, Some((4, 5)))]).await.unwrap();
    store.apply(vec![set("open 3", IntentState::Refused, None)]).await.unwrap();
    let open = store.open_intents(100).await.unwrap();
    let of = |name| open.iter().find(|row| row.new.id == id(name));
    assert_eq!(of("open 1").map(|row| row.state), Some(IntentState::Submitted));
    assert_eq!(of("open 2").map(|row| (row.state, row.height)), Some((IntentState::Final, Some(5))));
    assert_eq!(of("open 3"), None);
    assert_eq!(store.open_intents(1).await.unwrap().len(), 1);
}

pub(super) async fn pruning_takes_only_what_is_settled_or_expired(store: &dyn Store) {
    store.begin_intent(intent("kept: open"), None).await.unwrap();
    store.begin_intent(intent("kept: queued"), None).await.unwrap();
    store.finish_intent(signed("kept: queued", None)).await.unwrap();
    store.begin_intent(intent("gone"), None).await.unwrap();
    store.finish_intent(signed("gone", None)).await.unwrap();
    store.apply(vec![Change::Released(vec![id("gone")])]).await.unwrap();
    store.begin_intent(intent("gone too"), None).await.unwrap();
    store.finish_intent(signed("gone too", None)).await.unwrap();
    store.apply(vec![Change::Late(vec![id("gone too")])]).await.unwrap();
    assert_eq!(store.intent(id("gone too")).await.unwrap().unwrap().state, IntentState::Late);
    assert!(store.prune(5000, 5000).await.unwrap() > 0);
    assert!(store.intent(id("kept: open")).await.unwrap().is_some());
    assert!(store.intent(id("kept: queued")).await.unwrap().is_some());
    assert_eq!(store.intent(id("gone")).await.unwrap(), None);
    assert_eq!(store.intent(id("gone too")).await.unwrap(), None);
    assert_eq!(store.claim(claim("race", 9, 9)).await.unwrap(), Claimed::New);
}
