//! Keys of mode `self`: bound, signed with in two steps, replaced with consent; each yes and its noes.

use std::sync::atomic::Ordering;

use keyward_crypto::SigningKey;
use keyward_domain::{
    Code, Mode, possession_challenge, rotation_challenge,
    scheme::{Scheme, verify},
};
use keyward_ledger_core::{
    entry::{Entry, Intent},
    hash::{commitment, sha256, signature_hash},
};
use keyward_store::{Custody as Place, IntentState, KeyState};

use super::{
    accounts::person,
    risk::{NOTHING, put_in_force as put_risk_in_force},
    world::{CHAIN, Mood, SUBMITTER, World, code, unsaid},
};
use crate::{
    caller::Caller,
    failure::Failure,
    guard::{Input, Signed, Start},
    keys::{import::Import, rotate::To},
};

/// A key on the person's side with its proof.
pub(super) struct Own {
    pub(super) key: SigningKey,
    nonce: [u8; 32],
    not_after: u64,
    proof: Vec<u8>,
    consent: Vec<u8>,
}

impl Own {
    pub(super) async fn make(
        world: &World,
        caller: &Caller,
        scheme: Scheme,
        before: Option<&SigningKey>,
    ) -> Self {
        let prepared = world.custody.prepare_import(caller, scheme.name()).await.unwrap();
        let (key, account) = (SigningKey::generate(scheme).unwrap(), prepared.account.0);
        let (public, nonce, not_after) = (key.public_key(), &prepared.nonce, prepared.not_after);
        let message = match before {
            None => possession_challenge(&CHAIN, &account, Mode::Own, public, nonce, not_after),
            Some(before) => {
                let previous = before.public_key().id();
                rotation_challenge(&CHAIN, &account, Mode::Own, public, nonce, not_after, &previous)
            }
        };
        let proof = key.sign_message(&message).unwrap();
        let consent = before.map(|before| before.sign_message(&message).unwrap()).unwrap_or_default();
        Self { nonce: prepared.nonce, not_after, proof, consent, key }
    }

    pub(super) fn import<'a>(&'a self, alias: &'a str) -> Import<'a> {
        Import {
            alias,
            scheme: self.key.scheme().name(),
            public_key: self.key.public_key().as_bytes(),
            nonce: self.nonce,
            not_after: self.not_after,
            proof: &self.proof,
            mode: Mode::Own,
            sealed: &[],
            consent: &self.consent,
            mark: &[],
        }
    }
}

/// Alice and her Ed25519 key `mine`.
async fn with_key() -> (World, Caller, SigningKey) {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let own = Own::make(&world, &alice, Scheme::Ed25519, None).await;
    world.custody.import_key(&alice, &own.import("mine")).await.unwrap();
    (world, alice, own.key)
}

async fn begin(world: &World, caller: &Caller, message: &[u8], mark: &[u8]) -> Result<Start, Failure> {
    world.custody.begin_sign(caller, "mine", (Input::Message(message), unsaid().clone()), mark).await
}

async fn begun(world: &World, caller: &Caller, message: &[u8], mark: &[u8]) -> [u8; 32] {
    match begin(world, caller, message, mark).await.unwrap() {
        Start::ToSign(begun) => begun.intent,
        Start::Signed(_) => panic!("it was signed before"),
    }
}

async fn finish(world: &World, caller: &Caller, id: &[u8; 32], bytes: &[u8]) -> Result<Signed, Failure> {
    world.custody.finish_sign(caller, id, bytes).await
}

fn intents(world: &World) -> Vec<Intent> {
    let entries = world.ledger.log().into_iter().map(|(entry, _)| entry);
    entries.filter_map(|entry| if let Entry::Intent(intent) = entry { Some(intent) } else { None }).collect()
}

async fn queued(world: &World) -> usize {
    world.custody.store.queued_releases(SUBMITTER, (0, 0), 100).await.unwrap().len()
}

