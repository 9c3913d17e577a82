//! Each role does what it is for, and nothing else.

use keyward_client::{Client, Link};
use keyward_domain::{Code, scheme::Scheme};
use zeroize::Zeroizing;

use super::{
    payloads::{message, sign},
    world::{TOKEN, World},
};

fn link(alias: &str) -> Link {
    Link {
        token: TOKEN.into(),
        key_label: "sample-secp256k1".into(),
        id: Vec::new(),
        scheme: Scheme::EcdsaSecp256k1,
        alias: alias.into(),
        // Nobody who may not link learns whether it is right.
        agent: String::new(),
        pin: Zeroizing::new(b"not the pin".to_vec()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_their_role_does_not_allow() {
    let mut world = World::enter().await;
    let erna = world.person("roles-erna").await;
    erna.client.create_person_key("hers", Scheme::Ed25519).await.unwrap();
    let key = world.app.create_app_key("roles", Scheme::Ed25519).await.unwrap().key;
    let id = hex::encode(key.key_id);
    let w = &world;

    // An auditor and an officer see an app's key; neither signs with it.
    for seer in [&w.auditor, &w.officer] {
        assert_eq!(seer.show_key(&id).await.unwrap().alias, "roles");
        seer.status().await.unwrap();
        w.refused(Code::NotAllowed, sign(seer, message(&id, b"pay"))).await;
        w.refused(Code::NotAllowed, seer.authorize(&id, "local-app")).await;
        w.refused(Code::NotAllowed, seer.revoke(&id, "local-app")).await;
        w.refused(Code::NotAllowed, seer.create_app_key("theirs", Scheme::Ed25519)).await;
        w.refused(Code::NotAllowed, seer.link(link("theirs"))).await;
    }
    w.refused(Code::NotAllowed, w.auditor.freeze_key(&id)).await;
    w.refused(Code::NotAllowed, w.auditor.unfreeze_key(&id)).await;
    w.refused(Code::NotAllowed, w.officer.list_tokens()).await;

    // An operator has tokens and the state of the service, and sees the keys of apps, nothing more.
    w.operator.list_tokens().await.unwrap();
    w.operator.status().await.unwrap();
    w.refused(Code::NotAllowed, w.operator.create_app_key("hosted", Scheme::Ed25519)).await;
    assert_eq!(w.operator.show_key(&id).await.unwrap().alias, "roles");
    w.refused(Code::NotAllowed, w.operator.freeze_key(&id)).await;
    w.refused(Code::NotAllowed, w.operator.unfreeze_key(&id)).await;
    w.refused(Code::NotAllowed, sign(&w.operator, message(&id, b"pay"))).await;

    // An app has its own keys, nothing of the house.
    w.refused(Code::NotAllowed, w.app.status()).await;
    w.refused(Code::NotAllowed, w.app.link(link("theirs"))).await;
    w.refused(Code::NotAllowed, w.app.unfreeze_key("roles")).await;
    w.refused(Code::NotAllowed, w.app.authorize("roles", "local-app")).await;
    w.refused(Code::NotAllowed, w.app.revoke("roles", "local-app")).await;

    // A person has their own keys, made on their side.
    w.refused(Code::NotAllowed, erna.client.create_app_key("in-the-service", Scheme::Ed25519)).await;
    w.refused(Code::NotAllowed, erna.client.link(link("theirs"))).await;
    w.refused(Code::NotAllowed, erna.client.list_tokens()).await;
    w.refused(Code::NotAllowed, erna.client.status()).await;
    w.refused(Code::NotAllowed, erna.client.unfreeze_key("hers")).await;
    w.refused(Code::KeyUnknown, sign(&erna.client, message(&id, b"pay"))).await;

    // What is a person's needs a person.
    for role in [&w.app, &w.operator, &w.officer, &w.auditor] {
        let role: &Client = role;
        // An app may hand in a key of its own.
        if !std::ptr::eq(role, &w.app) {
            w.refused(Code::SessionRequired, role.create_person_key("no-person", Scheme::Ed25519)).await;
        }
        w.refused(Code::SessionRequired, role.show_account()).await;
        w.refused(Code::SessionRequired, role.close_account(&erna.login)).await;
    }
}
