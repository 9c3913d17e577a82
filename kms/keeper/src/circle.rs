//! How a keeper reaches the other keepers of a vault, and how often they deal its shares anew.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use keyward_crypto::vault::Dealing;
use keyward_ledger_client::{Identity, channel};
use keyward_ledger_core::hash::Hash;
use keyward_proto::custody::{ConferRequest, keepers_client::KeepersClient};
use thiserror::Error;
use tonic::transport::Channel;

use crate::word::Said;

/// How often shares are dealt anew where nothing else is said: 30 days.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The longest answer: what a keeper hands out to sixteen.
const ANSWER_BYTES_MAX: usize = 512 << 10;
/// How long another keeper may take.
const TIME_OUT: Duration = Duration::from_secs(10);
/// Channels at most: addresses change.
const CHANNELS_MAX: usize = 128;
/// Dealings remembered at most.
const DEALINGS_MAX: usize = 64;

/// Another keeper gave no answer.
#[derive(Debug, Error)]
#[error("the keeper at `{address}` gave no answer")]
pub struct CircleError {
    /// Its address.
    pub address: String,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
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
                Ok(Err(status)) => Err(silent(status.into())),
                Err(elapsed) => Err(silent(elapsed.into())),
            }
        })
    }
}

/// The circle that a keeper has joined.
#[derive(Clone)]
pub(crate) struct Joined {
    pub(crate) circle: Arc<dyn Circle>,
    pub(crate) interval_ms: u64,
}

/// What was handed out, so that who asks again is handed the same. After a stop it is forgotten, and the run with it.
#[derive(Debug, Default)]
pub(crate) struct Dealings(Mutex<VecDeque<(Hash, Dealing)>>);

impl Dealings {
    pub(crate) fn find(&self, run: &Hash) -> Option<Dealing> {
        let dealings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        dealings.iter().find(|(known, _)| known == run).map(|(_, dealing)| dealing.clone())
    }

    /// Remembers what was handed out first.
    pub(crate) fn remember(&self, run: Hash, dealing: Dealing) -> Dealing {
        let mut dealings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, first)) = dealings.iter().find(|(known, _)| *known == run) {
            return first.clone();
        }
        if dealings.len() >= DEALINGS_MAX {
            dealings.pop_front();
        }
        dealings.push_back((run, dealing.clone()));
        dealing
    }
}
