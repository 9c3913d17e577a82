//! Signing with a shared key: what is decided, recorded and released, and what a hostile client gets.

use bytes::Bytes;
use keyward_crypto::shared::SharedScheme;
use keyward_domain::{
    Code,
    scheme::{verify, verify_digest},
};
use keyward_ledger_core::{
    entry::{SharedAct, SharedIntent, Tweak},
    hash::signature_hash,
};
use keyward_store::IntentState;

use super::{
    co_signers::crypto_tweak,
    delegation::Somebody,
    treasury::{Attempt, DIGEST, KEEPERS, Treasury, begun, say, signed, unsigned},
    world::{Mood, SUBMITTER, code},
};
use crate::{
    guard::{BeginShared, FinishShared, StartShared},
    ports::Ledger as _,
};

#[tokio::test]
async fn the_device_and_two_keepers_sign_and_the_release_is_recorded() {
    let all = [
        (SharedScheme::Ed25519, &b"pay"[..]),
        (SharedScheme::Bip340, &DIGEST),
        (SharedScheme::EcdsaSecp256k1, &DIGEST),
    ];
    for (scheme, message) in all {
        let treasury = Treasury::new(scheme).await;
        for signers in [[1, 2], [1, 3], [2, 3]] {
            let done = treasury.sign(treasury.attempt(message, &signers, b"")).await.unwrap();
            let key = treasury.key.public_key(&keyward_crypto::shared::Tweak::None).unwrap();
            assert_eq!((&done.output_key, &done.signed.key.public_key), (&key, &key));
            match scheme {
                SharedScheme::Ed25519 => verify(&key, message, &done.signed.signature).unwrap(),
                SharedScheme::Bip340 | SharedScheme::EcdsaSecp256k1 => {
                    verify_digest(&key, &DIGEST, &done.signed.signature).unwrap();
                }
            }
            let queued = treasury.world.custody.store.queued_releases(SUBMITTER, (0, 0), 10).await.unwrap();
            assert_eq!(queued.last().unwrap().signature_hash, signature_hash(&done.signed.signature));
            assert_eq!(treasury.world.custody.record_releases().await.unwrap(), 1);
        }
        assert_eq!((treasury.intents(), treasury.world.signatures()), (3, 3));
        assert_eq!(treasury.world.custody.unreleased.list(), []);
    }
}

#[tokio::test]
async fn under_a_tweak_the_signature_verifies_with_the_taproot_output_key() {
    let treasury = Treasury::new(SharedScheme::Bip340).await;
    for tweak in [Tweak::KeyPath, Tweak::Root([9; 32])] {
        let r = [4; 32];
        let intent = SharedIntent { tweak, ..treasury.intent(&DIGEST, &r, &[1, 2]) };
        let attempt = treasury.attempt_at(intent, (&DIGEST, r), b"");
        let done = treasury.sign(attempt).await.unwrap();
        let key = treasury.key.public_key(&crypto_tweak(&tweak)).unwrap();
        assert_eq!(done.output_key, key);
        assert_ne!(done.signed.key.public_key, key, "the receipt names the key itself");
        verify_digest(&key, &DIGEST, &done.signed.signature).unwrap();
        assert!(verify_digest(&done.signed.key.public_key, &DIGEST, &done.signed.signature).is_err());
    }
}

#[tokio::test]
async fn no_share_and_no_secret_of_a_holder_reaches_the_service_or_its_database() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
    let row = treasury.world.custody.store.key(treasury.key_id.0).await.unwrap().unwrap();
    let keyward_store::Custody::Shared { shared_key } = &row.custody else { panic!("{row:?}") };
    assert_eq!(shared_key, &treasury.key.encode());
    let mut secrets = vec![treasury.device.dealt.as_ref().unwrap().share().to_secret()];
    for number in KEEPERS {
        secrets.push(treasury.keeper(number, |room| room.part.dealt.as_ref().unwrap().share().to_secret()));
    }
    // All that keepers were told by the service, and have told it.
    let seen: Vec<Bytes> =
        KEEPERS.iter().flat_map(|number| treasury.keeper(*number, |room| room.seen.clone())).collect();
    assert_eq!(seen.len(), 8, "two keepers, two steps, both ways");
    for secret in secrets {
        // The values stand behind version, stamp, place and count.
        let values = secret.expose(|bytes| bytes[35..].to_vec());
        assert!(!values.is_empty());
        for value in values.chunks_exact(32) {
            let holds = |bytes: &[u8]| bytes.windows(32).any(|window| window == value);
            assert!(!holds(shared_key) && !seen.iter().any(|bytes| holds(bytes)));
        }
    }
}

