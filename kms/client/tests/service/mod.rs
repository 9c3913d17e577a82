//! A custody service as far as the client can see, honest or twisted in one point.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keyward_crypto::{ImportBinding, ImportSealingKey, OpaqueServer, ServerLogin, SigningKey};
use keyward_domain::scheme::{PublicKey, Scheme, verify};
use keyward_proto::custody::accounts_server::{Accounts, AccountsServer};
use keyward_proto::custody::keys_server::{Keys, KeysServer};
use keyward_proto::custody::sign_request::Payload;
use keyward_proto::custody::signing_server::{Signing, SigningServer};
use keyward_proto::custody::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

pub(crate) const CHAIN: [u8; 32] = [0xc4; 32];
pub(crate) const ACCOUNT: [u8; 32] = [0xac; 32];
const NONCE: [u8; 32] = [0x0e; 32];
const NOT_AFTER: u64 = 77;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twist {
    Honest,
    OtherChain,
    OtherAccount,
    ShortNonce,
    SwappedKeyId,
    ChangedSignature,
    WrongSealingKey,
}

pub(crate) struct Service {
    twist: Twist,
    opaque: OpaqueServer,
    sealing: ImportSealingKey,
    records: Mutex<HashMap<String, Vec<u8>>>,
    logins: Mutex<Vec<ServerLogin>>,
    pub(crate) credentials: Mutex<Vec<[u8; 32]>>,
    pub(crate) imported: Mutex<Vec<SigningKey>>,
    pub(crate) bearers: Mutex<Vec<String>>,
}

#[derive(Clone)]
struct Face(Arc<Service>);

/// Starts it; answers with its address.
pub(crate) async fn start(twist: Twist, tls: Option<ServerTlsConfig>) -> (Arc<Service>, String) {
    let service = Arc::new(Service {
        twist,
        opaque: OpaqueServer::generate().unwrap(),
        sealing: ImportSealingKey::generate().unwrap(),
        records: Mutex::default(),
        logins: Mutex::default(),
        credentials: Mutex::default(),
        imported: Mutex::default(),
        bearers: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!(
        "{}://localhost:{}",
        if tls.is_some() { "https" } else { "http" },
        listener.local_addr().unwrap().port()
    );
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).unwrap();
    }
    let face = Face(Arc::clone(&service));
    let running = server
        .add_service(AccountsServer::new(face.clone()))
        .add_service(KeysServer::new(face.clone()))
        .add_service(SigningServer::new(face))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(running);
    (service, address)
}

impl Service {
    fn challenge(&self) -> ([u8; 32], [u8; 32], Vec<u8>) {
        let chain = if self.twist == Twist::OtherChain { [9; 32] } else { CHAIN };
        let account = if self.twist == Twist::OtherAccount { [9; 32] } else { ACCOUNT };
        let nonce = if self.twist == Twist::ShortNonce { NONCE[1..].to_vec() } else { NONCE.to_vec() };
        (chain, account, nonce)
    }
}

fn coded(code: &str, status: Status) -> Status {
    let mut status = status;
    status.metadata_mut().insert("keyward-code", code.parse().unwrap());
    status.metadata_mut().insert("keyward-request-id", "request-7".parse().unwrap());
    status.metadata_mut().insert("keyward-retry", "true".parse().unwrap());
    status
}

fn key(public: &PublicKey, alias: &str) -> KeyWithReceipt {
    let key = Key {
        key_id: public.id().as_bytes().to_vec().into(),
        alias: alias.to_owned(),
        scheme: public.scheme().name().to_owned(),
        public_key: public.as_bytes().to_vec().into(),
        ..Default::default()
    };
    KeyWithReceipt { key: Some(key), receipt: vec![1, 2, 3].into() }
}

