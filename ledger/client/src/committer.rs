//! Group commit: entries of concurrent callers share batches, and so blocks.
//!
//! A batch leaves at once when nothing is under way; while batches are under way the next one gathers
//! what arrives. Nothing waits on purpose.

use std::{collections::VecDeque, sync::Arc};

use keyward_ledger_core::{
    batch::{BATCH_BYTES_MAX, BATCH_HEAD_BYTES, Batch, SignedBatch},
    ed25519::SigningKey,
    entry::Entry,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::{Client, ClientError, CommitError, Recorded};

/// Entries that one batch gathers.
const BATCH_ENTRIES: usize = 512;
/// Bytes of entries that one batch gathers: half the bound, so that the largest entry always fits.
const BATCH_BYTES: usize = BATCH_BYTES_MAX / 2;
/// Batches under way at once.
const IN_FLIGHT_MAX: usize = 2;
/// Entries that wait to be gathered.
const WAITING_MAX: usize = 8192;
/// Blocks after which a batch can no longer become final. More than what the fastest chain makes within
/// the client's deadline.
const NOT_AFTER_BLOCKS: u64 = 2048;
/// How often an entry is handed in again under a new sequence after its old one was taken by a batch
/// that an earlier run of this process left behind.
const CONFLICTS_MAX: u32 = 16;

struct Job {
    entry: Vec<u8>,
    conflicts: u32,
    answer: oneshot::Sender<Result<Recorded, CommitError>>,
}

/// Records entries through one submitter key. Cheap to clone; the task behind it ends with its last clone.
#[derive(Clone, Debug)]
pub struct Committer {
    submitter: [u8; 32],
    jobs: mpsc::Sender<Job>,
}

impl Committer {
    /// Starts with the sequence after the highest that the ledger knows of this submitter. One process at a
    /// time may use a submitter key.
    pub async fn start(client: Client, key: SigningKey) -> Result<Self, ClientError> {
        let submitter = key.public_key();
        let next_sequence = client.highest_sequence(&submitter).await? + 1;
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(Loop { client, key, next_sequence, gathered: VecDeque::new() }.run(waiting));
        Ok(Self { submitter, jobs })
    }

    /// The submitter's public key.
    pub const fn submitter(&self) -> &[u8; 32] {
        &self.submitter
    }

    /// Records one entry and returns when its record is final and its proof verified. The entry may have
    /// been refused by its contract: the outcome tells.
    pub async fn commit(&self, entry: &Entry) -> Result<Recorded, CommitError> {
        let (answer, result) = oneshot::channel();
        let job = Job { entry: entry.encode(), conflicts: 0, answer };
        self.jobs.send(job).await.map_err(|_closed| CommitError::Stopped)?;
        result.await.map_err(|_dropped| CommitError::Stopped)?
    }
}

struct Loop {
    client: Client,
    key: SigningKey,
    next_sequence: u64,
    gathered: VecDeque<Job>,
}

type Finished = (Vec<Job>, Result<Vec<Recorded>, Arc<CommitError>>);

impl Loop {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut in_flight: JoinSet<Finished> = JoinSet::new();
        loop {
            tokio::select! {
                job = waiting.recv(), if self.gathered.len() < BATCH_ENTRIES => match job {
                    Some(job) => self.gather(job, &mut waiting),
                    None => break,
                },
                Some(finished) = in_flight.join_next() => {
                    if let Ok((jobs, result)) = finished { self.settle(jobs, result) }
                }
            }
            while in_flight.len() < IN_FLIGHT_MAX && !self.gathered.is_empty() {
                self.send(&mut in_flight);
            }
        }
        while let Some(finished) = in_flight.join_next().await {
            if let Ok((jobs, result)) = finished {
                self.settle(jobs, result);
            }
        }
    }

    /// Takes a job and whatever else waits right now.
    fn gather(&mut self, job: Job, waiting: &mut mpsc::Receiver<Job>) {
        self.gathered.push_back(job);
        while self.gathered.len() < BATCH_ENTRIES {
            let Ok(job) = waiting.try_recv() else { break };
            self.gathered.push_back(job);
        }
    }

    fn send(&mut self, in_flight: &mut JoinSet<Finished>) {
        let jobs = self.next_jobs();
        let batch = Batch {
            chain_id: self.client.chain_id(),
            sequence: self.next_sequence,
            not_after: self.client.height() + NOT_AFTER_BLOCKS,
            entries: jobs.iter().map(|job| job.entry.clone()).collect(),
        };
        self.next_sequence += 1;
        match batch.sign(&self.key) {
            Ok(batch) => {
                let client = self.client.clone();
                in_flight.spawn(async move { (jobs, submit(&client, &batch).await) });
            }
            Err(source) => answer_all(jobs, &Arc::new(CommitError::Batch { source })),
        }
    }

    fn next_jobs(&mut self) -> Vec<Job> {
        let (mut jobs, mut bytes) = (Vec::new(), BATCH_HEAD_BYTES);
        while let Some(job) = self.gathered.front() {
            bytes += 4 + job.entry.len();
            if jobs.len() == BATCH_ENTRIES || (bytes > BATCH_BYTES && !jobs.is_empty()) {
                break;
            }
            jobs.extend(self.gathered.pop_front());
        }
        jobs
    }

    fn settle(&mut self, jobs: Vec<Job>, result: Result<Vec<Recorded>, Arc<CommitError>>) {
        match result {
            Ok(records) => {
                for (job, recorded) in jobs.into_iter().zip(records) {
                    // The caller may have gone: the record stands all the same.
                    let _gone = job.answer.send(Ok(recorded));
                }
            }
            Err(error) if error.is_sequence_taken() => self.try_again(jobs, &error),
            Err(error) => answer_all(jobs, &error),
        }
    }

    /// The sequence belongs to a batch of an earlier run: these entries were not recorded under it.
    fn try_again(&mut self, jobs: Vec<Job>, error: &Arc<CommitError>) {
        let (given_up, again): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.conflicts >= CONFLICTS_MAX);
        answer_all(given_up, error);
        for mut job in again.into_iter().rev() {
            job.conflicts += 1;
            self.gathered.push_front(job);
        }
    }
}

async fn submit(client: &Client, batch: &SignedBatch) -> Result<Vec<Recorded>, Arc<CommitError>> {
    client.submit(batch).await.map_err(Arc::new)
}

fn answer_all(jobs: Vec<Job>, error: &Arc<CommitError>) {
    for job in jobs {
        let _gone = job.answer.send(Err(CommitError::Shared(error.clone())));
    }
}