#[tokio::test]
async fn every_scheme_signs_on_the_persons_side_and_its_release_is_recorded() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519] {
        let own = Own::make(&world, &alice, scheme, None).await;
        let (key, receipt) = world.custody.import_key(&alice, &own.import(scheme.name())).await.unwrap();
        assert!(!receipt.is_empty());
        assert_eq!((key.mode(), &key.row.custody), (Mode::Own, &Place::Own));
        assert_eq!(world.ledger.key(&key.public_key.id()).unwrap().mode, Mode::Own);
        let start = world
            .custody
            .begin_sign(&alice, scheme.name(), (Input::Message(b"pay"), unsaid().clone()), &[])
            .await;
        let Start::ToSign(start) = start.unwrap() else { panic!("nothing was signed before") };
        let intent = intents(&world).pop().unwrap();
        assert_eq!((intent.id, intent.key_id), (start.intent, own.key.public_key().id()));
        assert_eq!(intent.commitment, commitment(&start.r, &sha256(&[b"pay"])));
        assert_eq!((intent.policy, start.receipt.is_empty()), (world.custody.policies.now().hash(), false));
        assert_eq!(queued(&world).await, 0, "nothing is released before there is a signature");
        let signature = own.key.sign_message(b"pay").unwrap();
        let signed = finish(&world, &alice, &start.intent, &signature).await.unwrap();
        verify(&key.public_key, b"pay", &signed.signature).unwrap();
        assert!(signed.receipt.ends_with(&signature), "the receipt releases it");
        let release = world.custody.store.queued_releases(SUBMITTER, (0, 0), 10).await.unwrap()[0];
        assert_eq!((release.intent, release.signature_hash), (start.intent, signature_hash(&signature)));
        assert_eq!(world.custody.record_releases().await.unwrap(), 1);
    }
    assert_eq!(world.signatures(), 4);
}

#[tokio::test]
async fn a_digest_is_signed_where_the_scheme_signs_digests() {
    let (world, alice, _) = with_key().await;
    let own = Own::make(&world, &alice, Scheme::EcdsaP256, None).await;
    world.custody.import_key(&alice, &own.import("p256")).await.unwrap();
    let begin = |key: &'static str, digest: Vec<u8>| {
        let (custody, alice) = (world.custody.clone(), alice.clone());
        async move { custody.begin_sign(&alice, key, (Input::Digest(digest), unsaid().clone()), &[]).await }
    };
    assert_eq!(code(begin("mine", vec![7; 32]).await), Code::DigestNotAllowed);
    assert_eq!(code(begin("p256", vec![7; 31]).await), Code::DigestLength);
    assert_eq!(world.intents(), 0, "nothing was recorded for bad input");
    let Start::ToSign(start) = begin("p256", vec![7; 32]).await.unwrap() else { panic!() };
    let signature = own.key.sign_digest(&[7; 32]).unwrap();
    finish(&world, &alice, &start.intent, &signature).await.unwrap();
}

#[tokio::test]
async fn the_service_neither_signs_nor_lends_what_is_on_the_persons_side() {
    let (world, alice, _) = with_key().await;
    assert_eq!(code(world.sign(&alice, "mine", b"m").await), Code::KeyIsSelf);
    assert_eq!(code(world.custody.authorise_app(&alice, "mine", "payroll", &[]).await), Code::KeyIsSelf);
    let app = world.app().await;
    world.custody.create_key(&app, "apps", "ed25519", &[]).await.unwrap();
    let of_app = world.custody.begin_sign(&app, "apps", (Input::Message(b"m"), unsaid().clone()), &[]).await;
    assert_eq!(code(of_app), Code::SessionRequired);
    let made = super::accounts::make(&world, &alice, Scheme::Ed25519).await;
    world.custody.import_key(&alice, &super::accounts::import(&made, "hosted")).await.unwrap();
    let hosted =
        world.custody.begin_sign(&alice, "hosted", (Input::Message(b"m"), unsaid().clone()), &[]).await;
    assert_eq!(code(hosted), Code::KeyNotSelf);
    assert_eq!(world.intents(), 0);
}

