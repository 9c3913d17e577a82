//! How a keeper reaches the other keepers of a vault, and how often they deal its shares anew.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_client::{Identity, channel};
use keyward_ledger_core::hash::Hash;
use keyward_proto::custody::{ConferRequest, keepers_client::KeepersClient};
use thiserror::Error;
use tonic::{Status, transport::Channel};

use crate::{agenda::Agenda, word::Said};

/// How often shares are dealt anew where nothing else is said: 30 days.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The longest answer: what a keeper hands out to sixteen.
const ANSWER_BYTES_MAX: usize = 512 << 10;
/// How long another keeper may take.
const TIME_OUT: Duration = Duration::from_secs(10);
/// Channels at most: addresses change.
const CHANNELS_MAX: usize = 128;
/// Another keeper gave no answer, or refused.
#[derive(Debug, Error)]
#[error("the keeper at `{address}` did not do what it was asked")]
pub struct CircleError {
    /// Its address.
    pub address: String,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl CircleError {
    /// Whether it was there, and refused.
    pub fn is_refusal(&self) -> bool {
        self.source.is::<Refused>()
    }
}

/// What another keeper said instead of doing what it was asked.
#[derive(Debug, Error)]
#[error("it refuses with {code}: {message}")]
pub struct Refused {
    /// Its stable code.
    pub code: String,
    /// What it said.
    pub message: String,
}

/// An answer of another keeper that comes.
pub type Heard<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, CircleError>> + Send + 'a>>;

/// The way to other keepers. Who carries words may change, lose or repeat them: they are signed, and so is what answers
/// them.
pub trait Circle: Send + Sync {
    /// Says something to the keeper at an address.
    fn say<'a>(&'a self, address: &'a str, said: Said) -> Heard<'a>;
}

/// The way over the keepers' own ports.
pub struct Peers {
    identity: Identity,
    open: Mutex<HashMap<String, Channel>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peers")
    }
}

impl Peers {
    /// Dials other keepers as this identity, with which the ledger is asked too.
    pub fn new(identity: Identity) -> Self {
        Self { identity, open: Mutex::default() }
    }

    fn client(
        &self,
        address: &str,
    ) -> Result<KeepersClient<Channel>, Box<dyn std::error::Error + Send + Sync>> {
        if !address.starts_with("https://") {
            return Err("no https address".into());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match open.get(address) {
            Some(found) => found.clone(),
            None => {
                let made = channel(address, &self.identity, None)?;
                if open.len() >= CHANNELS_MAX {
                    open.clear();
                }
                open.insert(address.to_owned(), made.clone());
                made
            }
        };
        let client = KeepersClient::new(found);
        Ok(client.max_decoding_message_size(ANSWER_BYTES_MAX).max_encoding_message_size(ANSWER_BYTES_MAX))
    }
}

/// A keeper's refusal carries its code; anything else is the way's.
fn refusal(status: Status) -> Box<dyn std::error::Error + Send + Sync> {
    match status.metadata().get("keyward-code").and_then(|code| code.to_str().ok()) {
        Some(code) if code != "KEEPER_UNAVAILABLE" => {
            Refused { code: code.to_owned(), message: status.message().to_owned() }.into()
        }
        _ => status.into(),
    }
}

impl Circle for Peers {
    fn say<'a>(&'a self, address: &'a str, said: Said) -> Heard<'a> {
        Box::pin(async move {
            let silent = |source| CircleError { address: address.to_owned(), source };
            let mut keeper = self.client(address).map_err(silent)?;
            let Said { from, time_ms, word, signature } = said;
            let request = ConferRequest {
                from: Bytes::copy_from_slice(&from),
                time_ms,
                word: word.into(),
                signature: Bytes::copy_from_slice(&signature),
            };
            match tokio::time::timeout(TIME_OUT, keeper.confer(request)).await {
                Ok(Ok(answer)) => Ok(answer.into_inner().answer.to_vec()),
                Ok(Err(status)) => Err(silent(refusal(status))),
                Err(elapsed) => Err(silent(elapsed.into())),
            }
        })
    }
}

/// The circle that a keeper has joined.
pub(crate) struct Joined {
    pub(crate) circle: Arc<dyn Circle>,
    pub(crate) interval_ms: u64,
    /// Keepers that kept silent in this round: nobody waits for them twice.
    pub(crate) silent: Mutex<BTreeSet<Hash>>,
    /// Keepers that promised and did not acknowledge: they are asked before the others commit themselves.
    pub(crate) doubtful: Mutex<BTreeSet<Hash>>,
    pub(crate) agenda: Agenda,
}

/// The shortest and the longest turn.
const TURN_MS: std::ops::RangeInclusive<u64> = 2_000..=600_000;

impl Joined {
    pub(crate) fn new(circle: Arc<dyn Circle>, interval: Duration) -> Self {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let (silent, doubtful) = (Mutex::default(), Mutex::default());
        Self { circle, interval_ms, silent, doubtful, agenda: Agenda::default() }
    }

    /// How long one keeper alone begins renewals of a vault, before the next one may: ten minutes, unless shares are dealt
    /// anew more often than a day.
    pub(crate) fn turn_ms(&self) -> u64 {
        (self.interval_ms / 100).clamp(*TURN_MS.start(), *TURN_MS.end())
    }
}
