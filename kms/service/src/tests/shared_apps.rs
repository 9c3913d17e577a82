//! Shared keys of accounts without a password: who speaks for one stands in its opening.

use keyward_crypto::{SigningKey, shared::SharedScheme};
use keyward_domain::{Code, scheme::Scheme};
use keyward_ledger_core::entry::{Act, Authored, Entry, Party, RuleName, SharedAct, SharedOpening};

use super::{
    associations::author,
    own::Own,
    treasury::{LOCK_MS, Made, circle, device_of},
    world::{World, account, code},
};
use crate::{caller::Caller, ports::Ledger as _, shared::entries::HandIn};

/// An app and the key that speaks for it.
async fn app_with_key(world: &World) -> (Caller, SigningKey) {
    let app = world.app().await;
    let own = Own::make(world, &app, Scheme::Ed25519, None).await;
    world.custody.import_key(&app, &own.import("speaker")).await.unwrap();
    (world.app().await, own.key)
}

fn signed(world: &World, act: SharedAct, party: Party, key: &SigningKey) -> Vec<u8> {
    let act = Act::Shared(act);
    let mut author = author(&act, party, key, world.ledger.height() + 100);
    if matches!(party, Party::Credential(_)) {
        author.public_key = Vec::new();
    }
    Entry::Authored(Authored { act, authors: vec![author] }).encode()
}

#[tokio::test]
async fn an_app_opens_a_shared_key_in_the_name_of_its_own_key_and_of_no_other() {
    let made = Made::new(SharedScheme::Ed25519).await;
    let (world, custody) = (&made.world, &made.world.custody);
    let (app, key) = app_with_key(world).await;
    assert!(!custody.show_keepers(&app).await.unwrap().keepers.is_empty(), "it sees who may hold shares");
    let speaker = Party::Key(key.public_key().id());
    let opening = |number: u8, speakers: Vec<Party>| {
        SharedAct::Open(Box::new(SharedOpening {
            name: RuleName { owner: account(&app).0, name: [number; 32] },
            scheme: SharedScheme::Ed25519.scheme(),
            circle: circle(),
            attempt: 1,
            lock_ms: LOCK_MS,
            device: device_of(&made.device),
            expires_ms: 1_000_000 + 60_000,
            speakers,
            openings: vec![[1; 32]; circle().keepers.len() + 1],
        }))
    };
    let entry = signed(world, opening(1, vec![speaker]), speaker, &key);
    custody.open_shared(&app, &entry, b"").await.unwrap();
    // Nobody hands it in for another account, and nobody speaks who is not named.
    assert_eq!(code(custody.open_shared(&made.alice.caller, &entry, b"").await), Code::NotAllowed);
    let alices = Party::Credential(made.alice.account());
    let unnamed = signed(world, opening(2, vec![speaker]), alices, &made.alice.key);
    assert_eq!(code(custody.open_shared(&app, &unnamed, b"").await), Code::AuthorNotNamed);
    let other = SigningKey::generate(Scheme::Ed25519).unwrap();
    let unbound = signed(world, opening(3, vec![speaker]), Party::Key(other.public_key().id()), &other);
    assert!(custody.open_shared(&app, &unbound, b"").await.is_err(), "a key that nobody bound");
}

#[tokio::test]
async fn an_app_changes_no_shared_key_of_another_account() {
    let made = Made::new(SharedScheme::Ed25519).await;
    let treasury = made.bind().await;
    let (app, key) = app_with_key(&treasury.world).await;
    let speaker = Party::Key(key.public_key().id());
    let device = device_of(&treasury.device);
    let act = SharedAct::ReplaceDevice { key_id: treasury.key_id, device };
    let entry = signed(&treasury.world, act, speaker, &key);
    let what = HandIn { entry: &entry, shared_key: b"", mark: b"" };
    let refused = treasury.world.custody.change_shared(&app, what).await;
    assert_eq!(code(refused), Code::KeyUnknown);
    assert_eq!(treasury.queued().await, 0);
}
