//! Two servers over one database: each request is honoured once, what one stops the other stops, and what a server
//! leaves when it ends is settled by the other.

use keyward_domain::{Code, Labels, scheme::Scheme};
use keyward_ledger_core::entry::Entry;
use keyward_store::{KeyState, StoreError};

use super::{
    accounts,
    world::{Mood, World, account, check, code, shown, unsaid},
};
use crate::{failure::Failure, guard::Input, keys::rotate::To};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_that_two_servers_see_at_once_is_one_signature() {
    let world = World::new().await;
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let other = world.beside().await;
    for round in 0..20_u8 {
        let (mark, input) = ([7, round], Input::Message([round]));
        let (one, two) = tokio::join!(
            world.custody.sign(&app, "pay", (&input, unsaid()), &mark),
            other.sign(&app, "pay", (&input, unsaid()), &mark),
        );
        for tried in [&one, &two] {
            if let Err(failure) = tried {
                assert_eq!(failure.code, Code::IdempotencyPending);
            }
        }
        let first = one.or(two).unwrap();
        let again = other.sign(&app, "pay", (&input, unsaid()), &mark).await.unwrap();
        assert_eq!((first.signature, first.receipt), (again.signature, again.receipt));
    }
    assert_eq!(world.intents(), 20);
}

#[tokio::test]
async fn what_one_server_freezes_the_other_refuses_at_once() {
    let world = World::new().await;
    let (app, officer) = (world.app().await, world.caller("keyward://officer/sofia").await);
    let (key, _) = world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let id = key.public_key.id().to_string();
    let other = world.beside().await;
    check(&other.sign(&app, "pay", (&Input::Message(b"m"), unsaid()), &[]).await.unwrap(), b"m");
    world.custody.freeze_key(&officer, &id, &[]).await.unwrap();
    let intents = world.ledger.log().len();
    assert_eq!(code(other.sign(&app, "pay", (&Input::Message(b"m"), unsaid()), &[]).await), Code::KeyFrozen);
    assert_eq!(world.ledger.log().len(), intents, "refused before the ledger was asked");
    other.unfreeze_key(&officer, &id, &[]).await.unwrap();
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
}

#[tokio::test]
async fn what_one_server_changed_is_what_the_other_decides_on() {
    let world = World::new().await;
    let (app, officer) = (world.app().await, world.caller("keyward://officer/sofia").await);
    let (key, _) = world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let id = key.public_key.id().to_string();
    let other = world.beside().await;
    // Each time the other server has just used the key as it was.
    let used =
        async || check(&other.sign(&app, "pay", (&Input::Message(b"m"), unsaid()), &[]).await.unwrap(), b"m");
    used().await;
    world.custody.freeze_key(&officer, &id, &[]).await.unwrap();
    assert_eq!(other.show_key(&app, "pay").await.unwrap().row.state, KeyState::Frozen);
    world.custody.unfreeze_key(&officer, &id, &[]).await.unwrap();
    used().await;
    world.custody.freeze_key(&officer, &id, &[]).await.unwrap();
    assert_eq!(code(other.rotate_key(&app, "pay", To::Made, &[]).await), Code::KeyFrozen);
    world.custody.unfreeze_key(&officer, &id, &[]).await.unwrap();
    assert_eq!(code(other.unfreeze_key(&officer, &id, &[]).await), Code::KeyNotFrozen);

    used().await;
    let labels = |key: &str| Labels::from([(key.to_owned(), "x".to_owned())]);
    world.custody.set_labels(&app, "pay", &labels("a"), &[], &[]).await.unwrap();
    let (both, _) = other.set_labels(&app, "pay", &labels("b"), &[], &[]).await.unwrap();
    assert_eq!(both.row.labels.keys().collect::<Vec<_>>(), ["a", "b"]);

    used().await;
    world.custody.rotate_key(&app, "pay", To::Made, &[]).await.unwrap();
    let (scheduled, _) = other.schedule_destruction(&app, "pay", 0, &[]).await.unwrap();
    assert_eq!((scheduled.row.version, scheduled.row.state), (2, KeyState::Scheduled), "what is meant now");
    assert_eq!(code(world.custody.rotate_key(&app, "pay", To::Made, &[]).await), Code::KeyScheduled);
    world.custody.cancel_destruction(&app, "pay", &[]).await.unwrap();
    assert_eq!(code(other.cancel_destruction(&app, "pay", &[]).await), Code::KeyNotScheduled);
}

#[tokio::test]
async fn what_one_server_lent_the_other_takes_back() {
    let world = World::new().await;
    let alice = accounts::person(&world, "alice").await;
    let made = accounts::make(&world, &alice, Scheme::Ed25519).await;
    let (key, _) = world.custody.import_key(&alice, &accounts::import(&made, "mine")).await.unwrap();
    let (id, shop) = (key.public_key.id().to_string(), world.caller("keyward://app/shop").await);
    let other = world.beside().await;
    for _ in 0..2 {
        assert_eq!(
            code(other.sign(&shop, &id, (&Input::Message(b"m"), unsaid()), &[]).await),
            Code::KeyUnknown
        );
        world.custody.authorise_app(&alice, "mine", "shop", &[]).await.unwrap();
        check(&other.sign(&shop, &id, (&Input::Message(b"m"), unsaid()), &[]).await.unwrap(), b"m");
        check(&world.sign(&shop, &id, b"m").await.unwrap(), b"m");
        other.revoke_app(&alice, "mine", "shop", &[]).await.unwrap();
        assert_eq!(code(world.sign(&shop, &id, b"m").await), Code::KeyUnknown);
    }
}

