//! The life of a key: rotated, scheduled, kept, destroyed, labelled and found, with crashes between.

use std::sync::{Arc, atomic::Ordering};

use keyward_domain::{AccountId, Code, Labels};
use keyward_ledger_core::{entry::Entry, scheme::KeyId, state::layout::KeyStatus};
use keyward_store::{Custody as Place, Key, KeyState};
use zeroize::Zeroizing;

use super::accounts::person;
use super::world::{Mood, PIN, World, account, check, code};
use crate::{
    caller::Caller,
    failure::Failure,
    keybook::KnownKey,
    keys::{
        list::{Page, Search},
        rotate::To,
    },
    tokens::link::Link,
};

const OPERATOR: &str = "keyward://operator/ops";
const OFFICER: &str = "keyward://officer/eve";
const DAY_MS: u64 = 24 * 3600 * 1000;

type Changed = Result<(Arc<KnownKey>, Vec<u8>), Failure>;

async fn with_key(world: &World) -> (Caller, String) {
    let app = world.app().await;
    let (key, _) = world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    (app, hex(&key))
}

fn hex(key: &KnownKey) -> String {
    KeyId(key.row.key_id).to_string()
}

async fn rotate(world: &World, caller: &Caller, name: &str) -> Changed {
    world.custody.rotate_key(caller, name, To::Made, &[]).await
}

async fn schedule(world: &World, caller: &Caller, name: &str) -> Changed {
    world.custody.schedule_destruction(caller, name, 0, &[]).await
}

async fn cancel(world: &World, caller: &Caller, name: &str) -> Changed {
    world.custody.cancel_destruction(caller, name, &[]).await
}

async fn state(world: &World, caller: &Caller, name: &str) -> KeyState {
    world.custody.show_key(caller, name).await.unwrap().row.state
}

async fn row(world: &World, id: &str) -> Key {
    let officer = world.caller(OFFICER).await;
    let key = world.custody.show_key(&officer, id).await.unwrap();
    world.custody.store.key(key.row.key_id).await.unwrap().unwrap()
}

fn count(world: &World, name: &str) -> usize {
    world.ledger.count(|entry| entry.name() == name)
}

#[tokio::test]
async fn a_rotated_key_signs_with_its_new_version_alone() {
    let world = World::new().await;
    let (app, first) = with_key(&world).await;
    let before = world.sign(&app, "pay", b"old").await.unwrap();
    let (second, receipt) = world.custody.rotate_key(&app, "pay", To::Made, b"mark").await.unwrap();
    assert_eq!((second.row.version, second.row.state), (2, KeyState::Active));
    let (again, same) = world.custody.rotate_key(&app, "pay", To::Made, b"mark").await.unwrap();
    assert_eq!((again.row.key_id, same), (second.row.key_id, receipt), "one rotation for one mark");
    assert_eq!(count(&world, "rotate-key"), 1);
    let after = world.sign(&app, "pay", b"new").await.unwrap();
    assert_eq!(after.key.row.key_id, second.row.key_id);
    check(&after, b"new");
    check(&before, b"old");
    for old in ["pay@1", &first] {
        assert_eq!(code(world.sign(&app, old, b"m").await), Code::KeySuperseded, "{old}");
        assert_eq!(code(rotate(&world, &app, old).await), Code::KeySuperseded);
        assert_eq!(code(world.custody.freeze_key(&app, old, &[]).await), Code::KeySuperseded);
    }
    check(&world.sign(&app, "pay@2", b"m").await.unwrap(), b"m");
    assert_eq!(code(world.sign(&app, "pay@3", b"m").await), Code::KeyUnknown);
    let old = world.custody.show_key(&app, "pay@1").await.unwrap();
    assert_eq!(old.row.successor, Some(second.row.key_id));
    let versions = world.custody.versions(&app, &old).await.unwrap();
    assert_eq!(versions.iter().map(|row| row.version).collect::<Vec<_>>(), [1, 2]);
    // Whoever looked at an old version did not make the alias mean it.
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
    // The sealed key of each version opens as that version only, also after a restart.
    let world = world.restart().await;
    let app = world.app().await;
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
    rotate(&world, &app, "pay").await.unwrap();
    assert_eq!(world.sign(&app, "pay", b"m").await.unwrap().key.row.version, 3);
    assert_eq!(code(world.custody.create_key(&app, "pay", "ed25519", &[]).await), Code::AliasTaken);
}

