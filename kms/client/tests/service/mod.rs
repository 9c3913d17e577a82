//! A custody service as far as the client can see, honest or twisted in one point.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use keyward_crypto::{ImportBinding, ImportSealingKey, OpaqueServer, ServerLogin, SigningKey};
use keyward_domain::Code;
use keyward_domain::scheme::{PublicKey, Scheme, verify};
use keyward_proto::custody::accounts_server::{Accounts, AccountsServer};
use keyward_proto::custody::keys_server::{Keys, KeysServer};
use keyward_proto::custody::sign_request::Payload;
use keyward_proto::custody::signing_server::{Signing, SigningServer};
use keyward_proto::custody::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
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

/// What becomes of a signature request, out of turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Too much to do: try again.
    Busy,
    /// Refused for good.
    Frozen,
    /// No word of ours: the network said something.
    Gone,
    /// Answered only when the next request comes: answers come in another order.
    Later,
}

pub(crate) struct Service {
    twist: Twist,
    opaque: OpaqueServer,
    sealing: ImportSealingKey,
    records: Mutex<HashMap<String, Vec<u8>>>,
    logins: Mutex<Vec<ServerLogin>>,
    pub(crate) credentials: Mutex<Vec<[u8; 32]>>,
    pub(crate) imported: Mutex<Vec<SigningKey>>,
    /// Keys of mode `self`: of them only this much is known here.
    pub(crate) own: Mutex<Vec<PublicKey>>,
    /// What the next beginnings are answered with.
    pub(crate) starts: Mutex<VecDeque<ToSign>>,
    /// What was handed in to finish.
    pub(crate) finished: Mutex<Vec<FinishRequest>>,
    /// The answers to that; without one, an honest one.
    pub(crate) answers: Mutex<VecDeque<SignResponse>>,
    /// The next binding is refused under this code.
    pub(crate) refuse: Mutex<Option<Code>>,
    pub(crate) bearers: Mutex<Vec<String>>,
    /// What becomes of the next requests; those after are signed.
    pub(crate) moods: Mutex<VecDeque<Mood>>,
    /// The marks of all signature requests.
    pub(crate) marks: Mutex<Vec<Vec<u8>>>,
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
        own: Mutex::default(),
        starts: Mutex::default(),
        finished: Mutex::default(),
        answers: Mutex::default(),
        refuse: Mutex::default(),
        bearers: Mutex::default(),
        moods: Mutex::default(),
        marks: Mutex::default(),
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

    async fn change_password_start(
        &self,
        _: Request<ChangePasswordStartRequest>,
    ) -> Result<Response<ChangePasswordStartResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn change_password_finish(
        &self,
        _: Request<ChangePasswordFinishRequest>,
    ) -> Result<Response<ChangePasswordFinishResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn set_profile(
        &self,
        _: Request<SetProfileRequest>,
    ) -> Result<Response<SetProfileResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn show_profile(
        &self,
        _: Request<ShowProfileRequest>,
    ) -> Result<Response<ShowProfileResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn erase_profile(
        &self,
        _: Request<EraseProfileRequest>,
    ) -> Result<Response<EraseProfileResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn prepare_close(
        &self,
        _: Request<PrepareCloseRequest>,
    ) -> Result<Response<PrepareCloseResponse>, Status> {
        Ok(Response::new(PrepareCloseResponse { credential: vec![1, 2, 3].into() }))
    }

