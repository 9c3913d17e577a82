//! Tokens: wrong PINs, locked PINs, tokens and keys that are not there or not the only ones.

use std::{path::PathBuf, process::Stdio};

use keyward_client::Link;
use keyward_domain::{Code, scheme::Scheme};
use keyward_proto::custody as proto;
use zeroize::Zeroizing;

use super::{
    payloads::{message, sign},
    world::{Said as _, TOKEN, World, accepted, check, inner, keyward, pin},
};
use crate::support::keyward::{binary, clean};

const SPARE_PIN: &str = "1234-spare";
const OFFICER_PIN: &str = "5678-officer";
/// Wrong PINs that the bundled token takes before it locks.
const TRIES: u8 = 5;

fn link(token: &str, key_label: &str, scheme: Scheme, alias: &str, pin: &str) -> Link {
    Link {
        token: token.into(),
        key_label: key_label.into(),
        id: Vec::new(),
        scheme,
        alias: alias.into(),
        agent: String::new(),
        pin: Zeroizing::new(pin.as_bytes().to_vec()),
    }
}

/// Another token of the bundled module, for one story to spoil.
fn spare_token(world: &World, label: &str, keys: &[&str]) {
    let file = world.secret_file(&format!("{label}.pin"), SPARE_PIN);
    let mut prepare = clean(binary());
    prepare.env("HSM_SIM_DIR", world.keyward().dir().join("token"));
    prepare.args(["token", "prepare", "--label", label, "--pin-file"]).arg(file);
    for key in keys {
        prepare.args(["--key", key]);
    }
    let output = prepare.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn pkcs11_tool(arguments: &[&str]) {
    let module = keyward_tests::build_folder().unwrap().join("libhsm_sim.so");
    let output = clean("pkcs11-tool")
        .env("HSM_SIM_DIR", keyward().dir().join("token"))
        .arg("--module")
        .arg(module)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// The same with a security officer who can unlock it: the slot after the spare one.
fn token_with_officer(label: &str) {
    pkcs11_tool(&["--init-token", "--slot-index", "2", "--label", label, "--so-pin", OFFICER_PIN]);
    set_pin(label);
    let key = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "lone", "--id", "01"];
    pkcs11_tool(&[&["--token-label", label, "--login", "--pin", SPARE_PIN][..], &key[..]].concat());
}

fn set_pin(label: &str) {
    let officer = ["--token-label", label, "--login", "--login-type", "so", "--so-pin", OFFICER_PIN];
    pkcs11_tool(&[&officer[..], &["--init-pin", "--new-pin", SPARE_PIN]].concat());
}

async fn token(world: &World, label: &str) -> proto::Token {
    let tokens = world.operator.list_tokens().await.unwrap();
    tokens.into_iter().find(|token| token.label == label).unwrap_or_else(|| panic!("no token `{label}`"))
}

async fn refused(world: &World, code: Code, link: Link) {
    let pin = link.pin.clone();
    let refusal = world.refused(code, world.operator.link(link)).await;
    let pin = std::str::from_utf8(&pin).unwrap();
    assert!(!refusal.message.contains(pin), "a PIN is in no message");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_refuses_is_told_apart() {
    let world = World::enter().await;
    let (pin, p256) = (pin(), Scheme::EcdsaP256);
    refused(&world, Code::PinWrong, link(TOKEN, "sample-p256", p256, "token", "not the pin")).await;
    refused(&world, Code::InvalidArgument, link(TOKEN, "sample-p256", p256, "token", &"9".repeat(300))).await;
    refused(&world, Code::TokenMissing, link("no-such-token", "sample-p256", p256, "token", &pin)).await;
    refused(&world, Code::TokenKeyMissing, link(TOKEN, "no-such-key", p256, "token", &pin)).await;
    refused(&world, Code::SchemeMismatch, link(TOKEN, "sample-p256", Scheme::Ed25519, "token", &pin)).await;
    refused(&world, Code::SchemeMismatch, link(TOKEN, "sample-ed25519", p256, "token", &pin)).await;
    refused(&world, Code::AliasInvalid, link(TOKEN, "sample-p256", p256, "to ken", &pin)).await;
    let by_id = Link { id: vec![0xab; 3], ..link(TOKEN, "", p256, "token", &pin) };
    refused(&world, Code::TokenKeyMissing, by_id).await;
    let scheme = proto::LinkRequest { token: TOKEN.into(), alias: "token".into(), ..Default::default() };
    world.refused(Code::SchemeUnknown, world.operator.tokens().link(world.operator.request(scheme))).await;

    // All the same the token is what it was: the right PIN works, once for each key and alias.
    world.news().await;
    let linked = world.operator.link(link(TOKEN, "sample-p256", p256, "token", &pin)).await.unwrap().key;
    assert_eq!((linked.mode.as_str(), linked.token.as_str()), ("linked", TOKEN));
    assert_eq!(world.news().await, accepted(&["bind-key"]));
    refused(&world, Code::AliasTaken, link(TOKEN, "sample-secp256k1", Scheme::EcdsaSecp256k1, "token", &pin))
        .await;
    refused(&world, Code::KeyAlreadyBound, link(TOKEN, "sample-p256", p256, "token-2", &pin)).await;
    refused(&world, Code::PinWrong, link(TOKEN, "sample-p256", p256, "token-2", "not the pin")).await;
    world.operator.sign_message("token", b"from a token").await.unwrap();
    refused(&world, Code::PinWrong, link(TOKEN, "sample-p256", p256, "token-2", "another pin")).await;
    world.operator.sign_message("token", b"a wrong PIN does not log out").await.unwrap();
    assert!(world.operator.status().await.unwrap().token_ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_a_token_refuses() {
    let world = World::enter().await;
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let wrong = path(world.secret_file("wrong.pin", "wrong on the line"));
    let right = path(keyward().dir().join("token.pin"));
    let link = ["token", "link", "--scheme", "ecdsa-secp256k1", "--alias", "line-token", "--pin-file"];
    let cases = [
        (Code::PinWrong, wrong.as_str(), TOKEN, "sample-secp256k1"),
        (Code::TokenMissing, right.as_str(), "no-such-token", "sample-secp256k1"),
        (Code::TokenKeyMissing, right.as_str(), TOKEN, "no-such-key"),
        (Code::SchemeMismatch, right.as_str(), TOKEN, "sample-ed25519"),
    ];
    for (code, pin, token, label) in cases {
        let arguments = [&link[..], &[pin, "--token", token, "--label", label]].concat();
        world.refused_on_the_command_line(code, 1, "operator", &arguments).await;
    }
    let arguments = [&link[..], &[&right, "--token", TOKEN, "--label", "sample-secp256k1"]].concat();
    world.refused_on_the_command_line(Code::NotAllowed, 1, "app", &arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_key_is_linked_once_also_with_the_same_mark() {
    let world = World::enter().await;
    let request = |alias: &str, mark: &'static [u8]| proto::LinkRequest {
        token: TOKEN.into(),
        key_label: "sample-ed25519".into(),
        scheme: "ed25519".into(),
        alias: alias.into(),
        pin: pin().into_bytes().into(),
        idempotency_key: mark.into(),
        ..Default::default()
    };
    let link = async |request| -> Result<proto::KeyWithReceipt, tonic::Status> {
        inner(world.operator.tokens().link(world.operator.request(request)).await)
    };
    world.news().await;
    let first = link(request("token-once", b"once")).await.unwrap();
    assert_eq!(link(request("token-once", b"once")).await.unwrap(), first);
    assert_eq!(world.news().await, accepted(&["bind-key"]));
    world.refused(Code::IdempotencyConflict, link(request("token-other", b"once"))).await;
    world.refused(Code::KeyAlreadyBound, link(request("token-other", b""))).await;
    world.refused(Code::AliasTaken, link(request("token-once", b""))).await;
    assert!(!link(request("token-once", b"once")).await.unwrap().receipt.is_empty());
    assert_eq!(world.news().await, []);
}

/// Two tokens of one label, one of which holds two keys of one label: the bundled module has few slots.
#[tokio::test(flavor = "multi_thread")]
async fn spare_tokens_are_locked_ambiguous_and_taken_away() {
    if keyward_tests::left_out("opensc") {
        return;
    }
    let world = World::enter().await;
    spare_token(&world, "spare", &["p256:twin", "ed25519:lone"]);
    token_with_officer("second");
    a_locked_pin_stays_locked(&world).await;
    keys_of_the_wrong_token_and_ambiguous_ones(&world).await;
    a_token_that_is_taken_away_signs_nothing_and_comes_back(&world).await;
}

async fn a_locked_pin_stays_locked(world: &World) {
    let serial = token(world, "second").await.serial;
    let to_second = |pin: &str| link("second", "lone", Scheme::EcdsaP256, "locked", pin);
    for n in 1..TRIES {
        refused(world, Code::PinWrong, to_second(&format!("wrong-{n}"))).await;
        // The same again is not tried again: it costs no try.
        refused(world, Code::PinWrong, to_second(&format!("wrong-{n}"))).await;
    }
    refused(world, Code::PinLocked, to_second("wrong-at-last")).await;
    refused(world, Code::PinLocked, to_second("wrong-again")).await;
    for _ in 0..2 {
        refused(world, Code::PinLocked, to_second(SPARE_PIN)).await;
        refused(world, Code::PinLocked, Link { token: serial.clone(), ..to_second(SPARE_PIN) }).await;
    }
    assert!(!token(world, "second").await.logged_in);
    assert!(world.operator.status().await.unwrap().token_ready, "the other token is not concerned");

    // As the refusal says: the security officer unlocks it, and be it with the same PIN.
    set_pin("second");
    world.operator.link(to_second(SPARE_PIN)).await.unwrap();
    world.operator.sign_message("locked", b"unlocked").await.unwrap();
}

async fn keys_of_the_wrong_token_and_ambiguous_ones(world: &World) {
    let p256 = Scheme::EcdsaP256;
    refused(world, Code::PinWrong, link("spare", "twin", p256, "spare", &pin())).await;
    let lone = link("spare", "lone", Scheme::Ed25519, "spare-lone", SPARE_PIN);
    world.operator.link(lone).await.unwrap();
    refused(world, Code::TokenKeyMissing, link("spare", "sample-p256", p256, "spare", SPARE_PIN)).await;
    let generate = ["--token-label", "spare", "--login", "--pin", SPARE_PIN, "--keypairgen"];
    pkcs11_tool(
        &[&generate[..], &["--key-type", "EC:prime256v1", "--label", "twin", "--id", "7715"]].concat(),
    );
    refused(world, Code::TokenKeyAmbiguous, link("spare", "twin", p256, "spare", SPARE_PIN)).await;
    let by_id = Link { id: vec![0x77, 0x15], ..link("spare", "twin", p256, "spare-twin", SPARE_PIN) };
    let linked = world.operator.link(by_id).await.unwrap();
    world.operator.sign_message("spare-twin", b"named by its id").await.unwrap();
    assert_eq!(linked.key.token, "spare");

    let second = token(world, "second").await.serial;
    let init = ["--init-token", "--slot-index", "3", "--label", "spare", "--so-pin", OFFICER_PIN];
    pkcs11_tool(&init);
    refused(world, Code::TokenAmbiguous, link("spare", "lone", Scheme::Ed25519, "spare", SPARE_PIN)).await;
    assert_eq!(token(world, "second").await.serial, second);
    world.operator.sign_message("spare-twin", b"a linked key is found by its token's serial").await.unwrap();
}

async fn a_token_that_is_taken_away_signs_nothing_and_comes_back(world: &World) {
    world.operator.sign_message("spare-lone", b"there").await.unwrap();
    world.news().await;
    let file = keyward().dir().join("token/token-1.hsm");
    let away = keyward().work("token-1.hsm.away");
    std::fs::rename(&file, &away).unwrap();
    let refusal = sign(&world.operator, message("spare-lone", b"gone")).await.unwrap_err().said();
    let code = refusal.code.unwrap();
    assert!([Code::TokenUnavailable, Code::TokenMissing].contains(&code), "{refusal:?}");
    check(code, &refusal);
    let news = world.news().await;
    assert!(news.iter().all(|recorded| recorded.entry != "release"), "nothing was signed: {news:?}");
    std::fs::rename(&away, &file).unwrap();
    world.operator.sign_message("spare-lone", b"back").await.unwrap();
}