#[tokio::test]
async fn a_frozen_key_is_rotated_by_those_who_may_unfreeze_it() {
    let world = World::new().await;
    let (app, id) = with_key(&world).await;
    let officer = world.caller(OFFICER).await;
    world.custody.freeze_key(&officer, &id, &[]).await.unwrap();
    assert_eq!(code(rotate(&world, &app, "pay").await), Code::KeyFrozen);
    let (next, _) = rotate(&world, &officer, &id).await.unwrap();
    assert_eq!((next.row.version, next.row.account), (2, account(&app).0));
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
}

fn link<'a>(key_label: &'a str, pin: &[u8]) -> Link<'a> {
    let pin = Zeroizing::new(pin.to_vec());
    Link {
        token: "bank",
        key_label,
        id: &[],
        scheme: "ecdsa-p256",
        alias: "bank-key",
        agent: "",
        pin,
        mark: &[],
    }
}

#[tokio::test]
async fn a_linked_key_is_rotated_to_another_key_of_a_token_and_leaves_it_when_destroyed() {
    let world = World::new().await;
    let operator = world.caller(OPERATOR).await;
    world.custody.link_key(&operator, link("payments", PIN)).await.unwrap();
    let to = |label| To::Token(link(label, &[]));
    for (bad, expected) in [
        (To::Made, Code::InvalidArgument),
        (to("nothing"), Code::TokenKeyMissing),
        (to("payments"), Code::KeyAlreadyBound),
        (To::Token(Link { token: "nowhere", ..link("payments-2", &[]) }), Code::TokenMissing),
        (To::Token(link("payments-2", b"wrong")), Code::PinWrong),
    ] {
        let refused = world.custody.rotate_key(&operator, "bank-key", bad, b"the same mark").await;
        assert_eq!(code(refused), expected);
    }
    let (next, _) = world.custody.rotate_key(&operator, "bank-key", to("payments-2"), &[]).await.unwrap();
    assert_eq!((next.row.version, next.mode().name()), (2, "linked"));
    check(&world.sign(&operator, "bank-key", b"m").await.unwrap(), b"m");
    assert_eq!(code(world.sign(&operator, "bank-key@1", b"m").await), Code::KeySuperseded);

    schedule(&world, &operator, "bank-key").await.unwrap();
    world.pass_ms(7 * DAY_MS);
    assert_eq!(world.custody.destroy_due_keys().await.unwrap(), 1);
    assert_eq!(code(world.sign(&operator, "bank-key", b"m").await), Code::KeyDestroyed);
    // The token still has the key; it is never bound again.
    let again = Link { alias: "another", ..link("payments-2", PIN) };
    assert_eq!(code(world.custody.link_key(&operator, again).await), Code::KeyDestroyed);
}

