//! The gRPC face over real TLS.

use keyward_proto::custody::{
    CreateKeyRequest, ListKeepersRequest, RegisterStartRequest, ShowAccountRequest, SignBatchRequest,
    SignRequest, VaultAttemptRequest, accounts_client::AccountsClient, keys_client::KeysClient,
    sign_request::Payload, sign_stream_response::Result as Answer, signing_client::SigningClient,
    vaults_client::VaultsClient,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use tokio_stream::StreamExt as _;
use tonic::{
    Code, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Identity, server::TcpIncoming},
};
use zeroize::Zeroizing;

use super::{
    vaults::{Owner, VAULT},
    world::World,
};
use crate::{config::Tls, face::Face, run};

pub(super) struct Authority {
    pub(super) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub(super) fn issue(&self, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self, uris: &[&str]) -> Identity {
        let names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        let (certificate, key) = self.issue(names, ExtendedKeyUsagePurpose::ClientAuth);
        Identity::from_pem(certificate, key)
    }
}

struct Served {
    address: String,
    authority: Authority,
    world: World,
}

async fn serve() -> Served {
    run::install_tls_provider();
    let world = World::new().await;
    let authority = Authority::new();
    let name = SanType::DnsName("localhost".try_into().unwrap());
    let (certificate_pem, key_pem) = authority.issue(vec![name], ExtendedKeyUsagePurpose::ServerAuth);
    let tls = Tls { certificate_pem, key_pem: Zeroizing::new(key_pem), client_ca_pem: authority.pem.clone() };
    let (mut server, routes) = run::server(&tls, &Face::new(world.custody.clone(), 8)).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let incoming = TcpIncoming::from(listener);
    tokio::spawn(async move { server.add_routes(routes).serve_with_incoming(incoming).await.unwrap() });
    Served { address, authority, world }
}

impl Served {
    async fn connect(&self, identity: Option<Identity>) -> Result<Channel, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority.pem))
            .domain_name("localhost");
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        Channel::from_shared(self.address.clone()).unwrap().tls_config(tls).unwrap().connect().await
    }

    async fn app(&self) -> Channel {
        self.connect(Some(self.authority.client(&["keyward://app/treasury"]))).await.unwrap()
    }
}

fn trailer<'a>(status: &'a Status, name: &str) -> &'a str {
    status.metadata().get(name).unwrap().to_str().unwrap()
}

fn request(message: &'static [u8], tag: u64) -> SignRequest {
    SignRequest {
        key: "pay".into(),
        payload: Some(Payload::Message(message.into())),
        tag,
        ..Default::default()
    }
}

#[tokio::test]
async fn only_opaque_and_health_need_no_certificate() {
    let served = serve().await;
    let channel = served.connect(None).await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let asked = tonic_health::pb::HealthCheckRequest { service: "keyward.v1.Signing".into() };
    assert_eq!(health.check(asked).await.unwrap().into_inner().status, 1);
    let mut accounts = AccountsClient::new(channel.clone());
    let malformed = accounts.register_start(RegisterStartRequest::default()).await.unwrap_err();
    assert_eq!(trailer(&malformed, "keyward-code"), "USER_NAME_INVALID");
    for refused in [
        accounts.show(ShowAccountRequest {}).await.unwrap_err(),
        SigningClient::new(channel.clone()).sign(request(b"m", 0)).await.unwrap_err(),
        KeysClient::new(channel).create(CreateKeyRequest::default()).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert_eq!(trailer(&refused, "keyward-code"), "CLIENT_CERTIFICATE_REQUIRED");
        assert_eq!(trailer(&refused, "keyward-retry"), "false");
        assert_eq!(trailer(&refused, "keyward-request-id").len(), 16);
        assert!(refused.message().contains("--profile"), "{}", refused.message());
    }
}

#[tokio::test]
async fn a_strangers_certificate_ends_in_the_handshake() {
    let served = serve().await;
    let stranger = Authority::new().client(&["keyward://app/treasury"]);
    // TLS 1.3 tells a client on its first read: connecting or the first call fails, and no call is answered.
    if let Ok(channel) = served.connect(Some(stranger)).await {
        let refused = AccountsClient::new(channel).show(ShowAccountRequest {}).await.unwrap_err();
        assert!(refused.metadata().get("keyward-code").is_none(), "{refused:?}");
    }
}

