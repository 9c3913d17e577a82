//! Threshold ECDSA through the service: the step between, whom it names, and what it says of itself.

use bytes::Bytes;
use keyward_crypto::shared::SharedScheme;
use keyward_domain::Code;
use keyward_proto::custody::{AgreeKeyRequest, AnswerRequest, GenerationPlan};

use super::{
    co_signers::Wrong,
    delegation::Somebody,
    keepers::keeper_id,
    treasury::{Attempt, DIGEST, KEEPERS, Treasury, begun, signed},
    world::code,
};
use crate::{
    guard::{EndShared, Fault, FinishShared, GoOnShared},
    ports::ToCoSigner,
};

async fn treasury() -> Treasury {
    Treasury::new(SharedScheme::EcdsaSecp256k1).await
}

fn answered(gone_on: GoOnShared) -> Vec<Bytes> {
    match gone_on {
        GoOnShared::Answered(answers) => answers,
        other => panic!("{other:?}"),
    }
}

async fn begin(treasury: &Treasury) -> (Attempt, Vec<Bytes>) {
    let attempt = treasury.attempt(&DIGEST, &[1, 2], b"");
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    (attempt, commitments)
}

#[tokio::test]
async fn nothing_is_finished_before_it_is_answered_and_each_step_repeats_itself() {
    let treasury = treasury().await;
    let (mut attempt, commitments) = begin(&treasury).await;
    let early = FinishShared { intent: attempt.intent.id, attempt: 1, device: attempt.asked.device.clone() };
    assert_eq!(code(treasury.finish(&early).await), Code::SharedAttemptStale);
    assert_eq!(code(treasury.go_on(&early).await), Code::SharedDeviceRefused, "a commitment is no answer");
    let own = treasury.answer(&mut attempt, &commitments);
    let bob = Somebody::new(&treasury.world, "bob").await;
    let stolen = treasury.world.custody.answer_shared(&bob.caller, &own).await;
    assert_eq!(code(stolen), Code::SigningUnknown);
    let none = FinishShared { device: Bytes::new(), ..own.clone() };
    assert_eq!(code(treasury.go_on(&none).await), Code::SharedRequestMalformed);
    let long = FinishShared { device: vec![7; 600 << 10].into(), ..own.clone() };
    assert_eq!(code(treasury.go_on(&long).await), Code::SharedRequestMalformed);
    let late = FinishShared { attempt: 2, ..own.clone() };
    assert_eq!(code(treasury.go_on(&late).await), Code::SharedAttemptStale);
    let answers = answered(treasury.go_on(&own).await.unwrap());
    assert_eq!(answered(treasury.go_on(&own).await.unwrap()), answers);
    assert_eq!(treasury.keeper(1, |room| room.asked.len()), 2, "committed once, answered once");
    assert_eq!(code(treasury.go_on(&early).await), Code::SharedAttemptStale, "answered otherwise");
    attempt.answers =
        std::iter::once(own.device.clone()).chain(answers).map(|bytes| bytes.to_vec()).collect();
    let share = treasury.share(&mut attempt, &commitments);
    let first = signed(treasury.finish(&share).await.unwrap());
    let GoOnShared::Signed(again) = treasury.go_on(&own).await.unwrap() else { panic!() };
    assert_eq!(again.signed.signature, first.signed.signature);
    assert_eq!((treasury.intents(), treasury.queued().await), (1, 1));
}

