//! Registration and login: what goes wrong tells nothing of who exists.

use keyward_client::{Client, ClientError, Password};
use keyward_crypto::{ClientLogin, ClientRegistration, SecretBytes, SigningKey, Stretch, account_credential};
use keyward_domain::{Code, credential_challenge, scheme::Scheme};
use keyward_proto::custody as proto;
use tonic::Status;

use super::world::{Said as _, World, check, inner, password};

const STRETCH: Stretch = Stretch::WeakForTests;

fn secret() -> SecretBytes {
    SecretBytes::from("correct horse battery staple".to_owned())
}

fn wrong() -> Password {
    Password::new("incorrect horse".to_owned()).unwrap()
}

async fn login_start(
    client: &Client,
    name: &str,
) -> Result<(ClientLogin, proto::LoginStartResponse), Status> {
    let (login, request) = ClientLogin::start(&secret()).unwrap();
    let start = proto::LoginStartRequest { user_name: name.to_owned(), credential_request: request.into() };
    Ok((login, inner(client.accounts().login_start(client.request(start)).await)?))
}

async fn login_finish(
    client: &Client,
    id: &[u8],
    bytes: &[u8],
) -> Result<proto::LoginFinishResponse, Status> {
    let finish = proto::LoginFinishRequest {
        login_id: id.to_vec().into(),
        credential_finalization: bytes.to_vec().into(),
    };
    inner(client.accounts().login_finish(client.request(finish)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_user_look_alike() {
    let mut world = World::enter().await;
    world.person("login-known").await;
    let mut shapes = Vec::new();
    for name in ["login-known", "login-unknown"] {
        let error = world.app.login(name, &wrong()).await.unwrap_err();
        assert!(matches!(error, ClientError::WrongPassword(_)), "{error:?}");
        let (_, start) = login_start(&world.app, name).await.unwrap();
        let finish = login_finish(&world.app, &start.login_id, &[7; 64]);
        let refusal = world.refused(Code::LoginFailed, finish).await;
        let sizes = (start.login_id.len(), start.credential_response.len());
        shapes.push((error.to_string(), error.code().map(str::to_owned), sizes, refusal.message));
    }
    assert_eq!(shapes[0], shapes[1]);
    world.log_in("login-known").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_failed_logins_cool_a_name_down_known_or_not() {
    let mut world = World::enter().await;
    world.person("login-limited").await;
    for name in ["login-limited", "login-limited-unknown"] {
        for _ in 0..10 {
            let error = world.app.login(name, &wrong()).await.unwrap_err();
            assert_eq!(error.code(), Some("LOGIN_FAILED"), "{error:?}");
        }
        world.refused(Code::LoginLimited, world.app.login(name, &password())).await;
        // Upper case is the same name; without a certificate it is the same limit.
        world.refused(Code::LoginLimited, world.app.login(&name.to_uppercase(), &password())).await;
        world.refused(Code::LoginLimited, world.nobody().await.login(name, &password())).await;
    }
    world.refused(Code::UserNameInvalid, world.app.login("two words", &password())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_counts_once_and_only_with_its_own_bytes() {
    let mut world = World::enter().await;
    world.person("login-once").await;
    let (login, start) = login_start(&world.app, "login-once").await.unwrap();
    let logged_in = login.finish(&secret(), &start.credential_response, STRETCH).unwrap();
    login_finish(&world.app, &start.login_id, &logged_in.finalization).await.unwrap();
    world
        .refused(Code::LoginExpired, login_finish(&world.app, &start.login_id, &logged_in.finalization))
        .await;
    world.refused(Code::LoginExpired, login_finish(&world.app, &[7; 16], &logged_in.finalization)).await;
    for len in [0, 15, 17, 64] {
        world.refused(Code::InvalidArgument, login_finish(&world.app, &vec![7; len], &[7; 64])).await;
    }
    // A failed finish uses the login up.
    let (login, start) = login_start(&world.app, "login-once").await.unwrap();
    let logged_in = login.finish(&secret(), &start.credential_response, STRETCH).unwrap();
    world.refused(Code::LoginFailed, login_finish(&world.app, &start.login_id, &[7; 64])).await;
    world
        .refused(Code::LoginExpired, login_finish(&world.app, &start.login_id, &logged_in.finalization))
        .await;
    for len in [0, 1, 63, 64, 65, 96, 97, 1000] {
        let start = proto::LoginStartRequest {
            user_name: "login-nobody".into(),
            credential_request: vec![0xff; len].into(),
        };
        // Ten tries of one name are answered, also malformed ones.
        let refused = world.app.accounts().login_start(world.app.request(start)).await;
        let refusal = refused.unwrap_err().said();
        assert!(
            ["INVALID_ARGUMENT", "LOGIN_LIMITED"].contains(&refusal.code_name.as_str()),
            "{len}: {refusal:?}"
        );
    }
}

struct Begun {
    finish: proto::RegisterFinishRequest,
    message: Vec<u8>,
}

/// A registration up to its last step, by hand.
async fn begin(world: &World, name: &str) -> Begun {
    let (registration, request) = ClientRegistration::start(&secret()).unwrap();
    let start =
        proto::RegisterStartRequest { user_name: name.to_owned(), registration_request: request.into() };
    let start = inner(world.app.accounts().register_start(world.app.request(start)).await).unwrap();
    let registered = registration.finish(&secret(), &start.registration_response, STRETCH).unwrap();
    let credential = account_credential(&registered.export_key).unwrap();
    let array = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap();
    let public = array(credential.public_key().as_bytes());
    let (chain, account, nonce) = (array(&start.chain_id), array(&start.account), array(&start.nonce));
    let message = credential_challenge(&chain, &account, 1, &public, &nonce, start.not_after);
    let finish = proto::RegisterFinishRequest {
        registration_id: start.registration_id,
        registration_upload: registered.upload.into(),
        credential: public.to_vec().into(),
        credential_proof: credential.sign_message(&message).unwrap().into(),
    };
    Begun { finish, message }
}

async fn finish(
    world: &World,
    finish: &proto::RegisterFinishRequest,
) -> Result<proto::RegisterFinishResponse, Status> {
    inner(world.app.accounts().register_finish(world.app.request(finish.clone())).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_counts_once_with_its_own_proof_under_a_free_name() {
    let world = World::enter().await;
    let begun = begin(&world, "registered").await;
    finish(&world, &begun.finish).await.unwrap();
    world.refused(Code::ChallengeReplayed, finish(&world, &begun.finish)).await;
    world.refused(Code::AccountExists, world.app.register("registered", &password())).await;
    world.refused(Code::AccountExists, world.app.register("REGISTERED", &password())).await;

    let other = SigningKey::generate(Scheme::Ed25519).unwrap();
    let mut begun = begin(&world, "registered-forged").await;
    begun.finish.credential_proof = other.sign_message(&begun.message).unwrap().into();
    world.refused(Code::ProofInvalid, finish(&world, &begun.finish)).await;
    world.refused(Code::ChallengeReplayed, finish(&world, &begun.finish)).await;
    let mut begun = begin(&world, "registered-forged").await;
    begun.finish.credential = other.public_key().as_bytes().to_vec().into();
    world.refused(Code::ProofInvalid, finish(&world, &begun.finish)).await;
    let mut begun = begin(&world, "registered-forged").await;
    begun.finish.registration_upload = vec![0xff; begun.finish.registration_upload.len()].into();
    world.refused(Code::InvalidArgument, finish(&world, &begun.finish)).await;
    let mut begun = begin(&world, "registered-forged").await;
    begun.finish.credential_proof = vec![7; 63].into();
    world.refused(Code::InvalidArgument, finish(&world, &begun.finish)).await;

    for name in ["", "two words", "ünal", "a/b", &"a".repeat(65)] {
        world.refused(Code::UserNameInvalid, world.app.register(name, &password())).await;
    }
    for len in [0, 1, 31, 32, 33] {
        let start = proto::RegisterStartRequest {
            user_name: "registered-garbage".into(),
            registration_request: vec![0xff; len].into(),
        };
        let refused = world.app.accounts().register_start(world.app.request(start)).await.unwrap_err();
        check(Code::InvalidArgument, &refused.said());
    }
    world.log_in("registered").await;
    let nobody = world.app.login("registered-forged", &password()).await.unwrap_err();
    assert_eq!(nobody.code(), Some("LOGIN_FAILED"));
}
