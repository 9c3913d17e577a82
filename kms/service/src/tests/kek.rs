//! Rotating the key-encryption key: everything comes under the new one, whatever is interrupted.

use std::sync::atomic::Ordering;

use keyward_crypto::hosted_key_aad;
use keyward_domain::{Code, scheme::KeyId};
use keyward_ledger_core::entry::Entry;
use keyward_store::{Change, Custody as Place};

use super::{
    accounts::person,
    world::{Mood, PIN, World, check, code},
};
use crate::{caller::Caller, ports::Kek as _, tokens::link::Link};

const OFFICER: &str = "keyward://officer/olga";

/// A service with a hosted key, a linked one with its PIN, and a profile.
async fn furnished(world: &World) -> (Caller, Caller) {
    let (app, officer) = (world.app().await, world.caller(OFFICER).await);
    world.custody.create_key(&app, "hosted", "ed25519", &[]).await.unwrap();
    let operator = world.caller("keyward://operator/oscar").await;
    let link = Link {
        token: "bank",
        key_label: "payments",
        id: &[],
        scheme: "ecdsa-p256",
        alias: "linked",
        agent: "",
        pin: PIN.to_vec().into(),
        mark: &[],
    };
    world.custody.link_key(&operator, link).await.unwrap();
    (app, officer)
}

fn notes(world: &World) -> usize {
    world
        .ledger
        .count(|entry| matches!(entry, Entry::Note(note) if note[1..].starts_with(b"keyward/kek-note/v1")))
}

