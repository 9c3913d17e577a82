//! Taking an account back: who asks, who signs, what a service on the way can change, and who stops it.

use keyward_client::EvidenceError;
use keyward_client::delegation::{DelegationError, Request};
use keyward_crypto::{SigningKey, account_credential};
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::entry::Mode;
use keyward_ledger_core::state::layout::{KeyState, KeyStatus, key_key};
use keyward_proto::custody::BeginRecoveryResponse;

use crate::delegation::world::{
    ANNA, BORIS, CLARA, DELAY_MS, Lies, World, credential, login, main_name, password, rule, terms,
};

fn beginning(lie: impl Fn(BeginRecoveryResponse) -> BeginRecoveryResponse + Send + 'static) -> Lies {
    Lies { begun: Some(Box::new(move |_, begun| lie(begun))), ..Lies::default() }
}

#[tokio::test]
async fn an_account_comes_back_with_the_new_passwords_credential_and_exactly_the_login_that_was_signed() {
    let world = World::trusting(&[BORIS, CLARA], 2).await;
    let (request, opened) = world.opened().await;
    let live = world.client(ANNA).await.delegations(None).await.unwrap().delegations[0].recovery.unwrap();
    assert_eq!((live.opens_ms, live.ends_ms), (opened.time_ms + DELAY_MS, opened.time_ms + 2 * DELAY_MS));
    let boris = world.client(BORIS).await;
    let early = boris.execute_recovery(&login(BORIS), &request, None).await.unwrap_err();
    assert_eq!(early.code(), Some("TIMELOCK_EARLY"));
    assert_eq!(world.present_credential(&ANNA)[..], *credential(&ANNA).public_key().as_bytes());
    world.pass(DELAY_MS);
    boris.execute_recovery(&login(BORIS), &request, None).await.unwrap();
    let present = world.present_credential(&ANNA);
    assert_eq!(present, request.recovery().unwrap().public_key);
    // What went to the service opens with the new password, and leads to that credential.
    let (name, upload) = world.logins.lock().unwrap()[0].clone();
    let record = keyward_crypto::OpaqueServer::record(&upload).unwrap();
    let secret = keyward_crypto::SecretBytes::from("new".to_owned());
    let (client, start) = keyward_crypto::ClientLogin::start(&secret).unwrap();
    let (_, response) = world.opaque.login(&name, Some(&record), &start).unwrap();
    let done = client.finish(&secret, &response, keyward_crypto::Stretch::WeakForTests).unwrap();
    assert_eq!(account_credential(&done.export_key).unwrap().public_key().as_bytes(), &present[..]);
    // Once, and no second time.
    let again = boris.execute_recovery(&login(BORIS), &request, None).await.unwrap_err();
    assert!(matches!(again, DelegationError::NoRecovery), "{again}");
}

