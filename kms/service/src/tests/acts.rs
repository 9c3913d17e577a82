//! Changes whose record and row were separated by a crash or an outage.

use std::sync::atomic::Ordering;

use keyward_domain::Code;
use keyward_ledger_core::entry::Entry;
use keyward_store::{AccountState, Act, ActKind, Change, KeyState};

use super::world::{Mood, World, account, check, code};
use crate::acts::detail;

#[tokio::test]
async fn a_binding_that_was_recorded_unheard_becomes_a_usable_key() {
    let world = World::new().await;
    let app = world.app().await;
    world.ledger.set(Mood::Deaf);
    assert_eq!(
        code(world.custody.create_key(&app, "pay", "ed25519", b"mark").await),
        Code::LedgerUnavailable
    );
    world.ledger.set(Mood::Gone);
    let world = world.restart().await;
    assert!(world.custody.settle_acts().await.is_err(), "it waits for the ledger");
    let app = world.app().await;
    // Which policies are in force is not known either.
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::LedgerUnavailable);
    world.ledger.set(Mood::ReadOnly);
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyPending);
    world.ledger.set(Mood::Good);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
    assert_eq!(world.custody.store.acts(world.custody.boot).await.unwrap(), []);
}

#[tokio::test]
async fn a_binding_that_can_no_longer_be_recorded_leaves_nothing_behind() {
    let world = World::new().await;
    let app = world.app().await;
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.create_key(&app, "pay", "ed25519", &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    world.ledger.height.fetch_add(5000, Ordering::Relaxed);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(world.custody.store.keys(account(&app).0).await.unwrap(), []);
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
}

#[tokio::test]
async fn a_freeze_is_completed_and_an_unfreeze_only_followed() {
    let world = World::new().await;
    let app = world.app().await;
    let (key, _) = world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let id: String = key.row.key_id.iter().map(|byte| format!("{byte:02x}")).collect();
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.freeze_key(&app, "pay", &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    world.custody.settle_acts().await.unwrap();
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyFrozen);

    let officer = world.caller("keyward://officer/eve").await;
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.unfreeze_key(&officer, &id, &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 1, "it waits");
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyFrozen);
    world.ledger.height.fetch_add(5000, Ordering::Relaxed);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyFrozen, "nothing was done again");

    world.ledger.set(Mood::Deaf);
    assert_eq!(code(world.custody.unfreeze_key(&officer, &id, &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    world.custody.settle_acts().await.unwrap();
    let row = world.custody.store.key(key.row.key_id).await.unwrap().unwrap();
    assert_eq!(row.state, KeyState::Active, "the row follows the ledger");
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_calls_of_a_principal_may_come_at_once() {
    let world = std::sync::Arc::new(World::new().await);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..16 {
        let world = world.clone();
        calls.spawn(async move {
            let shown = super::world::shown("keyward://app/treasury", None);
            let caller = world.custody.authenticate(&shown).await?;
            world.custody.create_key(&caller, &format!("pay-{number}"), "ed25519", &[]).await
        });
    }
    while let Some(made) = calls.join_next().await {
        made.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_account_that_was_opened_unheard_is_taken_over() {
    let world = World::new().await;
    world.ledger.set(Mood::Deaf);
    let shown = super::world::shown("keyward://app/treasury", None);
    let caller = world.custody.authenticate(&shown).await.unwrap();
    assert!(
        world.custody.list_keys(&caller, &Default::default()).await.unwrap().keys.is_empty(),
        "reading opens nothing"
    );
    assert_eq!(code(world.custody.create_key(&caller, "pay", "ed25519", &[]).await), Code::LedgerUnavailable);
    assert_eq!(code(world.custody.authenticate(&shown).await), Code::AccountPending);
    world.ledger.set(Mood::Good);
    world.custody.settle_acts().await.unwrap();
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
}

#[tokio::test]
async fn an_account_that_is_closed_twice_holds_nothing_else_up() {
    let world = World::new().await;
    let (app, alice) = (world.app().await, super::accounts::person(&world, "alice").await);
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let entries =
        [super::accounts::closing(&world, "alice").await, super::accounts::closing(&world, "alice").await];
    world.ledger.set(Mood::Deaf);
    for (mark, entry) in [b"one", b"two"].into_iter().zip(&entries) {
        assert_eq!(code(world.custody.close_account(&alice, entry, mark).await), Code::LedgerUnavailable);
    }
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.freeze_key(&app, "pay", &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    let row = world.custody.store.account(account(&alice).0).await.unwrap().unwrap();
    assert_eq!(row.state, AccountState::Closed);
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyFrozen, "the one behind them is settled");
}

#[tokio::test]
async fn a_change_that_does_not_fit_waits_alone() {
    let world = World::new().await;
    let app = world.app().await;
    let (key, _) = world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let act = |id, created_ms| Act {
        id,
        kind: ActKind::Open,
        // An account that is there and open: nothing is pending of it.
        subject: account(&app).0,
        detail: detail(&[Entry::OpenAccount { account: account(&app).0 }], ""),
        until: 4096,
        created_ms,
        boot: world.custody.boot,
        name: None,
    };
    world.custody.store.apply(vec![Change::PutAct(act([1; 32], 0))]).await.unwrap();
    let freeze = Act {
        kind: ActKind::Freeze,
        subject: key.row.key_id,
        detail: detail(&[Entry::FreezeKey { key_id: key.public_key.id() }], ""),
        ..act([2; 32], 1)
    };
    world.custody.store.apply(vec![Change::PutAct(freeze)]).await.unwrap();
    assert_eq!(world.custody.settle_acts().await.unwrap(), 1, "the first one alone");
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyFrozen);
}