#[tokio::test]
async fn an_intent_is_held_against_everything_before_it_is_recorded() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let r = [4; 32];
    let good = || treasury.intent(b"pay", &r, &[1, 2]);
    let attempt = |intent: SharedIntent| treasury.attempt_at(intent, (b"pay", r), b"");
    let height = treasury.world.ledger.height();
    let refused: Vec<(&str, Attempt, Code)> = vec![
        ("executor", attempt(SharedIntent { executor: [6; 32], ..good() }), Code::SharedExecutorOther),
        ("policy", attempt(SharedIntent { policy: [6; 32], ..good() }), Code::SharedPolicyOther),
        ("height", attempt(SharedIntent { not_after: height, ..good() }), Code::AuthorSignatureExpired),
        ("far", attempt(SharedIntent { not_after: height + 4001, ..good() }), Code::AuthorSignatureExpired),
        ("version", attempt(SharedIntent { share_version: 2, ..good() }), Code::SharedVersionStale),
        ("commitment", attempt(SharedIntent { commitment: [6; 32], ..good() }), Code::PayloadOther),
        ("case", attempt(SharedIntent { case: Some([6; 32]), ..good() }), Code::CaseUnknown),
    ];
    for (what, attempt, expected) in refused {
        assert_eq!(code(treasury.begin(&attempt).await), expected, "{what}");
    }
    type Spoil = fn(&mut BeginShared);
    let spoilt: [(&str, Spoil, Code); 9] = [
        ("opening", |asked| asked.payload.opening = vec![5; 32].into(), Code::PayloadOther),
        ("no opening", |asked| asked.payload.opening = Bytes::new(), Code::SharedRequestMalformed),
        ("payload", |asked| asked.payload.payload = b"pay more".to_vec().into(), Code::PayloadOther),
        ("format", |asked| asked.payload.format = "doc".into(), Code::PayloadFormatUnknown),
        ("unread", |asked| asked.payload.format = "ethereum".into(), Code::PayloadUnread),
        ("message", |asked| asked.message = b"pay more".to_vec().into(), Code::PayloadOther),
        ("attempt", |asked| asked.attempt = 0, Code::SharedRequestMalformed),
        ("device", |asked| asked.device = b"junk".to_vec().into(), Code::SharedDeviceRefused),
        ("no entry", |asked| asked.entry = Bytes::from_static(b"junk"), Code::EntryMalformed),
    ];
    for (what, spoil, expected) in spoilt {
        let mut attempt = attempt(good());
        spoil(&mut attempt.asked);
        assert_eq!(code(treasury.begin(&attempt).await), expected, "{what}");
    }
    let other = unsigned(SharedAct::CancelDevice { key_id: treasury.key_id, signature: [1; 64] });
    let mut attempt = attempt(good());
    attempt.asked.entry = other;
    assert_eq!(code(treasury.begin(&attempt).await), Code::SharedRequestMalformed);
    assert_eq!((treasury.intents(), treasury.queued().await), (0, 0));
    assert!(KEEPERS.iter().all(|number| treasury.keeper(*number, |room| room.asked.is_empty())));
}

#[tokio::test]
async fn what_the_ledger_refuses_is_refused_and_nobody_commits_for_long() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let r = [4; 32];
    // Nobody has signed it.
    let intent = treasury.intent(b"pay", &r, &[1, 2]);
    let mut attempt = treasury.attempt_at(intent.clone(), (b"pay", r), b"mark");
    attempt.asked.entry = unsigned(SharedAct::Intent(Box::new(intent)));
    assert_eq!(code(treasury.begin(&attempt).await), Code::AuthorsMissing);
    // Bob has signed it.
    let bob = Somebody::new(&treasury.world, "bob").await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"mark");
    attempt.asked.entry = say(&treasury.world, &bob, SharedAct::Intent(Box::new(attempt.intent.clone())));
    assert_eq!(code(treasury.begin(&attempt).await), Code::AuthorNotNamed);
    assert_eq!(treasury.intents(), 0);
    // The same mark serves the good one.
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
}

