//! Another password: who may set it, what it ends, and what a lost answer leaves.

use std::sync::atomic::Ordering;

use keyward_crypto::{ClientLogin, ClientRegistration, SigningKey, Stretch, account_credential};
use keyward_domain::Code;
use keyward_ledger_core::contracts::registry::credential_challenge;

use super::accounts::{log_in, password, person, prepare_registration, register};
use super::world::{CHAIN, Mood, World, code, shown};
use crate::{
    accounts::{password::Offer, register::Finish},
    caller::Caller,
    failure::Failure,
};

const APP: &str = "keyward://app/wallet";

/// What a person's side sends to finish, and the present credential's signature.
struct Change {
    finish: Finish,
    agreed: [u8; 64],
}

async fn credential(world: &World, user: &str, secret: &str) -> SigningKey {
    let secret = password(secret);
    let (client, request) = ClientLogin::start(&secret).unwrap();
    let (_, response) = world.custody.login_start(user, &request).await.unwrap();
    let done = client.finish(&secret, &response, Stretch::WeakForTests).unwrap();
    account_credential(&done.export_key).unwrap()
}

async fn prepare(
    world: &World,
    caller: &Caller,
    present: &SigningKey,
    next: &str,
) -> Result<Change, Failure> {
    let secret = password(next);
    let (client, request) = ClientRegistration::start(&secret).unwrap();
    let Offer { started, version, .. } = world.custody.password_start(caller, &request).await?;
    let done = client.finish(&secret, &started.response, Stretch::WeakForTests).unwrap();
    let credential = account_credential(&done.export_key).unwrap();
    let public: [u8; 32] = credential.public_key().as_bytes().try_into().unwrap();
    let message =
        credential_challenge(&CHAIN, &started.account, version, &public, &started.nonce, started.not_after);
    let proof = credential.sign_message(&message).unwrap().try_into().unwrap();
    let agreed = present.sign_message(&message).unwrap().try_into().unwrap();
    let finish = Finish { id: started.id, upload: done.upload, credential: public, proof };
    Ok(Change { finish, agreed })
}

/// Alice within a session, her credential and the session's token.
async fn alice(world: &World) -> (Caller, SigningKey, [u8; 32]) {
    register(world, "alice").await.unwrap();
    let token = log_in(world, "alice", "correct horse", None).await.unwrap();
    let caller = world.custody.authenticate(&shown(APP, Some(token))).await.unwrap();
    (caller, credential(world, "alice", "correct horse").await, token)
}

#[tokio::test]
async fn the_next_password_logs_in_the_one_before_no_more_and_every_session_ends() {
    let world = World::new().await;
    let (caller, present, token) = alice(&world).await;
    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    log_in(&world, "alice", "correct horse", None).await.unwrap();
    let receipt = world.custody.password_finish(&caller, change.finish, change.agreed).await.unwrap();
    assert!(!receipt.is_empty());
    assert_eq!(code(world.custody.authenticate(&shown(APP, Some(token))).await), Code::SessionExpired);
    assert_eq!(code(log_in(&world, "alice", "correct horse", None).await), Code::LoginFailed);
    let token = log_in(&world, "alice", "staple", None).await.unwrap();
    // And again, from the credential that came with it.
    let caller = world.custody.authenticate(&shown(APP, Some(token))).await.unwrap();
    let change = prepare(&world, &caller, &present, "battery").await.unwrap();
    let refused = world.custody.password_finish(&caller, change.finish, change.agreed).await;
    assert_eq!(code(refused), Code::ProofInvalid, "the first credential has been replaced");
    let present = credential(&world, "alice", "staple").await;
    let change = prepare(&world, &caller, &present, "battery").await.unwrap();
    world.custody.password_finish(&caller, change.finish, change.agreed).await.unwrap();
    log_in(&world, "alice", "battery", None).await.unwrap();
}