#[tokio::test]
async fn of_label_changes_at_once_none_is_lost_unsaid() {
    let world = World::new().await;
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let other = world.beside().await;
    let labels = |key: String| Labels::from([(key, "x".to_owned())]);
    let mut expected = Labels::new();
    for round in 0..10 {
        let (a, b) = (labels(format!("a{round}")), labels(format!("b{round}")));
        let (one, two) = tokio::join!(
            world.custody.set_labels(&app, "pay", &a, &[], &[]),
            other.set_labels(&app, "pay", &b, &[], &[]),
        );
        assert!(one.is_ok() || two.is_ok(), "one of them is made");
        for (made, set) in [(one, a), (two, b)] {
            match made {
                Ok(_) => expected.extend(set),
                Err(failure) => assert_eq!(failure.code, Code::ServiceBusy),
            }
        }
        assert_eq!(other.show_key(&app, "pay").await.unwrap().row.labels, expected);
        let left = (world.custody.settle_acts().await.unwrap(), other.settle_acts().await.unwrap());
        assert_eq!(left, (0, 0));
        let remove: Vec<String> = expected.keys().cloned().collect();
        world.custody.set_labels(&app, "pay", &Labels::new(), &remove, &[]).await.unwrap();
        expected.clear();
    }
}

#[tokio::test]
async fn an_overtaken_label_change_is_not_said_to_be_made() {
    let world = World::new().await;
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let other = world.beside().await;
    let labels = |key: &str| Labels::from([(key.to_owned(), "x".to_owned())]);
    world.ledger.set(Mood::Deaf);
    let left = other.set_labels(&app, "pay", &labels("b"), &[], b"mark").await;
    assert_eq!(code(left), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    world.custody.set_labels(&app, "pay", &labels("a"), &[], &[]).await.unwrap();
    assert_eq!(other.settle_acts().await.unwrap(), 0);
    let shown = world.custody.show_key(&app, "pay").await.unwrap();
    assert_eq!(shown.row.labels, labels("a"));
    let (both, _) = other.set_labels(&app, "pay", &labels("b"), &[], b"mark").await.unwrap();
    assert_eq!(both.row.labels.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn what_a_server_left_is_settled_by_the_other_and_its_request_answered() {
    let world = World::new().await;
    let app = world.app().await;
    let other = world.beside().await;
    world.ledger.set(Mood::Deaf);
    let made = world.custody.create_key(&app, "pay", "ed25519", b"mark").await;
    assert_eq!(code(made), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    // While the first server lives nobody else touches its act or its request.
    assert_eq!(other.store.take_over().await.unwrap(), 0);
    assert_eq!(other.settle_acts().await.unwrap(), 0);
    assert_eq!(code(other.create_key(&app, "pay", "ed25519", b"mark").await), Code::IdempotencyPending);
    let World { custody, ledger, .. } = world;
    drop(custody);
    while other.store.take_over().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(other.settle_acts().await.unwrap(), 0);
    let (key, receipt) = other.create_key(&app, "pay", "ed25519", b"mark").await.unwrap();
    assert!(!receipt.is_empty(), "the receipt of the binding, not `ALIAS_TAKEN`");
    let again = other.create_key(&app, "pay", "ed25519", b"mark").await.unwrap();
    assert_eq!((key.row.key_id, receipt), (again.0.row.key_id, again.1));
    let bound = |entry: &Entry| matches!(entry, Entry::BindKey(_));
    assert_eq!(ledger.count(bound), 1, "bound once");
}

#[tokio::test]
async fn an_outage_keeps_the_request_with_its_act_until_it_is_settled() {
    let world = World::new().await;
    let app = world.app().await;
    world.ledger.set(Mood::Gone);
    let made = world.custody.create_key(&app, "pay", "ed25519", b"mark").await;
    assert_eq!(code(made), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    assert_eq!(
        code(world.custody.create_key(&app, "pay", "ed25519", b"mark").await),
        Code::IdempotencyPending
    );
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    let (key, receipt) = world.custody.create_key(&app, "pay", "ed25519", b"mark").await.unwrap();
    assert_eq!((key.row.alias.as_str(), receipt.is_empty()), ("pay", false));
}

#[tokio::test]
async fn an_account_that_the_other_server_opens_is_used() {
    let world = World::new().await;
    let other = world.beside().await;
    let here = world.app().await;
    let there = other.authenticate(&shown("keyward://app/treasury", None)).await.unwrap();
    assert_eq!(account(&here), account(&there));
}

#[tokio::test]
async fn a_second_server_with_the_same_submitter_key_is_refused() {
    let world = World::new().await;
    let other = world.beside().await;
    let twin = keyward_store::Server {
        boot: [9; 16],
        name: "twin".into(),
        submitter: world.custody.ledger.submitter(),
    };
    let refused = other.store.enter(twin).await;
    assert!(matches!(&refused, Err(StoreError::SubmitterInUse { by }) if by == "first"), "{refused:?}");
}

#[test]
fn an_unreachable_database_and_a_full_one_are_retryable_codes() {
    for (error, code) in [
        (StoreError::Unavailable { source: "gone".into() }, Code::StoreUnavailable),
        (StoreError::Full { source: "no room".into() }, Code::StorageFull),
    ] {
        let failure = Failure::from(error);
        assert_eq!(failure.code, code);
        assert!(failure.code.retry());
    }
}
