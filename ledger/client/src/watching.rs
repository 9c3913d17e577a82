//! Watching a batch until it is settled, at one validator after the other: whoever says nothing, breaks off or lies is
//! left for the next.

use std::{
    collections::BTreeSet,
    mem::{self, Discriminant},
};

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

/// Answers without proof that one stream may hold: an honest validator says once where the batch stands, and how it ended.
const UNPROVEN_MAX: usize = 2;

struct Watching {
    turn: Turn,
    batch: SignedBatch,
    open: Option<Open>,
}

/// What one validator sends.
struct Open {
    answers: Streaming<OutcomeResponse>,
    /// What it said without proof.
    unproven: Vec<Discriminant<Progress>>,
}

impl Open {
    const fn new(answers: Streaming<OutcomeResponse>) -> Self {
        Self { answers, unproven: Vec::new() }
    }

    /// Notes an answer without proof. `false` if it is the last one again, or one too many.
    fn is_news(&mut self, said: Discriminant<Progress>) -> bool {
        let is_news = self.unproven.last() != Some(&said) && self.unproven.len() < UNPROVEN_MAX;
        self.unproven.push(said);
        is_news
    }
}

impl Client {
    /// Where the batch stands, each time that this changes, until it is settled. The first validator that takes the
    /// request is found before this returns. One that hangs up, is not believed, says the same again or nothing for long, be
    /// it that nothing happens, is left for the next; the stream ends with an error when no more of them answer than may
    /// lie, or when more refuse.
    pub async fn watch(
        &self,
        batch: &SignedBatch,
    ) -> Result<impl Stream<Item = Result<Progress, ClientError>> + use<>, ClientError> {
        let request = &name_of(batch);
        let call = |mut rpc: crate::read::Rpc| async move { rpc.watch_batch(request.clone()).await };
        let (open, at) = self.ask_from(self.preferred(), call, Ok).await?;
        let watching =
            Watching { turn: Turn::of(self, at), batch: batch.clone(), open: Some(Open::new(open)) };
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(watching.run(sender));
        Ok(ReceiverStream::new(receiver))
    }
}

impl Watching {
    async fn run(mut self, sender: mpsc::Sender<Result<Progress, ClientError>>) {
        let liars_max = self.turn.client.liars_max();
        let (mut told, mut failed) = (None, 0);
        let (mut spoke, mut refused) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let answer = tokio::select! {
                answer = self.receive() => answer,
                () = sender.closed() => return,
            };
            match answer {
                Ok(progress) => {
                    refused.remove(&self.turn.index());
                    // One alone may say so for ever: only on the word of more than may lie the batch still waits.
                    spoke.insert(self.turn.index());
                    if spoke.len() > liars_max {
                        (failed, spoke) = (0, BTreeSet::new());
                    }
                    let (ends, now) = (progress.is_settled(), Some(mem::discriminant(&progress)));
                    if mem::replace(&mut told, now) != now && sender.send(Ok(progress)).await.is_err() || ends
                    {
                        return;
                    }
                }
                Err(error) => {
                    failed += 1;
                    if matches!(error, ClientError::Refused { .. }) {
                        refused.insert(self.turn.index());
                    }
                    if failed >= self.turn.tries() || refused.len() > liars_max {
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
            None => Open::new(self.turn.open(|mut rpc| async move { rpc.watch_batch(request).await }).await?),
        };
        let answer = self.turn.message(&mut open.answers).await?;
        let progress = self.turn.client.progress(&self.batch, answer)?;
        if !progress.is_settled() && !open.is_news(mem::discriminant(&progress)) {
            return Err(self.turn.unreachable("it says the same again and again"));
        }
        self.open = Some(open);
        Ok(progress)
    }
}

#[cfg(test)]
mod tests;
