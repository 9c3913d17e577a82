//! Guard: each yes and its noes.

use std::sync::Arc;

use keyward_domain::Code;
use keyward_ledger_core::{
    entry::Entry,
    hash::{commitment, sha256, signature_hash},
};

use super::world::{World, check, check_digest, code, unsaid};
use crate::{
    caller::{Caller, Shown},
    config::Limits,
    guard::Input,
    ports::Clock as _,
};

const SCHEMES: [&str; 4] = ["ecdsa-secp256k1", "bip340", "ecdsa-p256", "ed25519"];

#[tokio::test]
async fn every_hosted_scheme_signs_and_its_release_is_recorded() {
    let world = World::new().await;
    let app = world.app().await;
    for scheme in SCHEMES {
        let (key, receipt) = world.custody.create_key(&app, scheme, scheme, &[]).await.unwrap();
        assert!(!receipt.is_empty());
        let signed = world.sign(&app, scheme, b"pay").await.unwrap();
        check(&signed, b"pay");
        assert_eq!(signed.key.row.key_id, key.row.key_id);
        assert_eq!(signed.key.address.is_some(), scheme == "ecdsa-secp256k1");
        let (entry, _) = world.ledger.log().pop().unwrap();
        let Entry::Intent(intent) = entry else { panic!("the release is recorded later") };
        assert_eq!(intent.policy, world.custody.policies.now().hash());
        let queued = world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap();
        assert_eq!(queued[0].signature_hash, signature_hash(&signed.signature));
        let row = world.custody.store.intent(intent.id).await.unwrap().unwrap();
        assert_eq!(intent.commitment, commitment(&row.new.r, &sha256(&[b"pay"])));
        assert_eq!(world.custody.record_releases().await.unwrap(), 1);
    }
    assert_eq!(world.signatures(), SCHEMES.len());
    assert_eq!(world.custody.record_releases().await.unwrap(), 0);
}

#[tokio::test]
async fn digests_are_signed_where_the_scheme_signs_digests() {
    let world = World::new().await;
    let app = world.app().await;
    for scheme in SCHEMES {
        world.custody.create_key(&app, scheme, scheme, &[]).await.unwrap();
        let sign = |digest: Vec<u8>| {
            let (custody, app) = (world.custody.clone(), app.clone());
            async move { custody.sign(&app, scheme, (&Input::Digest(digest), unsaid()), &[]).await }
        };
        let before = world.intents();
        if scheme == "ed25519" {
            assert_eq!(code(sign(vec![7; 32]).await), Code::DigestNotAllowed);
        } else {
            for len in [0, 20, 31, 33, 64] {
                assert_eq!(code(sign(vec![7; len]).await), Code::DigestLength, "{len}");
            }
            assert_eq!(world.intents(), before, "nothing was recorded for bad input");
            check_digest(&sign(vec![7; 32]).await.unwrap(), &[7; 32]);
        }
    }
    let long = vec![0; (1 << 20) + 1];
    assert_eq!(code(world.sign(&app, "ed25519", &long).await), Code::MessageTooLarge);
}

#[tokio::test]
async fn nobody_signs_with_what_is_not_theirs() {
    let world = World::new().await;
    let app = world.app().await;
    let (key, _) = world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let id: String = key.row.key_id.iter().map(|byte| format!("{byte:02x}")).collect();
    check(&world.sign(&app, &id, b"m").await.unwrap(), b"m");
    let other = world.caller("keyward://app/other").await;
    for name in ["pay", &id, "nothing", &"00".repeat(32)] {
        assert_eq!(code(world.sign(&other, name, b"m").await), Code::KeyUnknown, "{name}");
    }
    assert_eq!(code(world.sign(&app, "nothing", b"m").await), Code::KeyUnknown);
    assert_eq!(code(world.sign(&app, "no/alias", b"m").await), Code::AliasInvalid);
    for uri in ["keyward://officer/eve", "keyward://auditor/ann"] {
        let caller = world.caller(uri).await;
        let refused = code(world.sign(&caller, &id, b"m").await);
        assert!(matches!(refused, Code::KeyUnknown | Code::NotAllowed), "{uri}: {refused}");
    }
    let node = super::world::shown("keyward://node/n1", None);
    assert_eq!(code(world.custody.authenticate(&node).await), Code::NotAllowed);
    assert_eq!(code(world.custody.authenticate(&Shown::default()).await), Code::ClientCertificateRequired);
    assert_eq!(world.intents(), 1);
}

