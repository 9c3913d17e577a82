//! Crashes and outages between intent and release.

use std::sync::atomic::Ordering;

use keyward_domain::Code;
use keyward_store::IntentState;

use super::world::{Mood, World, check, code, unsaid};
use crate::guard::Input;

async fn with_key() -> (World, crate::caller::Caller) {
    let world = World::new().await;
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    (world, app)
}

#[tokio::test]
async fn without_the_ledger_nothing_is_signed() {
    let (world, app) = with_key().await;
    world.ledger.set(Mood::Gone);
    let refused = world.custody.sign(&app, "pay", (&Input::Message(b"m"), unsaid()), b"mark").await;
    let failure = refused.err().unwrap();
    assert_eq!((failure.code, failure.code.retry()), (Code::LedgerUnavailable, true));
    assert_eq!(world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap(), []);
    assert_eq!(world.custody.unreleased.list().len(), 1);
    world.ledger.set(Mood::Good);
    // The same request may be tried again under the same mark.
    let signed = world.custody.sign(&app, "pay", (&Input::Message(b"m"), unsaid()), b"mark").await.unwrap();
    check(&signed, b"m");
    // The first intent is given up once the ledger would no longer take it, and never signed for.
    world.custody.settle_unreleased().await.unwrap();
    assert_eq!(world.custody.unreleased.list()[0].1, IntentState::Submitted);
    world.ledger.height.fetch_add(5000, Ordering::Relaxed);
    world.custody.settle_unreleased().await.unwrap();
    assert_eq!(world.custody.unreleased.list(), []);
    assert_eq!(world.custody.store.open_intents(super::world::SUBMITTER, 10).await.unwrap(), []);
}

#[tokio::test]
async fn an_intent_that_became_final_unheard_is_told_and_never_signed() {
    let (world, app) = with_key().await;
    world.ledger.set(Mood::Deaf);
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    assert_eq!(world.intents(), 1);
    world.custody.settle_unreleased().await.unwrap();
    assert_eq!(world.custody.unreleased.list()[0].1, IntentState::Final);
    let world = world.restart().await;
    let operator = world.caller("keyward://operator/ops").await;
    let status = world.custody.status(&operator).await.unwrap();
    assert_eq!(status.unreleased.len(), 1);
    assert!(status.token_ready && status.ledger_reachable);
    assert_eq!(world.custody.record_releases().await.unwrap(), 0);
    assert_eq!(world.signatures(), 0);
}

#[tokio::test]
async fn a_run_that_dies_between_intent_and_release_signs_nothing() {
    let (world, app) = with_key().await;
    // Making the key rang already.
    world.ledger.asked.notified().await;
    world.ledger.set(Mood::Silent);
    {
        let dying = world.custody.sign(&app, "pay", (&Input::Message(b"m"), unsaid()), b"mark");
        tokio::select! {
            _ = dying => panic!("the ledger is silent"),
            () = world.ledger.asked.notified() => {}
        }
    }
    assert_eq!(
        code(world.custody.sign(&app, "pay", (&Input::Message(b"m"), unsaid()), b"mark").await),
        Code::IdempotencyPending
    );
    let world = world.restart().await;
    assert_eq!(world.custody.unreleased.list().len(), 1, "the next run tells");
    assert_eq!(world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap(), []);
    world.ledger.set(Mood::Good);
    let app = world.app().await;
    let signed = world.custody.sign(&app, "pay", (&Input::Message(b"m"), unsaid()), b"mark").await.unwrap();
    check(&signed, b"m");
    assert_eq!(world.intents(), 1, "the dead run's intent was never recorded");
}

#[tokio::test]
async fn queued_releases_survive_a_restart_and_are_recorded_once() {
    let (world, app) = with_key().await;
    for _ in 0..3 {
        world.sign(&app, "pay", b"m").await.unwrap();
    }
    world.ledger.set(Mood::Gone);
    assert!(world.custody.record_releases().await.is_err());
    world.ledger.set(Mood::Deaf);
    assert!(world.custody.record_releases().await.is_err(), "recorded, but unheard");
    world.ledger.set(Mood::Good);
    let world = world.restart().await;
    assert_eq!(world.custody.record_releases().await.unwrap(), 3);
    assert_eq!(world.signatures(), 3);
    assert_eq!(world.custody.unreleased.list(), []);
}

#[tokio::test]
async fn a_release_that_comes_too_late_is_not_tried_for_ever() {
    let (world, app) = with_key().await;
    let signed = world.sign(&app, "pay", b"m").await.unwrap();
    check(&signed, b"m");
    let queued = world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap();
    world.ledger.prune_intents();
    assert_eq!(world.custody.record_releases().await.unwrap(), 1);
    assert_eq!(world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap(), []);
    let row = world.custody.store.intent(queued[0].intent).await.unwrap().unwrap();
    assert_eq!(row.state, IntentState::Late);
}

#[tokio::test]
async fn without_the_key_encryption_key_nothing_is_signed_and_the_intent_is_told() {
    let (world, app) = with_key().await;
    world.kek.broken.store(true, Ordering::Relaxed);
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::TokenUnavailable);
    assert_eq!(world.custody.unreleased.list()[0].1, IntentState::Final);
    assert_eq!(code(world.custody.create_key(&app, "other", "ed25519", &[]).await), Code::TokenUnavailable);
    world.kek.broken.store(false, Ordering::Relaxed);
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
    // An opened key is remembered for a moment only.
    world.kek.broken.store(true, Ordering::Relaxed);
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
    world.pass_ms(60_001);
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::TokenUnavailable);
}
