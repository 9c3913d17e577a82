//! What can go wrong with a token, in words for the operator.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_domain::scheme::Scheme;
use thiserror::Error;

use crate::doing::millis;
use crate::types::{KeyKind, TokenName};

/// What the token's own library answered; its type stays in this room.
#[derive(Debug)]
pub struct DeviceCause(Cause);

#[derive(Debug)]
enum Cause {
    Answered(Box<cryptoki::error::Error>),
    /// In words: a module in a child process, or one that broke its own rules.
    Told(String),
}

impl DeviceCause {
    /// A cause in words.
    pub(crate) fn told(text: impl Into<String>) -> Self {
        Self(Cause::Told(text.into()))
    }
}

impl From<cryptoki::error::Error> for DeviceCause {
    fn from(error: cryptoki::error::Error) -> Self {
        Self(Cause::Answered(Box::new(error)))
    }
}

impl fmt::Display for DeviceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Answered(error) => error.fmt(f),
            Cause::Told(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DeviceCause {}

/// A call into a module that has lasted for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// What it was to do.
    pub what: String,
    /// For how many milliseconds it has lasted.
    pub ms: u64,
}

/// What a token says of the tries that are left; PKCS#11 has no number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinTries {
    /// The token does not say.
    Unknown,
    /// At least one wrong PIN was given.
    Low,
    /// The next wrong PIN locks it.
    Final,
}

impl fmt::Display for PinTries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the token does not say how many tries are left",
            Self::Low => "more than one try is left",
            Self::Final => "one try is left",
        })
    }
}

