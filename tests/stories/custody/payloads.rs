//! What cannot be signed, and key names that lead nowhere.

use keyward_client::Client;
use keyward_domain::{Code, payload::MESSAGE_LEN_MAX, scheme::Scheme};
use keyward_proto::custody::{
    ChangeKeyRequest, CreateKeyRequest, Key, ShowKeyRequest, SignRequest, SignResponse, sign_request::Payload,
};
use tonic::Status;

use super::world::{World, inner};

pub fn message(key: &str, message: &[u8]) -> SignRequest {
    SignRequest {
        key: key.to_owned(),
        payload: Some(Payload::Message(message.to_vec().into())),
        ..Default::default()
    }
}

pub fn digest(key: &str, digest: &[u8]) -> SignRequest {
    SignRequest {
        key: key.to_owned(),
        payload: Some(Payload::Digest(digest.to_vec().into())),
        ..Default::default()
    }
}

/// A signature request by hand: nothing is checked on this side.
pub async fn sign(client: &Client, request: SignRequest) -> Result<SignResponse, Status> {
    inner(client.signing().sign(client.request(request)).await)
}

async fn create(client: &Client, alias: &str, scheme: &str, mark: &[u8]) -> Result<Key, Status> {
    let request = CreateKeyRequest {
        alias: alias.to_owned(),
        scheme: scheme.to_owned(),
        idempotency_key: mark.to_vec().into(),
    };
    inner(client.keys().create(client.request(request)).await).map(|made| made.key.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_signed_is_refused_by_name() {
    let world = World::enter().await;
    for (alias, scheme) in [
        ("payload-k1", Scheme::EcdsaSecp256k1),
        ("payload-bip340", Scheme::Bip340),
        ("payload-p256", Scheme::EcdsaP256),
        ("payload-ed25519", Scheme::Ed25519),
    ] {
        world.app.create_app_key(alias, scheme).await.unwrap();
    }
    for alias in ["payload-k1", "payload-bip340", "payload-p256"] {
        for len in [0, 1, 20, 31, 33, 48, 64] {
            let refused = sign(&world.app, digest(alias, &vec![7; len]));
            let refusal = world.refused(Code::DigestLength, refused).await;
            assert!(refusal.message.contains(&format!("`{len}` bytes")), "{refusal:?}");
        }
    }
    for len in [0, 31, 32, 33] {
        world
            .refused(Code::DigestNotAllowed, sign(&world.app, digest("payload-ed25519", &vec![7; len])))
            .await;
    }
    let nothing = SignRequest { key: "payload-k1".into(), ..Default::default() };
    world.refused(Code::PayloadMissing, sign(&world.app, nothing)).await;
    let long = vec![7; MESSAGE_LEN_MAX + 1];
    world.refused(Code::MessageTooLarge, sign(&world.app, message("payload-k1", &long))).await;
    world.refused(Code::MessageTooLarge, sign(&world.app, message("payload-ed25519", &long))).await;
    let marked = SignRequest { idempotency_key: vec![1; 65].into(), ..message("payload-k1", b"pay") };
    let refusal = world.refused(Code::InvalidArgument, sign(&world.app, marked)).await;
    assert!(refusal.message.contains("65"), "{refusal:?}");

    // At the bounds it works.
    world.app.sign_message("payload-ed25519", &long[1..]).await.unwrap();
    world.app.sign_digest("payload-bip340", &[7; 32]).await.unwrap();
    sign(&world.app, message("payload-p256", b"")).await.unwrap();
    let marked = SignRequest { idempotency_key: vec![1; 64].into(), ..message("payload-k1", b"pay") };
    sign(&world.app, marked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none_are_refused_as_such() {
    let world = World::enter().await;
    let long = "a".repeat(65);
    let hex = "0f".repeat(32);
    for alias in ["", "pay roll", "pay/roll", "löhne", "a\0", long.as_str(), hex.as_str()] {
        world.refused(Code::AliasInvalid, create(&world.app, alias, "ed25519", b"")).await;
    }
    for key in ["", "pay roll", long.as_str()] {
        world.refused(Code::AliasInvalid, sign(&world.app, message(key, b"pay"))).await;
    }
    for scheme in ["", "ED25519", "rsa", "secp256k1"] {
        world.refused(Code::SchemeUnknown, create(&world.app, "name-scheme", scheme, b"")).await;
    }
    for scheme in ["rsa-pss", "rsa-pkcs1"] {
        world.refused(Code::SchemeNotHosted, create(&world.app, "name-rsa", scheme, b"")).await;
    }
    world.refused(Code::InvalidArgument, create(&world.app, "name-mark", "ed25519", &[1; 65])).await;
    create(&world.app, "name-taken", "ed25519", b"").await.unwrap();
    for scheme in ["ed25519", "ecdsa-p256"] {
        world.refused(Code::AliasTaken, create(&world.app, "name-taken", scheme, b"")).await;
    }
    let exactly = "z".repeat(64);
    assert_eq!(create(&world.app, &exactly, "ed25519", b"").await.unwrap().alias, exactly);
}

/// Every call that names a key.
async fn each_call(client: &Client, key: &str) -> Vec<(&'static str, Status)> {
    let change = || ChangeKeyRequest { key: key.to_owned(), ..Default::default() };
    let lend = || keyward_proto::custody::AuthorizeRequest {
        key: key.to_owned(),
        app: "local-app".into(),
        ..Default::default()
    };
    let show = ShowKeyRequest { key: key.to_owned() };
    vec![
        ("sign", sign(client, message(key, b"pay")).await.unwrap_err()),
        ("sign digest", sign(client, digest(key, &[7; 31])).await.unwrap_err()),
        ("show", client.keys().show(client.request(show)).await.unwrap_err()),
        ("freeze", client.keys().freeze(client.request(change())).await.unwrap_err()),
        ("unfreeze", client.keys().unfreeze(client.request(change())).await.unwrap_err()),
        ("authorize", client.keys().authorize(client.request(lend())).await.unwrap_err()),
        ("revoke", client.keys().revoke(client.request(lend())).await.unwrap_err()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_key_is_refused_exactly_as_one_that_does_not_exist() {
    let mut world = World::enter().await;
    let alice = world.person("foreign-alice").await;
    let bob = world.person("foreign-bob").await;
    let hers = alice.client.create_person_key("foreign-key", Scheme::EcdsaP256).await.unwrap().key;
    let apps = world.app.create_app_key("foreign-app-key", Scheme::Ed25519).await.unwrap().key;
    let frozen = world.app.create_app_key("foreign-frozen", Scheme::Ed25519).await.unwrap().key;
    world.app.freeze_key("foreign-frozen").await.unwrap();
    let (hers, apps, frozen) =
        (hex::encode(hers.key_id), hex::encode(apps.key_id), hex::encode(frozen.key_id));
    let nowhere = "5e".repeat(32);
    let strangers = [(&world.app, vec![&hers]), (&bob.client, vec![&hers, &apps, &frozen])];
    for (stranger, keys) in strangers {
        for key in keys {
            let before = world.news().await;
            assert_eq!(before.iter().filter(|recorded| recorded.outcome != "ACCEPTED").count(), 0);
            let there = each_call(stranger, key).await;
            let missing = each_call(stranger, &nowhere).await;
            for ((call, there), (_, missing)) in there.into_iter().zip(missing) {
                let seen = world.refused(Code::KeyUnknown, async { Err::<(), _>(there) }).await;
                let unseen = world.refused(Code::KeyUnknown, async { Err::<(), _>(missing) }).await;
                // The caller's own words may come back; nothing else may differ.
                let told = |message: &str| message.replace(key.as_str(), "KEY").replace(&nowhere, "KEY");
                assert_eq!(told(&seen.message), told(&unseen.message), "`{call}` tells that the key exists");
            }
            assert_eq!(world.news().await, [], "nothing was recorded");
        }
    }
    // An alias means a key of one's own account: another's is unknown as well.
    world.refused(Code::KeyUnknown, sign(&bob.client, message("foreign-key", b"pay"))).await;
    world.refused(Code::KeyUnknown, sign(&world.app, message("no-such-key", b"pay"))).await;
    world.refused(Code::KeyUnknown, sign(&world.auditor, message("foreign-app-key", b"pay"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_refuses_with_code_exit_and_what_to_do_next() {
    let world = World::enter().await;
    world.app.create_app_key("line", Scheme::Ed25519).await.unwrap();
    let keyward = world.keyward();
    let text = keyward.write("line.message", "pay");
    let whole = keyward.write("line.digest", [7; 32]);
    for len in [0_usize, 1, 31, 33, 64] {
        let short = keyward.write("line.short", vec![7; len]);
        let sign = ["sign", "--key", "line", "--digest", &short];
        world.refused_on_the_command_line(Code::DigestLength, 2, "app", &sign).await;
    }
    let sign = ["sign", "--key", "line", "--digest", &whole];
    world.refused_on_the_command_line(Code::DigestNotAllowed, 1, "app", &sign).await;
    let sign = ["sign", "--key", "line", &text];
    world.refused_on_the_command_line(Code::KeyUnknown, 1, "operator", &sign).await;
    let long = "a".repeat(65);
    let create = ["key", "create", "--alias", &long, "--scheme", "ed25519"];
    world.refused_on_the_command_line(Code::AliasInvalid, 2, "app", &create).await;
    world.refused_on_the_command_line(Code::NotAllowed, 1, "app", &["key", "unfreeze", "line"]).await;
    world
        .refused_on_the_command_line(Code::KeyNotFrozen, 1, "officer", &{
            let id = hex::encode(world.app.show_key("line").await.unwrap().key_id);
            ["key", "unfreeze", Box::leak(id.into_boxed_str())]
        })
        .await;
    world.refused_on_the_command_line(Code::SessionRequired, 1, "app", &["account", "show"]).await;
}