    async fn close(&self, _: Request<CloseAccountRequest>) -> Result<Response<CloseAccountResponse>, Status> {
        Ok(Response::new(CloseAccountResponse { receipt: vec![1, 2, 3].into(), ..Default::default() }))
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
        if let Some(code) = self.0.refuse.lock().unwrap().take() {
            return Err(status(code));
        }
        let scheme = Scheme::from_name(&request.scheme).unwrap();
        let public = PublicKey::parse(scheme, &request.public_key).unwrap();
        let is_own = request.mode == "self";
        let len = (request.public_key.len() as u32).to_be_bytes();
        let label = b"keyward/possession/v1";
        let codes = [if is_own { 3 } else { 2 }, scheme.code()];
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
        if is_own {
            assert!(request.sealed_private_key.is_empty());
            self.0.own.lock().unwrap().push(public.clone());
            return Ok(Response::new(key(&public, &request.alias)));
        }
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
    async fn show(&self, request: Request<ShowKeyRequest>) -> Result<Response<Key>, Status> {
        if let (name @ "imported", Some(held)) =
            (request.get_ref().key.as_str(), self.0.imported.lock().unwrap().last())
        {
            return Ok(Response::new(key(held.public_key(), name).key.unwrap()));
        }
        if let ("own", Some(public)) = (request.get_ref().key.as_str(), self.0.own.lock().unwrap().last()) {
            let shown = key(public, "own").key.unwrap();
            return Ok(Response::new(Key { mode: "self".into(), ..shown }));
        }
        Err(coded("KEY_UNKNOWN", Status::not_found("there is no key `x`")))
    }
    async fn freeze(&self, _: Request<ChangeKeyRequest>) -> Result<Response<KeyWithReceipt>, Status> {
        Err(coded("LEDGER_UNAVAILABLE", Status::unavailable("the ledger has no quorum")))
    }
    async fn unfreeze(&self, _: Request<ChangeKeyRequest>) -> Result<Response<KeyWithReceipt>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn export(&self, _: Request<ExportKeyRequest>) -> Result<Response<ExportKeyResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn rotate(&self, request: Request<RotateKeyRequest>) -> Result<Response<KeyWithReceipt>, Status> {
        let request = request.into_inner();
        let Some(rotate_key_request::To::Import(to)) = request.to else {
            return Err(Status::unimplemented("not needed"));
        };
        let is_own = to.mode == "self";
        let previous = match is_own {
            true => self.0.own.lock().unwrap().last().unwrap().clone(),
            false => self.0.imported.lock().unwrap().last().unwrap().public_key().clone(),
        };
        let scheme = previous.scheme();
        let public = PublicKey::parse(scheme, &to.public_key).unwrap();
        let len = (to.public_key.len() as u32).to_be_bytes();
        let codes = [if is_own { 3 } else { 2 }, scheme.code()];
        let message = [
            &[19],
            &b"keyward/rotation/v1"[..],
            &CHAIN,
            &ACCOUNT,
            &codes,
            &len,
            &to.public_key,
            &NONCE,
            &NOT_AFTER.to_be_bytes(),
            previous.id().as_bytes(),
        ]
        .concat();
        verify(&public, &message, &to.proof).unwrap();
        if is_own {
            verify(&previous, &message, &to.consent).unwrap();
            assert!(to.sealed_private_key.is_empty());
            self.0.own.lock().unwrap().push(public.clone());
            return Ok(Response::new(key(&public, &request.key)));
        }
        let binding =
            ImportBinding { chain_id: &CHAIN, account: &ACCOUNT, nonce: &NONCE, public_key: &public };
        let secret = self.0.sealing.open(&binding, &to.sealed_private_key).unwrap();
        let private = secret.expose(|secret| SigningKey::from_secret(scheme, secret)).unwrap();
        assert_eq!(private.public_key(), &public);
        self.0.imported.lock().unwrap().push(private);
        let other = SigningKey::generate(scheme).unwrap();
        let shown = if self.0.twist == Twist::SwappedKeyId { other.public_key() } else { &public };
        Ok(Response::new(key(shown, &request.key)))
    }
    async fn schedule_destruction(
        &self,
        _: Request<ScheduleDestructionRequest>,
    ) -> Result<Response<KeyWithReceipt>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn cancel_destruction(
        &self,
        _: Request<ChangeKeyRequest>,
    ) -> Result<Response<KeyWithReceipt>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn set_labels(&self, _: Request<SetLabelsRequest>) -> Result<Response<KeyWithReceipt>, Status> {
        Err(Status::unimplemented("not needed"))
    }
    async fn authorize(&self, _: Request<AuthorizeRequest>) -> Result<Response<AuthorizeResponse>, Status> {
        Ok(Response::new(AuthorizeResponse::default()))
    }
    async fn revoke(&self, _: Request<AuthorizeRequest>) -> Result<Response<AuthorizeResponse>, Status> {
        Ok(Response::new(AuthorizeResponse::default()))
    }
}

impl Face {
    fn signed(&self, request: SignRequest) -> SignResponse {
        let imported = self.0.imported.lock().unwrap();
        let key = imported.last().unwrap();
        let mut signature = match request.payload.unwrap() {
            Payload::Message(message) => key.sign_message(&message),
            Payload::Digest(digest) => key.sign_digest(&digest.as_ref().try_into().unwrap()),
        }
        .unwrap();
        if self.0.twist == Twist::ChangedSignature {
            signature[40] ^= 1;
        }
        SignResponse {
            signature: signature.into(),
            public_key: key.public_key().as_bytes().to_vec().into(),
            scheme: key.scheme().name().to_owned(),
            key_id: key.public_key().id().as_bytes().to_vec().into(),
            receipt: vec![1, 2, 3].into(),
            ..Default::default()
        }
    }