#[tonic::async_trait]
impl Accounts for Face {
    async fn register_start(
        &self,
        request: Request<RegisterStartRequest>,
    ) -> Result<Response<RegisterStartResponse>, Status> {
        let request = request.into_inner();
        let response =
            self.0.opaque.register(request.user_name.as_bytes(), &request.registration_request).unwrap();
        let (chain, account, nonce) = self.0.challenge();
        Ok(Response::new(RegisterStartResponse {
            registration_id: request.user_name.into_bytes().into(),
            registration_response: response.into(),
            chain_id: chain.to_vec().into(),
            account: account.to_vec().into(),
            nonce: nonce.into(),
            not_after: NOT_AFTER,
        }))
    }

    async fn register_finish(
        &self,
        request: Request<RegisterFinishRequest>,
    ) -> Result<Response<RegisterFinishResponse>, Status> {
        let request = request.into_inner();
        let label = b"keyward/credential/v1";
        let version = 1_u32.to_be_bytes();
        let message = [
            &[21],
            &label[..],
            &CHAIN,
            &ACCOUNT,
            &version,
            &request.credential,
            &NONCE,
            &NOT_AFTER.to_be_bytes(),
        ]
        .concat();
        let credential = PublicKey::parse(Scheme::Ed25519, &request.credential).unwrap();
        verify(&credential, &message, &request.credential_proof).unwrap();
        let user = String::from_utf8(request.registration_id.to_vec()).unwrap();
        self.0
            .records
            .lock()
            .unwrap()
            .insert(user, OpaqueServer::record(&request.registration_upload).unwrap());
        self.0.credentials.lock().unwrap().push(credential.as_bytes().try_into().unwrap());
        Ok(Response::new(RegisterFinishResponse {
            account: ACCOUNT.to_vec().into(),
            receipt: vec![1, 2, 3].into(),
        }))
    }

    async fn login_start(
        &self,
        request: Request<LoginStartRequest>,
    ) -> Result<Response<LoginStartResponse>, Status> {
        let request = request.into_inner();
        let record = self.0.records.lock().unwrap().get(&request.user_name).cloned();
        let (login, response) = self
            .0
            .opaque
            .login(request.user_name.as_bytes(), record.as_deref(), &request.credential_request)
            .unwrap();
        self.0.logins.lock().unwrap().push(login);
        Ok(Response::new(LoginStartResponse {
            login_id: vec![1].into(),
            credential_response: response.into(),
        }))
    }

    async fn login_finish(
        &self,
        request: Request<LoginFinishRequest>,
    ) -> Result<Response<LoginFinishResponse>, Status> {
        let login = self.0.logins.lock().unwrap().pop().unwrap();
        login
            .finish(&request.into_inner().credential_finalization)
            .map_err(|_| coded("LOGIN_FAILED", Status::unauthenticated("no")))?;
        Ok(Response::new(LoginFinishResponse {
            session: vec![5; 32].into(),
            expires_unix_ms: 99,
            account: ACCOUNT.to_vec().into(),
        }))
    }

    async fn show(&self, request: Request<ShowAccountRequest>) -> Result<Response<Account>, Status> {
        let bearer = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let Some(bearer) = bearer else {
            return Err(coded("SESSION_REQUIRED", Status::unauthenticated("log in first")));
        };
        self.0.bearers.lock().unwrap().push(bearer);
        Ok(Response::new(Account::default()))
    }

    async fn close(&self, _: Request<CloseAccountRequest>) -> Result<Response<CloseAccountResponse>, Status> {
        Ok(Response::new(CloseAccountResponse { receipt: vec![1, 2, 3].into() }))
    }
}

#[tonic::async_trait]
impl Keys for Face {
    async fn create(&self, _: Request<CreateKeyRequest>) -> Result<Response<KeyWithReceipt>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn prepare_import(
        &self,
        _: Request<PrepareImportRequest>,
    ) -> Result<Response<PrepareImportResponse>, Status> {
        let (chain, account, nonce) = self.0.challenge();
        let sealing = if self.0.twist == Twist::WrongSealingKey {
            vec![0; 32]
        } else {
            self.0.sealing.public().to_vec()
        };
        Ok(Response::new(PrepareImportResponse {
            chain_id: chain.to_vec().into(),
            account: account.to_vec().into(),
            nonce: nonce.into(),
            not_after: NOT_AFTER,
            sealing_key: sealing.into(),
        }))
    }

