//! Who is let in: certificates, sessions, and what is open to everybody.

use keyward_client::ClientError;
use keyward_domain::{Code, scheme::Scheme};
use keyward_proto::custody as proto;
use keyward_store::{Change, Session, Store as _};
use sha2::{Digest as _, Sha256};
use tonic::{
    Request,
    metadata::MetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::{
    payloads::{message, sign},
    world::{Said as _, World, check, inner},
};
use crate::support::authority::Authority;

async fn channel(world: &World, role: Option<&str>) -> Channel {
    let keyward = world.keyward();
    let (ca, certificate, key) = keyward.identity(role.unwrap_or("app"));
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if role.is_some() {
        tls = tls.identity(Identity::from_pem(certificate, key.as_str()));
    }
    Endpoint::from_shared(keyward.service()).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_but_opaque_and_health_needs_a_certificate() {
    let mut world = World::enter().await;
    let person = world.person("access-certificate").await;
    world.app.create_app_key("access", Scheme::Ed25519).await.unwrap();
    let plain = world.nobody().await;
    // A session alone does not help.
    let with_session = plain.clone().with_session(&person.token).unwrap();
    let required = Code::ClientCertificateRequired;
    for nobody in [&plain, &with_session] {
        world.refused(required, nobody.show_account()).await;
        world.refused(required, nobody.close_account(&person.login)).await;
        world.refused(required, nobody.create_app_key("nobodys", Scheme::Ed25519)).await;
        world.refused(required, nobody.create_person_key("nobodys", Scheme::Ed25519)).await;
        world.refused(required, nobody.list_keys()).await;
        world.refused(required, nobody.show_key("access")).await;
        world.refused(required, nobody.freeze_key("access")).await;
        world.refused(required, nobody.unfreeze_key("access")).await;
        world.refused(required, nobody.authorize("access", "local-app")).await;
        world.refused(required, nobody.revoke("access", "local-app")).await;
        world.refused(required, nobody.sign_message("access", b"pay")).await;
        let batch = proto::SignBatchRequest { requests: vec![message("access", b"pay")] };
        world.refused(required, nobody.signing().sign_batch(nobody.request(batch))).await;
        let begin = nobody.request(message("access", b"pay"));
        world.refused(required, nobody.signing().begin(begin)).await;
        let finish = nobody.request(proto::FinishRequest::default());
        world.refused(required, nobody.signing().finish(finish)).await;
        let stream = tokio_stream::iter([message("access", b"pay")]);
        world
            .refused(required, async {
                nobody.signing().sign_stream(nobody.request(stream)).await.map(|_answers| ())
            })
            .await;
        world.refused(required, nobody.list_tokens()).await;
        world.refused(required, inner_import(nobody)).await;
        world.refused(required, inner_link(nobody)).await;
        world.refused(required, nobody.status()).await;
    }
}

async fn inner_import(client: &keyward_client::Client) -> Result<proto::KeyWithReceipt, tonic::Status> {
    inner(client.keys().import(client.request(proto::ImportKeyRequest::default())).await)
}

async fn inner_link(client: &keyward_client::Client) -> Result<proto::KeyWithReceipt, tonic::Status> {
    inner(client.tokens().link(client.request(proto::LinkRequest::default())).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_certificate_ends_in_the_handshake() {
    let world = World::enter().await;
    let stranger = Authority::new().client("keyward://app/local-app");
    let mut told = false;
    for _ in 0..50 {
        let refused = async {
            // With TLS 1.3 a client may believe itself connected until the alert comes.
            world.connect(Some(stranger.clone())).await?.list_keys().await
        };
        let error = refused.await.unwrap_err();
        assert!(error.unreachable() && error.remedy().is_some(), "{error:?}");
        // What is still being written when the service hangs up breaks before the alert is read.
        told = matches!(error, ClientError::CertificateRefused { .. });
        if told {
            break;
        }
    }
    assert!(told, "the certificate was never named as what is refused");
    assert_eq!(world.news().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_counts_in_time_and_with_its_own_certificate() {
    let mut world = World::enter().await;
    let frida = world.person("access-session").await;
    frida.client.create_person_key("hers", Scheme::Ed25519).await.unwrap();
    let ask = || message("hers", b"pay");

    let elsewhere = world.operator.clone().with_session(&frida.token).unwrap();
    world.refused(Code::SessionUnknown, sign(&elsewhere, ask())).await;
    world.refused(Code::SessionUnknown, elsewhere.list_keys()).await;
    world.refused(Code::SessionUnknown, elsewhere.close_account(&frida.login)).await;
    let invented = world.app.clone().with_session(&[7; 32]).unwrap();
    world.refused(Code::SessionExpired, sign(&invented, ask())).await;
    world.refused(Code::KeyUnknown, sign(&world.app, ask())).await;

    // Half an hour passes for no test: the row that it would leave is put there.
    let token_hash = Sha256::digest([8; 32]).into();
    let old = Session { token_hash, account: frida.account, fingerprint: None, expires_ms: 1 };
    world.database().await.apply(vec![Change::PutSession(old)]).await.unwrap();
    let expired = world.app.clone().with_session(&[8; 32]).unwrap();
    world.refused(Code::SessionExpired, sign(&expired, ask())).await;

    for text in [
        "Bearer",
        "Bearer ",
        "bearer 00",
        "Basic 0000",
        &format!("Bearer {}", "g".repeat(64)),
        &"0".repeat(64),
    ] {
        let mut request = Request::new(ask());
        request.metadata_mut().insert("authorization", MetadataValue::try_from(text).unwrap());
        world.refused(Code::SessionUnknown, world.app.signing().sign(request)).await;
    }
    frida.client.sign_message("hers", b"in time, with her certificate").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_made_without_certificate_belongs_to_the_first_that_shows_it() {
    let mut world = World::enter().await;
    let gerd = world.person("access-first").await;
    gerd.client.create_person_key("his", Scheme::Ed25519).await.unwrap();
    let nobody = world.nobody().await;
    let session = nobody.login("access-first", &super::world::password()).await.unwrap().session;
    let with = |client: &keyward_client::Client| client.clone().with_session(&session.token).unwrap();
    with(&world.app).sign_message("his", b"first").await.unwrap();
    world.refused(Code::SessionUnknown, with(&world.operator).list_keys()).await;
    with(&world.app).sign_message("his", b"second").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_everybody_and_reflection_those_with_a_certificate() {
    let world = World::enter().await;
    let mut health = HealthClient::new(channel(&world, None).await);
    for service in ["", "keyward.v1.Accounts", "keyward.v1.Keys", "keyward.v1.Signing", "keyward.v1.Tokens"] {
        let asked = HealthCheckRequest { service: service.into() };
        let answer = health.check(asked).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = HealthCheckRequest { service: "keyward.v1.Nothing".into() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), tonic::Code::NotFound);

    let list = || {
        tokio_stream::iter([ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        }])
    };
    let mut reflection = ServerReflectionClient::new(channel(&world, Some("app")).await);
    let mut answers = reflection.server_reflection_info(list()).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for service in ["Accounts", "Keys", "Signing", "Tokens", "Admin"] {
        assert!(names.contains(&format!("keyward.v1.{service}").as_str()), "{names:?}");
    }
    let mut nobody = ServerReflectionClient::new(channel(&world, None).await);
    let refused = nobody.server_reflection_info(list()).await.map(|_answers| ()).unwrap_err();
    check(Code::ClientCertificateRequired, &refused.said());
}