#[tokio::test]
async fn a_bad_binding_changes_nothing() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let tried = |change: fn(&mut Import<'_>), expected: Code| {
        let (world, alice) = (&world, &alice);
        async move {
            let own = Own::make(world, alice, Scheme::Ed25519, None).await;
            let mut bad = own.import("bad");
            change(&mut bad);
            assert_eq!(code(world.custody.import_key(alice, &bad).await), expected);
        }
    };
    tried(|bad| bad.mode = Mode::Hosted, Code::ProofInvalid).await;
    tried(|bad| bad.sealed = &[1; 80], Code::InvalidArgument).await;
    tried(|bad| bad.consent = &[1; 64], Code::InvalidArgument).await;
    tried(|bad| bad.proof = &[1; 64], Code::ProofInvalid).await;
    tried(|bad| bad.not_after += 1, Code::ProofInvalid).await;
    tried(|bad| bad.nonce = [0; 32], Code::ChallengeReplayed).await;
    let stolen = Own::make(&world, &alice, Scheme::Ed25519, None).await;
    let bob = person(&world, "bob").await;
    assert_eq!(code(world.custody.import_key(&bob, &stolen.import("stolen")).await), Code::ChallengeReplayed);
    assert_eq!(world.ledger.count(|entry| matches!(entry, Entry::BindKey(_))), 0);
}

#[tokio::test]
async fn an_app_binds_a_key_that_it_keeps_itself_and_the_service_does_not_sign_with() {
    let world = World::new().await;
    let app = world.app().await;
    let own = Own::make(&world, &app, Scheme::Ed25519, None).await;
    let (key, _) = world.custody.import_key(&app, &own.import("speaker")).await.unwrap();
    assert_eq!((key.mode(), key.person, Some(key.account())), (Mode::Own, false, app.account));
    assert_eq!(code(world.sign(&app, "speaker", b"m").await), Code::KeyIsSelf);
    let begun =
        world.custody.begin_sign(&app, "speaker", (Input::Message(b"m"), unsaid().clone()), &[]).await;
    assert_eq!(code(begun), Code::SessionRequired);
    assert_eq!(world.intents(), 0);
}

#[tokio::test]
async fn one_intent_takes_one_signature() {
    let (world, alice, key) = with_key().await;
    let id = begun(&world, &alice, b"pay", &[]).await;
    let good = key.sign_message(b"pay").unwrap();
    let strangers = SigningKey::generate(Scheme::Ed25519).unwrap().sign_message(b"pay").unwrap();
    for wrong in [Vec::new(), vec![0; 64], strangers, key.sign_message(b"pay more").unwrap()] {
        assert_eq!(code(finish(&world, &alice, &id, &wrong).await), Code::OwnSignatureInvalid);
    }
    assert_eq!(queued(&world).await, 0);
    let first = finish(&world, &alice, &id, &good).await.unwrap();
    let again = finish(&world, &alice, &id, &good).await.unwrap();
    assert_eq!((first.signature, &first.receipt), (again.signature, &again.receipt));
    assert_eq!(code(finish(&world, &alice, &id, &[1; 64]).await), Code::SigningDone);
    assert_eq!((queued(&world).await, world.intents()), (1, 1));
}

