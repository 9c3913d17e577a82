//! Keepers that are silent, late or wrong, and crashes and outages between the steps of a shared signature.

use std::{sync::atomic::Ordering, time::Duration};

use keyward_crypto::shared::SharedScheme;
use keyward_domain::{Code, scheme::verify};
use keyward_store::IntentState;

use super::{
    co_signers::Wrong,
    keepers::{Manner, keeper_id},
    treasury::{Made, Treasury, begun},
    world::{Mood, World, code},
};
use crate::{
    config::Limits,
    guard::{EndShared, Fault, StartShared},
    vaults::floods::Flood,
};

fn named(start: StartShared) -> Vec<Fault> {
    match start {
        StartShared::Faults(faults) => faults.faults,
        other => panic!("{other:?}"),
    }
}

fn told(end: EndShared) -> Vec<Fault> {
    match end {
        EndShared::Faults(faults) => faults.faults,
        EndShared::Signed(signed) => panic!("{signed:?}"),
    }
}

fn one(faults: &[Fault], place: u8) -> &Fault {
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!((faults[0].place, faults[0].keeper), (place, keeper_id(place)));
    assert!(!faults[0].message.is_empty());
    &faults[0]
}

#[tokio::test]
async fn a_keeper_that_cannot_commit_is_named_and_others_sign_under_the_same_mark() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let manners = [
        (Manner::Away, Code::KeeperUnavailable),
        (Manner::Garbles, Code::KeeperAnswer),
        (Manner::Refuses("KEY_FROZEN", "it is frozen".into()), Code::KeyFrozen),
        (Manner::Refuses("LOGIN_FAILED", "said in the service's name".into()), Code::KeeperAnswer),
        (Manner::Refuses("INTERNAL", "its own trouble".into()), Code::KeeperUnavailable),
    ];
    for (number, (manner, expected)) in manners.into_iter().enumerate() {
        let mark = format!("mark-{number}");
        treasury.world.keepers.set(2, manner.clone());
        let faults =
            named(treasury.begin(&treasury.attempt(b"pay", &[1, 2], mark.as_bytes())).await.unwrap());
        assert_eq!(one(&faults, 2).code, expected.name(), "{manner:?}");
        let done = treasury.sign(treasury.attempt(b"pay", &[1, 3], mark.as_bytes())).await.unwrap();
        verify(&done.output_key, b"pay", &done.signed.signature).unwrap();
    }
    assert_eq!((treasury.intents(), treasury.queued().await), (10, 5));
    assert_eq!(treasury.world.custody.unreleased.list().len(), 5, "what was given up is told");
}

#[tokio::test]
async fn wrong_messages_of_a_keeper_are_named_in_both_steps_and_the_next_attempt_signs() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let other = treasury.attempt(b"other", &[2, 3], b"");
    let others = begun(treasury.begin(&other).await.unwrap());
    treasury.keeper(2, |room| room.others = Some(others[1].clone()));
    let first = [
        (Wrong::Junk, Code::KeeperAnswer.name()),
        (Wrong::Flood, Code::KeeperAnswer.name()),
        (Wrong::Others, Code::KeeperAnswer.name()),
        (Wrong::Replay, "SHARED_OTHER_RUN"),
        (Wrong::OldKey, "SHARED_MESSAGE_UNSIGNED"),
        (Wrong::OtherAnswer, Code::KeeperAnswer.name()),
    ];
    for (wrong, expected) in first {
        treasury.keeper(2, |room| room.wrong = wrong);
        let attempt = treasury.attempt(b"pay", &[1, 2], b"");
        let faults = named(treasury.begin(&attempt).await.unwrap());
        assert_eq!(one(&faults, 2).code, expected, "{wrong:?}");
        treasury.keeper(2, |room| room.wrong = Wrong::Nothing);
        // Nothing of the failed attempt serves any more, and the intent's next one does.
        assert_eq!(code(treasury.begin(&attempt).await), Code::SharedAttemptStale);
        treasury.sign(treasury.again(&attempt)).await.unwrap();
    }
    let second = [
        (Wrong::Junk, Code::KeeperAnswer.name()),
        (Wrong::Flood, Code::KeeperAnswer.name()),
        (Wrong::Others, Code::KeeperAnswer.name()),
        (Wrong::Replay, "SHARED_OTHER_RUN"),
        (Wrong::OldKey, "SHARED_MESSAGE_UNSIGNED"),
        (Wrong::Share, "SHARED_LIED"),
        (Wrong::Restarted, Code::SharedAttemptStale.name()),
        (Wrong::OtherAnswer, Code::KeeperAnswer.name()),
    ];
    for (wrong, expected) in second {
        let mut attempt = treasury.attempt(b"pay", &[1, 2], b"");
        let commitments = begun(treasury.begin(&attempt).await.unwrap());
        let share = treasury.share(&mut attempt, &commitments);
        treasury.keeper(2, |room| room.wrong = wrong);
        let faults = told(treasury.finish(&share).await.unwrap());
        let fault = one(&faults, 2);
        assert_eq!((fault.code, !fault.evidence.is_empty()), (expected, wrong == Wrong::Share), "{wrong:?}");
        treasury.keeper(2, |room| room.wrong = Wrong::Nothing);
        assert_eq!(code(treasury.finish(&share).await), Code::SharedAttemptStale);
        treasury.sign(treasury.again(&attempt)).await.unwrap();
    }
    assert_eq!(treasury.queued().await, 10, "as many as are asked for at once");
}