#[tokio::test]
async fn a_scheduled_key_signs_nothing_and_is_erased_when_its_time_has_come() {
    let world = World::new().await;
    let (app, id) = with_key(&world).await;
    let before = world.sign(&app, "pay", b"m").await.unwrap();
    assert_eq!(code(cancel(&world, &app, "pay").await), Code::KeyNotScheduled);
    let (scheduled, receipt) =
        world.custody.schedule_destruction(&app, "pay", 8 * DAY_MS, b"mark").await.unwrap();
    assert_eq!(scheduled.row.changed_ms, 1_000_000 + 8 * DAY_MS);
    let again = world.custody.schedule_destruction(&app, "pay", 8 * DAY_MS, b"mark").await.unwrap();
    assert_eq!(again.1, receipt);
    let other = world.custody.schedule_destruction(&app, "pay", 9 * DAY_MS, b"mark").await;
    assert_eq!(code(other), Code::IdempotencyConflict);
    let officer = world.caller(OFFICER).await;
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyScheduled);
    assert_eq!(code(world.custody.freeze_key(&app, "pay", &[]).await), Code::KeyScheduled);
    assert_eq!(code(world.custody.unfreeze_key(&officer, &id, &[]).await), Code::KeyScheduled);
    assert_eq!(code(schedule(&world, &app, "pay").await), Code::KeyScheduled);
    assert_eq!(code(rotate(&world, &app, "pay").await), Code::KeyScheduled);

    world.pass_ms(8 * DAY_MS - 1);
    assert_eq!(world.custody.destroy_due_keys().await.unwrap(), 0);
    assert!(matches!(row(&world, &id).await.custody, Place::Hosted { .. }), "not a moment before");
    world.pass_ms(1);
    assert_eq!(world.custody.destroy_due_keys().await.unwrap(), 1);
    let gone = row(&world, &id).await;
    assert_eq!((gone.state, &gone.custody), (KeyState::Destroyed, &Place::Erased));
    assert_eq!(gone.changed_ms, 1_000_000 + 8 * DAY_MS);
    assert!(world.custody.opened.find(&gone.key_id, 0).is_none(), "the opened key is wiped");
    for name in ["pay", "pay@1", &id] {
        assert_eq!(code(world.sign(&app, name, b"m").await), Code::KeyDestroyed);
        assert_eq!(code(cancel(&world, &app, name).await), Code::KeyDestroyed);
        assert_eq!(code(schedule(&world, &app, name).await), Code::KeyDestroyed);
        assert_eq!(code(rotate(&world, &app, name).await), Code::KeyDestroyed);
    }
    check(&before, b"m");
    assert_eq!(world.custody.destroy_due_keys().await.unwrap(), 0);
    assert_eq!((count(&world, "schedule-destroy-key"), count(&world, "destroy-key")), (1, 1));
}

#[tokio::test]
async fn waiting_periods_keep_to_their_bounds() {
    let world = World::new().await;
    let (app, _) = with_key(&world).await;
    for wait_ms in [1, 7 * DAY_MS - 1, 366 * DAY_MS + 1, u64::MAX] {
        let refused = world.custody.schedule_destruction(&app, "pay", wait_ms, b"mark").await;
        assert_eq!(code(refused), Code::DestructionWait, "{wait_ms}");
    }
    assert_eq!(count(&world, "schedule-destroy-key"), 0);
    world.custody.schedule_destruction(&app, "pay", 366 * DAY_MS, b"mark").await.unwrap();
}

#[tokio::test]
async fn a_cancelled_destruction_leaves_the_key_frozen_or_superseded() {
    let world = World::new().await;
    let (app, id) = with_key(&world).await;
    schedule(&world, &app, "pay").await.unwrap();
    let (kept, _) = cancel(&world, &app, "pay").await.unwrap();
    assert_eq!(kept.row.state, KeyState::Frozen);
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyFrozen);
    let officer = world.caller(OFFICER).await;
    world.custody.unfreeze_key(&officer, &id, &[]).await.unwrap();
    rotate(&world, &app, "pay").await.unwrap();
    schedule(&world, &app, "pay@1").await.unwrap();
    let (kept, _) = cancel(&world, &app, "pay@1").await.unwrap();
    assert_eq!(kept.row.state, KeyState::Superseded);
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
    world.pass_ms(30 * DAY_MS);
    assert_eq!(world.custody.destroy_due_keys().await.unwrap(), 0);
}

#[tokio::test]
async fn who_may_not_end_a_key_changes_nothing() {
    let world = World::new().await;
    let (app, id) = with_key(&world).await;
    let other = world.caller("keyward://app/other").await;
    for (uri, expected) in [
        ("keyward://app/other", Code::KeyUnknown),
        ("keyward://auditor/ada", Code::NotAllowed),
        (OPERATOR, Code::NotAllowed),
    ] {
        let caller = world.caller(uri).await;
        assert_eq!(code(schedule(&world, &caller, &id).await), expected, "{uri}");
        assert_eq!(code(cancel(&world, &caller, &id).await), expected, "{uri}");
        assert_eq!(code(rotate(&world, &caller, &id).await), expected, "{uri}");
        let none = Labels::new();
        assert_eq!(code(world.custody.set_labels(&caller, &id, &none, &[], &[]).await), expected, "{uri}");
    }
    assert_eq!(code(schedule(&world, &other, "pay").await), Code::KeyUnknown);
    assert_eq!(state(&world, &app, "pay").await, KeyState::Active);
}

