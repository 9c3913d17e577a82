//! What can go wrong on the user's side, in words for people.

use std::error::Error;

use keyward_crypto::{ImportError, OpaqueError, SignError, SigningKeyError};
use keyward_domain::Code;
use keyward_domain::meaning::MeaningError;
use keyward_domain::scheme::SignatureError;
use keyward_ledger_verify::Failure;
use thiserror::Error as ThisError;
use tonic::transport;

use crate::device::DeviceError;
use crate::evidence::EvidenceError;

/// A refusal by the service, with its trailers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Canonical gRPC status.
    pub status: i32,
    /// The stable code, if this version knows it.
    pub code: Option<Code>,
    /// The stable code as sent (`keyward-code`).
    pub code_name: String,
    /// What happened, and what to do next.
    pub message: String,
    /// What to tell the operator (`keyward-request-id`).
    pub request_id: String,
    /// Whether the same request can succeed later (`keyward-retry`).
    pub retry: bool,
    /// How long to wait before that (`keyward-retry-after-ms`).
    pub retry_after_ms: Option<u32>,
}

/// Why a call did not succeed.
#[derive(Debug, ThisError)]
pub enum ClientError {
    /// Address or certificates cannot be used as they are.
    #[error("the address `{address}` or the certificates for it cannot be used")]
    Connection {
        /// The address.
        address: String,
        /// What is wrong.
        #[source]
        source: transport::Error,
    },
    /// Nobody answers.
    #[error("the service at `{address}` does not answer")]
    Unreachable {
        /// The address.
        address: String,
        /// What the network said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Somebody answers, but not with a certificate of our authority.
    #[error("what answers at `{address}` is not certified by the authority of the profile")]
    ServerUnknown {
        /// The address.
        address: String,
        /// What TLS said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The service ends the handshake because of our certificate.
    #[error("the service at `{address}` refuses our certificate")]
    CertificateRefused {
        /// The address.
        address: String,
        /// What TLS said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The proxy did not open a tunnel.
    #[error("there is no way to `{address}` through the proxy")]
    Proxy {
        /// The address.
        address: String,
        /// What the proxy said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The service refused.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// A mark has the wrong length.
    #[error("a mark has 1 to 64 bytes, not {len}")]
    Mark {
        /// Its length.
        len: usize,
    },
    /// The stream has ended, and an order on it was not answered.
    #[error("the stream has ended before every order was answered")]
    StreamEnded,
    /// The password cannot be one.
    #[error("a password has 1 to 1024 bytes, not {len}")]
    Password {
        /// Its length.
        len: usize,
    },
    /// The login failed on this side: wrong password, unknown user, or a service that does not know us.
    #[error("user name or password is wrong")]
    WrongPassword(#[source] OpaqueError),
    /// A step of registration or login failed.
    #[error("the password protocol failed")]
    Opaque(#[source] OpaqueError),
    /// The thread that stretches passwords failed.
    #[error("stretching the password failed")]
    Stretch(#[source] tokio::task::JoinError),
    /// A session token is not one.
    #[error("a session token has 32 bytes, not {len}")]
    SessionMalformed {
        /// Its length.
        len: usize,
    },
    /// The answer does not have the form that was promised.
    #[error("the service's answer is malformed: {what}")]
    Answer {
        /// What is wrong.
        what: &'static str,
    },
    /// A challenge for another ledger.
    #[error("the service speaks for ledger `{found}`, the trust file for `{expected}`: nothing was signed")]
    OtherChain {
        /// The chain id of the trust file.
        expected: String,
        /// The chain id of the challenge.
        found: String,
    },
    /// A challenge for another account.
    #[error("the challenge is for another account than the session's: nothing was signed")]
    OtherAccount,
    /// The ledger has another credential than this login's.
    #[error("the ledger knows another password already: an earlier change of it is about to count")]
    ChangePending,
    /// The trust file cannot be used.
    #[error("the trust file cannot be used")]
    Trust(#[source] Failure),
    /// Something is to be signed for a ledger that nothing here names.
    #[error("nothing here names the ledger that this would be signed for")]
    TrustMissing,
    /// A receipt does not verify.
    #[error("the receipt does not verify")]
    Receipt(#[source] Failure),
    /// A receipt verifies, but not for this.
    #[error("the receipt is for something else: {what}")]
    ReceiptMismatch {
        /// What differs.
        what: &'static str,
    },
    /// A receipt verifies: the ledger has recorded the entry as refused.
    #[error(transparent)]
    RefusedByLedger(EvidenceError),
    /// The service handed out a signature that does not verify.
    #[error("the signature from the service does not verify")]
    Signature(#[source] SignatureError),
    /// The key could not be made.
    #[error("the key could not be made")]
    Key(#[source] SigningKeyError),
    /// The proof of possession could not be made.
    #[error("the proof of possession could not be made")]
    Proof(#[source] SignError),
    /// The message could not be signed on this side.
    #[error("the message could not be signed")]
    Sign(#[source] SignError),
    /// The payload is not of the format that it is said to be.
    #[error("the payload does not read as said")]
    Payload(#[source] MeaningError),
    /// Signers of the payload do not sign so many digests.
    #[error("signers of this payload sign {0} digests")]
    NoSuchDigest(usize),
    /// A message that means something to Keyward itself.
    #[error("the message begins like a proof of Keyward's own: it is never signed as a payload")]
    Reserved,
    /// A key on this device failed.
    #[error("the key on this device cannot be used")]
    Device(#[from] DeviceError),
    /// The key could not be sealed to the service.
    #[error("the key could not be sealed to the service")]
    Seal(#[source] ImportError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[source] getrandom::Error),
}

impl ClientError {
    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code_name),
            Self::WrongPassword(_) => Some(Code::LoginFailed.name()),
            Self::RefusedByLedger(error) => Some(error.code("RECEIPT_INVALID", "RECEIPT_INVALID")),
            _ => None,
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.retry,
            Self::Unreachable { .. } | Self::Proxy { .. } => true,
            _ => false,
        }
    }

    /// Whether service or ledger could not be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.status == tonic::Code::Unavailable as i32,
            Self::Unreachable { .. }
            | Self::ServerUnknown { .. }
            | Self::CertificateRefused { .. }
            | Self::Proxy { .. } => true,
            _ => false,
        }
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => refusal.code.map(Code::remedy),
            Self::Connection { .. } => Some("correct the profile"),
            Self::Proxy { .. } => Some("correct `proxy` in the profile, or `https_proxy`"),
            Self::Unreachable { .. } => Some("see whether the service runs, then try again"),
            Self::ServerUnknown { .. } => Some("use the profile that belongs to this service"),
            Self::CertificateRefused { .. } => {
                Some("use a profile whose certificate is from the service's own authority")
            }
            Self::WrongPassword(_) => Some(Code::LoginFailed.remedy()),
            Self::Device(DeviceError::PartMissing { .. }) => Some(
                "use the device that the key was made on, or recover your share from its vault and have this device take the \
                 other's place (`keyward key shared replace-device`)",
            ),
            Self::Device(DeviceError::Missing { .. }) => {
                Some("use the device that the key was made on, or recover it from its vault")
            }
            Self::Device(DeviceError::Closed { .. }) => Some(
                "the file opens with the password that sealed it: recover the key from its vault if that is gone",
            ),
            Self::Device(DeviceError::Busy { .. }) => Some("try again when the other command has ended"),
            Self::Device(DeviceError::Alias { .. }) => Some(
                "nothing was signed: name the key by its id, and ask the operator why the service names another one",
            ),
            Self::ChangePending => Some(
                "wait a minute, and log in with the password of that change; if it is refused, tell the operator",
            ),
            Self::Payload(_) => Some("correct the format, or the payload"),
            Self::NoSuchDigest(_) => Some("say which of them is to be signed, from 0"),
            Self::TrustMissing => Some("give the profile the ledger's trust file"),
            Self::Reserved => {
                Some("sign something else: with this key, such a message is a word of its holder")
            }
            Self::RefusedByLedger(error) => Some(error.remedy(
                "nothing was changed: the service showed the record of a refusal, tell its operator",
            )),
            Self::OtherChain { .. } | Self::Receipt(_) | Self::ReceiptMismatch { .. } => {
                Some("compare the trust file with the ledger's operators")
            }
            _ => None,
        }
    }
}
