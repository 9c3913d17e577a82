//! Shared keys of an app: it has no password, and speaks with a key of its own.

use keyward_client::Login;
use keyward_client::shared::SharedSignOrder;
use keyward_crypto::SigningKey;
use keyward_crypto::shared::SharedScheme;
use keyward_domain::scheme::{Scheme, verify};
use keyward_ledger_core::entry::{Mode, Party};
use keyward_ledger_core::state::layout::{KeyState, KeyStatus, key_key};

use super::world::{ALIAS, ANNA, BORIS, World, login, order};

fn app(number: u8) -> Login {
    Login::of_app(ANNA, SigningKey::from_secret(Scheme::Ed25519, &[number; 32]).unwrap()).unwrap()
}

/// The app's keys are bound to Anna's account in mode `self`.
fn bind(world: &World, numbers: &[u8]) {
    for number in numbers {
        let (account, mode, scheme) = (ANNA, Mode::Own, Scheme::Ed25519);
        let state = KeyState { account, mode, scheme, status: KeyStatus::Active, height: 1, version: 1 };
        let id = app(*number).credential.public_key().id();
        world.chain.lock().unwrap().state.insert(&key_key(&id), &state.encode());
    }
}

#[tokio::test]
async fn an_app_makes_and_uses_a_shared_key_in_the_name_of_its_own_key() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    bind(&world, &[9, 8]);
    let (client, device) = (world.client(ANNA).await, world.device(folder.path()));
    client.create_shared_key(&order(Scheme::Ed25519), &app(9), &device, &|_| ()).await.unwrap();
    let status = client.shared_status(ALIAS).await.unwrap();
    let speaker = Party::Key(app(9).credential.public_key().id());
    assert_eq!(status.state.speakers, [speaker], "and nobody else, the account's credential neither");
    let signer = client.shared_signer(ALIAS, app(9), &device).await.unwrap();
    let order = SharedSignOrder::message(SharedScheme::Ed25519, b"pay").unwrap();
    let signed = signer.sign(&order).await.unwrap();
    verify(&signed.public_key, b"pay", &signed.signature).unwrap();

    // Neither another key of the account nor its password opens what lies on the app's side.
    assert!(client.shared_signer(ALIAS, app(8), &device).await.is_err());
    assert!(client.shared_signer(ALIAS, login(ANNA), &device).await.is_err());
}

#[tokio::test]
async fn a_key_that_is_not_bound_to_the_account_opens_no_making() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let (client, device) = (world.client(ANNA).await, world.device(folder.path()));
    let order = order(Scheme::Ed25519);
    let refused = client.create_shared_key(&order, &app(9), &device, &|_| ()).await.unwrap_err();
    assert_eq!(refused.code(), Some("KEY_UNKNOWN"));
    let key = SigningKey::from_secret(Scheme::Ed25519, &[9; 32]).unwrap();
    let foreign = Login::of_app(BORIS, key).unwrap();
    assert!(client.create_shared_key(&order, &foreign, &device, &|_| ()).await.is_err());
    assert!(world.keys.lock().unwrap().is_empty(), "nothing is bound");
}