#[tokio::test]
async fn another_account_or_ledger_in_the_answer_makes_no_request() {
    let world = World::trusting(&[BORIS], 1).await;
    let client = world.client(BORIS).await;
    let lost = async |account| client.begin_recovery("anna", &password("new"), &main_name(), account).await;
    world.lie(beginning(|begun| BeginRecoveryResponse { chain_id: vec![9; 32].into(), ..begun }));
    let error = lost(None).await.unwrap_err();
    assert!(
        matches!(error, DelegationError::Evidence(EvidenceError::Substituted("another ledger"))),
        "{error}"
    );
    world.lie(beginning(|begun| BeginRecoveryResponse { account: CLARA.to_vec().into(), ..begun }));
    let error = lost(Some(ANNA)).await.unwrap_err();
    assert_eq!(error.code(), Some("DELEGATION_SUBSTITUTED"));
    // Who does not know the account makes a request that no delegate of Anna's signs: Clara's account has not named him.
    let mut request = lost(None).await.unwrap();
    assert_eq!(request.account(), Some(CLARA));
    let heard = request.fingerprint();
    let error = client.sign_request(&login(BORIS), &mut request, &heard).await.unwrap_err();
    assert!(matches!(error, DelegationError::Unknown), "{error}");
    for broken in [Vec::new(), vec![1_u8; 31]] {
        let begun = broken.clone();
        world.lie(beginning(move |answer| BeginRecoveryResponse { account: begun.clone().into(), ..answer }));
        lost(None).await.unwrap_err();
        world.lie(beginning(move |answer| BeginRecoveryResponse {
            registration_name: broken.clone().into(),
            ..answer
        }));
        lost(None).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_service_that_keys_the_login_otherwise_brings_one_that_the_delegates_did_not_sign() {
    let world = World::trusting(&[BORIS, CLARA], 2).await;
    world.lie(beginning(|begun| BeginRecoveryResponse { registration_name: vec![0x78; 32].into(), ..begun }));
    let other = world.lost().await;
    world.lie(Lies::default());
    let right = world.lost().await;
    let login = |request: &Request| request.recovery().unwrap().login;
    assert_ne!(login(&other), login(&right));
    // The name in the line is what was signed: put another one into it, and it is no request any more.
    let swapped = right.to_text().replace(&"77".repeat(32), &"78".repeat(32));
    assert_eq!(Request::parse(&swapped).unwrap_err().code(), Some("DELEGATION_REQUEST_MALFORMED"));
}

#[tokio::test]
async fn a_request_is_signed_by_whom_it_names_once_and_only_if_its_fingerprint_was_heard() {
    let world = World::trusting(&[BORIS, CLARA], 2).await;
    let mut request = world.lost().await;
    let boris = world.client(BORIS).await;
    let heard = request.fingerprint();
    for wrong in ["", "0000-0000-0000-0000-0000", &heard[..19]] {
        let error = boris.sign_request(&login(BORIS), &mut request, wrong).await.unwrap_err();
        assert_eq!(error.code(), Some("DELEGATION_FINGERPRINT_OTHER"), "{wrong}");
    }
    // A thief's request for the same account sounds otherwise.
    let mut thiefs = world.lost().await;
    let error = boris.sign_request(&login(BORIS), &mut thiefs, &heard).await.unwrap_err();
    assert!(matches!(error, DelegationError::Fingerprint), "{error}");
    boris.sign_request(&login(BORIS), &mut request, &heard).await.unwrap();
    assert_eq!((request.signed_by(), request.fingerprint()), (vec![BORIS], heard.clone()));
    let error = boris.sign_request(&login(BORIS), &mut request, &heard).await.unwrap_err();
    assert!(matches!(error, DelegationError::SignedBefore), "{error}");
    // One of two is not enough, and a signature that somebody else puts under it neither.
    let error = boris.send_request(&request).await.unwrap_err();
    assert_eq!(error.code(), Some("AUTHORS_MISSING"));
    let anna = world.client(ANNA).await;
    let mut hers = request.clone();
    anna.sign_request(&login(ANNA), &mut hers, &heard).await.unwrap();
    assert_eq!(anna.send_request(&hers).await.unwrap_err().code(), Some("AUTHOR_NOT_NAMED"));
    world.sign(CLARA, &mut request).await;
    boris.send_request(&request).await.unwrap();
    // Opened twice: one recovery lives at a time.
    let mut second = world.lost().await;
    world.sign(BORIS, &mut second).await;
    world.sign(CLARA, &mut second).await;
    assert_eq!(boris.send_request(&second).await.unwrap_err().code(), Some("TIMELOCK_BUSY"));
    let error = boris.execute_recovery(&login(BORIS), &second, None).await.unwrap_err();
    assert!(matches!(error, DelegationError::OtherRecovery), "{error}");
}

#[tokio::test]
async fn a_request_that_was_altered_on_the_way_is_none_and_an_entry_altered_by_the_service_is_refused() {
    let world = World::trusting(&[BORIS, CLARA], 2).await;
    let mut request = world.lost().await;
    world.sign(BORIS, &mut request).await;
    let text = request.to_text();
    assert_eq!(Request::parse(&text).unwrap(), request);
    let chain = hex::encode(world.snapshot().chain_id());
    let moved = text.replace(&chain, &"00".repeat(32));
    assert!(Request::parse(&moved).is_err(), "the proof is for one ledger");
    let key = hex::encode(request.recovery().unwrap().public_key);
    let stolen = text.replace(&key, &hex::encode(credential(&CLARA).public_key().as_bytes()));
    assert!(Request::parse(&stolen).is_err());
    world.sign(CLARA, &mut request).await;
    // The service puts one byte of another signature into the entry: the ledger refuses, and so does this side.
    world.lie(Lies {
        entry: Some(Box::new(|_, entry| {
            entry.map(|mut entry| {
                *entry.last_mut().unwrap() ^= 1;
                entry
            })
        })),
        ..Lies::default()
    });
    let error = world.client(BORIS).await.send_request(&request).await.unwrap_err();
    assert_eq!(error.code(), Some("AUTHOR_SIGNATURE_INVALID"));
    // A service that says it was opened without handing anything in.
    let first = world.snapshot().receipt(0);
    world.lie(Lies {
        entry: Some(Box::new(|_, _| None)),
        recorded: Some(Box::new(move |_, _| {
            Ok(keyward_proto::custody::DelegationEntryResponse {
                receipt: first.clone().into(),
                leaf_index: 0,
            })
        })),
        ..Lies::default()
    });
    let error = world.client(BORIS).await.send_request(&request).await.unwrap_err();
    assert!(matches!(error, DelegationError::Evidence(EvidenceError::Substituted(_))), "{error}");
}

#[tokio::test]
async fn who_was_revoked_opens_nothing_once_the_end_has_come() {
    let world = World::trusting(&[BORIS, CLARA], 2).await;
    world.client(ANNA).await.revoke_delegates(&login(ANNA), &main_name()).await.unwrap();
    let mut request = world.lost().await;
    for account in [BORIS, CLARA] {
        world.sign(account, &mut request).await;
    }
    world.pass(DELAY_MS);
    let error = world.client(BORIS).await.send_request(&request).await.unwrap_err();
    assert_eq!(error.code(), Some("DELEGATION_NOT_IN_FORCE"));
}

#[tokio::test]
async fn the_owner_vetoes_and_so_does_the_key_that_was_named_for_it_and_no_other() {
    let world = World::start().await;
    let veto_key = SigningKey::from_secret(Scheme::Ed25519, &[0x61; 32]).unwrap();
    let other_key = SigningKey::from_secret(Scheme::Ed25519, &[0x62; 32]).unwrap();
    for key in [&veto_key, &other_key] {
        let state = KeyState {
            account: ANNA,
            mode: Mode::Own,
            scheme: Scheme::Ed25519,
            status: KeyStatus::Active,
            height: 1,
            version: 1,
        };
        world.chain.lock().unwrap().state.insert(&key_key(&key.public_key().id()), &state.encode());
    }
    let anna = world.client(ANNA).await;
    let named = terms(&[BORIS, CLARA], 2);
    let named =
        keyward_client::delegation::DelegationTerms { vetoers: vec![veto_key.public_key().id()], ..named };
    anna.appoint_delegates(&login(ANNA), &main_name(), named).await.unwrap();
    let error = anna.veto_recovery(&login(ANNA), &main_name()).await.unwrap_err();
    assert!(matches!(error, DelegationError::NoRecovery), "{error}");
    world.pass(DELAY_MS);
    world.opened().await;
    // A delegate's session carries the key's word as well as the owner's does.
    let boris = world.client(BORIS).await;
    let error = boris.veto_recovery_with(&other_key, &rule(ANNA)).await.unwrap_err();
    assert_eq!(error.code(), Some("AUTHOR_NOT_NAMED"));
    boris.veto_recovery_with(&veto_key, &rule(ANNA)).await.unwrap();
    world.opened().await;
    let error = boris.veto_recovery(&login(BORIS), &main_name()).await.unwrap_err();
    assert!(matches!(error, DelegationError::Unknown), "not his account: {error}");
    anna.veto_recovery(&login(ANNA), &main_name()).await.unwrap();
    assert!(anna.delegations(None).await.unwrap().delegations[0].recovery.is_none());
}

#[tokio::test]
async fn enough_delegates_take_a_recovery_back() {
    let world = World::trusting(&[BORIS, CLARA], 2).await;
    let (opened, _) = world.opened().await;
    let clara = world.client(CLARA).await;
    let mut request = clara.request_cancel(&opened).await.unwrap();
    assert_eq!(Request::parse(&request.to_text()).unwrap(), request);
    world.sign(BORIS, &mut request).await;
    assert_eq!(clara.send_request(&request).await.unwrap_err().code(), Some("AUTHORS_MISSING"));
    world.sign(CLARA, &mut request).await;
    clara.send_request(&request).await.unwrap();
    let error = clara.request_cancel(&opened).await.unwrap_err();
    assert!(matches!(error, DelegationError::NoRecovery), "{error}");
    assert!(clara.request_cancel(&request).await.is_err(), "it opens none");
}
