//! A person's whole story.

use keyward_domain::{Code, scheme::Scheme};
use keyward_ledger_verify::verify_receipt;

use super::world::{World, accepted, password};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_registers_logs_in_makes_keys_signs_and_closes() {
    let world = World::enter().await;
    let registered = world.app.register("Dora", &password()).await.unwrap();
    assert_eq!(world.news().await, accepted(&["open-account", "bind-credential"]));
    let dora = world.log_in("dora").await;
    assert_eq!(dora.account, registered.account);
    let shown = dora.client.show_account().await.unwrap();
    assert_eq!((shown.user_name.as_str(), shown.state.as_str(), shown.key_count), ("dora", "open", 0));
    assert_eq!(world.news().await, [], "a login is no record");

    let trust = std::fs::read(world.keyward().trust()).unwrap();
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519] {
        let made = dora.client.create_person_key(scheme.name(), scheme).await.unwrap();
        assert_eq!((made.key.mode.as_str(), made.key.state.as_str()), ("hosted", "active"));
        assert_eq!(made.key.account, dora.account.to_vec());
        assert_eq!(world.news().await, accepted(&["bind-key"]));
        let signed = dora.client.sign_message(scheme.name(), b"a person's words").await.unwrap();
        assert_eq!(signed.public_key.as_bytes(), made.key.public_key.as_ref());
        let verdict = verify_receipt(&trust, &signed.receipt, Some(b"a person's words")).unwrap();
        assert!(verdict.accepted);
        assert_eq!(world.news().await, accepted(&["intent", "release"]));
    }
    assert_eq!(dora.client.list_keys().await.unwrap().len(), 4);
    assert!(world.app.list_keys().await.unwrap().iter().all(|key| key.account != dora.account.to_vec()));

    dora.client.freeze_key("ed25519").await.unwrap();
    world.refused(Code::KeyFrozen, dora.client.sign_message("ed25519", b"pay")).await;
    world.refused(Code::NotAllowed, dora.client.unfreeze_key("ed25519")).await;
    world.news().await;
    dora.close().await.unwrap();
    let ends = [&["close-own-account"][..], &["schedule-destroy-key"; 4], &["destroy-key"; 4]].concat();
    assert_eq!(world.news().await, accepted(&ends));
    world.refused(Code::SessionExpired, dora.client.list_keys()).await;
}