/// The ledger goes silent, or records without being heard; then the service is killed.
#[tokio::test]
async fn every_step_is_before_or_after_a_crash() {
    for mood in [Mood::Gone, Mood::Deaf] {
        let world = World::new().await;
        let (app, _) = with_key(&world).await;
        world.ledger.set(mood);
        assert_eq!(code(rotate(&world, &app, "pay").await), Code::LedgerUnavailable);
        world.ledger.set(Mood::Good);
        assert!(matches!(
            world.sign(&app, "pay", b"m").await.map(|signed| signed.key.row.version).map_err(|f| f.code),
            Ok(1) | Err(Code::KeySuperseded)
        ));
        let world = settled(world).await;
        let app = world.app().await;
        assert_eq!(world.sign(&app, "pay", b"m").await.unwrap().key.row.version, 2, "{mood:?}");
        assert_eq!(code(world.sign(&app, "pay@1", b"m").await), Code::KeySuperseded);
        assert_eq!(count(&world, "rotate-key"), 1);

        world.ledger.set(mood);
        assert_eq!(code(schedule(&world, &app, "pay@1").await), Code::LedgerUnavailable);
        let world = settled(world).await;
        let app = world.app().await;
        assert_eq!(state(&world, &app, "pay@1").await, KeyState::Scheduled, "{mood:?}");
        assert_eq!(count(&world, "schedule-destroy-key"), 1);

        world.pass_ms(7 * DAY_MS);
        world.ledger.set(mood);
        assert!(world.custody.destroy_due_keys().await.is_err());
        let world = settled(world).await;
        let app = world.app().await;
        let gone = world.custody.show_key(&app, "pay@1").await.unwrap();
        assert_eq!((gone.row.state, &gone.row.custody), (KeyState::Destroyed, &Place::Erased), "{mood:?}");
        assert_eq!(count(&world, "destroy-key"), 1);

        world.ledger.set(mood);
        let set = labels(&[("team", "a")]);
        assert_eq!(
            code(world.custody.set_labels(&app, "pay", &set, &[], b"mark").await),
            Code::LedgerUnavailable
        );
        let world = settled(world).await;
        let app = world.app().await;
        assert_eq!(world.custody.show_key(&app, "pay").await.unwrap().row.labels, set, "{mood:?}");
        world.custody.set_labels(&app, "pay", &set, &[], b"mark").await.unwrap();
    }
}

#[tokio::test]
async fn a_cancellation_is_followed_and_never_done_again() {
    let world = World::new().await;
    let (app, _) = with_key(&world).await;
    schedule(&world, &app, "pay").await.unwrap();
    world.ledger.set(Mood::Gone);
    assert_eq!(code(cancel(&world, &app, "pay").await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 1, "it waits");
    world.ledger.height.fetch_add(5000, Ordering::Relaxed);
    let world = settled(world).await;
    let app = world.app().await;
    assert_eq!(state(&world, &app, "pay").await, KeyState::Scheduled);
    world.ledger.set(Mood::Deaf);
    assert_eq!(code(cancel(&world, &app, "pay").await), Code::LedgerUnavailable);
    let world = settled(world).await;
    let app = world.app().await;
    assert_eq!(state(&world, &app, "pay").await, KeyState::Frozen);
}

#[tokio::test]
async fn a_schedule_that_was_taken_back_is_not_done_again() {
    let world = World::new().await;
    let (app, id) = with_key(&world).await;
    world.ledger.set(Mood::Deaf);
    assert_eq!(
        code(world.custody.schedule_destruction(&app, "pay", 0, b"mark").await),
        Code::LedgerUnavailable
    );
    world.ledger.set(Mood::Good);
    // Somebody else's server took it back before ours looked.
    let key_id = row(&world, &id).await.key_id;
    world.ledger.record(Entry::CancelDestroyKey { key_id: KeyId(key_id) });
    let world = settled(world).await;
    let app = world.app().await;
    assert_eq!(state(&world, &app, "pay").await, KeyState::Frozen);
    assert_eq!(count(&world, "schedule-destroy-key"), 1);
}

#[tokio::test]
async fn a_row_that_is_behind_the_ledger_catches_up() {
    let world = World::new().await;
    let (app, id) = with_key(&world).await;
    let key_id = KeyId(row(&world, &id).await.key_id);
    world.ledger.record(Entry::ScheduleDestroyKey { key_id, wait_ms: 5_000 });
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyScheduled, "the ledger decides");
    assert_eq!(code(schedule(&world, &app, "pay").await), Code::KeyScheduled);
    let caught_up = row(&world, &id).await;
    assert_eq!((caught_up.state, caught_up.changed_ms), (KeyState::Scheduled, 1_005_000));
    world.pass_ms(5_000);
    world.ledger.record(Entry::DestroyKey { key_id });
    assert!(world.custody.destroy_due_keys().await.is_err());
    let caught_up = row(&world, &id).await;
    assert_eq!((caught_up.state, caught_up.custody), (KeyState::Destroyed, Place::Erased));
}

