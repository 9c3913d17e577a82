//! Blocks from one validator after the other: whoever says nothing, breaks off or lies is left for the next, without a gap
//! and without a repeat.

use std::time::Duration;

use keyward_proto::ledger::{self as proto, FollowRequest};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Streaming;

use crate::{
    Client, ClientError, ProofError, describe,
    error::{may_ask_another, refused},
};

/// How often the validators are asked, all of them in turn, without one of them sending the next block.
const ROUNDS_MAX: usize = 3;
/// The least number of times that somebody is asked, however few there are.
const TRIES_MIN: usize = 6;
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a validator may say nothing, in times of the client's deadline: an idle ledger makes a block every few
/// hundred milliseconds.
const SILENCE_DEADLINES: u32 = 2;

/// What a validator sent, as what it was asked for: the block of this height.
type Believe<T> = fn(&Client, u64, proto::Block) -> Result<T, ProofError>;

/// A reader of blocks, one after the other.
struct Following<T> {
    client: Client,
    next: u64,
    believe: Believe<T>,
    /// The validator that is asked, counted on without end.
    at: usize,
    open: Option<Streaming<proto::Block>>,
}

/// Blocks from a height on, from 1. The first validator that takes the request is found before this returns. The stream
/// ends with an error when no validator sends the next block.
pub(crate) async fn blocks<T: Send + 'static>(
    client: &Client,
    from_height: u64,
    believe: Believe<T>,
) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
    let (client, next) = (client.clone(), from_height.max(1));
    let at = client.preferred();
    let mut following = Following { client, next, believe, at, open: None };
    let open = following.open().await?;
    following.open = Some(open);
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(following.run(sender));
    Ok(ReceiverStream::new(receiver))
}

impl<T: Send + 'static> Following<T> {
    async fn run(mut self, sender: mpsc::Sender<Result<T, ClientError>>) {
        loop {
            let block = tokio::select! {
                block = self.block() => block,
                () = sender.closed() => return,
            };
            let ends = block.is_err();
            if sender.send(block).await.is_err() || ends {
                return;
            }
        }
    }

    /// The next block, from whoever sends it.
    async fn block(&mut self) -> Result<T, ClientError> {
        let mut tries = TRIES_MIN.max(ROUNDS_MAX * self.client.0.nodes.len());
        loop {
            match self.receive().await {
                Ok(block) => {
                    self.next += 1;
                    return Ok(block);
                }
                Err(error) => {
                    tracing::warn!(
                        height = self.next,
                        error = &error as &dyn std::error::Error,
                        "no block from a validator"
                    );
                    self.at += 1;
                    tries -= 1;
                    if tries == 0 {
                        return Err(error);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<T, ClientError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        let silence = self.client.0.deadline * SILENCE_DEADLINES;
        let answer = match timeout(silence, open.message()).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) => return Err(self.unreachable("it hangs up")),
            Ok(Err(status)) if !may_ask_another(&status) => return Err(refused(&status)),
            Ok(Err(status)) => {
                let reasons = self.node().map(|node| describe(node, &status)).unwrap_or_default();
                return Err(ClientError::Unreachable { reasons });
            }
            Err(_elapsed) => return Err(self.unreachable("it says nothing")),
        };
        let block = (self.believe)(&self.client, self.next, answer)?;
        self.open = Some(open);
        Ok(block)
    }

    /// A stream from the first validator that takes the request, beginning with the one whose turn it is.
    async fn open(&mut self) -> Result<Streaming<proto::Block>, ClientError> {
        let request = FollowRequest { from_height: self.next };
        let (stream, at) =
            self.client.ask_from(self.at, |mut rpc| async move { rpc.follow(request).await }, Ok).await?;
        self.at = at;
        Ok(stream)
    }

    fn node(&self) -> Option<&crate::connection::Node> {
        let nodes = &self.client.0.nodes;
        nodes.get(self.at.checked_rem(nodes.len())?)
    }

    fn unreachable(&self, why: &str) -> ClientError {
        let address = self.node().map(|node| &*node.address).unwrap_or_default();
        ClientError::Unreachable { reasons: format!("{address}: no block {}: {why}", self.next) }
    }
}
