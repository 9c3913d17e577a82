//! Group commit: entries of concurrent callers share batches, and so blocks.
//!
//! A batch leaves at once when nothing is under way; while batches are under way the next one gathers
//! what arrives. Nothing waits on purpose, but for entries that nobody waits for: they ride along with the next
//! batch that leaves, so that they cost no block of their own. A batch that is not final in time is watched, and complained
//! of if the ledger goes on without it. Entries that do not tell whose they are leave in random order, so that neither does their
//! place (`ledger/core`, `batch/mix.rs`).

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use keyward_ledger_core::{
    batch::{BATCH_BYTES_MAX, BATCH_HEAD_BYTES, Batch, BatchError, SignedBatch, mix::mix},
    ed25519::SigningKey,
    entry::Entry,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{Client, ClientError, CommitError, Recorded, unheard::Late};

/// Entries that one batch takes along.
const BATCH_ENTRIES: usize = 1024;
/// Entries that are gathered for the next batches.
const GATHERED_MAX: usize = 4096;
/// How many patient entries leave without any other.
const PATIENT_MANY: usize = 1024;
/// How long patient entries wait for others.
const PATIENCE: Duration = Duration::from_millis(150);
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
    patient: bool,
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
        let (gathered, watched, complained) = (Gathered::default(), JoinSet::new(), Arc::default());
        tokio::spawn(Loop { client, key, next_sequence, gathered, watched, complained }.run(waiting));
        Ok(Self { submitter, jobs })
    }

    /// The submitter's public key.
    pub const fn submitter(&self) -> &[u8; 32] {
        &self.submitter
    }

    /// Records one entry and returns when its record is final and its proof verified. The entry may have
    /// been refused by its contract: the outcome tells.
    pub async fn commit(&self, entry: &Entry) -> Result<Recorded, CommitError> {
        self.hand_in(entry, false).await
    }

    /// The same for an entry that nobody waits for: it leaves with the next batch that has room, a little later
    /// if there is none.
    pub async fn commit_later(&self, entry: &Entry) -> Result<Recorded, CommitError> {
        self.hand_in(entry, true).await
    }

    async fn hand_in(&self, entry: &Entry, patient: bool) -> Result<Recorded, CommitError> {
        let (answer, result) = oneshot::channel();
        let job = Job { entry: entry.encode(), patient, conflicts: 0, answer };
        self.jobs.send(job).await.map_err(|_closed| CommitError::Stopped)?;
        result.await.map_err(|_dropped| CommitError::Stopped)?
    }
}

/// What the next batches are made of.
#[derive(Default)]
struct Gathered {
    urgent: VecDeque<Job>,
    patient: VecDeque<Job>,
    /// When the patient ones have waited long enough.
    due: Option<Instant>,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.urgent.len() + self.patient.len() >= GATHERED_MAX
    }

    fn push(&mut self, job: Job, now: Instant) {
        if job.patient {
            self.due.get_or_insert(now + PATIENCE);
            self.patient.push_back(job);
        } else {
            self.urgent.push_back(job);
        }
    }

    /// Puts a job back where it came from, to leave at once.
    fn put_back(&mut self, job: Job, now: Instant) {
        if job.patient {
            self.due = Some(now);
            self.patient.push_front(job);
        } else {
            self.urgent.push_front(job);
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.urgent.is_empty()
            || self.patient.len() >= PATIENT_MANY
            || self.due.is_some_and(|due| due <= now)
    }

    /// The next batch: the urgent ones first, then as many patient ones as fit, for which half of it is kept.
    fn next_jobs(&mut self, now: Instant) -> Vec<Job> {
        let (mut jobs, mut bytes) = (Vec::new(), BATCH_HEAD_BYTES);
        let urgent_max = BATCH_ENTRIES - self.patient.len().min(BATCH_ENTRIES / 2);
        for (queue, jobs_max) in [(&mut self.urgent, urgent_max), (&mut self.patient, BATCH_ENTRIES)] {
            while let Some(job) = queue.front() {
                let longer = bytes + 4 + job.entry.len();
                if jobs.len() >= jobs_max || (longer > BATCH_BYTES && !jobs.is_empty()) {
                    break;
                }
                bytes = longer;
                jobs.extend(queue.pop_front());
            }
        }
        self.due = (!self.patient.is_empty()).then(|| now + PATIENCE);
        jobs
    }
}

struct Loop {
    client: Client,
    key: SigningKey,
    next_sequence: u64,
    gathered: Gathered,
    /// The late batch that is watched, one at a time.
    watched: JoinSet<Option<(Late, u64)>>,
    /// The epoch of the last complaint that validators took, and one more: one in each epoch is enough.
    complained: Arc<AtomicU64>,
}