#[tokio::test]
async fn everything_comes_under_the_new_key_and_the_old_one_goes_only_when_asked() {
    let world = World::new().await;
    let (app, officer) = furnished(&world).await;
    let alice = person(&world, "alice").await;
    let fields = [("name".to_owned(), "Alice".to_owned())];
    let fields = keyward_domain::profile::Fields::parse(fields).unwrap();
    world.custody.set_profile(&alice, &fields, &[]).await.unwrap();

    let receipt = world.custody.rotate_kek(&officer, b"once").await.unwrap();
    assert_eq!(world.custody.rotate_kek(&officer, b"once").await.unwrap(), receipt, "asked twice, done once");
    let status = world.custody.kek_status(&officer).await.unwrap();
    assert_eq!(
        (status.state.number.get(), status.state.resealed, status.label.as_str()),
        (2, false, "kek/2")
    );
    assert_eq!(
        (status.left.keys, status.left.profiles, status.left.pins, status.left.secrets > 0),
        (1, 1, 1, true)
    );
    assert_eq!(code(world.custody.remove_kek(&officer, 1, &[]).await), Code::KekInUse);
    let (fresh, _) = world.custody.create_key(&app, "fresh", "ed25519", &[]).await.unwrap();
    let row = world.custody.store.key(fresh.row.key_id).await.unwrap().unwrap();
    assert!(matches!(row.custody, Place::Hosted { ref kek, .. } if kek == "kek/2"), "{row:?}");
    check(&world.sign(&app, "hosted", b"m").await.unwrap(), b"m");

    world.custody.tend_kek().await.unwrap();
    let status = world.custody.kek_status(&officer).await.unwrap();
    assert!(status.state.resealed && !status.left.any(), "{status:?}");
    assert_eq!(notes(&world), 2, "begun and ended");
    world.custody.tend_kek().await.unwrap();
    assert_eq!(notes(&world), 2, "ended once");

    assert_eq!(code(world.custody.remove_kek(&officer, 1, &[]).await), Code::KekInUse, "a moment ago");
    world.pass_ms(60_000);
    for (number, expected) in [(0, Code::KekUnknown), (2, Code::KekInUse), (3, Code::KekUnknown)] {
        assert_eq!(code(world.custody.remove_kek(&officer, number, &[]).await), expected, "{number}");
    }
    world.custody.remove_kek(&officer, 1, &[]).await.unwrap();
    assert_eq!(world.kek.keks.lock().unwrap().keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(code(world.custody.remove_kek(&officer, 1, &[]).await), Code::KekUnknown);
    assert_eq!(notes(&world), 3);

    // A new run knows the new key, makes none, and opens everything.
    let world = world.restart().await;
    assert_eq!(world.kek.keks.lock().unwrap().len(), 1);
    check(&world.sign(&world.app().await, "hosted", b"m").await.unwrap(), b"m");
    let alice = person(&world, "alice").await;
    assert_eq!(world.custody.show_profile(&alice, "", "").await.unwrap().fields, fields);
}

#[tokio::test]
async fn a_rotation_that_was_recorded_unheard_counts_later() {
    let world = World::new().await;
    let (app, officer) = furnished(&world).await;
    world.ledger.set(Mood::Deaf);
    assert_eq!(code(world.custody.rotate_kek(&officer, &[]).await), Code::LedgerUnavailable);
    assert_eq!(
        world.custody.follow_kek().await.unwrap().number.get(),
        1,
        "not before it is known to be final"
    );
    world.ledger.set(Mood::Good);
    let world = world.restart().await;
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(world.custody.follow_kek().await.unwrap().number.get(), 2);
    world.custody.tend_kek().await.unwrap();
    assert!(world.custody.follow_kek().await.unwrap().resealed);
    check(&world.sign(&app, "hosted", b"m").await.unwrap(), b"m");
}

#[tokio::test]
async fn a_rotation_that_a_crash_cut_short_is_the_same_one_when_asked_again() {
    for mood in [Mood::Deaf, Mood::Gone] {
        let world = World::new().await;
        let (_, officer) = furnished(&world).await;
        world.ledger.set(mood);
        assert_eq!(code(world.custody.rotate_kek(&officer, b"mark").await), Code::LedgerUnavailable);
        world.ledger.set(Mood::Good);
        let world = world.restart().await;
        world.custody.store.take_over().await.unwrap();
        assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
        assert!(!world.custody.rotate_kek(&officer, b"mark").await.unwrap().is_empty());
        assert_eq!(world.custody.follow_kek().await.unwrap().number.get(), 2, "{mood:?}");
        assert_eq!(world.kek.keks.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_removal_counts_only_once_the_token_has_no_such_key() {
    let world = World::new().await;
    let (_, officer) = furnished(&world).await;
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    world.custody.tend_kek().await.unwrap();
    world.pass_ms(60_000);
    world.kek.stuck.store(true, Ordering::Relaxed);
    assert_eq!(code(world.custody.remove_kek(&officer, 1, b"mark").await), Code::TokenUnavailable);
    assert_eq!(code(world.custody.remove_kek(&officer, 1, b"mark").await), Code::IdempotencyPending);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 1, "it waits for the token");
    assert_eq!(world.kek.keks.lock().unwrap().len(), 2);
    world.kek.stuck.store(false, Ordering::Relaxed);
    let world = world.restart().await;
    world.custody.store.take_over().await.unwrap();
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(world.kek.keks.lock().unwrap().keys().copied().collect::<Vec<_>>(), [2]);
    assert!(!world.custody.remove_kek(&officer, 1, b"mark").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_removal_that_happened_counts_whatever_began_since() {
    let world = World::new().await;
    let (_, officer) = furnished(&world).await;
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    world.custody.tend_kek().await.unwrap();
    world.pass_ms(60_000);
    world.kek.stuck.store(true, Ordering::Relaxed);
    assert_eq!(code(world.custody.remove_kek(&officer, 1, b"mark").await), Code::TokenUnavailable);
    // The token removed it, but the answer was lost; meanwhile the next rotation began.
    world.kek.keks.lock().unwrap().remove(&1);
    world.kek.stuck.store(false, Ordering::Relaxed);
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    let world = world.restart().await;
    world.custody.store.take_over().await.unwrap();
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert!(!world.custody.remove_kek(&officer, 1, b"mark").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_removal_that_was_left_is_undone_when_the_key_is_needed_again() {
    let world = World::new().await;
    let (_, officer) = furnished(&world).await;
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    world.custody.tend_kek().await.unwrap();
    world.pass_ms(60_000);
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.remove_kek(&officer, 1, b"mark").await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    seal_under_the_first(&world, "hosted").await;
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(world.kek.keks.lock().unwrap().len(), 2);
    assert_eq!(code(world.custody.remove_kek(&officer, 1, b"mark").await), Code::KekInUse, "asked anew");
}

/// What a server does that has not read of a rotation yet.
async fn seal_under_the_first(world: &World, alias: &str) {
    let (custody, app) = (&world.custody, world.app().await);
    let row = custody.store.key_by_alias(app.account.unwrap().0, alias).await.unwrap().unwrap();
    let Place::Hosted { sealed, .. } = row.custody else { panic!("not hosted") };
    let aad = hosted_key_aad(&KeyId(row.key_id), &row.account, row.version);
    let secret = world.kek.open(aad.clone(), sealed.clone()).await.unwrap();
    let plain = secret.expose(|bytes| bytes.to_vec().into());
    let to_sealed = world.kek.seal_under(crate::kek::FIRST, aad, plain).await.unwrap();
    let kek = "kek".to_owned();
    let behind = Change::Reseal { key_id: row.key_id, from_sealed: sealed, to_sealed, kek };
    custody.store.apply(vec![behind]).await.unwrap();
}

#[tokio::test]
async fn what_comes_under_the_old_key_after_the_end_of_a_rotation_is_brought_over_too() {
    let world = World::new().await;
    let (app, officer) = furnished(&world).await;
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    world.custody.tend_kek().await.unwrap();
    assert!(world.custody.follow_kek().await.unwrap().resealed);
    seal_under_the_first(&world, "hosted").await;
    assert_eq!(world.custody.kek_status(&officer).await.unwrap().left.keys, 1);
    world.pass_ms(60_000);
    world.custody.tend_kek().await.unwrap();
    assert_eq!(world.custody.kek_status(&officer).await.unwrap().left.keys, 0);
    assert_eq!(notes(&world), 2, "the end is recorded once");
    world.custody.remove_kek(&officer, 1, &[]).await.unwrap();
    world.pass_ms(60_000);
    check(&world.sign(&app, "hosted", b"m").await.unwrap(), b"m");
}

#[tokio::test]
async fn without_a_ledger_or_a_token_nothing_rotates() {
    let world = World::new().await;
    let (_, officer) = furnished(&world).await;
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.rotate_kek(&officer, &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    world.kek.broken.store(true, Ordering::Relaxed);
    assert_eq!(code(world.custody.rotate_kek(&officer, &[]).await), Code::TokenUnavailable);
    world.kek.broken.store(false, Ordering::Relaxed);
    assert_eq!(world.custody.follow_kek().await.unwrap().number.get(), 1);
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    assert_eq!(world.custody.follow_kek().await.unwrap().number.get(), 2);
}

#[tokio::test]
async fn a_resealing_that_is_interrupted_goes_on_and_racing_ones_do_no_harm() {
    let world = World::new().await;
    let app = world.app().await;
    for n in 0..70 {
        world.custody.create_key(&app, &format!("k{n}"), "ed25519", &[]).await.unwrap();
    }
    let officer = world.caller(OFFICER).await;
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    world.custody.tend_kek().await.unwrap();
    let left = world.custody.kek_status(&officer).await.unwrap();
    assert_eq!((left.left.keys, left.state.resealed), (6, false), "a pass has a bound");
    let world = world.restart().await;
    let (first, second) = tokio::join!(world.custody.tend_kek(), world.custody.tend_kek());
    first.and(second).unwrap();
    world.custody.tend_kek().await.unwrap();
    assert!(world.custody.follow_kek().await.unwrap().resealed);
    assert_eq!(notes(&world), 2, "the end is recorded once");
    for n in 0..70 {
        check(&world.sign(&app, &format!("k{n}"), b"m").await.unwrap(), b"m");
    }
}

#[tokio::test]
async fn what_does_not_open_keeps_the_old_key_in_use_and_holds_nobody_else_up() {
    let world = World::new().await;
    let (app, officer) = furnished(&world).await;
    let (key, _) = world.custody.create_key(&app, "broken", "ed25519", &[]).await.unwrap();
    let row = world.custody.store.key(key.row.key_id).await.unwrap().unwrap();
    let Place::Hosted { sealed, kek } = row.custody else { panic!("not hosted") };
    let mut damaged = sealed.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let key_id = key.row.key_id;
    let damage = Change::Reseal { key_id, from_sealed: sealed, to_sealed: damaged, kek };
    world.custody.store.apply(vec![damage]).await.unwrap();
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    world.custody.tend_kek().await.unwrap();
    let status = world.custody.kek_status(&officer).await.unwrap();
    assert_eq!((status.left.keys, status.left.pins, status.left.secrets), (1, 0, 0));
    assert!(!status.state.resealed);
    world.pass_ms(60_000);
    assert_eq!(code(world.custody.remove_kek(&officer, 1, &[]).await), Code::KekInUse);
}

#[tokio::test]
async fn only_officers_rotate_and_a_service_without_its_key_does_not_start() {
    let world = World::new().await;
    let (app, officer) = furnished(&world).await;
    let operator = world.caller("keyward://operator/oscar").await;
    let auditor = world.caller("keyward://auditor/ada").await;
    for caller in [&app, &operator, &auditor] {
        assert_eq!(code(world.custody.rotate_kek(caller, &[]).await), Code::NotAllowed);
        assert_eq!(code(world.custody.remove_kek(caller, 1, &[]).await), Code::NotAllowed);
    }
    assert_eq!(code(world.custody.kek_status(&app).await), Code::NotAllowed);
    world.custody.kek_status(&auditor).await.unwrap();
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    // Somebody attached another token: nothing is made anew, the start is refused.
    world.kek.keks.lock().unwrap().clear();
    let (store, kek) = (world.custody.store.as_ref(), world.custody.kek.as_ref());
    assert_eq!(code(crate::kek::start(store, kek).await), Code::TokenKeyMissing);
    assert!(world.kek.keks.lock().unwrap().is_empty());
}

#[tokio::test]
async fn keys_are_exported_to_those_who_may_see_them() {
    let world = World::new().await;
    let app = world.app().await;
    let (key, _) = world.custody.create_key(&app, "pay", "ecdsa-secp256k1", &[]).await.unwrap();
    let export = |caller: Caller, format: &'static str, network: &'static str| {
        let custody = world.custody.clone();
        async move { custody.export_key(&caller, "pay", format, network).await.map(|(_, bytes)| bytes) }
    };
    let address = export(app.clone(), "address-p2wpkh", "testnet").await.unwrap();
    assert!(address.starts_with(b"tb1q"));
    let der = export(app.clone(), "spki-der", "").await.unwrap();
    assert_eq!(Some(der), key.public_key.to_spki_uncompressed());
    for (format, network, expected) in [
        ("openssh", "", Code::FormatNotOfScheme),
        ("address-p2tr", "", Code::FormatNotOfScheme),
        ("pem", "", Code::FormatUnknown),
        ("address-p2wpkh", "signet", Code::NetworkUnknown),
    ] {
        assert_eq!(code(export(app.clone(), format, network).await), expected, "{format}");
    }
    let other = world.caller("keyward://app/other").await;
    assert_eq!(code(export(other, "jwk", "").await), Code::KeyUnknown);
}
