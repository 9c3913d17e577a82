//! Many at once: each request of a batch or a stream stands or falls alone, under its own tag.

use std::collections::BTreeMap;

use keyward_domain::{
    Code,
    payload::BATCH_LEN_MAX,
    scheme::{PublicKey, Scheme, verify},
};
use keyward_proto::custody::{
    SignBatchRequest, SignRequest, SignStreamResponse, sign_stream_response::Result as Answer,
};
use tokio_stream::StreamExt as _;

use super::{
    payloads::{digest, message},
    world::{World, check_inside, inner},
};

const MESSAGE: &[u8] = b"one of many";

/// Good ones and bad ones; what each must come to.
fn mixed(frozen: &str) -> Vec<(SignRequest, Option<Code>)> {
    let cases = vec![
        (message("many", MESSAGE), None),
        (message("no-such-key", MESSAGE), Some(Code::KeyUnknown)),
        (digest("many", &[7; 31]), Some(Code::DigestLength)),
        (message("many-ed25519", MESSAGE), None),
        (digest("many-ed25519", &[7; 32]), Some(Code::DigestNotAllowed)),
        (message(frozen, MESSAGE), Some(Code::KeyFrozen)),
        (SignRequest { key: "many".into(), ..Default::default() }, Some(Code::PayloadMissing)),
        (message("", MESSAGE), Some(Code::AliasInvalid)),
        (
            SignRequest { idempotency_key: vec![7; 65].into(), ..message("many", MESSAGE) },
            Some(Code::InvalidArgument),
        ),
        (message("many", MESSAGE), None),
    ];
    cases
        .into_iter()
        .enumerate()
        .map(|(n, (request, code))| (SignRequest { tag: 1000 - n as u64, ..request }, code))
        .collect()
}

fn comes_to(answer: &SignStreamResponse, expected: Option<Code>) {
    match (answer.result.as_ref().unwrap(), expected) {
        (Answer::Signed(signed), None) => {
            let scheme = Scheme::from_name(&signed.scheme).unwrap();
            let key = PublicKey::parse(scheme, &signed.public_key).unwrap();
            verify(&key, MESSAGE, &signed.signature).unwrap();
            assert!(!signed.receipt.is_empty());
        }
        (Answer::Refusal(refusal), Some(code)) => check_inside(code, refusal),
        other => panic!("{other:?}"),
    }
}

async fn keys(world: &World, frozen: &str) {
    if world.app.show_key("many").await.is_err() {
        world.app.create_app_key("many", Scheme::EcdsaP256).await.unwrap();
        world.app.create_app_key("many-ed25519", Scheme::Ed25519).await.unwrap();
    }
    world.app.create_app_key(frozen, Scheme::Ed25519).await.unwrap();
    world.app.freeze_key(frozen).await.unwrap();
    world.news().await;
}

fn intents(world: &[super::world::Recorded]) -> usize {
    world.iter().filter(|recorded| recorded.entry == "intent" && recorded.outcome == "ACCEPTED").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_each_request_in_order_good_or_bad() {
    let world = World::enter().await;
    keys(&world, "many-frozen-1").await;
    let cases = mixed("many-frozen-1");
    let requests: Vec<_> = cases.iter().map(|(request, _)| request.clone()).collect();
    let batch = |requests| world.app.request(SignBatchRequest { requests });
    let answer = inner(world.app.signing().sign_batch(batch(requests)).await).unwrap();
    assert_eq!(answer.responses.len(), cases.len());
    for (answer, (request, expected)) in answer.responses.iter().zip(&cases) {
        assert_eq!(answer.tag, request.tag);
        comes_to(answer, *expected);
    }
    let news = world.news().await;
    assert_eq!((news.len(), intents(&news)), (6, 3), "three intents with their releases: {news:?}");

    assert_eq!(inner(world.app.signing().sign_batch(batch(Vec::new())).await).unwrap().responses, []);
    let too_many = vec![message("many", MESSAGE); BATCH_LEN_MAX + 1];
    world.refused(Code::BatchTooLarge, world.app.signing().sign_batch(batch(too_many))).await;
    let full = vec![message("many-ed25519", MESSAGE); BATCH_LEN_MAX];
    let full = inner(world.app.signing().sign_batch(batch(full)).await).unwrap();
    full.responses.iter().for_each(|answer| comes_to(answer, None));
    assert_eq!(intents(&world.news().await), BATCH_LEN_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_every_request_once_under_its_tag() {
    let world = World::enter().await;
    keys(&world, "many-frozen-2").await;
    let cases = mixed("many-frozen-2");
    let bad = cases.iter().filter(|(_, code)| code.is_some()).count();
    let good =
        (0..300_u64).map(|n| (SignRequest { tag: 5000 + n, ..message("many-ed25519", MESSAGE) }, None));
    let cases: Vec<_> = cases.into_iter().chain(good).collect();
    let mut expected: BTreeMap<_, _> = cases.iter().map(|(request, code)| (request.tag, *code)).collect();
    let requests: Vec<_> = cases.into_iter().map(|(request, _)| request).collect();
    let signed = expected.len() - bad;
    let stream = world.app.request(tokio_stream::iter(requests));
    let mut answers = inner(world.app.signing().sign_stream(stream).await).unwrap();
    while let Some(answer) = answers.next().await {
        let answer = answer.unwrap();
        let code = expected.remove(&answer.tag).expect("a tag that was asked for, once");
        comes_to(&answer, code);
    }
    assert_eq!(expected.len(), 0, "every request is answered");
    assert_eq!(intents(&world.news().await), signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_its_signing_when_the_session_ends() {
    let mut world = World::enter().await;
    let olga = world.person("stream-olga").await;
    olga.client.create_person_key("hers", Scheme::Ed25519).await.unwrap();
    let (ask, asked) = tokio::sync::mpsc::channel(4);
    let requests = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut answers = inner(olga.client.signing().sign_stream(olga.client.request(requests)).await).unwrap();
    ask.send(SignRequest { tag: 1, ..message("hers", MESSAGE) }).await.unwrap();
    comes_to(&answers.next().await.unwrap().unwrap(), None);
    olga.close().await.unwrap();
    world.news().await;
    ask.send(SignRequest { tag: 2, ..message("hers", MESSAGE) }).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap();
    assert_eq!(answer.tag, 2);
    comes_to(&answer, Some(Code::SessionExpired));
    assert_eq!(world.news().await, []);
    drop(ask);
    assert!(answers.next().await.is_none());
}
