#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::sync::Mutex;

use bytes::Bytes;
use keyward_ledger_core::{
    batch::UnverifiedBatch,
    entry::{AnnouncePayment, kind, kind_of},
};
use keyward_proto::ledger::{GetStateResponse, SubmitRequest, SubmitResponse};
use tonic::Status;

use super::*;
use crate::world::{Says, World, unheard};

/// A validator that records each batch in a block of its own.
struct Records(Mutex<World>);

impl Says for Records {
    fn submit(&self, request: SubmitRequest) -> Result<SubmitResponse, Status> {
        let batch = UnverifiedBatch::decode(&request.batch).unwrap().verify().unwrap();
        let batch_digest = Bytes::copy_from_slice(batch.digest());
        let mut world = self.0.lock().unwrap();
        let height = world.record(batch);
        Ok(SubmitResponse { batch_digest, r#final: Some(world.finality(height)) })
    }

    fn state(&self, key: &[u8]) -> Result<GetStateResponse, Status> {
        let world = self.0.lock().unwrap();
        Ok(world.state(world.height(), key))
    }
}

#[tokio::test]
async fn entries_of_addresses_leave_in_random_order_and_each_caller_gets_its_own_record() {
    let world = World::of(1);
    // Nothing here waits: a minute is for machines that are busy.
    let deadline = Duration::from_secs(60);
    let genesis = World::of(0);
    let client = genesis.client_within(vec![Arc::new(Records(Mutex::new(world)))], deadline).await;
    let committer = Committer::start(client, unheard()).await.unwrap();
    let entry = |number: u8| match number % 8 {
        0 => Entry::Note(vec![number]),
        _ => {
            Entry::AnnouncePayment(AnnouncePayment { epoch_ms: 86_400_000, epoch: 0, payment: [number; 50] })
        }
    };
    let mut commits: JoinSet<(u8, Recorded)> = JoinSet::new();
    for number in 0..128 {
        let committer = committer.clone();
        commits.spawn(async move { (number, committer.commit(&entry(number)).await.unwrap()) });
    }
    let mut recorded = commits.join_all().await;
    for (number, record) in &recorded {
        assert_eq!(
            record.record().entry,
            entry(*number).encode(),
            "everybody gets the record of what is theirs"
        );
        assert!(record.outcome.is_accepted());
    }
    recorded.sort_by_key(|(_, record)| record.leaf_index);
    assert_eq!(recorded.iter().map(|(_, record)| record.record().sequence).max(), Some(1), "one batch");
    let of_kind = |wanted: u16| -> Vec<u8> {
        let is_it = |(_, record): &&(u8, Recorded)| kind_of(&record.record().entry) == Some(wanted);
        recorded.iter().filter(is_it).map(|(number, _)| *number).collect()
    };
    assert!(of_kind(kind::NOTE).is_sorted(), "where order matters it is kept");
    // One in 112! runs finds them in the order in which they came.
    assert!(!of_kind(kind::ANNOUNCE_PAYMENT).is_sorted());
    let places: Vec<_> = recorded.iter().map(|(_, record)| kind_of(&record.record().entry)).collect();
    assert!(places.iter().step_by(8).all(|kind| *kind == Some(kind::NOTE)), "and so is every place");
}

fn gathered(now: Instant, urgent: usize, patient: usize, bytes: usize) -> Gathered {
    let mut gathered = Gathered::default();
    for number in 0..urgent + patient {
        let (answer, _nobody) = oneshot::channel();
        let mut entry = vec![0; bytes];
        entry[..4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        gathered.push(Job { entry, patient: number >= urgent, conflicts: 0, answer }, now);
    }
    gathered
}

fn numbers(jobs: &[Job]) -> Vec<u32> {
    jobs.iter().map(|job| u32::from_be_bytes(job.entry[..4].try_into().unwrap())).collect()
}

#[test]
fn urgent_entries_leave_first_and_patient_ones_ride_along() {
    let now = Instant::now();
    let mut gathered = gathered(now, 3, 2, 10);
    assert!(gathered.is_due(now));
    assert_eq!(numbers(&gathered.next_jobs(now)), [0, 1, 2, 3, 4]);
    assert!(!gathered.is_due(now + 2 * PATIENCE), "nothing is left");
}

#[test]
fn patient_entries_leave_alone_when_they_are_many_or_have_waited() {
    let now = Instant::now();
    let mut few = gathered(now, 0, 2, 10);
    assert!(!few.is_due(now) && few.is_due(now + PATIENCE));
    assert_eq!(numbers(&few.next_jobs(now + PATIENCE)), [0, 1]);
    assert!(gathered(now, 0, PATIENT_MANY, 10).is_due(now));
    // What comes back from a batch that was refused does not wait again.
    let mut back = gathered(now, 0, 1, 10);
    let job = back.next_jobs(now).pop().unwrap();
    back.put_back(job, now);
    assert!(back.is_due(now));
}

#[test]
fn neither_kind_keeps_the_other_from_leaving() {
    let now = Instant::now();
    let mut gathered = gathered(now, BATCH_ENTRIES, BATCH_ENTRIES, 10);
    let first = gathered.next_jobs(now);
    assert_eq!(first.len(), BATCH_ENTRIES);
    assert_eq!(first.iter().filter(|job| job.patient).count(), BATCH_ENTRIES / 2);
    assert_eq!(gathered.next_jobs(now).len(), BATCH_ENTRIES);
    assert!(gathered.next_jobs(now).is_empty());
}

#[test]
fn a_batch_stays_within_its_bytes_and_takes_one_entry_at_least() {
    let now = Instant::now();
    let mut long = gathered(now, 4, 4, BATCH_BYTES / 3);
    assert_eq!([long.next_jobs(now).len(), long.next_jobs(now).len()], [2, 2]);
    let mut longest = gathered(now, 2, 0, BATCH_BYTES);
    assert_eq!([longest.next_jobs(now).len(), longest.next_jobs(now).len()], [1, 1]);
}