#[tokio::test]
async fn keepers_that_answer_wrongly_are_named_and_the_next_attempt_signs() {
    let treasury = treasury().await;
    let first = [
        (Wrong::Junk, Code::KeeperAnswer.name()),
        (Wrong::Flood, Code::KeeperAnswer.name()),
        (Wrong::Replay, "SHARED_OTHER_RUN"),
        (Wrong::OldKey, "SHARED_MESSAGE_UNSIGNED"),
        (Wrong::Restarted, Code::SharedAttemptStale.name()),
        (Wrong::OtherAnswer, Code::KeeperAnswer.name()),
    ];
    let (_, _) = begin(&treasury).await; // what is replayed
    for (wrong, expected) in first {
        let (mut attempt, commitments) = begin(&treasury).await;
        let own = treasury.answer(&mut attempt, &commitments);
        treasury.keeper(2, |room| room.wrong = wrong);
        let GoOnShared::Faults(told) = treasury.go_on(&own).await.unwrap() else { panic!("{wrong:?}") };
        let [Fault { place: 2, keeper, code: found, .. }] = &told.faults[..] else { panic!("{told:?}") };
        assert_eq!((*keeper, *found), (keeper_id(2), expected), "{wrong:?}");
        treasury.keeper(2, |room| room.wrong = Wrong::Nothing);
        // Nothing of the attempt is of use any more.
        assert_eq!(code(treasury.go_on(&own).await), Code::SharedAttemptStale);
        assert_eq!(code(treasury.finish(&own).await), Code::SharedAttemptStale);
        treasury.sign(treasury.again(&attempt)).await.unwrap();
    }
}

#[tokio::test]
async fn a_spoilt_signature_names_nobody_and_the_next_attempt_signs() {
    let treasury = treasury().await;
    let (mut attempt, commitments) = begin(&treasury).await;
    treasury.answered(&mut attempt, &commitments).await.unwrap();
    let share = treasury.share(&mut attempt, &commitments);
    treasury.keeper(2, |room| room.wrong = Wrong::Share);
    let EndShared::Faults(told) = treasury.finish(&share).await.unwrap() else { panic!() };
    assert_eq!(told.faults, [], "nobody can say who it was");
    treasury.keeper(2, |room| room.wrong = Wrong::Nothing);
    treasury.sign(treasury.again(&attempt)).await.unwrap();
    assert_eq!(treasury.queued().await, 1);
}

#[tokio::test]
async fn a_frost_key_has_no_step_between() {
    let treasury = Treasury::new(SharedScheme::Bip340).await;
    let (mut attempt, commitments) = begin(&treasury).await;
    let asked = FinishShared { intent: attempt.intent.id, attempt: 1, device: attempt.asked.device.clone() };
    assert_eq!(code(treasury.go_on(&asked).await), Code::SharedRequestMalformed);
    let share = treasury.share(&mut attempt, &commitments);
    signed(treasury.finish(&share).await.unwrap());
}

#[tokio::test]
async fn agreements_are_passed_on_for_the_own_account_and_answers_never() {
    let treasury = treasury().await;
    let ask = async |account: [u8; 32]| {
        let plan = GenerationPlan { account: account.to_vec().into(), ..GenerationPlan::default() };
        let what = ToCoSigner::AgreeKey(AgreeKeyRequest { plan: Some(plan), messages: Vec::new() });
        treasury.world.custody.ask_about_shared(&treasury.alice.caller, keeper_id(1), what).await
    };
    ask(treasury.alice.account()).await.unwrap();
    assert_eq!(code(ask([9; 32]).await), Code::NotAllowed);
    let what = ToCoSigner::Answer(AnswerRequest::default());
    let asked = treasury.world.custody.ask_about_shared(&treasury.alice.caller, keeper_id(1), what).await;
    assert_eq!(code(asked), Code::SharedRequestMalformed);
}

#[tokio::test]
async fn no_value_of_a_share_reaches_the_service() {
    let treasury = treasury().await;
    treasury.sign(treasury.attempt(&DIGEST, &[1, 2], b"")).await.unwrap();
    let seen: Vec<Bytes> =
        KEEPERS.iter().flat_map(|number| treasury.keeper(*number, |room| room.seen.clone())).collect();
    assert_eq!(seen.len(), 12, "two keepers, three steps, both ways");
    let mut secrets = vec![treasury.device.dealt.as_ref().unwrap().share().to_secret()];
    for number in KEEPERS {
        secrets.push(treasury.keeper(number, |room| room.part.dealt.as_ref().unwrap().share().to_secret()));
    }
    for secret in secrets {
        // `version || stamp[32] || place || count`, the values, and what stands behind them.
        let values = secret.expose(|bytes| bytes[35..35 + 32 * usize::from(bytes[34])].to_vec());
        assert!(!values.is_empty());
        for value in values.chunks_exact(32) {
            assert!(!seen.iter().any(|bytes| bytes.windows(32).any(|window| window == value)));
        }
    }
}
