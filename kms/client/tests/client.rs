//! The client against a service that is honest, and against ones that are not.

use crate::service::{ACCOUNT, CHAIN, Mood, Service, Twist, start};
use keyward_client::{Client, ClientError, Connection, Identity, Order, Password};
use keyward_crypto::Stretch;
use keyward_domain::Code;
use keyward_domain::scheme::Scheme;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::sync::Arc;
use tonic::transport::{Certificate, Channel, Endpoint, Identity as TlsIdentity, ServerTlsConfig};
use zeroize::Zeroizing;

const SCHEMES: [Scheme; 4] = [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519];

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn trust_file() -> Vec<u8> {
    format!("keyward-trust-1 test {}\n", hex::encode(CHAIN)).into_bytes()
}

async fn channel(address: &str) -> Channel {
    Endpoint::from_shared(address.to_owned()).unwrap().connect().await.unwrap()
}

async fn client(twist: Twist) -> (Arc<Service>, Client) {
    let (service, address) = start(twist, None).await;
    let client = Client::over(channel(&address).await, &address).with_stretch(Stretch::WeakForTests);
    (service, client)
}

#[tokio::test]
async fn registration_and_login_lead_to_one_credential_and_a_session() {
    let (service, client) = client(Twist::Honest).await;
    let registered = client.register("anna", &password("correct horse")).await.unwrap();
    assert_eq!(registered.account, ACCOUNT);
    assert_eq!(service.credentials.lock().unwrap()[0], registered.credential.as_bytes());
    let login = client.login("anna", &password("correct horse")).await.unwrap();
    assert_eq!(login.credential.public_key(), &registered.credential);
    assert_eq!(format!("{:?}", login.session), "Session(redacted, until 99)");
    let live = client.with_session(&login.session.token).unwrap();
    live.show_account().await.unwrap();
    assert_eq!(service.bearers.lock().unwrap()[0], format!("Bearer {}", "05".repeat(32)));
}

#[tokio::test]
async fn wrong_password_and_unknown_user_fail_alike_on_this_side() {
    let (_service, client) = client(Twist::Honest).await;
    client.register("anna", &password("right")).await.unwrap();
    for (user, text) in [("anna", "wrong"), ("nobody", "right")] {
        let error = client.login(user, &password(text)).await.unwrap_err();
        assert!(matches!(error, ClientError::WrongPassword(_)), "{error}");
        assert_eq!(error.code(), Some("LOGIN_FAILED"));
    }
}

#[tokio::test]
async fn person_key_is_made_proved_and_sealed_under_each_scheme() {
    let (service, client) = client(Twist::Honest).await;
    for scheme in SCHEMES {
        let made = client.create_person_key("mine", scheme).await.unwrap();
        let id = hex::encode(&made.key.key_id);
        let signed = client.sign_message(&id, b"pay").await.unwrap();
        assert_eq!(signed.public_key.as_bytes(), made.key.public_key.as_ref());
        if scheme != Scheme::Ed25519 {
            client.sign_digest("mine", &[7; 32]).await.unwrap();
        }
        let other = client.sign_message(&"00".repeat(32), b"pay").await.unwrap_err();
        assert!(matches!(other, ClientError::Answer { what: "another key has signed" }), "{other}");
    }
    assert_eq!(service.imported.lock().unwrap().len(), SCHEMES.len());
    let refused = client.create_person_key("mine", Scheme::RsaPss).await.unwrap_err();
    assert!(matches!(refused, ClientError::Key(_)), "{refused}");
}