struct Finished {
    jobs: Vec<Job>,
    late: Late,
    result: Result<Vec<Recorded>, Arc<CommitError>>,
}

impl Loop {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut in_flight: JoinSet<Finished> = JoinSet::new();
        loop {
            let due = self.gathered.due.filter(|_| in_flight.len() < IN_FLIGHT_MAX);
            tokio::select! {
                job = waiting.recv(), if !self.gathered.is_full() => match job {
                    Some(job) => self.gather(job, &mut waiting),
                    None => break,
                },
                Some(finished) = in_flight.join_next() => {
                    if let Ok(finished) = finished { self.settle(finished) }
                }
                Some(watched) = self.watched.join_next() => {
                    if let Ok(Some((late, height))) = watched { self.complain(late, height) }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            while in_flight.len() < IN_FLIGHT_MAX && self.gathered.is_due(Instant::now()) {
                self.send(&mut in_flight);
            }
        }
        while let Some(finished) = in_flight.join_next().await {
            if let Ok(finished) = finished {
                self.settle(finished);
            }
        }
    }

    /// Takes a job and whatever else waits right now.
    fn gather(&mut self, job: Job, waiting: &mut mpsc::Receiver<Job>) {
        let now = Instant::now();
        self.gathered.push(job, now);
        while !self.gathered.is_full() {
            let Ok(job) = waiting.try_recv() else { break };
            self.gathered.push(job, now);
        }
    }

    fn send(&mut self, in_flight: &mut JoinSet<Finished>) {
        let mut jobs = self.gathered.next_jobs(Instant::now());
        let mixed = mix(&mut jobs, |job| &job.entry, getrandom::u64);
        let mixed = mixed.map_err(|source| CommitError::Randomness { source });
        let batch = mixed.and_then(|()| {
            let batch = self.next_batch(jobs.iter().map(|job| job.entry.clone()).collect());
            batch.map_err(|source| CommitError::Batch { source })
        });
        match batch {
            Ok(batch) => {
                let client = self.client.clone();
                in_flight.spawn(async move {
                    let result = submit(&client, &batch).await;
                    Finished { jobs, late: Late(batch), result }
                });
            }
            Err(error) => answer_all(jobs, &Arc::new(error)),
        }
    }

    fn next_batch(&mut self, entries: Vec<Vec<u8>>) -> Result<SignedBatch, BatchError> {
        let batch = Batch {
            chain_id: self.client.chain_id(),
            sequence: self.next_sequence,
            not_after: self.client.height() + NOT_AFTER_BLOCKS,
            entries,
        };
        self.next_sequence += 1;
        batch.sign(&self.key)
    }

    fn settle(&mut self, Finished { jobs, late, result }: Finished) {
        // What more refuse than may lie is refused: handed in again, it might be recorded after its caller was told so.
        let is_late = result.as_ref().is_err_and(|error| {
            matches!(error.root(), CommitError::Unavailable { .. } | CommitError::Unproven { .. })
        });
        if is_late && self.watched.is_empty() {
            self.watched.spawn(late.passed_over(self.client.clone()));
        }
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

    /// Says that a batch is passed over, in a batch of its own: validators carry complaints that wait at theirs. Watches
    /// on, and says it again in a later epoch: complaints of several submitters count together only while they are new.
    fn complain(&mut self, late: Late, height: u64) {
        let (client, complained) = (self.client.clone(), self.complained.clone());
        let epoch_after = client.epoch_of(height + 1) + 1;
        let batch = (complained.load(Ordering::Relaxed) != epoch_after)
            .then(|| self.next_batch(vec![late.complaint(&client, &self.key, height).encode()]));
        self.watched.spawn(async move {
            match batch {
                None => {}
                Some(Err(error)) => tracing::warn!(%error, "a complaint cannot be made"),
                Some(Ok(batch)) => {
                    let sequence = late.0.sequence();
                    tracing::warn!(sequence, height, "the ledger goes on without a batch: complaining");
                    if client.spread(&batch).await > client.liars_max() {
                        complained.store(epoch_after, Ordering::Relaxed);
                    }
                }
            }
            late.passed_over(client).await
        });
    }

    /// The sequence belongs to a batch of an earlier run: these entries were not recorded under it.
    fn try_again(&mut self, jobs: Vec<Job>, error: &Arc<CommitError>) {
        let (given_up, again): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.conflicts >= CONFLICTS_MAX);
        answer_all(given_up, error);
        for mut job in again.into_iter().rev() {
            job.conflicts += 1;
            self.gathered.put_back(job, Instant::now());
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

#[cfg(test)]
mod tests;
