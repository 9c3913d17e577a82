//! A batch is watched to its end, whoever falls silent or lies meanwhile.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{batch::Batch, entry::Entry};
use keyward_proto::ledger::{BatchPending, BatchUnknown, OutcomeResponse, outcome_response::State};
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
    /// Says these in turn, without end.
    Repeats(Vec<OutcomeResponse>),
    Refuses(&'static str),
    /// Is not there.
    IsGone,
    /// Takes the request and never says a word.
    IsMute,
}

impl Says for Watched {
    fn watch(&self) -> Result<Answers<OutcomeResponse>, Status> {
        match self {
            Self::Says(answer) => Ok(answers(vec![answer.clone()], true)),
            Self::Repeats(said) => {
                let said: Answers<OutcomeResponse> =
                    Box::pin(tokio_stream::iter(said.clone().into_iter().cycle().map(Ok)));
                Ok(said)
            }
            Self::Refuses(code) => Err(refusal(code)),
            Self::IsGone => Err(Status::unavailable("not there")),
            Self::IsMute => Ok(answers(Vec::new(), true)),
        }
    }
}

/// The batch in the block of height 2, and what is said of it.
fn batch(world: &World) -> (SignedBatch, impl Fn(State) -> Arc<dyn Says> + use<>) {
    let entries = vec![Entry::Note(vec![2; 3]).encode(), Entry::OpenAccount { account: [2; 32] }.encode()];
    let batch = Batch { chain_id: *world.genesis.chain_id(), sequence: 2, not_after: 99, entries };
    let batch = batch.sign(&heard()).unwrap();
    let says = {
        let batch = batch.clone();
        move |state| -> Arc<dyn Says> { Arc::new(Watched::Says(answer(&batch, state))) }
    };
    (batch, says)
}

fn answer(batch: &SignedBatch, state: State) -> OutcomeResponse {
    OutcomeResponse { batch_digest: Bytes::copy_from_slice(batch.digest()), height: 2, state: Some(state) }
}

/// Validators that say again and again, without proof, where the batch stands: always the same, and by turns.
fn repeaters(batch: &SignedBatch) -> [Arc<dyn Says>; 2] {
    let pending = answer(batch, State::Pending(BatchPending {}));
    let unknown = answer(batch, State::Unknown(BatchUnknown {}));
    [vec![pending.clone()], vec![pending, unknown]]
        .map(|said| -> Arc<dyn Says> { Arc::new(Watched::Repeats(said)) })
}

/// How watching ends.
async fn end(client: &Client, batch: &SignedBatch) -> Result<Progress, ClientError> {
    let mut watched = Box::pin(client.watch(batch).await.unwrap());
    let ends = async {
        loop {
            match watched.next().await.unwrap() {
                Ok(progress) if !progress.is_settled() => {}
                end => return end,
            }
        }
    };
    timeout(LONG, ends).await.unwrap()
}

#[tokio::test]
async fn a_validator_that_says_again_and_again_that_a_batch_waits_is_left() {
    let world = World::of(2);
    let (batch, says) = batch(&world);
    for repeats in repeaters(&batch) {
        let gone: Arc<dyn Says> = Arc::new(Watched::IsGone);
        let last = says(State::Final(world.finality(2)));
        let client = world.client(vec![repeats, gone.clone(), gone, last]).await;
        let ended = end(&client, &batch).await;
        assert!(matches!(ended, Ok(Progress::Final(_))), "{ended:?}");
    }
}

#[tokio::test]
async fn on_one_validators_word_alone_nobody_watches_for_ever() {
    let world = World::of(2);
    let (batch, _) = batch(&world);
    for repeats in repeaters(&batch) {
        let gone: Arc<dyn Says> = Arc::new(Watched::IsGone);
        let client = world.client(vec![repeats, gone.clone(), gone.clone(), gone]).await;
        let ended = end(&client, &batch).await;
        assert!(matches!(ended, Err(ClientError::Unreachable { .. })), "{ended:?}");
    }
}

#[tokio::test]
async fn one_validator_that_refuses_each_time_is_one() {
    let world = World::of(2);
    let (batch, _) = batch(&world);
    let mute: Arc<dyn Says> = Arc::new(Watched::IsMute);
    let refuses: Arc<dyn Says> = Arc::new(Watched::Refuses("SEQUENCE_CONFLICT"));
    let gone: Arc<dyn Says> = Arc::new(Watched::IsGone);
    let client = world.client_in_a_hurry(vec![mute, refuses, gone.clone(), gone]).await;
    let ended = end(&client, &batch).await;
    assert!(matches!(ended, Err(ClientError::Unreachable { .. })), "{ended:?}");
}

#[tokio::test]
async fn a_validator_that_falls_silent_or_lies_does_not_hide_how_a_batch_ended() {
    let world = World::of(2);
    let (batch, says) = batch(&world);
    let pending = says(State::Pending(BatchPending {}));
    let lie = says(State::Final(world.finality(1)));
    let refuses: Arc<dyn Says> = Arc::new(Watched::Refuses("SEQUENCE_CONFLICT"));
    let last = says(State::Final(world.finality(2)));
    let client = world.client_in_a_hurry(vec![pending.clone(), lie, refuses, pending, last]).await;
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
    let client = world.client_in_a_hurry(vec![Arc::new(Watched::IsMute), Arc::new(Watched::IsMute)]).await;
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
    let client = world.client_in_a_hurry(vec![mute, refuses(), refuses(), pending]).await;
    let mut watched = Box::pin(client.watch(&batch).await.unwrap());
    let ended = timeout(LONG, watched.next()).await.unwrap();
    assert!(
        matches!(&ended, Some(Err(ClientError::Refused { code, .. })) if code == "SEQUENCE_CONFLICT"),
        "{ended:?}"
    );
}