#[tokio::test]
async fn a_session_alone_changes_nothing_nor_does_a_change_that_was_used_expired_or_is_anothers() {
    let world = World::new().await;
    let (caller, present, _) = alice(&world).await;
    let bob = person(&world, "bob").await;
    let thief = SigningKey::generate(keyward_domain::scheme::Scheme::Ed25519).unwrap();
    let before = world.custody.store.account_by_name("user", "alice").await.unwrap().unwrap();

    let change = prepare(&world, &caller, &thief, "stolen").await.unwrap();
    let refused = world.custody.password_finish(&caller, change.finish, change.agreed).await;
    assert_eq!(code(refused), Code::ProofInvalid, "without the credential");
    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    let finish = Finish { proof: [7; 64], ..change.finish };
    let refused = world.custody.password_finish(&caller, finish, change.agreed).await;
    assert_eq!(code(refused), Code::ProofInvalid, "a credential that nobody holds");
    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    let refused = world.custody.password_finish(&bob, change.finish, change.agreed).await;
    assert_eq!(code(refused), Code::ChallengeReplayed, "another's");
    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    assert_eq!(code(world.custody.register_finish(change.finish).await), Code::ProofInvalid, "no account");
    let change = prepare_registration(&world, "carol").await.unwrap();
    let refused = world.custody.password_finish(&caller, change, [0; 64]).await;
    assert_eq!(code(refused), Code::ChallengeReplayed, "a registration");
    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    world.pass_ms(10 * 60 * 1000);
    let refused = world.custody.password_finish(&caller, change.finish, change.agreed).await;
    assert_eq!(code(refused), Code::RegistrationExpired);
    let app = world.app().await;
    assert!(prepare(&world, &app, &present, "staple").await.is_err(), "an app has no password");

    let after = world.custody.store.account_by_name("user", "alice").await.unwrap().unwrap();
    assert_eq!((after.opaque_record, after.credential), (before.opaque_record, before.credential));

    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    let again = Finish { upload: change.finish.upload.clone(), ..change.finish };
    world.custody.password_finish(&caller, change.finish, change.agreed).await.unwrap();
    assert_eq!(
        code(world.custody.password_finish(&caller, again, change.agreed).await),
        Code::ChallengeReplayed
    );
}

#[tokio::test]
async fn a_change_that_was_recorded_unheard_is_finished_and_one_that_never_was_is_forgotten() {
    let world = World::new().await;
    let (caller, present, token) = alice(&world).await;
    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    world.ledger.set(Mood::ReadOnly);
    let lost = world.custody.password_finish(&caller, change.finish, change.agreed).await;
    assert_eq!(code(lost), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 1, "it may still become final");
    world.ledger.height.fetch_add(5_000, Ordering::Relaxed);
    let world = world.restart().await;
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    log_in(&world, "alice", "correct horse", None).await.unwrap();

    let caller = world.custody.authenticate(&shown(APP, Some(token))).await.unwrap();
    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    world.ledger.set(Mood::Deaf);
    let lost = world.custody.password_finish(&caller, change.finish, change.agreed).await;
    assert_eq!(code(lost), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    let world = world.restart().await;
    world.custody.settle_acts().await.unwrap();
    assert_eq!(code(log_in(&world, "alice", "correct horse", None).await), Code::LoginFailed);
    log_in(&world, "alice", "staple", None).await.unwrap();
    assert_eq!(code(world.custody.authenticate(&shown(APP, Some(token))).await), Code::SessionExpired);
}

#[tokio::test]
async fn a_change_that_was_recorded_is_not_forgotten_because_a_node_lags_behind() {
    let world = World::new().await;
    let (caller, present, _) = alice(&world).await;
    let change = prepare(&world, &caller, &present, "staple").await.unwrap();
    let before = world.ledger.remember(b"credential/");
    world.ledger.height.fetch_add(1, Ordering::Relaxed);
    world.ledger.set(Mood::Deaf);
    let lost = world.custody.password_finish(&caller, change.finish, change.agreed).await;
    assert_eq!(code(lost), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    world.ledger.height.fetch_add(5_000, Ordering::Relaxed);
    let world = world.restart().await;
    world.ledger.lag(Some(before));
    assert_eq!(world.custody.settle_acts().await.unwrap(), 1, "what it shows is of before");
    world.ledger.lag(None);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(code(log_in(&world, "alice", "correct horse", None).await), Code::LoginFailed);
    log_in(&world, "alice", "staple", None).await.unwrap();
}
