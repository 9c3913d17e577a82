//! Blocks from one validator after the other: whoever says nothing, breaks off or lies is left for the next, without a gap
//! and without a repeat.

use keyward_proto::ledger::{self as proto, FollowRequest};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Streaming;

use crate::{
    Client, ClientError, ProofError,
    turn::{PAUSE, Turn},
};

/// What a validator sent, as what it was asked for: the block of this height.
type Believe<T> = fn(&Client, u64, proto::Block) -> Result<T, ProofError>;

/// A reader of blocks, one after the other.
struct Following<T> {
    turn: Turn,
    next: u64,
    believe: Believe<T>,
    open: Option<Streaming<proto::Block>>,
}

/// Blocks from a height on, from 1. The first validator that takes the request is found before this returns. The stream
/// ends with an error when no validator sends the next block.
pub(crate) async fn blocks<T: Send + 'static>(
    client: &Client,
    from_height: u64,
    believe: Believe<T>,
) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
    let next = from_height.max(1);
    let call =
        |mut rpc: crate::read::Rpc| async move { rpc.follow(FollowRequest { from_height: next }).await };
    let (open, at) = client.ask_from(client.preferred(), call, Ok).await?;
    let following = Following { turn: Turn::of(client, at), next, believe, open: Some(open) };
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
        let mut tries = self.turn.tries();
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
                    self.turn.next();
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
        let request = FollowRequest { from_height: self.next };
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.turn.open(|mut rpc| async move { rpc.follow(request).await }).await?,
        };
        let answer = self.turn.message(&mut open).await?;
        let block = (self.believe)(&self.turn.client, self.next, answer)?;
        self.open = Some(open);
        Ok(block)
    }
}

#[cfg(test)]
mod tests;
