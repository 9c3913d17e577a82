//! One validator that lies neither silences a submitter nor lets it complain of a ledger that only has too much to do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use keyward_ledger_core::{
    batch::{SignedBatch, UnverifiedBatch},
    entry::{kind, kind_of},
};
use keyward_proto::ledger::GetStateResponse;
use tonic::Status;

use super::*;
use crate::{
    Committer,
    submit::HEDGE,
    world::{Says, World, refusal, unheard},
};

/// Blocks of the ledger: enough for two complaints, and for looks that begin anew on a busy machine.
const BLOCKS: u64 = 180;
/// Far more than a test takes.
const LONG: Duration = Duration::from_secs(60);
/// The longest deadline with which a submission ends as soon as every validator was asked once: no longer than until the
/// next one is asked as well.
const ASKED_ONCE: Duration = HEDGE;

/// What the validators were told, and how far the ledger is.
struct Told {
    world: World,
    /// Goes on by one with every question about the state.
    height: AtomicU64,
    batches: Mutex<Vec<(usize, SignedBatch)>>,
    /// How often a batch was handed in by somebody who does not wait for it.
    spread: AtomicUsize,
}

impl Told {
    fn start() -> Arc<Self> {
        Self::start_at(1)
    }

    fn start_at(height: u64) -> Arc<Self> {
        let (world, height) = (World::of(BLOCKS), AtomicU64::new(height));
        Arc::new(Self { world, height, batches: Mutex::default(), spread: AtomicUsize::new(0) })
    }

    /// Who was handed complaints, in order.
    fn complaints(&self) -> Vec<usize> {
        let batches = self.batches.lock().unwrap();
        batches.iter().filter(|(_, batch)| is_complaint(batch)).map(|(node, _)| *node).collect()
    }

    /// The sequences under which notes were handed in.
    fn sequences(&self) -> BTreeSet<u64> {
        let batches = self.batches.lock().unwrap();
        batches.iter().filter(|(_, batch)| !is_complaint(batch)).map(|(_, batch)| batch.sequence()).collect()
    }
}

fn is_complaint(batch: &SignedBatch) -> bool {
    batch.entries().any(|entry| kind_of(entry) == Some(kind::COMPLAINT))
}

/// What a validator says to whoever hands in, when it was handed in before so often.
type Answer = fn(&SignedBatch, usize) -> Result<SubmitResponse, Status>;

struct Validator {
    told: Arc<Told>,
    number: usize,
    /// Shows the ledger as it was at first, whenever it is asked.
    shows_old: bool,
    answer: Answer,
}

impl Says for Validator {
    fn submit(&self, request: SubmitRequest) -> Result<SubmitResponse, Status> {
        let batch = UnverifiedBatch::decode(&request.batch).unwrap().verify().unwrap();
        let mut batches = self.told.batches.lock().unwrap();
        let same = |(node, other): &&(usize, SignedBatch)| {
            *node == self.number && is_complaint(other) == is_complaint(&batch)
        };
        let before = batches.iter().filter(same).count();
        let answer = (self.answer)(&batch, before);
        batches.push((self.number, batch));
        self.told.spread.fetch_add(usize::from(!request.wait), Ordering::Relaxed);
        // Whoever takes a batch in and does nothing with it lets its submitter wait.
        if request.wait { answer.and_then(|_| Err(Status::deadline_exceeded("not final"))) } else { answer }
    }

    fn state(&self, key: &[u8]) -> Result<GetStateResponse, Status> {
        if self.shows_old {
            return Ok(self.told.world.state(1, key));
        }
        let height = self.told.height.fetch_add(1, Ordering::Relaxed).min(BLOCKS);
        Ok(self.told.world.state(height, key))
    }
}

