//! The share's copy in a vault, and another device in the place of the one that was lost.

use keyward_client::shared::{RenewOrder, SharedSignOrder};
use keyward_crypto::shared::SharedScheme;
use keyward_domain::scheme::Scheme;

use super::world::{ALIAS, ANNA, LOCK_MS, World, login, named};

fn pay() -> SharedSignOrder {
    SharedSignOrder::message(SharedScheme::Ed25519, b"pay").unwrap()
}

#[tokio::test]
async fn a_share_from_the_vault_signs_on_another_device_after_the_lock_and_the_old_device_no_more() {
    let (world, old, new) =
        (World::start().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, new) = (world.device(old.path()), world.device(new.path()));
    world.made(&old, Scheme::Ed25519).await;
    let client = world.client(ANNA).await;
    let vaulted = client.vaulted_share(ALIAS, &login(ANNA), &old).await.unwrap();
    assert!(vaulted.is_share());

    let back = client.take_back_share(&vaulted, &login(ANNA), &new).await.unwrap();
    assert!(!back.speaks);
    let early = client.shared_signer(ALIAS, login(ANNA), &new).await.unwrap_err();
    assert_eq!(early.code(), Some("SHARED_DEVICE_OTHER"));
    let change = client.replace_shared_device(ALIAS, &login(ANNA), &new).await.unwrap();
    let opens_ms = change.opens_ms.unwrap();
    let waits = client.shared_signer(ALIAS, login(ANNA), &new).await.unwrap_err();
    assert_eq!(waits.code(), Some("SHARED_DEVICE_WAITS"));
    world.signer(&old).await.sign(&pay()).await.unwrap();

    world.chain.lock().unwrap().time_ms = opens_ms;
    world.chain.lock().unwrap().record(&keyward_ledger_core::entry::Entry::Note(vec![1]).encode());
    world.signer(&new).await.sign(&pay()).await.unwrap();
    let gone = client.shared_signer(ALIAS, login(ANNA), &old).await.unwrap_err();
    assert_eq!(gone.code(), Some("SHARED_DEVICE_OTHER"));
    let again = client.replace_shared_device(ALIAS, &login(ANNA), &new).await.unwrap_err();
    assert_eq!(again.code(), Some("SHARED_DEVICE_PRESENT"));
}

#[tokio::test]
async fn the_present_device_keeps_a_thief_of_the_login_out() {
    let (world, own, thief) =
        (World::start().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (own, thief) = (world.device(own.path()), world.device(thief.path()));
    world.made(&own, Scheme::Ed25519).await;
    let client = world.client(ANNA).await;
    let none = client.cancel_shared_device(ALIAS, &login(ANNA), &own).await.unwrap_err();
    assert_eq!(none.code(), Some("SHARED_DEVICE_NONE"));
    let vaulted = client.vaulted_share(ALIAS, &login(ANNA), &own).await.unwrap();
    client.take_back_share(&vaulted, &login(ANNA), &thief).await.unwrap();
    let cannot = client.cancel_shared_device(ALIAS, &login(ANNA), &thief).await.unwrap_err();
    assert_eq!(cannot.code(), Some("SHARED_DEVICE_OTHER"));
    client.replace_shared_device(ALIAS, &login(ANNA), &thief).await.unwrap();
    client.cancel_shared_device(ALIAS, &login(ANNA), &own).await.unwrap();
    world.chain.lock().unwrap().time_ms += 2 * LOCK_MS;
    world.chain.lock().unwrap().record(&keyward_ledger_core::entry::Entry::Note(vec![1]).encode());
    let out = client.shared_signer(ALIAS, login(ANNA), &thief).await.unwrap_err();
    assert_eq!(out.code(), Some("SHARED_DEVICE_OTHER"));
    world.signer(&own).await.sign(&pay()).await.unwrap();
}

#[tokio::test]
async fn a_vaults_copy_of_before_a_renewal_is_refused_and_one_of_another_key_too() {
    let (world, own, new) =
        (World::start().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (own, new) = (world.device(own.path()), world.device(new.path()));
    world.made(&own, Scheme::Ed25519).await;
    let client = world.client(ANNA).await;
    let old = client.vaulted_share(ALIAS, &login(ANNA), &own).await.unwrap();
    let order = RenewOrder { threshold: None, keepers: Some(named(&[1, 2, 4])) };
    client.renew_shared_key(ALIAS, &order, &login(ANNA), &own, &|_| ()).await.unwrap();
    let stale = client.take_back_share(&old, &login(ANNA), &new).await.unwrap_err();
    assert_eq!(stale.code(), Some("SHARED_SHARE_STALE"));
    assert!(new.parts().unwrap().is_empty(), "nothing is kept of it");
    let fresh = client.vaulted_share(ALIAS, &login(ANNA), &own).await.unwrap();
    client.take_back_share(&fresh, &login(ANNA), &new).await.unwrap();
}
