//! Intents, releases and idempotency.

use keyward_store::{
    Act, ActKind, Change, Claimed, IntentState, KeyState, QueuedRelease, Signed, Store, StoreError,
};

use super::{SUBMITTER, claim, id, intent, key, keys::set, open_account, signed};

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
    assert!(store.queued_releases(SUBMITTER, (0, 0), 10).await.unwrap().contains(&queued));
    store.apply(vec![Change::Released(vec![id("way"), id("unknown")])]).await.unwrap();
    assert!(!store.queued_releases(SUBMITTER, (0, 0), 10).await.unwrap().contains(&queued));
    let abandon = Change::SetIntentState { intent: id("way"), state: IntentState::Abandoned, place: None };
    store.apply(vec![abandon]).await.unwrap();
    assert_eq!(store.intent(id("way")).await.unwrap().unwrap().state, IntentState::Released);
    let unknown = store.finish_intent(signed("never begun", None)).await;
    assert!(matches!(unknown, Err(StoreError::Missing { .. })), "{unknown:?}");
}

pub(super) async fn a_release_is_held_back_to_its_time_or_to_the_end_of_its_intent(store: &dyn Store) {
    store.begin_intent(intent("held"), None).await.unwrap();
    store.finish_intent(Signed { held_until_ms: 5_000, ..signed("held", None) }).await.unwrap();
    for (over, is_over) in [((4_999, 99), false), ((5_000, 0), true), ((0, 100), true)] {
        let queued = store.queued_releases(SUBMITTER, over, 100).await.unwrap();
        assert_eq!(queued.iter().any(|release| release.intent == id("held")), is_over, "{over:?}");
    }
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
    store
        .finish_intent(signed("racer 1", Some((claim("race", 1, 1).name, b"answer".to_vec()))))
        .await
        .unwrap();
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
    store.apply(vec![Change::Forget(claim("failed", 1, 1).name)]).await.unwrap();
    assert_eq!(store.claim(claim("failed", 2, 1)).await.unwrap(), Claimed::New);
    store.apply(vec![Change::Complete(claim("failed", 2, 1).name, vec![1])]).await.unwrap();
    store.apply(vec![Change::Forget(claim("failed", 2, 1).name)]).await.unwrap();
    assert_eq!(store.claim(claim("failed", 2, 1)).await.unwrap(), Claimed::Done(vec![1]));
}

pub(super) async fn open_intents_are_told(store: &dyn Store) {
    for name in ["open 1", "open 2", "open 3"] {
        store.begin_intent(intent(name), None).await.unwrap();
    }
    let set = |name, state, place| Change::SetIntentState { intent: id(name), state, place };
    store.apply(vec![set("open 2", IntentState::Final, Some((4, 5)))]).await.unwrap();
    store.apply(vec![set("open 3", IntentState::Refused, None)]).await.unwrap();
    let open = store.open_intents(SUBMITTER, 100).await.unwrap();
    let of = |name| open.iter().find(|row| row.new.id == id(name));
    assert_eq!(of("open 1").map(|row| row.state), Some(IntentState::Submitted));
    assert_eq!(of("open 2").map(|row| (row.state, row.height)), Some((IntentState::Final, Some(5))));
    assert_eq!(of("open 3"), None);
    assert_eq!(store.open_intents(SUBMITTER, 1).await.unwrap().len(), 1);
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

pub(super) async fn a_changed_key_makes_an_intent_stale(store: &dyn Store) {
    open_account(store, "stale").await;
    let row = key("stale", "k");
    store.apply(vec![Change::InsertKey(row.clone())]).await.unwrap();
    store.apply(vec![set(row.key_id, KeyState::Pending, KeyState::Active)]).await.unwrap();
    let mut decided = intent("stale");
    decided.key_id = row.key_id;
    decided.key_revision = 1;
    let begun = store.begin_intent(decided.clone(), Some(claim("stale", 1, 1))).await.unwrap();
    assert_eq!(begun, Claimed::Stale);
    assert_eq!(store.intent(decided.id).await.unwrap(), None);
    decided.key_revision = 2;
    let other = intent("beside a stale one");
    let mut unknown = intent("without a key");
    unknown.key_id = id("no such key");
    let (a, b, c) = tokio::join!(
        store.begin_intent(decided.clone(), Some(claim("stale", 1, 1))),
        store.begin_intent(other, None),
        store.begin_intent(unknown, None),
    );
    assert_eq!([a.unwrap(), b.unwrap(), c.unwrap()], [Claimed::New, Claimed::New, Claimed::Stale]);
}

pub(super) async fn a_try_that_lost_its_claim_completes_and_forgets_nothing(store: &dyn Store) {
    let (first, second) = (claim("fence", 1, 1), claim("fence", 1, 2));
    store.begin_intent(intent("fenced 1"), Some(first.clone())).await.unwrap();
    assert_eq!(store.claim(second.clone()).await.unwrap(), Claimed::New, "the first run never entered");
    let late = store.finish_intent(signed("fenced 1", Some((first.name.clone(), vec![1])))).await;
    assert!(matches!(late, Err(StoreError::Missing { what: "claim" })), "{late:?}");
    let row = store.intent(id("fenced 1")).await.unwrap().unwrap();
    assert_eq!((row.state, row.signature_hash), (IntentState::Final, None), "its signature never leaves");
    let changes = vec![Change::Forget(first.name.clone()), Change::Complete(first.name, vec![1])];
    store.apply(changes).await.unwrap();
    assert_eq!(store.claim(claim("fence", 1, 2)).await.unwrap(), Claimed::InProgress);
    store.apply(vec![Change::Complete(second.name, vec![2])]).await.unwrap();
    assert_eq!(store.claim(claim("fence", 1, 3)).await.unwrap(), Claimed::Done(vec![2]));
}

pub(super) async fn a_claim_waits_for_its_act(store: &dyn Store) {
    let claim_1 = claim("acting", 1, 1);
    assert_eq!(store.claim(claim_1.clone()).await.unwrap(), Claimed::New);
    let act = Act {
        id: id("acting"),
        kind: ActKind::Bind,
        subject: id("k"),
        detail: "x".into(),
        until: 9,
        created_ms: 1,
        boot: [1; 16],
        name: Some(claim_1.name.clone()),
    };
    store.apply(vec![Change::PutAct(act)]).await.unwrap();
    assert_eq!(store.claim(claim("acting", 1, 2)).await.unwrap(), Claimed::InProgress, "not taken over");
    store.apply(vec![Change::Forget(claim_1.name.clone())]).await.unwrap();
    assert_eq!(store.claim(claim("acting", 1, 2)).await.unwrap(), Claimed::InProgress, "not forgotten");
    store
        .apply(vec![Change::RemoveAct(id("acting")), Change::Complete(claim_1.name, vec![8])])
        .await
        .unwrap();
    assert_eq!(store.claim(claim("acting", 1, 2)).await.unwrap(), Claimed::Done(vec![8]));
}