#[tokio::test]
async fn both_keepers_are_named_where_both_are_wrong() {
    let treasury = Treasury::new(SharedScheme::Bip340).await;
    treasury.world.keepers.set(1, Manner::Away);
    treasury.keeper(2, |room| room.wrong = Wrong::Junk);
    let attempt = treasury.attempt(&super::treasury::DIGEST, &[1, 2], b"");
    let faults = named(treasury.begin(&attempt).await.unwrap());
    assert_eq!(faults.iter().map(|fault| fault.place).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_keeper_that_never_answers_is_named_after_its_time() {
    let limits = Limits { keeper_wait: Duration::from_millis(20), ..Limits::default() };
    let treasury = Made::on(World::with(limits).await, SharedScheme::Ed25519).await.bind().await;
    treasury.world.keepers.set(1, Manner::Silent);
    let faults = named(treasury.begin(&treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap());
    assert_eq!(one(&faults, 1).code, Code::KeeperUnavailable.name());
    treasury.sign(treasury.attempt(b"pay", &[2, 3], b"mark")).await.unwrap();
}

#[tokio::test]
async fn further_attempts_at_one_intent_are_charged_to_its_account_before_a_keeper_is_asked() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    treasury.world.keepers.set(2, Manner::Away);
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"");
    named(treasury.begin(&attempt).await.unwrap());
    let (account, flood) = (treasury.alice.account(), Flood::SharedQuestion);
    let floods = &treasury.world.custody.floods;
    let now_ms = treasury.world.custody.clock.now_ms();
    // One attempt is left, which asks two keepers.
    for _ in 2..flood.bound().0 {
        floods.charge(account, flood, now_ms).unwrap();
    }
    attempt = treasury.again(&attempt);
    named(treasury.begin(&attempt).await.unwrap());
    let asked = treasury.keeper(1, |room| room.asked.len());
    treasury.world.keepers.set(2, Manner::Honest);
    attempt = treasury.again(&attempt);
    let refused = treasury.begin(&attempt).await.unwrap_err();
    assert_eq!((refused.code, refused.wait_ms), (Code::SharedLimited, Some(flood.bound().1)));
    assert_eq!(treasury.keeper(1, |room| room.asked.len()), asked);
    // What it may ask comes back, and the same attempt goes on.
    treasury.world.pass_ms(2 * flood.bound().1);
    treasury.sign(attempt).await.unwrap();
}

#[tokio::test]
async fn a_run_that_dies_between_the_steps_signs_nothing_and_tells() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"mark");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    let share = treasury.share(&mut attempt, &commitments);
    let treasury = treasury.restart().await;
    assert_eq!(treasury.world.custody.unreleased.list().len(), 1);
    assert_eq!(code(treasury.finish(&share).await), Code::SigningUnknown);
    let again = treasury.begin(&attempt).await;
    assert!(matches!(code(again), Code::SharedRequestMalformed), "the intent is taken");
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
    assert_eq!(treasury.world.custody.record_releases().await.unwrap(), 1);
    assert_eq!((treasury.intents(), treasury.world.signatures()), (2, 1));
}

#[tokio::test]
async fn a_run_that_dies_after_the_release_was_queued_has_answered() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let done = treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
    let treasury = treasury.restart().await;
    let StartShared::Signed(again) =
        treasury.begin(&treasury.attempt(b"pay", &[2, 3], b"mark")).await.unwrap()
    else {
        panic!()
    };
    assert_eq!((again.signed.signature, again.signed.receipt), (done.signed.signature, done.signed.receipt));
    assert_eq!(treasury.world.custody.record_releases().await.unwrap(), 1);
    assert_eq!((treasury.intents(), treasury.world.signatures()), (1, 1));
}

#[tokio::test]
async fn what_nobody_finishes_in_time_is_told_and_given_up() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"mark");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    let share = treasury.share(&mut attempt, &commitments);
    treasury.world.pass_ms(120_000);
    assert_eq!(code(treasury.finish(&share).await), Code::SigningUnknown);
    assert_eq!(code(treasury.begin(&treasury.again(&attempt)).await), Code::SigningUnknown);
    treasury.world.custody.end_begun().await;
    assert_eq!(treasury.world.custody.unreleased.list()[0].1, IntentState::Final);
    treasury.world.ledger.height.fetch_add(5000, Ordering::Relaxed);
    treasury.world.custody.settle_unreleased().await.unwrap();
    assert_eq!(treasury.world.custody.unreleased.list(), []);
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
}

#[tokio::test]
async fn after_the_intents_last_height_no_share_becomes_a_signature() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let mut attempt = treasury.attempt(b"pay", &[1, 2], b"mark");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    let share = treasury.share(&mut attempt, &commitments);
    treasury.world.ledger.height.fetch_add(5000, Ordering::Relaxed);
    assert_eq!(code(treasury.finish(&share).await), Code::RequestExpired);
    assert_eq!(treasury.queued().await, 0);
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
}

#[tokio::test]
async fn while_the_ledger_is_silent_nothing_is_signed_and_the_next_run_tells() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    treasury.sign(treasury.attempt(b"first", &[1, 2], b"")).await.unwrap();
    let asked = treasury.keeper(1, |room| room.asked.len());
    let attempt = treasury.attempt(b"pay", &[1, 2], b"mark");
    // Whatever rang before.
    let _rang = tokio::time::timeout(Duration::from_millis(1), treasury.world.ledger.asked.notified()).await;
    treasury.world.ledger.set(Mood::Silent);
    {
        let dying = treasury.begin(&attempt);
        tokio::select! {
            _ = dying => panic!("the ledger is silent"),
            () = treasury.world.ledger.asked.notified() => {}
        }
    }
    treasury.world.ledger.set(Mood::Good);
    let treasury = treasury.restart().await;
    assert_eq!(treasury.world.custody.unreleased.list().len(), 1);
    let now = treasury.keeper(1, |room| room.asked.len());
    assert!(now <= asked + 1, "at most its commitment");
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"mark")).await.unwrap();
    assert_eq!(treasury.intents(), 2);
}