#[tokio::test]
async fn another_persons_intent_and_key_are_unknown() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let bob = Somebody::new(&treasury.world, "bob").await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"");
    let custody = &treasury.world.custody;
    assert_eq!(code(custody.begin_shared(&bob.caller, &attempt.asked).await), Code::KeyUnknown);
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    // Bob saw all of it, and asks again in its name.
    assert_eq!(code(custody.begin_shared(&bob.caller, &attempt.asked).await), Code::KeyUnknown);
    let share = treasury.share(&mut attempt, &commitments);
    assert_eq!(code(custody.finish_shared(&bob.caller, &share).await), Code::SigningUnknown);
    let app = treasury.world.caller("keyward://app/wallet").await;
    assert_eq!(code(custody.finish_shared(&app, &share).await), Code::SigningUnknown);
    signed(treasury.finish(&share).await.unwrap());
    assert_eq!(treasury.intents(), 1);
}

#[tokio::test]
async fn a_replayed_begin_and_finish_get_the_same_answer_and_sign_once() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"mark");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    assert_eq!(begun(treasury.begin(&attempt).await.unwrap()), commitments);
    let asked = treasury.keeper(1, |room| room.asked.len());
    assert_eq!(asked, 1, "the keeper has committed once");
    let share = treasury.share(&mut attempt, &commitments);
    let first = signed(treasury.finish(&share).await.unwrap());
    let again = signed(treasury.finish(&share).await.unwrap());
    assert_eq!(
        (&again.signed.signature, &again.signed.receipt),
        (&first.signed.signature, &first.signed.receipt)
    );
    // The first step again, with the same intent and with a fresh one under the same idempotency key.
    for attempt in [&attempt, &treasury.attempt(b"pay", &[1, 3], b"mark")] {
        let StartShared::Signed(again) = treasury.begin(attempt).await.unwrap() else { panic!() };
        assert_eq!(
            (again.signed.signature, again.signed.receipt),
            (first.signed.signature.clone(), first.signed.receipt.clone())
        );
    }
    let other = treasury.attempt(b"pay more", &[1, 2], b"mark");
    assert_eq!(code(treasury.begin(&other).await), Code::IdempotencyConflict);
    assert_eq!((treasury.intents(), treasury.queued().await), (1, 1));
    // Its intent's id serves no other.
    let replayed = SharedIntent { id: attempt.intent.id, ..treasury.intent(b"other", &[4; 32], &[1, 2]) };
    let replayed = treasury.attempt_at(replayed, (b"other", [4; 32]), b"");
    treasury.world.pass_ms(20_000);
    treasury.world.custody.end_begun().await;
    assert_eq!(code(treasury.begin(&replayed).await), Code::SharedRequestMalformed);
}

#[tokio::test]
async fn what_is_no_share_of_the_device_is_refused_before_a_keeper_gives_one() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    let good = treasury.share(&mut attempt, &commitments);
    let commitment = FinishShared { device: attempt.asked.device.clone(), ..good.clone() };
    let keepers = FinishShared { device: commitments[0].clone(), ..good.clone() };
    let mut other = treasury.attempt(b"other", &[1, 2], b"");
    let others = begun(treasury.begin(&other).await.unwrap());
    let replayed = FinishShared { device: treasury.share(&mut other, &others).device, ..good.clone() };
    for refused in [&commitment, &keepers, &replayed] {
        assert_eq!(code(treasury.finish(refused).await), Code::SharedDeviceRefused);
    }
    let late = FinishShared { attempt: 2, ..good.clone() };
    assert_eq!(code(treasury.finish(&late).await), Code::SharedAttemptStale);
    let none = FinishShared { device: Bytes::new(), ..good.clone() };
    assert_eq!(code(treasury.finish(&none).await), Code::SharedRequestMalformed);
    assert!([1, 2].iter().all(|number| treasury.keeper(*number, |room| room.asked.len()) == 2));
    signed(treasury.finish(&good).await.unwrap());
}

#[tokio::test]
async fn a_wrong_message_of_the_device_is_told_from_a_wrong_keeper_and_the_next_attempt_signs() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let spoilt = |message: &Bytes| {
        let mut bytes = message.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        Bytes::from(bytes)
    };
    // Its commitment: the intent is final then, and stands for the next attempt.
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"");
    let good = attempt.asked.device.clone();
    attempt.asked.device = spoilt(&good);
    assert_eq!(code(treasury.begin(&attempt).await), Code::SharedDeviceRefused);
    attempt.asked.device = good;
    assert_eq!(code(treasury.begin(&attempt).await), Code::SharedAttemptStale);
    treasury.sign(treasury.again(&attempt)).await.unwrap();
    // Its share.
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    let good = treasury.share(&mut attempt, &commitments);
    let wrong = FinishShared { device: spoilt(&good.device), ..good.clone() };
    assert_eq!(code(treasury.finish(&wrong).await), Code::SharedDeviceRefused);
    assert_eq!(code(treasury.finish(&good).await), Code::SharedAttemptStale);
    treasury.sign(treasury.again(&attempt)).await.unwrap();
    assert_eq!((treasury.intents(), treasury.queued().await), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_with_one_share_release_once() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    let share = treasury.share(&mut attempt, &commitments);
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let (custody, caller, share) =
                (treasury.world.custody.clone(), treasury.alice.caller.clone(), share.clone());
            tokio::spawn(async move { custody.finish_shared(&caller, &share).await })
        })
        .collect();
    let mut receipts = Vec::new();
    for racer in racers {
        receipts.push(signed(racer.await.unwrap().unwrap()).signed.receipt);
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(treasury.queued().await, 1);
    assert_eq!(treasury.keeper(1, |room| room.asked.len()), 2, "committed once, signed once");
}