#[tokio::test]
async fn a_certificate_must_name_one_principal() {
    let served = serve().await;
    for uris in [
        &[][..],
        &["https://example.org"],
        &["keyward://app/a", "keyward://operator/b"],
        &["keyward://king/a"],
    ] {
        let channel = served.connect(Some(served.authority.client(uris))).await.unwrap();
        let refused = AccountsClient::new(channel).show(ShowAccountRequest {}).await.unwrap_err();
        assert_eq!(trailer(&refused, "keyward-code"), "CLIENT_CERTIFICATE_INVALID", "{uris:?}");
    }
}

#[tokio::test]
async fn one_many_and_a_stream_are_signed() {
    let served = serve().await;
    let channel = served.app().await;
    let create =
        CreateKeyRequest { alias: "pay".into(), scheme: "ecdsa-secp256k1".into(), ..Default::default() };
    let made = KeysClient::new(channel.clone()).create(create).await.unwrap().into_inner();
    assert!(made.key.unwrap().address.starts_with("0x"));
    let mut signing = SigningClient::new(channel);
    let one = signing.sign(request(b"m", 0)).await.unwrap().into_inner();
    assert_eq!((one.signature.len(), one.signature_der[0]), (64, 0x30));
    assert!(!one.receipt.is_empty());

    let mut requests: Vec<_> = (0..50).map(|tag| request(b"m", tag)).collect();
    requests[7].key = "nothing".into();
    requests[8].payload = None;
    let many = signing.sign_batch(SignBatchRequest { requests }).await.unwrap().into_inner().responses;
    for (place, response) in many.iter().enumerate() {
        assert_eq!(response.tag, place as u64);
        match (place, response.result.as_ref().unwrap()) {
            (7, Answer::Refusal(refusal)) => assert_eq!(refusal.code, "KEY_UNKNOWN"),
            (8, Answer::Refusal(refusal)) => {
                assert_eq!((refusal.code.as_str(), refusal.status), ("PAYLOAD_MISSING", 3))
            }
            (_, Answer::Signed(signed)) => assert_eq!(signed.signature.len(), 64),
            (place, refusal) => panic!("{place}: {refusal:?}"),
        }
    }
    let requests = (0..257).map(|tag| request(b"m", tag)).collect();
    let refused = signing.sign_batch(SignBatchRequest { requests }).await.unwrap_err();
    assert_eq!(trailer(&refused, "keyward-code"), "BATCH_TOO_LARGE");

    let outgoing = tokio_stream::iter((0..100).map(|tag| request(b"m", tag)));
    let mut incoming = signing.sign_stream(outgoing).await.unwrap().into_inner();
    let mut tags = Vec::new();
    while let Some(answer) = incoming.next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer.result, Some(Answer::Signed(_))), "{answer:?}");
        tags.push(answer.tag);
    }
    tags.sort_unstable();
    assert_eq!(tags, (0..100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn vaults_need_a_session_and_say_when_to_come_again() {
    let served = serve().await;
    let world = &served.world;
    world.admit_keepers(&[1, 2, 3]);
    let owner = Owner::new(world, "alice").await;
    owner.seal(world, VAULT, 1).await.unwrap();
    let anybody = VaultsClient::new(served.connect(None).await.unwrap());
    let uncertified = anybody.clone().keepers(ListKeepersRequest {}).await.unwrap_err();
    assert_eq!(trailer(&uncertified, "keyward-code"), "CLIENT_CERTIFICATE_REQUIRED");
    let mut vaults = VaultsClient::new(served.app().await);
    let attempt =
        |number| VaultAttemptRequest { entry: owner.attempt_entry(number).into(), ..Default::default() };
    let refused = vaults.attempt(attempt(1)).await.unwrap_err();
    assert_eq!(trailer(&refused, "keyward-code"), "SESSION_REQUIRED");

    let token = super::accounts::session(world, "alice").await;
    let within = |message| {
        let mut request = tonic::Request::new(message);
        let bearer = format!("Bearer {}", crate::hex::hex(&token));
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        request
    };
    let answer = vaults.attempt(within(attempt(1))).await.unwrap().into_inner();
    assert_eq!(answer.receipt, answer.leaf_index.to_be_bytes().to_vec());
    let cooling = vaults.attempt(within(attempt(2))).await.unwrap_err();
    assert_eq!(cooling.code(), Code::ResourceExhausted);
    assert_eq!(trailer(&cooling, "keyward-code"), "ATTEMPTS_COOLING");
    assert_eq!(
        (trailer(&cooling, "keyward-retry"), trailer(&cooling, "keyward-retry-after-ms")),
        ("true", "60000")
    );
}
