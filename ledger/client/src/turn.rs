//! Streams from one validator at a time: whose turn it is, how long it may say nothing, and how often all are asked.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::{
    Client, ClientError,
    connection::Node,
    describe,
    error::{may_ask_another, refused},
    read::Rpc,
};

/// How often each validator is asked without one of them sending what is believed.
const ROUNDS_MAX: usize = 3;
/// The least number of times that somebody is asked, however few there are.
const TRIES_MIN: usize = 6;
/// Time between two tries.
pub(crate) const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });
/// How long a validator may say nothing, in times of the client's deadline: an idle ledger makes a block every few
/// hundred milliseconds.
const SILENCE_DEADLINES: u32 = 2;

/// The validator that is asked.
pub(crate) struct Turn {
    pub(crate) client: Client,
    /// Counted on without end.
    at: usize,
}

impl Turn {
    pub(crate) fn of(client: &Client, at: usize) -> Self {
        Self { client: client.clone(), at }
    }

    /// Goes on to the next validator.
    pub(crate) fn next(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// How often somebody is asked before the stream ends.
    pub(crate) fn tries(&self) -> usize {
        TRIES_MIN.max(ROUNDS_MAX * self.client.0.nodes.len())
    }

    /// A stream from the validator whose turn it is.
    pub(crate) async fn open<M, F>(&self, call: impl FnOnce(Rpc) -> F) -> Result<Streaming<M>, ClientError>
    where
        F: Future<Output = Result<tonic::Response<Streaming<M>>, Status>>,
    {
        let Some(node) = self.node() else { return Err(self.unreachable("it is not there")) };
        match timeout(self.client.0.deadline, call(node.rpc.clone())).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.said(&status)),
            Err(_elapsed) => Err(self.unreachable("no answer in time")),
        }
    }

    /// The next message of a stream of this validator.
    pub(crate) async fn message<M>(&self, stream: &mut Streaming<M>) -> Result<M, ClientError> {
        match timeout(self.client.0.deadline * SILENCE_DEADLINES, stream.message()).await {
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(self.unreachable("it hangs up")),
            Ok(Err(status)) => Err(self.said(&status)),
            Err(_elapsed) => Err(self.unreachable("it says nothing")),
        }
    }

    /// Which validator it is.
    pub(crate) fn index(&self) -> Option<usize> {
        self.at.checked_rem(self.client.0.nodes.len())
    }

    fn node(&self) -> Option<&Node> {
        self.client.0.nodes.get(self.index()?)
    }

    fn said(&self, status: &Status) -> ClientError {
        match self.node() {
            Some(node) if may_ask_another(status) => {
                ClientError::Unreachable { reasons: describe(node, status) }
            }
            _ => refused(status),
        }
    }

    pub(crate) fn unreachable(&self, why: &str) -> ClientError {
        let address = self.node().map(|node| &*node.address).unwrap_or_default();
        ClientError::Unreachable { reasons: format!("{address}: {why}") }
    }
}
