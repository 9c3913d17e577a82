//! Requests that never reach a verb, or come too late for one: they carry a stable code like any other refusal.

use std::time::{Duration, Instant};

use keyward_domain::{Code, scheme::Scheme};
use keyward_proto::custody::{CreateKeyRequest, Refusal, SignBatchRequest, SignRequest, SignStreamResponse};
use tokio_stream::StreamExt as _;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_prost::ProstCodec;

use super::{
    payloads::{message, sign},
    world::{Said as _, World, accepted, check, inner},
};

/// The service's bound on a request.
const REQUEST_BYTES_MAX: usize = 8 << 20;

/// A field 1 that is a number, where every request has text or bytes.
const UNREADABLE: Refusal =
    Refusal { status: 5, code: String::new(), message: String::new(), retry: false, retry_after_ms: 0 };

/// The app's connection, without our client around it.
async fn channel(world: &World) -> Grpc<Channel> {
    let (ca_pem, certificate_pem, key_pem) = world.keyward().identity("app");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca_pem))
        .identity(Identity::from_pem(certificate_pem, key_pem.as_bytes()));
    let endpoint = Endpoint::from_shared(world.keyward().service()).unwrap().tls_config(tls).unwrap();
    Grpc::new(endpoint.connect().await.unwrap())
}

async fn send(
    mut grpc: Grpc<Channel>,
    path: &'static str,
    message: Refusal,
) -> Result<SignStreamResponse, Status> {
    grpc.ready().await.unwrap();
    let codec: ProstCodec<Refusal, SignStreamResponse> = ProstCodec::default();
    inner(grpc.unary(Request::new(message), PathAndQuery::from_static(path), codec).await)
}

fn in_time<T>(message: T, time_out_ms: u64) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(time_out_ms));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_bound_are_refused_by_name_on_every_call() {
    let world = World::enter().await;
    world.app.create_app_key("edges", Scheme::Ed25519).await.unwrap();
    world.news().await;
    let long = || message("edges", &vec![7; REQUEST_BYTES_MAX]);
    world.refused(Code::MessageTooLarge, sign(&world.app, long())).await;
    let batch = || SignBatchRequest { requests: vec![message("edges", &vec![7; 1 << 20]); 9] };
    world.refused(Code::MessageTooLarge, world.app.signing().sign_batch(batch())).await;
    let alias = "a".repeat(REQUEST_BYTES_MAX);
    let create = CreateKeyRequest { alias, scheme: "ed25519".into(), ..Default::default() };
    world.refused(Code::MessageTooLarge, world.app.keys().create(create)).await;

    // A stream ends with the refusal; what came before it is answered, what comes after it is not done.
    let (ask, asked) = tokio::sync::mpsc::channel(4);
    let requests = world.app.request(tokio_stream::wrappers::ReceiverStream::new(asked));
    let mut answers = inner(world.app.signing().sign_stream(requests).await).unwrap();
    ask.send(message("edges", b"short")).await.unwrap();
    assert!(answers.next().await.unwrap().is_ok());
    assert_eq!(world.news().await, accepted(&["intent", "release"]));
    ask.send(long()).await.unwrap();
    let _the_stream_may_have_ended = ask.send(message("edges", b"late")).await;
    check(Code::MessageTooLarge, &answers.next().await.unwrap().unwrap_err().said());
    assert!(answers.next().await.is_none());
    assert_eq!(world.news().await, []);
    // The connection lives on.
    world.app.sign_message("edges", b"again").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_requests_and_unknown_methods_are_refused_by_name() {
    let world = World::enter().await;
    let grpc = channel(&world).await;
    for path in [
        "/keyward.v1.Signing/Sign",
        "/keyward.v1.Signing/SignBatch",
        "/keyward.v1.Keys/Create",
        "/keyward.v1.Accounts/RegisterStart",
        "/keyward.v1.Tokens/Link",
    ] {
        world.refused(Code::RequestMalformed, send(grpc.clone(), path, UNREADABLE)).await;
    }
    for path in ["/keyward.v1.Signing/Forge", "/keyward.v1.Signing/sign", "/keyward.v9.Signing/Sign"] {
        world.refused(Code::MethodUnknown, send(grpc.clone(), path, UNREADABLE)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_runs_to_its_end_and_its_mark_finds_it() {
    let world = World::enter().await;
    world.app.create_app_key("edges-mark", Scheme::EcdsaSecp256k1).await.unwrap();
    world.news().await;
    // Time-outs around what a signature takes: some are answered, some are not begun, some are cut off between.
    let (mut late, mut marks) = (0, Vec::new());
    for (n, time_out_ms) in (0..24_u64).map(|n| (n, 11 + n)) {
        let mark = format!("edges-{n}");
        let request = SignRequest {
            idempotency_key: mark.clone().into_bytes().into(),
            ..message("edges-mark", mark.as_bytes())
        };
        let answer = world.app.signing().sign(in_time(request.clone(), time_out_ms)).await;
        late += usize::from(answer.is_err());
        marks.push((request, answer.ok().map(tonic::Response::into_inner)));
    }
    assert!(late > 0, "no deadline passed");
    for (request, first) in marks {
        let began = Instant::now();
        let again = loop {
            match sign(&world.app, request.clone()).await {
                Ok(signed) => break signed,
                Err(status) => {
                    check(Code::IdempotencyPending, &status.said());
                    assert!(began.elapsed() < Duration::from_secs(180), "still pending");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        assert!(first.is_none_or(|first| first == again), "the first answer again");
    }
    let intents = world.news().await.into_iter().filter(|recorded| recorded.entry == "intent").count();
    assert_eq!(intents, 24, "each was begun once");
}
