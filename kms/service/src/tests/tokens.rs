//! Linked keys: the token signs, the service checks.

use std::sync::atomic::Ordering;

use keyward_domain::Code;
use keyward_ledger_core::entry::Entry;
use keyward_store::IntentState;
use zeroize::Zeroizing;

use super::world::{Mood, PIN, World, account, check, code};
use crate::{keys::rotate::To, tokens::link::Link};

const OPERATOR: &str = "keyward://operator/ops";

fn link<'a>(token: &'a str, key_label: &'a str, scheme: &'a str, pin: &[u8]) -> Link<'a> {
    let pin = Zeroizing::new(pin.to_vec());
    Link { token, key_label, id: &[], scheme, alias: "bank-key", agent: "", pin, mark: &[] }
}

#[tokio::test]
async fn a_linked_key_signs_in_its_token_also_after_a_restart() {
    let world = World::new().await;
    let operator = world.caller(OPERATOR).await;
    let (key, _) =
        world.custody.link_key(&operator, link("bank", "payments", "ecdsa-p256", PIN)).await.unwrap();
    assert_eq!((key.mode().name(), key.row.claims.as_slice()), ("linked", &["sensitive".to_owned()][..]));
    check(&world.sign(&operator, "bank-key", b"m").await.unwrap(), b"m");
    let tokens = world.custody.list_tokens(&operator).await.unwrap();
    assert_eq!(tokens[0].names, [Some(key.row.key_id)]);
    let again = world.custody.link_key(&operator, link("bank", "payments", "ecdsa-p256", PIN)).await;
    assert_eq!(code(again), Code::AliasTaken);
    let mut other = link("77", "payments", "ecdsa-p256", PIN);
    other.alias = "twice";
    assert_eq!(code(world.custody.link_key(&operator, other).await), Code::KeyAlreadyBound);

    let world = world.restart().await;
    let operator = world.caller(OPERATOR).await;
    check(&world.sign(&operator, "bank-key", b"m").await.unwrap(), b"m");
    world.tokens.logged_in.store(false, Ordering::Relaxed);
    assert_eq!(code(world.sign(&operator, "bank-key", b"m").await), Code::TokenUnavailable);
}

