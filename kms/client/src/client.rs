//! The handle that all calls are made with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use keyward_crypto::Stretch;
use keyward_domain::Code;
use keyward_proto::custody::accounts_client::AccountsClient;
use keyward_proto::custody::admin_client::AdminClient;
use keyward_proto::custody::keys_client::KeysClient;
use keyward_proto::custody::signing_client::SigningClient;
use keyward_proto::custody::tokens_client::TokensClient;
use keyward_proto::custody::{AdminStatusRequest, AdminStatusResponse, Notice, NoticesRequest};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::connection::{self, Connection};
use crate::error::{ClientError, Refusal};
use crate::proxy::Proxy;
use crate::receipts::Trusted;

/// How long a call may take: the ledger's own limit and some more.
pub const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// The longest that a caller may wait.
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A full batch of receipts is longer than the library's 4 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const SESSION_BYTES: usize = 32;
const IDEMPOTENCY_BYTES: usize = 16;

/// A connected service; clones share the connection.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    address: Arc<str>,
    session: Option<MetadataValue<Ascii>>,
    pub(crate) account: Option<[u8; 32]>,
    pub(crate) trusted: Option<Arc<Trusted>>,
    pub(crate) stretch: Stretch,
    pub(crate) deadline: Duration,
    pub(crate) tries: u32,
}

impl Client {
    /// Connects.
    pub async fn connect(connection: &Connection) -> Result<Self, ClientError> {
        Ok(Self::over(connection::connect(connection, None).await?, &connection.address))
    }

    /// Connects, through a proxy where one is given.
    pub async fn connect_through(
        connection: &Connection,
        proxy: Option<&Proxy>,
    ) -> Result<Self, ClientError> {
        Ok(Self::over(connection::connect(connection, proxy).await?, &connection.address))
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Calls over a channel that was made elsewhere.
    pub fn over(channel: Channel, address: &str) -> Self {
        Self {
            channel,
            address: address.into(),
            session: None,
            account: None,
            trusted: None,
            stretch: Stretch::Standard,
            deadline: CALL_DEADLINE,
            tries: 1,
        }
    }

    /// From now on, receipts are verified against this trust file before anything is returned, and
    /// challenges of another ledger are refused.
    pub fn with_trust(self, trust_file: &[u8]) -> Result<Self, ClientError> {
        Ok(Self { trusted: Some(Arc::new(Trusted::parse(trust_file)?)), ..self })
    }

    /// From now on, calls are made in this session (32 bytes).
    pub fn with_session(self, token: &[u8]) -> Result<Self, ClientError> {
        if token.len() != SESSION_BYTES {
            return Err(ClientError::SessionMalformed { len: token.len() });
        }
        let digits = Zeroizing::new(hex::encode(token));
        let text = Zeroizing::new(format!("Bearer {}", digits.as_str()));
        let Ok(mut value) = MetadataValue::try_from(text.as_str()) else {
            return Err(ClientError::SessionMalformed { len: token.len() }); // hex is always a value
        };
        value.set_sensitive(true);
        Ok(Self { session: Some(value), ..self })
    }

    /// From now on, challenges for another account than this are refused.
    pub fn with_account(self, account: [u8; 32]) -> Self {
        Self { account: Some(account), ..self }
    }

    /// From now on, calls may take so long, tries and the pauses between them included. The service does not begin
    /// what comes later; what it has begun runs to its end, and the order's mark finds it. A day at most.
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline: deadline.min(DEADLINE_MAX), ..self }
    }

    /// From now on, orders are sent up to so often: again when the service says that this may help, or does not
    /// answer. Their marks see to it that they are done once.
    pub fn with_tries(self, tries: u32) -> Self {
        Self { tries: tries.max(1), ..self }
    }

    /// Another stretching of passwords: for tests.
    pub fn with_stretch(self, stretch: Stretch) -> Self {
        Self { stretch, ..self }
    }

    /// Accounts, for calls made by hand.
    pub fn accounts(&self) -> AccountsClient<Channel> {
        AccountsClient::new(self.channel.clone())
    }

    /// Keys, for calls made by hand.
    pub fn keys(&self) -> KeysClient<Channel> {
        KeysClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Signing, for calls made by hand: batches and streams.
    pub fn signing(&self) -> SigningClient<Channel> {
        SigningClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Tokens, for calls made by hand.
    pub fn tokens(&self) -> TokensClient<Channel> {
        TokensClient::new(self.channel.clone())
    }

    /// The operator's calls, for calls made by hand.
    pub fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone())
    }

    /// A request with deadline and session.
    pub fn request<T>(&self, message: T) -> Request<T> {
        self.request_within(message, self.deadline)
    }

    pub(crate) fn request_within<T>(&self, message: T, time: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(time);
        self.sign_in(&mut request);
        request
    }

    /// Shows the session, if there is one.
    pub(crate) fn sign_in<T>(&self, request: &mut Request<T>) {
        if let Some(session) = &self.session {
            request.metadata_mut().insert("authorization", session.clone());
        }
    }

    /// What a status means; its trailers are parsed.
    pub fn refusal(&self, status: Status) -> ClientError {
        let trailer = |name: &str| {
            let value = status.metadata().get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let Some(code_name) = trailer("keyward-code") else { return self.without_code(status) };
        ClientError::Refused(Refusal {
            status: i32::from(status.code()),
            code: Code::from_name(&code_name),
            code_name,
            message: status.message().to_owned(),
            request_id: trailer("keyward-request-id").unwrap_or_default(),
            retry: trailer("keyward-retry").is_some_and(|value| value == "true"),
            retry_after_ms: trailer("keyward-retry-after-ms").and_then(|value| value.parse().ok()),
        })
    }

    /// What the operator asks of the service.
    pub async fn status(&self) -> Result<AdminStatusResponse, ClientError> {
        let answer = self.admin().status(self.request(AdminStatusRequest {})).await;
        self.answer(answer)
    }

    /// Notices to owners that were not delivered, at most 1000, for operators.
    pub async fn undelivered_notices(&self) -> Result<Vec<Notice>, ClientError> {
        Ok(self.answer(self.admin().notices(self.request(NoticesRequest {})).await)?.notices)
    }

    pub(crate) fn answer<T>(&self, result: Result<Response<T>, Status>) -> Result<T, ClientError> {
        match result {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(self.refusal(status)),
        }
    }

    /// Nobody of ours said this: the connection broke, the deadline passed, or a stranger answered.
    fn without_code(&self, status: Status) -> ClientError {
        use tonic::Code as Grpc;
        match status.code() {
            Grpc::Unavailable | Grpc::Unknown | Grpc::Cancelled | Grpc::DeadlineExceeded => {
                connection::broken(&self.address, Box::new(status))
            }
            code => ClientError::Refused(Refusal {
                status: i32::from(code),
                code: None,
                code_name: String::new(),
                message: status.message().to_owned(),
                request_id: String::new(),
                retry: false,
                retry_after_ms: None,
            }),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.address)
    }
}

/// A fresh mark on a write, so that a repetition by the transport is done once.
pub(crate) fn idempotency_key() -> Result<tonic::codegen::Bytes, ClientError> {
    let mut mark = vec![0; IDEMPOTENCY_BYTES];
    getrandom::fill(&mut mark).map_err(ClientError::Randomness)?;
    Ok(mark.into())
}

/// 32 bytes of an answer.
pub(crate) fn bytes32(what: &'static str, bytes: &[u8]) -> Result<[u8; 32], ClientError> {
    <[u8; 32]>::try_from(bytes).ok().ok_or(ClientError::Answer { what })
}