#[tokio::test]
async fn what_somebody_else_began_is_unknown() {
    let (world, alice, key) = with_key().await;
    let id = begun(&world, &alice, b"pay", &[]).await;
    let good = key.sign_message(b"pay").unwrap();
    let bob = person(&world, "bob").await;
    assert_eq!(code(finish(&world, &bob, &id, &good).await), Code::SigningUnknown);
    assert_eq!(code(finish(&world, &alice, &[9; 32], &good).await), Code::SigningUnknown);
    let app = world.app().await;
    assert_eq!(code(finish(&world, &app, &id, &good).await), Code::SessionRequired);
    let key_id = key.public_key().id().to_string();
    let theirs = world.custody.begin_sign(&bob, &key_id, (Input::Message(b"m"), unsaid().clone()), &[]).await;
    assert_eq!(code(theirs), Code::KeyUnknown);
    let beside = world.beside().await;
    assert_eq!(code(beside.finish_sign(&alice, &id, &good).await), Code::SigningUnknown, "another server");
    finish(&world, &alice, &id, &good).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_with_one_intent_release_once() {
    let (world, alice, _) = with_key().await;
    let own = Own::make(&world, &alice, Scheme::Bip340, None).await;
    world.custody.import_key(&alice, &own.import("bip340")).await.unwrap();
    let start =
        world.custody.begin_sign(&alice, "bip340", (Input::Message(b"pay"), unsaid().clone()), &[]).await;
    let Start::ToSign(start) = start.unwrap() else { panic!() };
    let one = own.key.sign_message(b"pay").unwrap();
    let racers: Vec<_> = (0..16_u8)
        .map(|number| {
            let (custody, alice, intent) = (world.custody.clone(), alice.clone(), start.intent);
            let bytes = if number.is_multiple_of(2) { one.clone() } else { vec![number; 64] };
            tokio::spawn(async move { custody.finish_sign(&alice, &intent, &bytes).await })
        })
        .collect();
    let mut receipts = Vec::new();
    for (number, racer) in racers.into_iter().enumerate() {
        match racer.await.unwrap() {
            Ok(signed) => receipts.push(signed.receipt),
            Err(failure) => {
                assert_eq!(number % 2, 1);
                assert!(matches!(failure.code, Code::OwnSignatureInvalid | Code::SigningDone), "{failure:?}");
            }
        }
    }
    assert_eq!(receipts.len(), 8);
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(queued(&world).await, 1);
}

#[tokio::test]
async fn the_same_request_gets_the_same_intent_and_then_its_signature() {
    let (world, alice, key) = with_key().await;
    let id = begun(&world, &alice, b"pay", b"mark").await;
    assert_eq!(begun(&world, &alice, b"pay", b"mark").await, id, "the first answer may have been lost");
    assert_eq!(code(begin(&world, &alice, b"other", b"mark").await), Code::IdempotencyConflict);
    let done = finish(&world, &alice, &id, &key.sign_message(b"pay").unwrap()).await.unwrap();
    let Start::Signed(again) = begin(&world, &alice, b"pay", b"mark").await.unwrap() else { panic!() };
    assert_eq!((again.signature, again.receipt), (done.signature, done.receipt));
    assert_eq!(world.intents(), 1);
}

#[tokio::test]
async fn what_nobody_signs_in_time_is_told_and_may_be_begun_again() {
    let (world, alice, key) = with_key().await;
    let good = key.sign_message(b"pay").unwrap();
    let id = begun(&world, &alice, b"pay", b"mark").await;
    world.pass_ms(120_000);
    assert_eq!(code(finish(&world, &alice, &id, &good).await), Code::SigningUnknown);
    world.custody.end_begun().await;
    assert_eq!(code(finish(&world, &alice, &id, &good).await), Code::SigningUnknown);
    assert_eq!(world.custody.unreleased.list()[0].1, IntentState::Final);
    let next = begun(&world, &alice, b"pay", b"mark").await;
    assert_ne!(next, id);
    finish(&world, &alice, &next, &good).await.unwrap();
    world.ledger.height.fetch_add(5000, Ordering::Relaxed);
    world.custody.settle_unreleased().await.unwrap();
    assert_eq!(world.custody.unreleased.list(), []);
    assert_eq!(world.custody.store.open_intents(SUBMITTER, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_signature_that_was_released_is_no_longer_known_than_needed() {
    let (world, alice, key) = with_key().await;
    let good = key.sign_message(b"pay").unwrap();
    let id = begun(&world, &alice, b"pay", &[]).await;
    finish(&world, &alice, &id, &good).await.unwrap();
    world.pass_ms(19_999);
    world.custody.end_begun().await;
    finish(&world, &alice, &id, &good).await.unwrap();
    world.pass_ms(1);
    world.custody.end_begun().await;
    assert_eq!(code(finish(&world, &alice, &id, &good).await), Code::SigningUnknown);
    assert_eq!((queued(&world).await, world.custody.unreleased.list().len()), (1, 0));
}

#[tokio::test]
async fn a_run_that_dies_between_the_steps_releases_nothing() {
    let (world, alice, key) = with_key().await;
    let good = key.sign_message(b"pay").unwrap();
    let id = begun(&world, &alice, b"pay", b"mark").await;
    let world = world.restart().await;
    assert_eq!(world.custody.unreleased.list().len(), 1, "the next run tells");
    assert_eq!(code(finish(&world, &alice, &id, &good).await), Code::SigningUnknown);
    let next = begun(&world, &alice, b"pay", b"mark").await;
    finish(&world, &alice, &next, &good).await.unwrap();
    assert_eq!(world.custody.record_releases().await.unwrap(), 1);
    assert_eq!((world.intents(), world.signatures()), (2, 1));
}

#[tokio::test]
async fn a_run_that_dies_after_the_release_was_queued_has_answered() {
    let (world, alice, key) = with_key().await;
    let good = key.sign_message(b"pay").unwrap();
    let id = begun(&world, &alice, b"pay", b"mark").await;
    let done = finish(&world, &alice, &id, &good).await.unwrap();
    let world = world.restart().await;
    let Start::Signed(again) = begin(&world, &alice, b"pay", b"mark").await.unwrap() else { panic!() };
    assert_eq!((again.signature, again.receipt), (done.signature, done.receipt));
    assert_eq!(world.custody.record_releases().await.unwrap(), 1);
    assert_eq!((world.intents(), world.signatures()), (1, 1));
}

#[tokio::test]
async fn without_the_ledger_nothing_is_begun() {
    let (world, alice, key) = with_key().await;
    world.ledger.set(Mood::Gone);
    assert_eq!(code(begin(&world, &alice, b"pay", b"mark").await), Code::LedgerUnavailable);
    assert_eq!(world.custody.unreleased.list().len(), 1);
    world.ledger.set(Mood::Good);
    let id = begun(&world, &alice, b"pay", b"mark").await;
    finish(&world, &alice, &id, &key.sign_message(b"pay").unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_frozen_between_the_steps_releases_nothing() {
    let (world, alice, key) = with_key().await;
    let id = begun(&world, &alice, b"pay", &[]).await;
    world.custody.freeze_key(&alice, "mine", &[]).await.unwrap();
    let good = key.sign_message(b"pay").unwrap();
    assert_eq!(code(finish(&world, &alice, &id, &good).await), Code::KeyFrozen);
    assert_eq!(code(begin(&world, &alice, b"pay", &[]).await), Code::KeyFrozen);
    assert_eq!(queued(&world).await, 0);
    let officer = world.caller("keyward://officer/olga").await;
    let key_id = key.public_key().id().to_string();
    world.custody.unfreeze_key(&officer, &key_id, &[]).await.unwrap();
    finish(&world, &alice, &id, &good).await.unwrap();
}

#[tokio::test]
async fn a_signature_after_the_intents_last_height_is_not_released() {
    let (world, alice, key) = with_key().await;
    let id = begun(&world, &alice, b"pay", b"mark").await;
    world.ledger.height.fetch_add(5000, Ordering::Relaxed);
    let good = key.sign_message(b"pay").unwrap();
    assert_eq!(code(finish(&world, &alice, &id, &good).await), Code::RequestExpired);
    assert_eq!(code(finish(&world, &alice, &id, &good).await), Code::SigningUnknown);
    assert_eq!(queued(&world).await, 0);
    let next = begun(&world, &alice, b"pay", b"mark").await;
    finish(&world, &alice, &next, &good).await.unwrap();
}

#[tokio::test]
async fn of_too_many_that_wait_one_more_is_refused_and_a_signed_one_makes_room() {
    let (world, alice, key) = with_key().await;
    let mut ids = Vec::new();
    for _ in 0..32 {
        ids.push(begun(&world, &alice, b"", &[]).await);
    }
    let before = world.intents();
    assert_eq!(code(begin(&world, &alice, b"", &[]).await), Code::ServiceBusy);
    assert_eq!(world.intents(), before);
    finish(&world, &alice, &ids[0], &key.sign_message(b"").unwrap()).await.unwrap();
    begun(&world, &alice, b"", &[]).await;
}

#[tokio::test]
async fn a_self_key_is_rotated_with_both_proofs_alone() {
    let (world, alice, key) = with_key().await;
    let rotate = async |own: &Own, change: fn(&mut Import<'_>)| {
        let mut import = own.import("");
        change(&mut import);
        world.custody.rotate_key(&alice, "mine", To::Imported(import), &[]).await
    };
    type Spoil = fn(&mut Import<'_>);
    let refused: [(Spoil, Code); 5] = [
        (|import| import.consent = &[], Code::ProofInvalid),
        (|import| import.consent = &[1; 64], Code::ProofInvalid),
        (|import| import.consent = import.proof, Code::ProofInvalid),
        (|import| import.proof = import.consent, Code::ProofInvalid),
        (|import| import.mode = Mode::Hosted, Code::InvalidArgument),
    ];
    for (change, expected) in refused {
        let own = Own::make(&world, &alice, Scheme::Ed25519, Some(&key)).await;
        assert_eq!(code(rotate(&own, change).await), expected);
    }
    assert_eq!(code(world.custody.rotate_key(&alice, "mine", To::Made, &[]).await), Code::InvalidArgument);
    let own = Own::make(&world, &alice, Scheme::Ed25519, Some(&key)).await;
    let (next, receipt) = rotate(&own, |_| ()).await.unwrap();
    assert_eq!((next.row.version, next.mode(), receipt.is_empty()), (2, Mode::Own, false));
    let old = world.custody.show_key(&alice, "mine@1").await.unwrap();
    assert_eq!(old.row.state, KeyState::Superseded);
    assert_eq!(world.ledger.count(|entry| entry.name() == "rotate-self-key"), 1);
    let id = begun(&world, &alice, b"pay", &[]).await;
    assert_eq!(
        code(finish(&world, &alice, &id, &key.sign_message(b"pay").unwrap()).await),
        Code::OwnSignatureInvalid,
        "the version before signs no more"
    );
    finish(&world, &alice, &id, &own.key.sign_message(b"pay").unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_rotation_that_was_recorded_unheard_is_settled() {
    let (world, alice, key) = with_key().await;
    let own = Own::make(&world, &alice, Scheme::Ed25519, Some(&key)).await;
    world.ledger.set(Mood::Deaf);
    let to = To::Imported(own.import(""));
    assert_eq!(code(world.custody.rotate_key(&alice, "mine", to, &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    let world = world.restart().await;
    world.custody.settle_acts().await.unwrap();
    let next = world.custody.show_key(&alice, "mine").await.unwrap();
    assert_eq!((next.row.version, next.row.state, next.mode()), (2, KeyState::Active, Mode::Own));
}

#[tokio::test]
async fn a_hosted_key_of_a_person_may_come_to_its_person() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let made = super::accounts::make(&world, &alice, Scheme::Ed25519).await;
    let (before, _) =
        world.custody.import_key(&alice, &super::accounts::import(&made, "mine")).await.unwrap();
    let own = {
        let prepared = world.custody.prepare_import(&alice, "ed25519").await.unwrap();
        let key = SigningKey::generate(Scheme::Ed25519).unwrap();
        let (nonce, not_after) = (prepared.nonce, prepared.not_after);
        let previous = before.public_key.id();
        let account = prepared.account.0;
        let message =
            rotation_challenge(&CHAIN, &account, Mode::Own, key.public_key(), &nonce, not_after, &previous);
        let proof = key.sign_message(&message).unwrap();
        Own { key, nonce, not_after, proof, consent: Vec::new() }
    };
    let to = To::Imported(own.import(""));
    let (next, _) = world.custody.rotate_key(&alice, "mine", to, &[]).await.unwrap();
    assert_eq!((next.mode(), next.row.version), (Mode::Own, 2));
    assert_eq!(code(world.sign(&alice, "mine", b"m").await), Code::KeyIsSelf);
}

#[tokio::test]
async fn a_self_key_is_destroyed_as_others_are() {
    let (world, alice, key) = with_key().await;
    let id = begun(&world, &alice, b"pay", &[]).await;
    let wait_ms = world.custody.destruction_wait_min_ms;
    world.custody.schedule_destruction(&alice, "mine", wait_ms, &[]).await.unwrap();
    let good = key.sign_message(b"pay").unwrap();
    assert_eq!(code(finish(&world, &alice, &id, &good).await), Code::KeyScheduled);
    world.pass_ms(wait_ms + 1);
    assert_eq!(world.custody.destroy_due_keys().await.unwrap(), 1);
    let gone = world.custody.show_key(&alice, "mine").await.unwrap();
    assert_eq!((gone.row.state, gone.mode()), (KeyState::Destroyed, Mode::Own));
    assert_eq!(code(begin(&world, &alice, b"pay", &[]).await), Code::KeyDestroyed);
}

#[tokio::test]
async fn what_the_rules_of_risk_refuse_is_not_begun() {
    let (world, alice, key) = with_key().await;
    put_risk_in_force(&world, 1, NOTHING).await;
    assert_eq!(code(begin(&world, &alice, b"m", b"mark").await), Code::RiskRefused);
    assert_eq!(world.intents(), 0);
    put_risk_in_force(&world, 2, &NOTHING.replace("enforce", "watch")).await;
    let id = begun(&world, &alice, b"m", b"mark").await;
    // What was begun is finished, whatever is in force by then.
    put_risk_in_force(&world, 3, NOTHING).await;
    finish(&world, &alice, &id, &key.sign_message(b"m").unwrap()).await.unwrap();
}