#[tokio::test]
async fn the_same_request_is_done_once() {
    let world = World::new().await;
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ecdsa-p256", b"make").await.unwrap();
    world.custody.create_key(&app, "pay", "ecdsa-p256", b"make").await.unwrap();
    assert_eq!(
        code(world.custody.create_key(&app, "pay2", "ecdsa-p256", b"make").await),
        Code::IdempotencyConflict
    );
    assert_eq!(code(world.custody.create_key(&app, "pay", "ecdsa-p256", &[]).await), Code::AliasTaken);
    let sign = |message: &'static [u8], mark: &'static [u8]| {
        let (custody, app) = (world.custody.clone(), app.clone());
        async move { custody.sign(&app, "pay", (&Input::Message(message), unsaid()), mark).await }
    };
    let first = sign(b"m", b"1").await.unwrap();
    let again = sign(b"m", b"1").await.unwrap();
    assert_eq!((&first.signature, &first.receipt), (&again.signature, &again.receipt));
    assert_eq!(code(sign(b"other", b"1").await), Code::IdempotencyConflict);
    assert_eq!(code(sign(b"m", &[0; 65]).await), Code::InvalidArgument);
    assert_eq!(world.intents(), 1);

    let racers: Vec<_> = (0..16).map(|_| tokio::spawn(sign(b"race", b"2"))).collect();
    let (mut done, mut pending) = (Vec::new(), 0);
    for racer in racers {
        match racer.await.unwrap() {
            Ok(signed) => done.push(signed.signature),
            Err(failure) => {
                assert_eq!(failure.code, Code::IdempotencyPending);
                pending += 1;
            }
        }
    }
    assert_eq!(done.len() + pending, 16);
    assert!(!done.is_empty() && done.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(world.intents(), 2, "one intent for all racers");
}

#[tokio::test]
async fn what_comes_after_its_deadline_is_not_begun() {
    let world = World::new().await;
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let now_ms = world.clock.now_ms();
    let late = |deadline_ms| Caller { deadline_ms: Some(deadline_ms), ..app.clone() };
    let before = world.ledger.log().len();
    for deadline_ms in [0, now_ms - 1, now_ms] {
        let late = late(deadline_ms);
        let sign = world.custody.sign(&late, "pay", (&Input::Message(b"m"), unsaid()), b"late").await;
        assert_eq!(code(sign), Code::DeadlineExceeded, "{deadline_ms}");
        assert_eq!(code(world.custody.freeze_key(&late, "pay", b"late").await), Code::DeadlineExceeded);
        let made = world.custody.create_key(&late, "other", "ed25519", b"late").await;
        assert_eq!(code(made), Code::DeadlineExceeded);
    }
    assert_eq!(world.ledger.log().len(), before, "nothing was recorded");
    assert!(
        world.custody.store.open_intents(super::world::SUBMITTER, 10).await.unwrap().is_empty(),
        "nothing was kept"
    );
    // In time, the same key for the same request is free.
    let signed = world
        .custody
        .sign(&late(now_ms + 1), "pay", (&Input::Message(b"m"), unsaid()), b"late")
        .await
        .unwrap();
    check(&signed, b"m");
}

#[tokio::test]
async fn a_frozen_key_refuses_signature_even_when_our_row_is_behind() {
    let world = World::new().await;
    let app = world.app().await;
    let (key, _) = world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    world.custody.freeze_key(&app, "pay", &[]).await.unwrap();
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::KeyFrozen);
    assert_eq!(code(world.custody.freeze_key(&app, "pay", &[]).await), Code::KeyFrozen);
    assert_eq!(code(world.custody.unfreeze_key(&app, "pay", &[]).await), Code::NotAllowed);
    let officer = world.caller("keyward://officer/eve").await;
    let id: String = key.row.key_id.iter().map(|byte| format!("{byte:02x}")).collect();
    world.custody.unfreeze_key(&officer, &id, &[]).await.unwrap();
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
    assert_eq!(code(world.custody.unfreeze_key(&officer, &id, &[]).await), Code::KeyNotFrozen);

    // Somebody else freezes it on the ledger; our row still says active.
    world.ledger.record(Entry::FreezeKey { key_id: key.public_key.id() });
    let queued =
        world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap().len();
    assert_eq!(code(world.sign(&app, "pay", b"m2").await), Code::KeyFrozen);
    assert_eq!(
        world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap().len(),
        queued
    );
    assert_eq!(code(world.custody.freeze_key(&app, "pay", &[]).await), Code::KeyFrozen);
    let row = world.custody.show_key(&app, "pay").await.unwrap();
    assert_eq!(row.row.state.word(), "frozen", "the row follows the ledger");
}

#[tokio::test]
async fn more_than_the_bound_at_once_is_told_so() {
    let world = World::with(Limits { concurrent: 1, ..Limits::default() }).await;
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ed25519", &[]).await.unwrap();
    let held = world.custody.permit().unwrap();
    assert_eq!(code(world.sign(&app, "pay", b"m").await), Code::ServiceBusy);
    drop(held);
    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
}

/// What guard itself costs, with a ledger that answers at once: printed, so that a change of it is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_sign_at_once() {
    let world = Arc::new(World::new().await);
    let app = world.app().await;
    world.custody.create_key(&app, "pay", "ecdsa-secp256k1", &[]).await.unwrap();
    let began = std::time::Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (world, app) = (world.clone(), app.clone());
            tokio::spawn(async move {
                for _ in 0..40 {
                    check(&world.sign(&app, "pay", b"m").await.unwrap(), b"m");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let rate = 64.0 * 40.0 / began.elapsed().as_secs_f64();
    println!("{rate:.0} signatures/s through guard, each verified once more");
    assert_eq!(world.intents(), 64 * 40);
}
