//! `keyward bench ledger`: notes, in batches of one submitter and one by one through its group commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyward_ledger_client::{Client, Committer, Recorded};
use keyward_ledger_core::batch::{Batch, SignedBatch};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_verify::verify_receipt;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::load::{self, Measured, Plan, Recorder};
use super::report::{Part, Report};
use super::site::Site;
use super::{Load, bare, opaque};
use crate::commands::Context;
use crate::commands::ledger::{connect, failed, submitter_seed};
use crate::failure::{Failure, Result};
use crate::files;

/// Of each note, where nothing else is asked for.
pub(super) const NOTE_BYTES: u16 = 300;
/// Batches under way at once, where nothing else is asked for.
pub(super) const LANES: usize = 8;
/// Blocks after which a batch can no longer become final.
pub(super) const NOT_AFTER_BLOCKS: u64 = 2048;
const BARE: &str = "leaf and log hashes, share of the batch's digest and signature check, on every validator";
/// How long the engine alone is measured.
const ENGINE_ALONE: Duration = Duration::from_secs(5);
/// How long one client asks alone.
const ALONE: Plan = Plan { warm_up: Duration::from_millis(500), seconds: Duration::from_secs(3) };

#[derive(Debug, clap::Args)]
pub(crate) struct Ledger {
    #[command(flatten)]
    pub(super) load: Load,
    /// Measures this way of asking alone [default: batch, and single beside it].
    #[arg(long, value_enum)]
    interface: Option<Interface>,
    /// Bytes of each note.
    #[arg(long, value_name = "N", default_value_t = NOTE_BYTES, value_parser = clap::value_parser!(u16).range(8..=4096))]
    note_bytes: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Interface {
    /// Batches, several under way at once.
    Batch,
    /// Single notes, gathered into batches by the client.
    Single,
}

impl Interface {
    const ALL: [Self; 2] = [Self::Batch, Self::Single];

    const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Single => "single",
        }
    }

    /// Batches, or notes, under way at once where nothing else is asked for.
    const fn concurrency(self) -> usize {
        match self {
            Self::Batch => LANES,
            Self::Single => 64,
        }
    }
}

impl Ledger {
    pub(super) async fn measure(self, context: &Context, site: &Site) -> Result<Report> {
        let bench = Bench::open(site, self.load.connections(1), usize::from(self.note_bytes)).await?;
        let entries = self.load.batch(500);
        let bare_us = bare::entry(bench.job.batch(1, 1, entries)?, site.validators()).await?;
        let alone = {
            let _waiting = context.output.wait_for("one client alone");
            bench.single(site, ALONE, 1).await?
        };
        let mut parts = Vec::new();
        for interface in self.interface.map_or_else(|| Interface::ALL.to_vec(), |one| vec![one]) {
            parts.push(self.part(context, site, &bench, interface).await?);
        }
        let others = parts.split_off(1);
        let main = parts.pop().ok_or_else(|| Failure::usage("nothing is measured", "choose an interface"))?;
        Ok(Report {
            what: format!(
                "record {}-byte notes on {} validators, {entries} in a batch where batches are made here, \
                 each final and proven",
                self.note_bytes,
                site.validators()
            ),
            engine_per_s: bench.engine_alone(context, site, &main.measured).await?,
            main,
            others,
            bare_us,
            bare_what: BARE,
            alone_p50_ms: alone.p50_ms,
            local: site.is_local(),
        })
    }

    async fn part(
        &self,
        context: &Context,
        site: &Site,
        bench: &Bench,
        interface: Interface,
    ) -> Result<Part> {
        let concurrency = self.load.concurrency(interface.concurrency());
        let plan = Plan { warm_up: self.load.warm_up(), seconds: self.load.seconds() };
        let words = format!("{}: {concurrency} at once for {} s", interface.name(), plan.seconds.as_secs());
        let _waiting = context.output.wait_for(words);
        let measured = match interface {
            Interface::Batch => bench.batches(site, plan, concurrency, self.load.batch(500)).await?,
            Interface::Single => bench.single(site, plan, concurrency).await?,
        };
        Ok(Part { interface: interface.name(), concurrency, measured })
    }
}

pub(super) struct Bench {
    pub(super) clients: Vec<Client>,
    seed: Zeroizing<[u8; 32]>,
    pub(super) job: Job,
}

#[derive(Clone)]
pub(super) struct Job(Arc<Inner>);

struct Inner {
    chain_id: [u8; 32],
    key: SigningKey,
    trust: Vec<u8>,
    sequence: AtomicU64,
    notes: AtomicU64,
    note_bytes: usize,
}

impl Bench {
    pub(super) async fn open(site: &Site, connections: usize, note_bytes: usize) -> Result<Self> {
        let profile = site.profile("operator")?;
        let seed = submitter_seed(&profile)?;
        let mut clients = Vec::with_capacity(connections);
        for place in 0..connections {
            // Each prefers another validator.
            let mut profile = profile.clone();
            let count = profile.file.nodes.len().max(1);
            profile.file.nodes.rotate_left(place % count);
            clients.push(connect(&profile).await?);
        }
        let first = clients.first().ok_or_else(|| Failure::usage("no connections", "ask for one"))?;
        let inner = Inner {
            chain_id: first.chain_id(),
            key: SigningKey::from_seed(&seed),
            trust: files::read(&profile.path(&profile.file.trust))?,
            sequence: AtomicU64::new(0),
            notes: AtomicU64::new(0),
            note_bytes,
        };
        Ok(Self { clients, seed, job: Job(Arc::new(inner)) })
    }