/// Why a token did not do what it was asked.
#[derive(Debug, Error)]
pub enum TokenError {
    /// There is no module.
    #[error(
        "no token module found; searched {}; build the bundled one with `cargo build --release`",
        list(searched)
    )]
    ModuleMissing {
        /// Every place searched, in order.
        searched: Vec<String>,
    },
    /// The module does not load or start.
    #[error("token module `{}` cannot be used", path.display())]
    ModuleUnusable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: DeviceCause,
    },
    /// The thread of the module could not be started.
    #[error("the thread of token module `{}` could not be started", path.display())]
    Thread {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No token of that name.
    #[error("no token `{wanted}`; present: {}", list(present))]
    TokenMissing {
        /// Label or serial looked for.
        wanted: TokenName,
        /// What is there, as `label (serial)`.
        present: Vec<String>,
    },
    /// Two tokens of that name.
    #[error("two tokens are called `{wanted}`: `{first}` and `{second}`; use the serial number")]
    TokenAmbiguous {
        /// Label or serial looked for.
        wanted: TokenName,
        /// One of them, as `label (serial)`.
        first: String,
        /// Another.
        second: String,
    },
    /// A token of that label is there already.
    #[error("a token `{label}` exists already")]
    TokenExists {
        /// The label.
        label: String,
    },
    /// No uninitialised token to use.
    #[error("the module has no free slot for another token")]
    NoFreeSlot {},
    /// A label that tokens cannot carry.
    #[error("the label `{label}` is empty or longer than 32 bytes")]
    LabelMalformed {
        /// The label.
        label: String,
    },
    /// No such key.
    #[error("no key {wanted} in token `{token}`")]
    KeyMissing {
        /// The token.
        token: TokenName,
        /// What was looked for.
        wanted: String,
    },
    /// Two keys match.
    #[error("two keys in token `{token}` match {wanted}: {first} and {second}; name it by its id")]
    KeyAmbiguous {
        /// The token.
        token: TokenName,
        /// What was looked for.
        wanted: String,
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// A key of that label is there already.
    #[error("token `{token}` holds a key `{label}` already")]
    KeyExists {
        /// The token.
        token: TokenName,
        /// The label.
        label: String,
    },
    /// The token cannot make such a key.
    #[error("token `{token}` cannot make a `{kind}` key")]
    KindNotOffered {
        /// The token.
        token: TokenName,
        /// The kind.
        kind: KeyKind,
        /// What the token said.
        #[source]
        source: Option<DeviceCause>,
    },
    /// Not a PIN.
    #[error("a pin has 1 to 256 bytes, not {len}")]
    PinMalformed {
        /// The length found.
        len: usize,
    },
    /// Not text.
    #[error("the pin is not utf-8")]
    PinEncoding {
        /// Where it ends to be text.
        #[source]
        source: std::str::Utf8Error,
    },
    /// The token refuses PINs of this length or alphabet.
    #[error("token `{token}` does not take a pin of this form")]
    PinForm {
        /// The token.
        token: TokenName,
        /// What the token said.
        #[source]
        source: DeviceCause,
    },
    /// The PIN is wrong.
    #[error("wrong pin for token `{token}`: {tries}")]
    PinWrong {
        /// The token.
        token: TokenName,
        /// What is left.
        tries: PinTries,
    },
    /// The same wrong PIN again; the token was not asked.
    #[error("this pin was refused by token `{token}` before and was not tried again")]
    PinRefusedBefore {
        /// The token.
        token: TokenName,
    },
    /// Too many PINs were guessed while the right one stands; the token was not asked.
    #[error(
        "token `{token}` is in use, and too many wrong pins were tried on it: it takes no other until the service starts again"
    )]
    PinGuessed {
        /// The token.
        token: TokenName,
    },
    /// The PIN is locked.
    #[error("the pin of token `{token}` is locked: its security officer must set a new one")]
    PinLocked {
        /// The token.
        token: TokenName,
    },
    /// No user PIN was set.
    #[error("token `{token}` has no user pin yet")]
    PinNotSet {
        /// The token.
        token: TokenName,
    },
    /// The token needs a login first.
    #[error("not logged in to token `{token}`")]
    NotLoggedIn {
        /// The token.
        token: TokenName,
    },
    /// The answer came too late, or not at all.
    #[error("token module `{}` did not answer within {deadline_ms} ms{}", path.display(), named(stuck.as_ref()))]
    Timeout {
        /// The module.
        path: PathBuf,
        /// The deadline.
        deadline_ms: u64,
        /// The call that keeps it, if one lasts for long; it may never return.
        stuck: Option<Stuck>,
    },
    /// The process that runs the module ended, or had to be ended; another one takes its place.
    #[error("the process of token module `{}` ended: {reason}", path.display())]
    HostEnded {
        /// The module.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// A PIN that the token takes once more before it locks; it is not given without being asked for.
    #[error("one try is left for the pin of token `{token}`: the pin held was not given; log in to it anew")]
    PinHeldBack {
        /// The token.
        token: TokenName,
    },
    /// Too many jobs wait.
    #[error("token module `{}` has too many jobs waiting", path.display())]
    Busy {
        /// The module.
        path: PathBuf,
    },
    /// The module's thread is gone.
    #[error("token module `{}` has stopped", path.display())]
    Stopped {
        /// The module.
        path: PathBuf,
    },
    /// The token has no mechanism for it.
    #[error("token `{token}` does not offer `{scheme}`")]
    SchemeNotOffered {
        /// The token.
        token: TokenName,
        /// The scheme.
        scheme: Scheme,
    },
    /// The key is of another kind.
    #[error("a `{kind}` key does not sign with `{scheme}`")]
    SchemeNotOfKey {
        /// The kind.
        kind: KeyKind,
        /// The scheme.
        scheme: Scheme,
    },
    /// A digest where the message is needed.
    #[error("`{scheme}` in token `{token}` signs the message itself, not a digest")]
    DigestNotSigned {
        /// The token.
        token: TokenName,
        /// The scheme.
        scheme: Scheme,
    },
    /// The token produced something that is no signature.
    #[error("token `{token}` produced {len} bytes that are no `{scheme}` signature")]
    SignatureForm {
        /// The token.
        token: TokenName,
        /// The scheme.
        scheme: Scheme,
        /// How many bytes.
        len: usize,
    },
    /// The envelope does not open.
    #[error("token `{token}` does not open the envelope: it was changed, or belongs to something else")]
    DecryptRefused {
        /// The token.
        token: TokenName,
        /// What the token said.
        #[source]
        source: DeviceCause,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anything else, after one new beginning if that could help.
    #[error("token `{token}` failed to {what}")]
    Device {
        /// The token, or the module.
        token: String,
        /// What it was doing.
        what: Cow<'static, str>,
        /// What it said.
        #[source]
        source: DeviceCause,
    },
}

impl TokenError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ModuleMissing { .. } => "TOKEN_MODULE_MISSING",
            Self::ModuleUnusable { .. } | Self::Thread { .. } => "TOKEN_MODULE_UNUSABLE",
            Self::TokenMissing { .. } => "TOKEN_MISSING",
            Self::TokenAmbiguous { .. } => "TOKEN_AMBIGUOUS",
            Self::TokenExists { .. } => "TOKEN_EXISTS",
            Self::NoFreeSlot {} => "TOKEN_NO_FREE_SLOT",
            Self::LabelMalformed { .. } => "LABEL_MALFORMED",
            Self::KeyMissing { .. } => "TOKEN_KEY_MISSING",
            Self::KeyAmbiguous { .. } => "TOKEN_KEY_AMBIGUOUS",
            Self::KeyExists { .. } => "TOKEN_KEY_EXISTS",
            Self::KindNotOffered { .. } => "TOKEN_KIND_NOT_OFFERED",
            Self::PinMalformed { .. } | Self::PinEncoding { .. } | Self::PinForm { .. } => "PIN_MALFORMED",
            Self::PinWrong { .. } => "PIN_WRONG",
            Self::PinRefusedBefore { .. } => "PIN_REFUSED_BEFORE",
            Self::PinGuessed { .. } => "PIN_GUESSED",
            Self::PinLocked { .. } => "PIN_LOCKED",
            Self::PinNotSet { .. } => "PIN_NOT_SET",
            Self::NotLoggedIn { .. } | Self::PinHeldBack { .. } => "TOKEN_NOT_LOGGED_IN",
            Self::HostEnded { .. } => "TOKEN_HOST_ENDED",
            Self::Timeout { .. } => "TIMEOUT",
            Self::Busy { .. } => "TOKEN_BUSY",
            Self::Stopped { .. } => "TOKEN_STOPPED",
            Self::SchemeNotOffered { .. } | Self::SchemeNotOfKey { .. } => "SCHEME_NOT_OFFERED",
            Self::DigestNotSigned { .. } => "DIGEST_NOT_SIGNED",
            Self::SignatureForm { .. } => "TOKEN_SIGNATURE_MALFORMED",
            Self::DecryptRefused { .. } => "ENVELOPE_REFUSED",
            Self::Randomness { .. } => "RANDOMNESS_UNAVAILABLE",
            Self::Device { .. } => "TOKEN_DEVICE_ERROR",
        }
    }

    /// Whether the same request can succeed later without anybody changing anything.
    pub const fn retryable(&self) -> bool {
        matches!(
            self,
            Self::TokenMissing { .. }
                | Self::Timeout { .. }
                | Self::Busy { .. }
                | Self::Device { .. }
                | Self::HostEnded { .. }
        )
    }

    /// Whether something may have been made although this was answered: a job that begins again after a loss may meet
    /// almost anything the second time.
    pub(crate) const fn is_unclear(&self) -> bool {
        !matches!(self, Self::KeyExists { .. } | Self::LabelMalformed { .. } | Self::Busy { .. })
    }

    pub(crate) fn late(path: &Path, deadline: Duration, stuck: Option<Stuck>) -> Self {
        Self::Timeout { path: path.to_owned(), deadline_ms: millis(deadline), stuck }
    }
}

fn named(stuck: Option<&Stuck>) -> String {
    let Some(Stuck { what, ms }) = stuck else { return String::new() };
    format!("; a call of it to {what} has lasted for {ms} ms")
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::from("none");
    }
    items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}