    fn mood(&self, request: &SignRequest) -> Option<Mood> {
        self.0.marks.lock().unwrap().push(request.idempotency_key.to_vec());
        self.0.moods.lock().unwrap().pop_front()
    }

    fn answer(&self, request: SignRequest, mood: Option<Mood>) -> SignStreamResponse {
        let tag = request.tag;
        let result = match mood {
            Some(Mood::Busy) => sign_stream_response::Result::Refusal(refusal(Code::ServiceBusy)),
            Some(Mood::Frozen) => sign_stream_response::Result::Refusal(refusal(Code::KeyFrozen)),
            _ => sign_stream_response::Result::Signed(self.signed(request)),
        };
        SignStreamResponse { tag, result: Some(result) }
    }
}

/// What a signature is answered with.
pub(crate) fn answer_of(key: &PublicKey, signature: Vec<u8>) -> SignResponse {
    SignResponse {
        signature: signature.into(),
        public_key: key.as_bytes().to_vec().into(),
        scheme: key.scheme().name().to_owned(),
        key_id: key.id().as_bytes().to_vec().into(),
        ..Default::default()
    }
}

fn refusal(code: Code) -> Refusal {
    Refusal {
        status: code.canonical().number(),
        code: code.name().into(),
        message: "no".into(),
        retry: code.retry(),
        retry_after_ms: u32::from(code.retry()),
    }
}

fn status(code: Code) -> Status {
    let mut status = Status::new(code.canonical().number().into(), "no");
    let retry = if code.retry() { "true" } else { "false" };
    status.metadata_mut().insert("keyward-code", code.name().parse().unwrap());
    status.metadata_mut().insert("keyward-retry", retry.parse().unwrap());
    status.metadata_mut().insert("keyward-retry-after-ms", "1".parse().unwrap());
    status
}

#[tonic::async_trait]
impl Signing for Face {
    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignResponse>, Status> {
        let request = request.into_inner();
        match self.mood(&request) {
            Some(Mood::Busy) => Err(status(Code::ServiceBusy)),
            Some(Mood::Frozen) => Err(status(Code::KeyFrozen)),
            Some(Mood::Gone) => Err(Status::unavailable("no route")),
            Some(Mood::Later) | None => Ok(Response::new(self.signed(request))),
        }
    }

    async fn begin(&self, request: Request<SignRequest>) -> Result<Response<BeginResponse>, Status> {
        self.0.marks.lock().unwrap().push(request.into_inner().idempotency_key.to_vec());
        let start = self.0.starts.lock().unwrap().pop_front();
        let result = start.map(begin_response::Result::ToSign);
        Ok(Response::new(BeginResponse { result }))
    }

    async fn finish(&self, request: Request<FinishRequest>) -> Result<Response<SignResponse>, Status> {
        let request = request.into_inner();
        self.0.finished.lock().unwrap().push(request.clone());
        let answer = self.0.answers.lock().unwrap().pop_front();
        let honest = || {
            let own = self.0.own.lock().unwrap();
            let key = own.last().unwrap();
            SignResponse { receipt: vec![1, 2, 3].into(), ..answer_of(key, request.signature.to_vec()) }
        };
        Ok(Response::new(answer.unwrap_or_else(honest)))
    }

    async fn sign_batch(
        &self,
        request: Request<SignBatchRequest>,
    ) -> Result<Response<SignBatchResponse>, Status> {
        let requests = request.into_inner().requests;
        assert!(requests.len() <= 256, "more than the service takes");
        let answers = requests.into_iter().map(|request| {
            let mood = self.mood(&request);
            self.answer(request, mood)
        });
        Ok(Response::new(SignBatchResponse { responses: answers.collect() }))
    }

    type SignStreamStream = ReceiverStream<Result<SignStreamResponse, Status>>;

    async fn sign_stream(
        &self,
        requests: Request<Streaming<SignRequest>>,
    ) -> Result<Response<Self::SignStreamStream>, Status> {
        let (answers, stream) = tokio::sync::mpsc::channel(1);
        let (face, mut requests) = (self.clone(), requests.into_inner());
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(request) = requests.message().await.unwrap() {
                match face.mood(&request) {
                    Some(Mood::Later) => held.push(request),
                    Some(Mood::Gone) => {
                        return drop(answers.send(Err(Status::unavailable("no route"))).await);
                    }
                    mood => {
                        answers.send(Ok(face.answer(request, mood))).await.unwrap();
                        for request in held.drain(..) {
                            answers.send(Ok(face.answer(request, None))).await.unwrap();
                        }
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