fn takes(batch: &SignedBatch, _before: usize) -> Result<SubmitResponse, Status> {
    Ok(SubmitResponse { batch_digest: Bytes::copy_from_slice(batch.digest()), r#final: None })
}

/// A client of four validators: the first says one thing, the others another.
async fn client(told: &Arc<Told>, liar: (Answer, bool), others: Answer) -> Client {
    client_within(told, liar, others, LONG).await
}

async fn client_within(told: &Arc<Told>, liar: (Answer, bool), others: Answer, deadline: Duration) -> Client {
    let validator = |number| -> Arc<dyn Says> {
        let (answer, shows_old) = if number == 0 { liar } else { (others, false) };
        Arc::new(Validator { told: told.clone(), number, shows_old, answer })
    };
    told.world.client_within((0..4).map(validator).collect(), deadline).await
}

/// Commits a note that nobody records, to a client of such validators.
async fn commit(told: &Arc<Told>, liar: (Answer, bool), others: Answer) -> Committer {
    let client = client_within(told, liar, others, ASKED_ONCE).await;
    let committer = Committer::start(client, unheard()).await.unwrap();
    let error = committer.commit(&Entry::Note(b"is anybody there?".to_vec())).await.unwrap_err();
    assert!(matches!(error.root(), crate::CommitError::Unavailable { .. }), "{error}");
    committer
}

/// A note that was not final in time.
fn late(client: &Client) -> Late {
    let batch = keyward_ledger_core::batch::Batch {
        chain_id: client.chain_id(),
        sequence: 1,
        not_after: 99,
        entries: vec![Entry::Note(b"is anybody there?".to_vec()).encode()],
    };
    Late(batch.sign(&unheard()).unwrap())
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waits = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waits).await.unwrap_or_else(|_elapsed| panic!("{what}"));
}

#[tokio::test]
async fn one_validator_that_refuses_and_shows_old_states_does_not_silence_a_submitter() {
    let told = Told::start();
    let refuses: Answer = |_, _| Err(refusal("SEQUENCE_CONFLICT"));
    let committer = commit(&told, (refuses, true), takes).await;
    until("the others hear the complaint", || told.complaints().len() >= 4).await;
    assert_eq!(
        told.sequences().len(),
        1,
        "on one validator's word nothing is handed in under another sequence"
    );
    drop(committer);
}

#[tokio::test]
async fn what_more_refuse_than_may_lie_is_not_handed_in_again() {
    let told = Told::start();
    let refuses: Answer = |_, _| Err(refusal("SEQUENCE_TOO_FAR"));
    let committer = Committer::start(client(&told, (takes, false), refuses).await, unheard()).await.unwrap();
    // Whatever the first refusal set off is under way before the last one comes.
    for _ in 0..8 {
        let error = committer.commit(&Entry::Note(b"no?".to_vec())).await.unwrap_err();
        assert!(matches!(error.root(), crate::CommitError::Refused { .. }), "{error}");
    }
    assert_eq!(told.sequences().len(), 8);
    assert_eq!(told.spread.load(Ordering::Relaxed), 0, "its caller was told that it is not recorded");
}

#[tokio::test]
async fn one_validator_that_shows_an_old_state_first_hastens_no_complaint() {
    let begun = 30;
    let told = Told::start_at(begun);
    let client = client(&told, (takes, true), takes).await;
    let passed_over = late(&client).passed_over(client.clone());
    let passed_over = tokio::time::timeout(LONG, passed_over).await.unwrap();
    let (_, height) = passed_over.unwrap();
    assert!(height >= begun + UNHEARD_BLOCKS, "{height}");
}

#[tokio::test]
async fn a_complaint_that_nobody_took_is_made_again() {
    let told = Told::start();
    let later: Answer = |batch, before| match is_complaint(batch) && before == 0 {
        true => Err(Status::unavailable("not now")),
        false => takes(batch, before),
    };
    let committer = commit(&told, (later, false), later).await;
    until("the complaint is made twice", || told.complaints().len() >= 8).await;
    drop(committer);
}

#[tokio::test]
async fn one_validator_that_says_it_takes_batches_in_makes_no_ledger_deaf() {
    let told = Told::start();
    let full: Answer = |_, _| Err(Status::resource_exhausted("the pool is full"));
    let client = client(&told, (takes, false), full).await;
    let late = late(&client);
    let watched = tokio::time::timeout(LONG, late.clone().passed_over(client.clone())).await.unwrap();
    assert!(watched.is_none(), "a ledger that has too much to do is not complained of");
    assert_eq!(client.spread(&late.0).await, 1);
    // Nor do answers about another batch count.
    let of_another: Answer =
        |_, _| Ok(SubmitResponse { batch_digest: Bytes::from_static(&[7; 32]), r#final: None });
    let client = self::client(&told, (of_another, false), of_another).await;
    assert_eq!(client.spread(&late.0).await, 0);
}
