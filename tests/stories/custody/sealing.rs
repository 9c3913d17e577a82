//! Key-encryption keys rotate under a running service, and keys leave and enter in the forms of others.

use keyward_crypto::SigningKey;
use keyward_domain::{Code, scheme::Scheme};

use super::world::World;
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_rotates_the_key_encryption_key_while_everything_goes_on() {
    let mut world = World::enter().await;
    let paula = world.person("sealing-paula").await;
    paula.client.create_person_key("hers", Scheme::Ed25519).await.unwrap();
    world.app.create_app_key("sealed-before", Scheme::EcdsaP256).await.unwrap();
    for stranger in [&world.app, &world.operator, &world.auditor, &paula.client] {
        world.refused(Code::NotAllowed, stranger.rotate_kek()).await;
        world.refused(Code::NotAllowed, stranger.remove_kek(1)).await;
    }
    world.refused(Code::NotAllowed, world.app.kek_status()).await;
    let before = world.auditor.kek_status().await.unwrap();

    let rotated = world.officer.rotate_kek().await.unwrap();
    assert_eq!(rotated.number, before.number + 1);
    // Nothing waits for the resealing.
    world.app.sign_message("sealed-before", b"m").await.unwrap();
    paula.client.sign_message("hers", b"m").await.unwrap();
    world.app.create_app_key("sealed-after", Scheme::EcdsaP256).await.unwrap();
    until("everything to be under the new key-encryption key", async || {
        world.operator.kek_status().await.unwrap().resealed
    })
    .await;
    let status = world.officer.kek_status().await.unwrap();
    let left = (status.keys_left, status.profiles_left, status.pins_left, status.secrets_left);
    assert_eq!((status.number, left), (rotated.number, (0, 0, 0, 0)));
    assert!(status.present.contains(&before.number), "an old key goes only when it is asked for");
    world.app.sign_message("sealed-before", b"m").await.unwrap();
    world.app.sign_message("sealed-after", b"m").await.unwrap();

    // Too soon, the current one, and one that never was.
    world.refused(Code::KekInUse, world.officer.remove_kek(before.number)).await;
    world.refused(Code::KekInUse, world.officer.remove_kek(rotated.number)).await;
    world.refused(Code::KekUnknown, world.officer.remove_kek(rotated.number + 7)).await;
    world.refused(Code::KekUnknown, world.officer.remove_kek(0)).await;
    let number = rotated.number.to_string();
    world
        .refused_on_the_command_line(Code::KekInUse, 1, "officer", &["kek", "remove", &number, "--yes"])
        .await;
    let shown = tokio::task::block_in_place(|| world.keyward().json_as("officer", &["kek", "status"]));
    assert_eq!(shown["number"], rotated.number);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_hands_in_a_key_from_a_file_and_takes_its_public_part_out() {
    let world = World::enter().await;
    let keyward = world.keyward();
    let run = |arguments: &[&str]| tokio::task::block_in_place(|| keyward.run_as("app", arguments));
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    let file = keyward.write("rfc8410.pem", pem);
    let mode = |mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let import = |scheme: &'static str, expected: &'static str| {
        let arguments = ["key", "import", "--file", &file, "--alias", "moved-in", "--scheme", scheme];
        run(&[&["--output", "json"], &arguments[..], &["--public-key", expected]].concat())
    };
    mode(0o644);
    assert_eq!(import("ed25519", public).code, Some(1), "a private key that others can read");
    mode(0o600);
    assert_eq!(import("ecdsa-p256", public).code, Some(1), "another curve");
    assert_eq!(import("rsa-pss", public).code, Some(1));
    assert_eq!(import("ed25519", "00").code, Some(1), "another public key than the one announced");
    assert_eq!(world.news().await, [], "nothing of this left this side");
    let imported = import("ed25519", public);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_eq!(imported.json()["public_key"], public);
    assert!(!imported.json()["receipt"].as_str().unwrap().is_empty());
    world.app.sign_message("moved-in", b"m").await.unwrap();
    assert_eq!(import("ed25519", public).code, Some(1), "bound once");

    let exported = run(&["key", "export", "moved-in", "--format", "spki-pem"]);
    let rfc = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    assert_eq!(exported.out, rfc);
    let jwk = run(&["key", "export", "moved-in", "--format", "jwk"]);
    assert!(
        jwk.out
            .starts_with(r#"{"crv":"Ed25519","kty":"OKP","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE""#)
    );
    for (format, code) in [("address-p2tr", Code::FormatNotOfScheme), ("pem", Code::FormatUnknown)] {
        let arguments = ["key", "export", "moved-in", "--format", format];
        world.refused_on_the_command_line(code, 1, "app", &arguments).await;
    }
    let id = imported.json()["key_id"].as_str().unwrap().to_owned();
    world.auditor.export_key(&id, "openssh", "").await.unwrap();
    let stranger = SigningKey::generate(Scheme::Ed25519).unwrap().public_key().id().to_string();
    world.refused(Code::KeyUnknown, world.app.export_key(&stranger, "jwk", "")).await;
}
