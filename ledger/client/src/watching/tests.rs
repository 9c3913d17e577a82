//! A batch is watched to its end, whoever falls silent or lies meanwhile.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{batch::Batch, entry::Entry};
use keyward_proto::ledger::{BatchPending, OutcomeResponse, outcome_response::State};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::*;
use crate::world::{Answers, Says, World, answers, heard, refusal};

/// Far more than all tries together take.
const LONG: Duration = Duration::from_secs(60);

enum Watched {
    /// Says this, then nothing.
    Says(OutcomeResponse),
    Refuses(&'static str),
    /// Takes the request and never says a word.
    IsMute,
}

impl Says for Watched {
    fn watch(&self) -> Result<Answers<OutcomeResponse>, Status> {
        match self {
            Self::Says(answer) => Ok(answers(vec![answer.clone()], true)),
            Self::Refuses(code) => Err(refusal(code)),
            Self::IsMute => Ok(answers(Vec::new(), true)),
        }
    }
}

/// The batch in the block of height 2, and what is said of it.
fn batch(world: &World) -> (SignedBatch, impl Fn(State) -> Arc<dyn Says> + use<>) {
    let entries = vec![Entry::Note(vec![2; 3]).encode(), Entry::OpenAccount { account: [2; 32] }.encode()];
    let batch = Batch { chain_id: *world.genesis.chain_id(), sequence: 2, not_after: 99, entries };
    let batch = batch.sign(&heard()).unwrap();
    let batch_digest = Bytes::copy_from_slice(batch.digest());
    let says = move |state| -> Arc<dyn Says> {
        let batch_digest = batch_digest.clone();
        Arc::new(Watched::Says(OutcomeResponse { batch_digest, height: 2, state: Some(state) }))
    };
    (batch, says)
}

#[tokio::test]
async fn a_validator_that_falls_silent_or_lies_does_not_hide_how_a_batch_ended() {
    let world = World::of(2);
    let (batch, says) = batch(&world);
    let pending = says(State::Pending(BatchPending {}));
    let lie = says(State::Final(world.finality(1)));
    let refuses: Arc<dyn Says> = Arc::new(Watched::Refuses("SEQUENCE_CONFLICT"));
    let last = says(State::Final(world.finality(2)));
    let client = world.client(vec![pending.clone(), lie, refuses, pending, last]).await;
    let mut watched = Box::pin(client.watch(&batch).await.unwrap());
    assert!(matches!(watched.next().await, Some(Ok(Progress::Pending))));
    let ended = timeout(LONG, watched.next()).await.unwrap();
    let Some(Ok(Progress::Final(records))) = ended else { panic!("{ended:?}") };
    assert_eq!(records.len(), 2);
    assert!(watched.next().await.is_none());
}

#[tokio::test]
async fn where_nobody_says_a_word_watching_ends_with_an_error() {
    let world = World::of(2);
    let (batch, _) = batch(&world);
    let client = world.client(vec![Arc::new(Watched::IsMute), Arc::new(Watched::IsMute)]).await;
    let mut watched = Box::pin(client.watch(&batch).await.unwrap());
    let ended = timeout(LONG, watched.next()).await.unwrap();
    assert!(matches!(ended, Some(Err(ClientError::Unreachable { .. }))), "{ended:?}");
    assert!(watched.next().await.is_none());
}

#[tokio::test]
async fn what_more_refuse_than_may_lie_ends_watching() {
    let world = World::of(2);
    let (batch, says) = batch(&world);
    let refuses = || -> Arc<dyn Says> { Arc::new(Watched::Refuses("SEQUENCE_CONFLICT")) };
    let mute: Arc<dyn Says> = Arc::new(Watched::IsMute);
    let pending = says(State::Pending(BatchPending {}));
    let client = world.client(vec![mute, refuses(), refuses(), pending]).await;
    let mut watched = Box::pin(client.watch(&batch).await.unwrap());
    let ended = timeout(LONG, watched.next()).await.unwrap();
    assert!(
        matches!(&ended, Some(Err(ClientError::Refused { code, .. })) if code == "SEQUENCE_CONFLICT"),
        "{ended:?}"
    );
}