#[tokio::test]
async fn keys_of_a_closed_account_are_destroyed_in_time() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let made = super::accounts::make(&world, &alice, keyward_domain::scheme::Scheme::Ed25519).await;
    world.custody.import_key(&alice, &super::accounts::import(&made, "mine")).await.unwrap();
    let AccountId(id) = account(&alice);
    let key_id = KeyId(world.custody.store.keys(id).await.unwrap()[0].key_id);
    let closing = super::accounts::closing(&world, "alice").await;
    world.custody.close_account(&alice, &closing, &[]).await.unwrap();
    assert_eq!(world.custody.schedule_orphaned_keys().await.unwrap(), 1);
    assert_eq!(world.custody.schedule_orphaned_keys().await.unwrap(), 0);
    world.pass_ms(7 * DAY_MS);
    assert_eq!(world.custody.destroy_due_keys().await.unwrap(), 1);
    assert_eq!(world.custody.store.keys(id).await.unwrap()[0].custody, Place::Erased);
    let status = world.ledger.key(&key_id).unwrap().status;
    assert!(matches!(status, KeyStatus::Destroyed { .. }), "{status:?}");
}

/// Kills the service, gives the ledger back, and settles what was left.
async fn settled(world: World) -> World {
    let world = world.restart().await;
    world.ledger.set(Mood::Good);
    world.custody.store.take_over().await.unwrap();
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    world
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn list(world: &World, caller: &Caller, search: Search<'_>) -> Result<Page, Failure> {
    world.custody.list_keys(caller, &search).await
}

/// Aliases with their versions, sorted.
async fn found(world: &World, caller: &Caller, search: Search<'_>) -> Vec<String> {
    let page = list(world, caller, search).await.unwrap();
    let mut names: Vec<_> =
        page.keys.iter().map(|key| format!("{}@{}", key.row.alias, key.row.version)).collect();
    names.sort();
    names
}

#[tokio::test]
async fn labels_are_recorded_and_searched_for() {
    let world = World::new().await;
    let (app, _) = with_key(&world).await;
    world.custody.create_key(&app, "payroll", "ecdsa-p256", &[]).await.unwrap();
    let notes = count(&world, "note");
    let set = labels(&[("team", "treasury"), ("stage", "live")]);
    let (key, receipt) = world.custody.set_labels(&app, "pay", &set, &[], b"mark").await.unwrap();
    assert_eq!(key.row.labels, set);
    assert_eq!(world.custody.set_labels(&app, "pay", &set, &[], b"mark").await.unwrap().1, receipt);
    assert_eq!(count(&world, "note"), notes + 1);
    let team = |value| Search { label: Some(("team", value)), ..Search::default() };
    assert_eq!(found(&world, &app, team("treasury")).await, ["pay@1"]);
    assert!(found(&world, &app, team("Treasury")).await.is_empty());
    rotate(&world, &app, "pay").await.unwrap();
    assert_eq!(found(&world, &app, team("treasury")).await, ["pay@2"], "the new version is labelled too");
    let remove = ["team".to_owned()];
    let (key, _) = world.custody.set_labels(&app, "pay", &Labels::new(), &remove, &[]).await.unwrap();
    assert_eq!(key.row.labels, labels(&[("stage", "live")]));
    assert!(found(&world, &app, team("treasury")).await.is_empty());
    for (key, value) in [("", "x"), ("Team", "x"), ("team", "a\nb")] {
        let refused = world.custody.set_labels(&app, "pay", &labels(&[(key, value)]), &[], &[]).await;
        assert_eq!(code(refused), Code::LabelInvalid, "{key}={value}");
    }
    let many: Labels = (0..50).map(|n| (format!("k{n}"), String::new())).collect();
    assert_eq!(code(world.custody.set_labels(&app, "pay", &many, &[], &[]).await), Code::TooMany);
}

#[tokio::test]
async fn keys_are_found_by_what_they_are_page_by_page() {
    let world = World::new().await;
    let (app, first) = with_key(&world).await;
    for (alias, scheme) in [("payroll", "ecdsa-p256"), ("taxes", "ed25519")] {
        world.custody.create_key(&app, alias, scheme, &[]).await.unwrap();
    }
    rotate(&world, &app, "pay").await.unwrap();
    world.custody.freeze_key(&app, "taxes", &[]).await.unwrap();
    let all = Search { all_versions: true, ..Search::default() };
    assert_eq!(found(&world, &app, all).await, ["pay@1", "pay@2", "payroll@1", "taxes@1"]);
    assert_eq!(found(&world, &app, Search::default()).await, ["pay@2", "payroll@1", "taxes@1"]);
    let by = |state| Search { state, ..Search::default() };
    assert_eq!(found(&world, &app, by("superseded")).await, ["pay@1"]);
    assert_eq!(found(&world, &app, by("frozen")).await, ["taxes@1"]);
    let alias = Search { alias_prefix: "pay", ..Search::default() };
    assert_eq!(found(&world, &app, alias).await, ["pay@2", "payroll@1"]);
    let scheme = Search { scheme: "ed25519", ..Search::default() };
    assert_eq!(found(&world, &app, scheme).await, ["pay@2", "taxes@1"]);
    for (bad, expected) in [
        (by("molten"), Code::InvalidArgument),
        (Search { scheme: "rot13", ..Search::default() }, Code::SchemeUnknown),
        (Search { alias_prefix: "a b", ..Search::default() }, Code::AliasInvalid),
        (Search { label: Some(("Team", "")), ..Search::default() }, Code::LabelInvalid),
    ] {
        assert_eq!(code(list(&world, &app, bad).await), expected);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let one = Search { page_size: 1, all_versions: true, after, ..Search::default() };
        let page = list(&world, &app, one).await.unwrap();
        seen.extend(page.keys.iter().map(|key| key.row.key_id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.is_sorted() && seen.contains(&row(&world, &first).await.key_id));
}

#[tokio::test]
async fn officers_auditors_and_operators_see_every_account_and_apps_their_own() {
    let world = World::new().await;
    let (app, _) = with_key(&world).await;
    let other = world.caller("keyward://app/other").await;
    world.custody.create_key(&other, "theirs", "ed25519", &[]).await.unwrap();
    for uri in [OFFICER, "keyward://auditor/ada", OPERATOR] {
        let caller = world.caller(uri).await;
        assert_eq!(found(&world, &caller, Search::default()).await, ["pay@1", "theirs@1"], "{uri}");
        let one = Search { account: other.account, ..Search::default() };
        assert_eq!(found(&world, &caller, one).await, ["theirs@1"], "{uri}");
    }
    assert_eq!(found(&world, &app, Search::default()).await, ["pay@1"]);
    let theirs = Search { account: other.account, ..Search::default() };
    assert_eq!(code(list(&world, &app, theirs).await), Code::NotAllowed);
    let alice = person(&world, "alice").await;
    assert!(found(&world, &alice, Search::default()).await.is_empty());
}