    async fn import(&self, request: Request<ImportKeyRequest>) -> Result<Response<KeyWithReceipt>, Status> {
        let request = request.into_inner();
        let scheme = Scheme::from_name(&request.scheme).unwrap();
        let public = PublicKey::parse(scheme, &request.public_key).unwrap();
        let len = (request.public_key.len() as u32).to_be_bytes();
        let label = b"keyward/possession/v1";
        let codes = [2, scheme.code()];
        let message = [
            &[21],
            &label[..],
            &CHAIN,
            &ACCOUNT,
            &codes,
            &len,
            &request.public_key,
            &NONCE,
            &NOT_AFTER.to_be_bytes(),
        ]
        .concat();
        verify(&public, &message, &request.proof).unwrap();
        let binding =
            ImportBinding { chain_id: &CHAIN, account: &ACCOUNT, nonce: &NONCE, public_key: &public };
        let secret = self.0.sealing.open(&binding, &request.sealed_private_key).unwrap();
        let private = secret.expose(|secret| SigningKey::from_secret(scheme, secret)).unwrap();
        assert_eq!(private.public_key(), &public);
        assert_eq!(request.idempotency_key.len(), 16);
        self.0.imported.lock().unwrap().push(private);
        let other = SigningKey::generate(scheme).unwrap();
        let shown = if self.0.twist == Twist::SwappedKeyId { other.public_key() } else { &public };
        Ok(Response::new(key(shown, &request.alias)))
    }

    async fn list(&self, _: Request<ListKeysRequest>) -> Result<Response<ListKeysResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn show(&self, _: Request<ShowKeyRequest>) -> Result<Response<Key>, Status> {
        Err(coded("KEY_UNKNOWN", Status::not_found("there is no key `x`")))
    }
    async fn freeze(&self, _: Request<ChangeKeyRequest>) -> Result<Response<KeyWithReceipt>, Status> {
        Err(coded("LEDGER_UNAVAILABLE", Status::unavailable("the ledger has no quorum")))
    }
    async fn unfreeze(&self, _: Request<ChangeKeyRequest>) -> Result<Response<KeyWithReceipt>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn authorize(&self, _: Request<AuthorizeRequest>) -> Result<Response<AuthorizeResponse>, Status> {
        Ok(Response::new(AuthorizeResponse::default()))
    }
    async fn revoke(&self, _: Request<AuthorizeRequest>) -> Result<Response<AuthorizeResponse>, Status> {
        Ok(Response::new(AuthorizeResponse::default()))
    }
}

#[tonic::async_trait]
impl Signing for Face {
    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignResponse>, Status> {
        let imported = self.0.imported.lock().unwrap();
        let key = imported.last().unwrap();
        let mut signature = match request.into_inner().payload.unwrap() {
            Payload::Message(message) => key.sign_message(&message),
            Payload::Digest(digest) => key.sign_digest(&digest.as_ref().try_into().unwrap()),
        }
        .unwrap();
        if self.0.twist == Twist::ChangedSignature {
            signature[40] ^= 1;
        }
        Ok(Response::new(SignResponse {
            signature: signature.into(),
            public_key: key.public_key().as_bytes().to_vec().into(),
            scheme: key.scheme().name().to_owned(),
            key_id: key.public_key().id().as_bytes().to_vec().into(),
            receipt: vec![1, 2, 3].into(),
            ..Default::default()
        }))
    }

    async fn sign_batch(&self, _: Request<SignBatchRequest>) -> Result<Response<SignBatchResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type SignStreamStream = tokio_stream::Empty<Result<SignStreamResponse, Status>>;

    async fn sign_stream(
        &self,
        _: Request<Streaming<SignRequest>>,
    ) -> Result<Response<Self::SignStreamStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