#[tokio::test]
async fn challenge_of_another_ledger_or_account_is_not_signed() {
    for twist in [Twist::OtherChain, Twist::OtherAccount, Twist::ShortNonce, Twist::WrongSealingKey] {
        let (service, client) = client(twist).await;
        let client = client.with_account(ACCOUNT).with_trust(&trust_file()).unwrap();
        let error = client.create_person_key("mine", Scheme::Ed25519).await.unwrap_err();
        match twist {
            Twist::OtherChain => assert!(matches!(error, ClientError::OtherChain { .. }), "{error}"),
            Twist::OtherAccount => assert!(matches!(error, ClientError::OtherAccount), "{error}"),
            Twist::ShortNonce => assert!(matches!(error, ClientError::Answer { what: "nonce" }), "{error}"),
            _ => assert!(matches!(error, ClientError::Seal(_)), "{error}"),
        }
        assert!(service.imported.lock().unwrap().is_empty());
        if matches!(twist, Twist::OtherChain | Twist::ShortNonce) {
            assert!(client.register("anna", &password("p")).await.is_err());
            assert!(service.credentials.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn swapped_key_and_changed_signature_are_noticed() {
    let (_service, swapping) = client(Twist::SwappedKeyId).await;
    let error = swapping.create_person_key("mine", Scheme::Ed25519).await.unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");
    let (_service, changing) = client(Twist::ChangedSignature).await;
    for scheme in SCHEMES {
        changing.create_person_key("mine", scheme).await.unwrap();
        let error = changing.sign_message("mine", b"pay").await.unwrap_err();
        assert!(matches!(error, ClientError::Signature(_)), "{error}");
    }
}

#[tokio::test]
async fn a_rotated_key_is_made_here_and_proved_to_take_over_from_the_one_before() {
    let (_service, honest) = client(Twist::Honest).await;
    for scheme in SCHEMES {
        honest.create_person_key("imported", scheme).await.unwrap();
        let before = honest.show_key("imported").await.unwrap();
        let rotated = honest.rotate_person_key("imported").await.unwrap();
        assert_ne!(rotated.key.key_id, before.key_id);
        assert_eq!(rotated.key.scheme, before.scheme);
    }
    let (_service, swapping) = client(Twist::SwappedKeyId).await;
    swapping.create_person_key("imported", Scheme::Ed25519).await.unwrap_err();
    let error = swapping.rotate_person_key("imported").await.unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn with_a_trust_file_nothing_is_returned_without_a_receipt_that_verifies() {
    let (_service, client) = client(Twist::Honest).await;
    client.create_person_key("mine", Scheme::Ed25519).await.unwrap();
    client.register("bella", &password("p")).await.unwrap();
    let login = client.login("bella", &password("p")).await.unwrap();
    let error = client.close_account(&login).await.unwrap_err();
    assert!(matches!(error, ClientError::TrustMissing), "{error}");
    let elsewhere = client.clone().with_account([9; 32]).close_account(&login).await.unwrap_err();
    assert!(matches!(elsewhere, ClientError::OtherAccount), "{elsewhere}");
    let strict = client.with_trust(&trust_file()).unwrap();
    for error in [
        strict.register("anna", &password("p")).await.map(|_| ()).unwrap_err(),
        strict.create_person_key("mine", Scheme::Ed25519).await.map(|_| ()).unwrap_err(),
        strict.sign_message("mine", b"pay").await.map(|_| ()).unwrap_err(),
        strict.close_account(&login).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, ClientError::Receipt(_)), "{error}");
    }
    strict.authorize("mine", "treasury").await.unwrap();
}

#[tokio::test]
async fn malformed_trust_files_and_sessions_are_refused() {
    let (_service, client) = client(Twist::Honest).await;
    for bad in ["", "keyward-trust-1 test\n", "keyward-trust-2 test 00\n", "nonsense"] {
        let refused = client.clone().with_trust(bad.as_bytes());
        assert!(matches!(refused, Err(ClientError::Trust(_))), "{bad}");
    }
    assert!(matches!(client.with_session(&[1; 31]), Err(ClientError::SessionMalformed { len: 31 })));
    assert!(matches!(Password::new(String::new()), Err(ClientError::Password { len: 0 })));
}

#[tokio::test]
async fn refusals_carry_code_request_id_and_retry() {
    let (_service, client) = client(Twist::Honest).await;
    let ClientError::Refused(refusal) = client.show_key("x").await.unwrap_err() else {
        panic!("not refused")
    };
    assert_eq!(refusal.code, Some(Code::KeyUnknown));
    assert_eq!((refusal.code_name.as_str(), refusal.request_id.as_str()), ("KEY_UNKNOWN", "request-7"));
    assert!(refusal.retry && refusal.status == tonic::Code::NotFound as i32);
    let error = client.freeze_key("x").await.unwrap_err();
    assert!(error.unreachable() && error.retryable() && error.code() == Some("LEDGER_UNAVAILABLE"));
    let error = client.show_account().await.unwrap_err();
    assert!(!error.unreachable() && error.code() == Some("SESSION_REQUIRED") && error.remedy().is_some());
}

#[tokio::test]
async fn silence_strangers_and_refused_certificates_are_told_apart() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = ours.certify();
    let tls = ServerTlsConfig::new()
        .identity(TlsIdentity::from_pem(&server.certificate_pem, server.key_pem.as_bytes()))
        .client_ca_root(Certificate::from_pem(&ours.pem))
        .client_auth_optional(true);
    let (_service, address) = start(Twist::Honest, Some(tls)).await;
    let connect = |address: &str, ca: &Authority, identity: Option<Identity>| {
        let connection = Connection { address: address.to_owned(), ca_pem: ca.pem.clone(), identity };
        async move { Client::connect(&connection).await }
    };
    let good = connect(&address, &ours, Some(ours.certify())).await.unwrap();
    good.with_stretch(Stretch::WeakForTests).register("anna", &password("p")).await.unwrap();
    connect(&address, &ours, None).await.unwrap();

    let stranger = connect(&address, &theirs, None).await.unwrap_err();
    assert!(matches!(stranger, ClientError::ServerUnknown { .. }), "{stranger:?}");
    for _ in 0..20 {
        let refused = connect(&address, &ours, Some(theirs.certify())).await.unwrap_err();
        assert!(matches!(refused, ClientError::CertificateRefused { .. }), "{refused:?}");
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    drop(silent);
    let silence = connect(&address, &ours, None).await.unwrap_err();
    assert!(matches!(silence, ClientError::Unreachable { .. }) && silence.retryable(), "{silence:?}");
    let malformed = connect("not an address", &ours, None).await.unwrap_err();
    assert!(matches!(malformed, ClientError::Connection { .. }), "{malformed:?}");
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn certify(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![String::from("localhost")]).unwrap();
        let certificate_pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate_pem, key_pem: Zeroizing::new(key.serialize_pem()) }
    }
}

/// A client of an honest service, with a key to sign with.
async fn signer(moods: &[Mood]) -> (Arc<Service>, Client) {
    let (service, client) = client(Twist::Honest).await;
    client.create_person_key("mine", Scheme::Ed25519).await.unwrap();
    service.moods.lock().unwrap().extend(moods);
    (service, client)
}

fn order(text: &str) -> Order {
    Order::message("mine", text.as_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn orders_are_tried_again_under_one_mark_and_only_where_that_helps() {
    let (service, client) = signer(&[Mood::Busy, Mood::Gone, Mood::Busy]).await;
    let steady = client.clone().with_tries(4);
    let order = order("pay").marked(b"invoice-17").unwrap();
    steady.sign(&order).await.unwrap();
    assert_eq!(*service.marks.lock().unwrap(), vec![b"invoice-17".to_vec(); 4]);

    service.moods.lock().unwrap().extend([Mood::Busy; 2]);
    let refused = client.clone().with_tries(2).sign(&order).await.unwrap_err();
    assert_eq!(refused.code(), Some("SERVICE_BUSY"), "two tries are two");
    service.moods.lock().unwrap().push_back(Mood::Busy);
    assert_eq!(
        client.sign(&order).await.unwrap_err().code(),
        Some("SERVICE_BUSY"),
        "one where nothing is said"
    );
    service.moods.lock().unwrap().push_back(Mood::Frozen);
    assert_eq!(steady.sign(&order).await.unwrap_err().code(), Some("KEY_FROZEN"), "for good is for good");
    assert_eq!(service.marks.lock().unwrap().len(), 8);

    // A deadline that has passed ends it, whatever is left of the tries.
    service.moods.lock().unwrap().extend([Mood::Busy; 2]);
    let late = steady.with_deadline(std::time::Duration::from_millis(1)).sign(&order).await;
    assert!(late.is_err(), "{late:?}");
}

#[test]
fn a_mark_has_one_to_64_bytes() {
    for len in [0, 65, 1000] {
        let refused = order("pay").marked(&vec![7; len]);
        assert!(matches!(refused, Err(ClientError::Mark { len: found }) if found == len), "{refused:?}");
    }
    assert_eq!(order("pay").marked(&[7; 64]).unwrap().mark(), [7; 64]);
    assert_ne!(order("pay").mark(), order("pay").mark(), "fresh marks differ");
}

#[tokio::test]
async fn a_batch_answers_each_order_and_tries_some_again() {
    let (service, client) = signer(&[Mood::Busy, Mood::Frozen]).await;
    let orders: Vec<_> = (0..600).map(|n| order(&format!("pay {n}"))).collect();
    let results = client.clone().sign_batch(&orders).await.unwrap();
    let codes: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()?.code()).collect();
    assert_eq!((results.len(), codes), (600, vec!["SERVICE_BUSY", "KEY_FROZEN"]));
    service.moods.lock().unwrap().extend([Mood::Busy, Mood::Frozen]);
    let results = client.with_tries(3).sign_batch(&orders).await.unwrap();
    assert!(results[0].is_ok(), "tried again");
    assert_eq!(results[1].as_ref().unwrap_err().code(), Some("KEY_FROZEN"));
    let marks = service.marks.lock().unwrap();
    assert_eq!(marks.len(), 1201);
    assert_eq!(marks[1200], orders[0].mark(), "alone, under its own mark");
}

#[tokio::test]
async fn a_stream_gives_each_answer_to_its_order() {
    let (_service, client) = signer(&[Mood::Later, Mood::Later, Mood::Frozen]).await;
    let (mut orders, mut answers) = client.sign_stream(3).await.unwrap();
    let sending = tokio::spawn(async move {
        for n in 0..50 {
            assert_eq!(orders.send(order(&format!("pay {n}"))).await.unwrap(), n);
        }
    });
    let mut numbers = Vec::new();
    while let Some(answered) = answers.next().await.unwrap() {
        let text = format!("pay {}", answered.number);
        assert_eq!(answered.order.message_bytes(), Some(text.as_bytes()));
        match answered.result {
            Ok(_) => assert_ne!(answered.number, 2),
            Err(error) => assert_eq!((answered.number, error.code()), (2, Some("KEY_FROZEN"))),
        }
        numbers.push(answered.number);
    }
    sending.await.unwrap();
    assert_eq!(numbers[..3], [2, 0, 1], "answers come when they are ready");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_window_makes_senders_wait() {
    let (service, client) = signer(&[]).await;
    let (mut orders, mut answers) = client.sign_stream(2).await.unwrap();
    for n in 0..2 {
        orders.send(order(&format!("{n}"))).await.unwrap();
    }
    let third = tokio::spawn(async move {
        orders.send(order("third")).await.unwrap();
        orders
    });
    let marks = || service.marks.lock().unwrap().len();
    while marks() < 2 {
        tokio::task::yield_now().await;
    }
    // Both were received, and nobody has read an answer.
    assert!(!third.is_finished(), "a third order was taken while two were not answered");
    answers.next().await.unwrap().unwrap();
    drop(third.await.unwrap());
    let mut left = 0;
    while answers.next().await.unwrap().is_some() {
        left += 1;
    }
    assert_eq!(left, 2);
}

#[tokio::test]
async fn a_broken_stream_says_what_was_not_answered() {
    let (_service, client) = signer(&[Mood::Later, Mood::Gone]).await;
    let (mut orders, mut answers) = client.sign_stream(8).await.unwrap();
    let sent = [order("first"), order("second")];
    for order in sent.clone() {
        orders.send(order).await.unwrap();
    }
    assert!(matches!(answers.next().await, Err(ClientError::Unreachable { .. })));
    let left: Vec<_> = answers.unanswered().iter().map(|order| order.mark().to_vec()).collect();
    assert_eq!(left, sent.each_ref().map(|order| order.mark().to_vec()));
    drop(answers);
    let refused = loop {
        if let Err(error) = orders.send(order("later")).await {
            break error;
        }
    };
    assert!(matches!(refused, ClientError::StreamEnded), "{refused}");
}
