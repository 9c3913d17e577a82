//! Watching a batch until it is settled, at one validator after the other: whoever says nothing, breaks off or lies is
//! left for the next.

use std::mem;

use keyward_ledger_core::batch::SignedBatch;
use keyward_proto::ledger::OutcomeResponse;
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Streaming;

use crate::{
    Client, ClientError, Progress,
    outcome::name_of,
    turn::{PAUSE, Turn},
};

struct Watching {
    turn: Turn,
    batch: SignedBatch,
    open: Option<Streaming<OutcomeResponse>>,
}

impl Client {
    /// Where the batch stands, each time that this changes, until it is settled. The first validator that takes the
    /// request is found before this returns. One that hangs up, is not believed or says nothing for long, be it that
    /// nothing happens, is left for the next; the stream ends with an error when none of them answers, or when more refuse
    /// than may lie.
    pub async fn watch(
        &self,
        batch: &SignedBatch,
    ) -> Result<impl Stream<Item = Result<Progress, ClientError>> + use<>, ClientError> {
        let request = &name_of(batch);
        let call = |mut rpc: crate::read::Rpc| async move { rpc.watch_batch(request.clone()).await };
        let (open, at) = self.ask_from(self.preferred(), call, Ok).await?;
        let watching = Watching { turn: Turn::of(self, at), batch: batch.clone(), open: Some(open) };
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(watching.run(sender));
        Ok(ReceiverStream::new(receiver))
    }
}

impl Watching {
    async fn run(mut self, sender: mpsc::Sender<Result<Progress, ClientError>>) {
        let (mut told, mut failed, mut refused) = (None, 0, 0);
        loop {
            let answer = tokio::select! {
                answer = self.receive() => answer,
                () = sender.closed() => return,
            };
            match answer {
                Ok(progress) => {
                    (failed, refused) = (0, 0);
                    let (ends, now) = (progress.is_settled(), Some(mem::discriminant(&progress)));
                    if mem::replace(&mut told, now) != now && sender.send(Ok(progress)).await.is_err() || ends
                    {
                        return;
                    }
                }
                Err(error) => {
                    failed += 1;
                    refused += usize::from(matches!(error, ClientError::Refused { .. }));
                    if failed >= self.turn.tries() || refused > self.turn.client.liars_max() {
                        let _gone = sender.send(Err(error)).await;
                        return;
                    }
                    self.turn.next();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Where the batch stands, as the validator says whose turn it is.
    async fn receive(&mut self) -> Result<Progress, ClientError> {
        let request = name_of(&self.batch);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.turn.open(|mut rpc| async move { rpc.watch_batch(request).await }).await?,
        };
        let answer = self.turn.message(&mut open).await?;
        let progress = self.turn.client.progress(&self.batch, answer)?;
        self.open = Some(open);
        Ok(progress)
    }
}

#[cfg(test)]
mod tests;