    /// Lanes that each have one batch under way.
    async fn batches(&self, site: &Site, plan: Plan, lanes: usize, entries: usize) -> Result<Measured> {
        self.take_up_sequence().await?;
        let recorder = Arc::new(Recorder::default());
        let mut workers = JoinSet::new();
        for client in self.clients.iter().cycle().take(lanes) {
            workers.spawn(lane(client.clone(), self.job.clone(), Arc::clone(&recorder), entries));
        }
        load::run(site, plan, recorder, workers).await
    }

    /// Single notes, so many under way at once, through one committer.
    async fn single(&self, site: &Site, plan: Plan, concurrency: usize) -> Result<Measured> {
        let client = self.first()?.clone();
        let committer = Committer::start(client, SigningKey::from_seed(&self.seed)).await;
        let committer = committer.map_err(|error| failed("cannot write to the ledger", &error))?;
        let recorder = Arc::new(Recorder::default());
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            workers.spawn(notes(committer.clone(), self.job.clone(), Arc::clone(&recorder)));
        }
        load::run(site, plan, recorder, workers).await
    }

    /// Entries per second that the engine alone orders in blocks as full as those measured.
    async fn engine_alone(&self, context: &Context, site: &Site, measured: &Measured) -> Result<Option<f64>> {
        if !site.is_local() || measured.blocks == 0 {
            return Ok(None);
        }
        let _waiting = context.output.wait_for("the engine alone");
        let in_block = measured.records.div_ceil(measured.blocks);
        let entry_bytes = Entry::Note(self.job.note()).encode().len();
        let body_bytes = usize::try_from(in_block).unwrap_or(usize::MAX).saturating_mul(entry_bytes);
        let blocks = opaque::blocks_per_s(site.validators(), body_bytes, ENGINE_ALONE).await?;
        Ok(Some(blocks * in_block as f64))
    }

    /// Goes on after the highest sequence that the ledger knows.
    pub(super) async fn take_up_sequence(&self) -> Result<()> {
        let highest = self.first()?.highest_sequence(&self.job.0.key.public_key()).await;
        let highest = highest.map_err(|error| failed("cannot write to the ledger", &error))?;
        self.job.0.sequence.store(highest + 1, Ordering::Relaxed);
        Ok(())
    }

    fn first(&self) -> Result<&Client> {
        self.clients.first().ok_or_else(|| Failure::usage("no connections", "ask for one"))
    }
}

async fn lane(client: Client, job: Job, recorder: Arc<Recorder>, entries: usize) {
    while !recorder.over() {
        let sequence = job.next_sequence();
        let batch = match job.batch(sequence, client.height() + NOT_AFTER_BLOCKS, entries) {
            Ok(batch) => batch,
            Err(failure) => return recorder.broken(failure.message()),
        };
        let started = Instant::now();
        match client.submit(&batch).await {
            Ok(records) => {
                recorder.done(started, records.len() as u64);
                records.iter().for_each(|recorded| job.check(&recorder, recorded));
            }
            Err(error) => recorder.failed(error).await,
        }
    }
}

async fn notes(committer: Committer, job: Job, recorder: Arc<Recorder>) {
    while !recorder.over() {
        let (note, started) = (Entry::Note(job.note()), Instant::now());
        match committer.commit(&note).await {
            Ok(recorded) => {
                recorder.done(started, 1);
                job.check(&recorder, &recorded);
            }
            Err(error) => recorder.failed(error).await,
        }
    }
}

impl Job {
    fn note(&self) -> Vec<u8> {
        let number = self.0.notes.fetch_add(1, Ordering::Relaxed);
        let mut note = number.to_be_bytes().to_vec();
        note.resize(self.0.note_bytes, 0);
        note
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.0.sequence.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn batch(&self, sequence: u64, not_after: u64, entries: usize) -> Result<SignedBatch> {
        let entries = (0..entries).map(|_| Entry::Note(self.note()).encode()).collect();
        let batch = Batch { chain_id: self.0.chain_id, sequence, not_after, entries };
        batch.sign(&self.0.key).map_err(|error| {
            Failure::usage("the batch cannot be made", "choose a smaller `--batch`").because(&error)
        })
    }

    /// Every note is accepted; the receipts of a sample are verified as a stranger would.
    fn check(&self, recorder: &Recorder, recorded: &Recorded) {
        if !recorded.outcome.is_accepted() {
            return recorder.broken(format!("a note was refused with `{}`", recorded.outcome.name()));
        }
        if recorder.verify_next() {
            match verify_receipt(&self.0.trust, &recorded.receipt(None), None) {
                Ok(_verdict) => recorder.verified(),
                Err(failure) => recorder.broken(format!("a receipt does not hold: {failure}")),
            }
        }
    }
}
