//! Freezing, lending, closing: what a key's state and its holder's word allow.

use keyward_domain::{Code, scheme::Scheme};

use super::{
    payloads::{message, sign},
    world::{World, accepted},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_freezes_a_key_it_signs_no_more_and_signs_again_when_it_is_let_go() {
    let world = World::enter().await;
    let key = world.app.create_app_key("officers", Scheme::EcdsaSecp256k1).await.unwrap().key;
    let id = hex::encode(&key.key_id);
    world.app.sign_message("officers", b"before").await.unwrap();
    world.refused(Code::KeyNotFrozen, world.officer.unfreeze_key(&id)).await;
    world.news().await;

    assert_eq!(world.officer.freeze_key(&id).await.unwrap().key.state, "frozen");
    assert_eq!(world.news().await, accepted(&["freeze-key"]));
    for name in ["officers", &id] {
        world.refused(Code::KeyFrozen, sign(&world.app, message(name, b"pay"))).await;
    }
    world.refused(Code::KeyFrozen, world.officer.freeze_key(&id)).await;
    world.refused(Code::KeyFrozen, world.app.freeze_key("officers")).await;
    world.refused(Code::NotAllowed, world.app.unfreeze_key("officers")).await;

    assert_eq!(world.officer.unfreeze_key(&id).await.unwrap().key.state, "active");
    assert_eq!(world.news().await, accepted(&["unfreeze-key"]));
    world.refused(Code::KeyNotFrozen, world.officer.unfreeze_key(&id)).await;
    world.app.sign_message("officers", b"after").await.unwrap();
    assert_eq!(world.news().await, accepted(&["intent", "release"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_signs_with_a_persons_key_only_while_it_is_authorised() {
    let mut world = World::enter().await;
    let alice = world.person("lender").await;
    let key = alice.client.create_person_key("lent", Scheme::Ed25519).await.unwrap().key;
    let id = hex::encode(&key.key_id);
    world.refused(Code::KeyUnknown, sign(&world.app, message(&id, b"pay"))).await;
    world.refused(Code::NotAuthorised, alice.client.revoke("lent", "local-app")).await;
    for app in ["", "Local-App", "local app", &"a".repeat(65)] {
        world.refused(Code::InvalidArgument, alice.client.authorize("lent", app)).await;
    }
    world.news().await;

    alice.client.authorize("lent", "another-app").await.unwrap();
    world.refused(Code::KeyUnknown, sign(&world.app, message(&id, b"pay"))).await;
    alice.client.authorize("lent", "local-app").await.unwrap();
    assert_eq!(world.news().await, accepted(&["note", "note"]));
    world.app.sign_message(&id, b"lent").await.unwrap();
    assert_eq!(world.news().await, accepted(&["intent", "release"]));
    // Lending is lending to sign, not to rule.
    world.refused(Code::NotAllowed, world.app.freeze_key(&id)).await;
    world.refused(Code::NotAllowed, world.app.authorize(&id, "local-app")).await;
    world.refused(Code::NotAllowed, world.app.revoke(&id, "local-app")).await;
    world.refused(Code::NotAllowed, sign(&world.operator, message(&id, b"pay"))).await;

    alice.client.revoke("lent", "local-app").await.unwrap();
    assert_eq!(world.news().await, accepted(&["note"]));
    world.refused(Code::KeyUnknown, sign(&world.app, message(&id, b"pay"))).await;
    world.refused(Code::NotAuthorised, alice.client.revoke("lent", "local-app")).await;
    alice.client.sign_message("lent", b"its holder signs on").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_accounts_keys_sign_for_nobody_and_its_name_stays_taken() {
    let mut world = World::enter().await;
    let carol = world.person("closer").await;
    let key = carol.client.create_person_key("closed", Scheme::Bip340).await.unwrap().key;
    let id = hex::encode(&key.key_id);
    carol.client.authorize("closed", "local-app").await.unwrap();
    let second = world.log_in("closer").await;
    carol.client.sign_message("closed", b"last words").await.unwrap();
    world.app.sign_message(&id, b"last words").await.unwrap();
    world.news().await;

    carol.close().await.unwrap();
    // Nobody holds its keys any more: the service destroys them when the waiting period is over.
    assert_eq!(world.news().await, accepted(&["close-own-account", "schedule-destroy-key", "destroy-key"]));
    for person in [&carol, &second] {
        let session = &person.client;
        world.refused(Code::SessionExpired, sign(session, message("closed", b"pay"))).await;
        world.refused(Code::SessionExpired, session.show_account()).await;
        world.refused(Code::SessionExpired, person.close()).await;
    }
    let refused = sign(&world.app, message(&id, b"pay")).await.unwrap_err();
    super::world::check(Code::KeyDestroyed, &super::world::Said::said(refused));
    assert_eq!(world.news().await, []);
    let login = world.app.login("closer", &super::world::password()).await.unwrap_err();
    assert_eq!(login.code(), Some("LOGIN_FAILED"));
    world.refused(Code::AccountExists, world.app.register("closer", &super::world::password())).await;
}
