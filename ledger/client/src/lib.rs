//! Talks to the validators: submits, waits for finality, and verifies before it returns.
//!
//! Nothing a validator says is believed without proof under the trust file, but for `status`, which is
//! labelled so. Requests go to one validator and to the next when it does not answer; a batch may go to
//! several, for the ledger records it once.

mod checkpoint;
mod committer;
mod connection;
mod dial;
mod error;
mod find;
mod following;
mod outcome;
mod proof;
mod read;
mod served;
mod submit;
mod together;
mod turn;
mod unheard;
mod watching;

#[cfg(test)]
mod world;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use keyward_ledger_core::{
    genesis::Genesis,
    hash::Hash,
    receipt::{Released, encode_receipt},
    trust::Trust,
};
use keyward_ledger_verify::SetTracker;
use keyward_proto::ledger::GetGenesisRequest;

pub use checkpoint::MergedCheckpoint;
pub use committer::Committer;
pub use connection::{ConnectionError, Identity, channel};
pub use dial::{Dial, Dialled};
pub use error::{ClientError, CommitError};
pub use find::{FOUND_MAX, Found};
pub use keyward_proto::ledger::{Alarm, StatusResponse as Status};
pub use outcome::Progress;
pub use proof::{CertifiedHeader, ProofError};
pub use read::{LAG_MAX, VerifiedBlock, VerifiedState};
pub use together::{KEYS_MAX, LEAVES_MAX, VerifiedRead};
pub use unheard::UNHEARD_BLOCKS;

use connection::Node;
use keyward_ledger_core::{outcome::Outcome, record::Record};
use proof::{Checker, Proven};

/// Default of [`Config::deadline`].
pub const DEADLINE: Duration = Duration::from_secs(5);

/// What a client is made from.
#[derive(Debug)]
pub struct Config {
    /// The validators' gRPC addresses, `https://host:port`.
    pub nodes: Vec<String>,
    /// Who the client is in TLS.
    pub identity: Identity,
    /// Which ledger is meant.
    pub trust: Trust,
    /// How long a submission waits for finality.
    pub deadline: Duration,
    /// How connections are opened where that is not straight: through a proxy.
    pub dial: Option<Arc<dyn Dial>>,
}

/// A client of the ledger. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    nodes: Vec<Node>,
    /// The validator that answered last.
    preferred: AtomicUsize,
    genesis: Genesis,
    trust: Trust,
    checker: Checker,
    height: AtomicU64,
    deadline: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("nodes", &self.0.nodes.len()).field("height", &self.height()).finish()
    }
}

impl Client {
    /// Asks the validators for their genesis document and holds it against the trust file.
    pub async fn connect(config: Config) -> Result<Self, ClientError> {
        let nodes = connection::channels(&config.nodes, &config.identity, config.dial.as_ref())?;
        let (mut reasons, mut refuted) = (Vec::new(), None);
        for node in &nodes {
            let mut rpc = node.rpc.clone();
            match in_time(config.deadline, node, rpc.get_genesis(GetGenesisRequest {})).await {
                // One that lies is passed over: the others may be honest.
                Ok(answer) => match proven_genesis(&config.trust, &answer.genesis) {
                    Ok((genesis, tracker)) => return Ok(Self::of(config, nodes, genesis, tracker)),
                    Err(error) => refuted = Some(error),
                },
                Err(reason) => reasons.push(reason),
            }
        }
        Err(refuted.unwrap_or(ClientError::Unreachable { reasons: reasons.join("; ") }))
    }

    fn of(config: Config, nodes: Vec<Node>, genesis: Genesis, tracker: SetTracker) -> Self {
        let checker = Checker::new(tracker, genesis.proof());
        Self(Arc::new(Inner {
            nodes,
            preferred: AtomicUsize::new(0),
            genesis,
            trust: config.trust,
            checker,
            height: AtomicU64::new(0),
            deadline: config.deadline,
        }))
    }

    /// The genesis hash.
    pub fn chain_id(&self) -> Hash {
        *self.0.genesis.chain_id()
    }

    /// The genesis document, proven by the trust file.
    pub fn genesis(&self) -> &Genesis {
        &self.0.genesis
    }

    /// What the client trusts.
    pub fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// The newest height that was proven to this client.
    pub fn height(&self) -> u64 {
        self.0.height.load(Ordering::Relaxed)
    }

    fn saw(&self, header: &CertifiedHeader) {
        self.0.height.fetch_max(header.block.header().height, Ordering::Relaxed);
    }

    /// The validator that answered last.
    fn preferred(&self) -> usize {
        self.0.preferred.load(Ordering::Relaxed)
    }

    /// The validators in the order in which to ask them.
    fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes_from(self.preferred())
    }

    fn nodes_from(&self, first: usize) -> impl Iterator<Item = (usize, &Node)> {
        let count = self.0.nodes.len();
        (0..count).filter_map(move |step| {
            let index = (first + step) % count;
            self.0.nodes.get(index).map(|node| (index, node))
        })
    }

    /// How many of the validators that this client knows may lie together.
    pub(crate) fn liars_max(&self) -> usize {
        self.0.nodes.len().saturating_sub(1) / 3
    }

    fn prefer(&self, index: usize) {
        self.0.preferred.store(index, Ordering::Relaxed);
    }
}

/// A genesis document, if it is the one that is trusted.
fn proven_genesis(trust: &Trust, bytes: &[u8]) -> Result<(Genesis, SetTracker), ClientError> {
    let genesis = Genesis::decode(bytes).map_err(ClientError::Genesis)?;
    let tracker = SetTracker::new(trust.clone(), &genesis.proof()).map_err(ClientError::OtherLedger)?;
    Ok((genesis, tracker))
}

/// A node's answer, or why there is none: one that holds the line and says nothing holds nobody up.
async fn in_time<T>(
    deadline: Duration,
    node: &Node,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, String> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(describe(node, &status)),
        Err(_elapsed) => Err(format!("{}: no answer in time", node.address)),
    }
}

/// What a validator said, with every cause: a TLS alert is the last of several.
fn describe(node: &Node, status: &tonic::Status) -> String {
    let mut text = format!("{}: {}", node.address, status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A final record with its proof.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What the ledger answered to the entry.
    pub outcome: Outcome,
    /// The height of its block.
    pub height: u64,
    /// The time of that block, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its index in the log.
    pub leaf_index: u64,
    record: Arc<Parts>,
    header: Arc<CertifiedHeader>,
}

#[derive(Debug)]
struct Parts {
    record: Record,
    leaf: Vec<u8>,
    path: Vec<Hash>,
}

impl Recorded {
    fn new(proven: Proven, header: Arc<CertifiedHeader>) -> Self {
        let Proven { record, leaf, leaf_index, path } = proven;
        Self {
            outcome: record.outcome.clone(),
            height: record.height,
            time_ms: record.time_ms,
            leaf_index,
            record: Arc::new(Parts { record, leaf, path }),
            header,
        }
    }

    /// The record.
    pub fn record(&self) -> &Record {
        &self.record.record
    }

    /// The header under which it was proven.
    pub fn header(&self) -> &CertifiedHeader {
        &self.header
    }

    /// The receipt's exact bytes, with what the intent released if it is for a signature.
    pub fn receipt(&self, released: Option<Released>) -> Vec<u8> {
        let (record, path) = (&self.record.leaf, &self.record.path);
        encode_receipt(record, self.leaf_index, path, &self.header.encoded, released.as_ref())
    }
}