#[tokio::test]
async fn two_servers_that_start_the_same_signing_release_it_once() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let beside = treasury.world.beside().await;
    let mut here = treasury.attempt(b"pay", &[1, 2], b"mark");
    let there_intent = SharedIntent {
        executor: super::ledger::OTHER_SUBMITTER,
        ..treasury.intent(b"pay", &[4; 32], &[1, 2])
    };
    let there = treasury.attempt_at(there_intent, (b"pay", [4; 32]), b"mark");
    // Each server takes intents of its own alone.
    assert_eq!(
        code(beside.begin_shared(&treasury.alice.caller, &here.asked).await),
        Code::SharedExecutorOther
    );
    let commitments = begun(treasury.begin(&here).await.unwrap());
    let same = beside.begin_shared(&treasury.alice.caller, &there.asked).await;
    assert_eq!(code(same), Code::IdempotencyPending);
    let share = treasury.share(&mut here, &commitments);
    assert_eq!(code(beside.finish_shared(&treasury.alice.caller, &share).await), Code::SigningUnknown);
    let first = signed(treasury.finish(&share).await.unwrap());
    let StartShared::Signed(again) = beside.begin_shared(&treasury.alice.caller, &there.asked).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(again.signed.signature, first.signed.signature);
    assert_eq!(treasury.intents(), 1);
}

#[tokio::test]
async fn a_device_that_lost_its_nonces_begins_anew_under_the_same_idempotency_key() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let mut lost = treasury.attempt(b"pay", &[1, 2], b"mark");
    let commitments = begun(treasury.begin(&lost).await.unwrap());
    let done = treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
    let late = treasury.share(&mut lost, &commitments);
    assert_eq!(code(treasury.finish(&late).await), Code::SigningUnknown, "the first intent was given up");
    assert_eq!((treasury.intents(), treasury.queued().await), (2, 1));
    assert_eq!(treasury.world.custody.unreleased.list()[0].1, IntentState::Final);
    verify(&done.output_key, b"pay", &done.signed.signature).unwrap();
}

#[tokio::test]
async fn a_key_that_was_frozen_between_the_steps_signs_nothing() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    let share = treasury.share(&mut attempt, &commitments);
    treasury.world.custody.freeze_key(&treasury.alice.caller, "treasury", &[]).await.unwrap();
    assert_eq!(code(treasury.finish(&share).await), Code::KeyFrozen);
    assert_eq!(code(treasury.begin(&treasury.attempt(b"pay", &[1, 2], b"")).await), Code::KeyFrozen);
    assert_eq!(treasury.keeper(1, |room| room.asked.len()), 1, "no keeper was asked for a share");
    let officer = treasury.world.caller("keyward://officer/olga").await;
    treasury.world.custody.unfreeze_key(&officer, &treasury.key_id.to_string(), &[]).await.unwrap();
    signed(treasury.finish(&share).await.unwrap());
}

#[tokio::test]
async fn without_the_ledger_nothing_is_begun_and_the_mark_is_free_again() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    // What is known of the key is known; the ledger goes away before the intent.
    treasury.sign(treasury.attempt(b"first", &[1, 2], b"")).await.unwrap();
    for mood in [Mood::ReadOnly, Mood::Deaf] {
        treasury.world.ledger.set(mood);
        let attempt = treasury.attempt(b"pay", &[1, 2], b"mark");
        assert_eq!(code(treasury.begin(&attempt).await), Code::LedgerUnavailable);
        treasury.world.ledger.set(Mood::Good);
    }
    assert_eq!(treasury.world.custody.unreleased.list().len(), 2, "both are told, neither is signed");
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
}