#[tokio::test]
async fn what_cannot_be_linked_says_why_and_changes_nothing() {
    let world = World::new().await;
    let operator = world.caller(OPERATOR).await;
    for (bad, expected) in [
        (link("nowhere", "payments", "ecdsa-p256", PIN), Code::TokenMissing),
        (link("bank", "nothing", "ecdsa-p256", PIN), Code::TokenKeyMissing),
        (link("bank", "payments", "ed25519", PIN), Code::SchemeMismatch),
        (link("bank", "payments", "sm2", PIN), Code::SchemeMismatch),
        (link("bank", "payments", "dsa", PIN), Code::SchemeUnknown),
        (link("bank", "payments", "ecdsa-p256", b"wrong"), Code::PinWrong),
        (link("bank", "payments", "ecdsa-p256", b"wrong"), Code::PinWrong),
        (link("bank", "payments", "ecdsa-p256", b"wrong"), Code::PinWrong),
        (link("bank", "payments", "ecdsa-p256", PIN), Code::PinLocked),
    ] {
        assert_eq!(code(world.custody.link_key(&operator, bad).await), expected);
    }
    let app = world.app().await;
    assert_eq!(
        code(world.custody.link_key(&app, link("bank", "payments", "ecdsa-p256", PIN)).await),
        Code::NotAllowed
    );
    assert!(world.custody.store.keys(account(&operator).0).await.unwrap().is_empty());
    assert!(world.custody.store.pins().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_signature_that_does_not_verify_never_leaves() {
    let world = World::new().await;
    let operator = world.caller(OPERATOR).await;
    world.custody.link_key(&operator, link("bank", "payments", "ecdsa-p256", PIN)).await.unwrap();
    world.tokens.lies.store(true, Ordering::Relaxed);
    assert_eq!(code(world.sign(&operator, "bank-key", b"m").await), Code::SignatureInvalid);
    assert!(
        world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap().is_empty()
    );
    assert_eq!(world.custody.unreleased.list()[0].1, IntentState::Final);
}

#[tokio::test]
async fn a_link_that_a_crash_cut_short_keeps_its_pin_or_leaves_nothing() {
    for (mood, blocks, linked) in [(Mood::Deaf, 0, true), (Mood::Gone, 0, true), (Mood::Gone, 5000, false)] {
        let world = World::new().await;
        let operator = world.caller(OPERATOR).await;
        world.ledger.set(mood);
        let cut = world.custody.link_key(&operator, link("bank", "payments", "ecdsa-p256", PIN)).await;
        assert_eq!(code(cut), Code::LedgerUnavailable);
        assert_eq!(world.tokens.released.load(Ordering::Relaxed), 0, "the key may still be bound");
        world.ledger.set(Mood::Good);
        world.ledger.height.fetch_add(blocks, Ordering::Relaxed);
        let world = world.restart().await;
        world.custody.store.take_over().await.unwrap();
        assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
        assert_eq!(world.custody.store.pins().await.unwrap().len(), usize::from(linked));
        let world = world.restart().await;
        let operator = world.caller(OPERATOR).await;
        match world.sign(&operator, "bank-key", b"m").await {
            Ok(signed) if linked => check(&signed, b"m"),
            other => assert!(!linked && code(other) == Code::KeyUnknown),
        }
    }
}

#[tokio::test]
async fn a_login_for_a_key_that_turns_out_never_bound_is_given_up() {
    for (mood, blocks, released) in [(Mood::Gone, 5000, 1), (Mood::Deaf, 0, 0)] {
        let world = World::new().await;
        let operator = world.caller(OPERATOR).await;
        world.ledger.set(mood);
        let cut = world.custody.link_key(&operator, link("bank", "payments", "ecdsa-p256", PIN)).await;
        assert_eq!(code(cut), Code::LedgerUnavailable);
        world.ledger.set(Mood::Good);
        world.ledger.height.fetch_add(blocks, Ordering::Relaxed);
        assert_eq!(world.tokens.released.load(Ordering::Relaxed), 0, "the key may still be bound");
        assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
        assert_eq!(world.tokens.released.load(Ordering::Relaxed), released);
    }
}

#[tokio::test]
async fn of_two_links_of_one_key_that_race_one_login_counts_on() {
    let world = World::new().await;
    let operator = world.caller(OPERATOR).await;
    let (one, two) = tokio::join!(
        world.custody.link_key(&operator, link("bank", "payments", "ecdsa-p256", PIN)),
        world.custody.link_key(&operator, link("bank", "payments", "ecdsa-p256", PIN)),
    );
    let refused = match (one, two) {
        (Ok(_), Err(failure)) | (Err(failure), Ok(_)) => failure.code,
        other => panic!("{other:?}"),
    };
    assert!([Code::KeyAlreadyBound, Code::AliasTaken, Code::KeyPending].contains(&refused), "{refused:?}");
    // Who comes late enough is refused by the alias, before any login.
    let logins = world.tokens.logins.load(Ordering::Relaxed);
    assert_eq!(logins - world.tokens.released.load(Ordering::Relaxed), 1, "of {logins} logins");
}

#[tokio::test]
async fn a_login_for_a_key_that_the_ledger_refuses_is_given_up() {
    let world = World::new().await;
    let operator = world.caller(OPERATOR).await;
    let (key, _) =
        world.custody.link_key(&operator, link("bank", "payments", "ecdsa-p256", PIN)).await.unwrap();
    // Behind our back: the ledger refuses the rotation that our row allows.
    world.ledger.record(Entry::ScheduleDestroyKey { key_id: key.public_key.id(), wait_ms: 5_000 });
    let to = To::Token(link("bank", "payments-2", "ecdsa-p256", PIN));
    assert_eq!(code(world.custody.rotate_key(&operator, "bank-key", to, &[]).await), Code::KeyScheduled);
    assert_eq!(world.tokens.released.load(Ordering::Relaxed), 1);
    assert_eq!(world.custody.store.pins().await.unwrap().len(), 1, "the first key's");
}
