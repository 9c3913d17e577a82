//! The same mark on the same request: done once, answered as before. On another request: a conflict.

use keyward_domain::{Code, scheme::Scheme};
use keyward_proto::custody::{ChangeKeyRequest, CreateKeyRequest, KeyWithReceipt, SignRequest};
use tonic::Status;

use super::{
    payloads::{digest, message, sign},
    world::{Said as _, World, accepted, inner},
};

fn marked(request: SignRequest, mark: &[u8]) -> SignRequest {
    SignRequest { idempotency_key: mark.to_vec().into(), ..request }
}

async fn create(world: &World, alias: &str, scheme: &str, mark: &[u8]) -> Result<KeyWithReceipt, Status> {
    let (alias, scheme) = (alias.to_owned(), scheme.to_owned());
    let request = CreateKeyRequest { alias, scheme, idempotency_key: mark.to_vec().into() };
    inner(world.app.keys().create(world.app.request(request)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marked_signature_is_made_once_and_answered_again() {
    let mut world = World::enter().await;
    let nora = world.person("marks-nora").await;
    nora.client.create_person_key("marks", Scheme::EcdsaP256).await.unwrap();
    world.app.create_app_key("marks", Scheme::EcdsaP256).await.unwrap();
    world.app.create_app_key("marks-2", Scheme::EcdsaP256).await.unwrap();
    world.news().await;

    let request = marked(message("marks", b"pay once"), b"mark-1");
    let first = sign(&world.app, request.clone()).await.unwrap();
    assert_eq!(world.news().await, accepted(&["intent", "release"]));
    for _ in 0..3 {
        assert_eq!(sign(&world.app, request.clone()).await.unwrap(), first);
    }
    assert_eq!(world.news().await, [], "one intent for four requests");

    let others = [
        message("marks", b"pay twice"),
        message("marks-2", b"pay once"),
        digest("marks", &first.public_key[1..]),
    ];
    for other in others {
        world.refused(Code::IdempotencyConflict, sign(&world.app, marked(other, b"mark-1"))).await;
    }
    let created = create(&world, "marks-3", "ed25519", b"mark-1");
    world.refused(Code::IdempotencyConflict, created).await;
    // Marks are each caller's own.
    let hers = sign(&nora.client, marked(message("marks", b"hers"), b"mark-1")).await.unwrap();
    assert_ne!(hers.public_key, first.public_key);
    assert_eq!(world.news().await, accepted(&["intent", "release"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_with_one_mark_one_is_done() {
    let world = World::enter().await;
    world.app.create_app_key("marks-race", Scheme::Ed25519).await.unwrap();
    world.news().await;
    let request = marked(message("marks-race", b"pay once"), b"race");
    let tries = (0..16).map(|_| {
        let (client, request) = (world.app.clone(), request.clone());
        tokio::spawn(async move { sign(&client, request).await })
    });
    let mut signatures = Vec::new();
    for tried in tries.collect::<Vec<_>>() {
        match tried.await.unwrap() {
            Ok(signed) => signatures.push((signed.signature, signed.receipt)),
            Err(status) => super::world::check(Code::IdempotencyPending, &status.said()),
        }
    }
    assert!(!signatures.is_empty());
    assert!(signatures.iter().all(|signed| *signed == signatures[0]));
    assert_eq!(world.news().await, accepted(&["intent", "release"]));
    let later = sign(&world.app, request).await.unwrap();
    assert_eq!((later.signature, later.receipt), signatures[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_gives_its_mark_back() {
    let world = World::enter().await;
    let key = world.app.create_app_key("marks-back", Scheme::Ed25519).await.unwrap().key;
    let id = hex::encode(key.key_id);
    world.officer.freeze_key(&id).await.unwrap();
    let request = marked(message("marks-back", b"pay"), b"given-back");
    world.refused(Code::KeyFrozen, sign(&world.app, request.clone())).await;
    world.officer.unfreeze_key(&id).await.unwrap();
    sign(&world.app, request).await.unwrap();
    world.refused(Code::AliasTaken, create(&world, "marks-back", "ed25519", b"given-back-2")).await;
    create(&world, "marks-back-2", "ed25519", b"given-back-2").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_changes_are_done_once_and_answered_again() {
    let world = World::enter().await;
    world.news().await;
    let made = create(&world, "marks-made", "ed25519", b"made").await.unwrap();
    assert_eq!(world.news().await, accepted(&["bind-key"]));
    assert_eq!(create(&world, "marks-made", "ed25519", b"made").await.unwrap(), made);
    assert_eq!(world.news().await, []);
    for (alias, scheme) in [("marks-made", "ecdsa-p256"), ("marks-made-2", "ed25519")] {
        world.refused(Code::IdempotencyConflict, create(&world, alias, scheme, b"made")).await;
    }
    world.refused(Code::AliasTaken, create(&world, "marks-made", "ed25519", b"")).await;

    let id = hex::encode(&made.key.unwrap().key_id);
    let change = |mark: &'static [u8]| ChangeKeyRequest { key: id.clone(), idempotency_key: mark.into() };
    let officer = &world.officer;
    let frozen = inner(officer.keys().freeze(officer.request(change(b"freeze"))).await).unwrap();
    assert_eq!(inner(officer.keys().freeze(officer.request(change(b"freeze"))).await).unwrap(), frozen);
    assert_eq!(world.news().await, accepted(&["freeze-key"]));
    world
        .refused(Code::IdempotencyConflict, officer.keys().unfreeze(officer.request(change(b"freeze"))))
        .await;
    let thawed = inner(officer.keys().unfreeze(officer.request(change(b"thaw"))).await).unwrap();
    assert_eq!(inner(officer.keys().unfreeze(officer.request(change(b"thaw"))).await).unwrap(), thawed);
    // The first freeze again: answered as then, and the key stays as it is now.
    let again = inner(officer.keys().freeze(officer.request(change(b"freeze"))).await).unwrap();
    assert_eq!(again.receipt, frozen.receipt);
    assert_eq!(world.app.show_key("marks-made").await.unwrap().state, "active");
    assert_eq!(world.news().await, accepted(&["unfreeze-key"]));
}
