//! `keyward bench growth`: what an entry costs early and late in a ledger's life, how fast full validators start, and
//! how fast one that lost everything is in step again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyward_ledger_client::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::ledger::{Bench, Job, LANES, NOT_AFTER_BLOCKS, NOTE_BYTES};
use super::report::{cores, hundredths, tenths};
use super::site::Site;
use crate::commands::Context;
use crate::commands::ledger::connect;
use crate::failure::{Failure, Result};
use crate::local::state::Wanted;

/// Entries from which the early cost is counted.
const EARLY: u64 = 10_000;
const BATCH: usize = 500;
/// The validator that loses everything, counted from 1.
const WIPED: usize = 4;
/// How long it may take to be in step.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Growth {
    /// Entries on the ledger when the late cost is counted.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100_000..=100_000_000))]
    entries: u64,
    /// Entries over which a cost is counted.
    #[arg(long, value_name = "N", default_value_t = 80_000, value_parser = clap::value_parser!(u64).range(1000..=90_000))]
    window: u64,
    /// Bytes of each note.
    #[arg(long, value_name = "N", default_value_t = NOTE_BYTES, value_parser = clap::value_parser!(u16).range(8..=4096))]
    note_bytes: u16,
}

/// What a stretch of entries took.
struct Stretch {
    from: u64,
    entries: u64,
    seconds: f64,
    cpu: Duration,
}

/// How a validator came back that had lost everything.
struct Return {
    bytes: u64,
    entries: u64,
    time: Duration,
}

struct Measured {
    early: Stretch,
    late: Stretch,
    restart: Duration,
    came_back: Return,
}

impl Growth {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        if context.profile.is_some() {
            let next = "leave `--profile` out: it fills a Keyward of its own and stops its validators";
            return Err(Failure::usage("growth is not measured on a ledger that is in use", next));
        }
        let mut site = Site::choose(context, None, Wanted::default())?;
        let measured = tokio::select! {
            measured = self.measure(context, &mut site) => Some(measured),
            () = crate::signals::end() => None,
        };
        site.close(measured.as_ref().is_none_or(Result::is_ok)).await;
        let broken_off = || Err(Failure::refused("the measurement was broken off", "run it again"));
        let measured = measured.unwrap_or_else(broken_off)?;
        context.output.answer(self.words(&measured), &self.json(&measured));
        Ok(())
    }

    async fn measure(&self, context: &Context, site: &mut Site) -> Result<Measured> {
        site.start().await?;
        let bench = Bench::open(site, 4, usize::from(self.note_bytes)).await?;
        bench.take_up_sequence().await?;
        let stretch = async |what: &str, from: u64| {
            let _waiting =
                context.output.wait_for(format!("{what}: up to {from} entries, then {} more", self.window));
            fill(&bench, from.saturating_sub(site.ledger_size().await.0)).await?;
            let (from, before, started) = (site.ledger_size().await.0, site.usage(), Instant::now());
            fill(&bench, self.window).await?;
            let (seconds, cpu) = (started.elapsed().as_secs_f64(), site.usage().since(&before).total());
            Ok::<_, Failure>(Stretch { from, entries: site.ledger_size().await.0 - from, seconds, cpu })
        };
        let early = stretch("early", EARLY).await?;
        let late = stretch("late", self.entries).await?;
        let restart = {
            let _waiting = context.output.wait_for("all validators stop and start");
            restart(site).await?
        };
        let _waiting = context.output.wait_for("one validator starts with nothing");
        let came_back = come_back(site).await?;
        Ok(Measured { early, late, restart, came_back })
    }

    fn json(&self, measured: &Measured) -> Value {
        let Measured { early, late, restart, came_back } = measured;
        json!({
            "what": format!("{}-byte notes on validators of this machine", self.note_bytes),
            "early": early.json(),
            "late": late.json(),
            "late_to_early": hundredths(late.cpu_us() / early.cpu_us().max(f64::EPSILON)),
            "restart_to_ready_s": hundredths(restart.as_secs_f64()),
            "catch_up": {
                "bytes": came_back.bytes,
                "entries": came_back.entries,
                "seconds": hundredths(came_back.time.as_secs_f64()),
                "mb_per_s": tenths(came_back.mb_per_s()),
            },
            "cores": cores(),
        })
    }

    fn words(&self, measured: &Measured) -> String {
        let Measured { early, late, restart, came_back } = measured;
        format!(
            "{}-byte notes, {} cores\nearly  {}\nlate   {}\nratio  {:.2}\nall validators ready {:.2} s after a stop\n\
             a validator that lost everything was in step after {:.1} s: {} entries, {:.1} MB of blocks, {:.1} MB/s",
            self.note_bytes,
            cores(),
            early.words(),
            late.words(),
            late.cpu_us() / early.cpu_us().max(f64::EPSILON),
            restart.as_secs_f64(),
            came_back.time.as_secs_f64(),
            came_back.entries,
            came_back.bytes as f64 / 1e6,
            came_back.mb_per_s(),
        )
    }
}

impl Stretch {
    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.entries.max(1) as f64
    }

    fn per_s(&self) -> f64 {
        self.entries as f64 / self.seconds.max(f64::EPSILON)
    }

    fn json(&self) -> Value {
        json!({
            "from": self.from,
            "entries": self.entries,
            "entries_per_s": tenths(self.per_s()),
            "cpu_us_per_entry": tenths(self.cpu_us()),
        })
    }

    fn words(&self) -> String {
        let (cpu, rate) = (self.cpu_us(), self.per_s());
        format!("{cpu:.1} us of CPU per entry, {rate:.0} entries per s, from entry {} on", self.from)
    }
}

impl Return {
    fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.time.as_secs_f64().max(f64::EPSILON)
    }
}

/// Records so many notes, or a few more, in lanes that each have one batch under way.
async fn fill(bench: &Bench, entries: u64) -> Result<()> {
    let begun = Arc::new(AtomicU64::new(0));
    let mut lanes = JoinSet::new();
    for client in bench.clients.iter().cycle().take(LANES) {
        lanes.spawn(lane(client.clone(), bench.job.clone(), Arc::clone(&begun), entries));
    }
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|error| {
            Failure::refused("a lane of the load ended", "tell us about this").because(&error)
        })??;
    }
    Ok(())
}

async fn lane(client: Client, job: Job, begun: Arc<AtomicU64>, entries: u64) -> Result<()> {
    while begun.fetch_add(BATCH as u64, Ordering::Relaxed) < entries {
        let sequence = job.next_sequence();
        let batch = job.batch(sequence, client.height() + NOT_AFTER_BLOCKS, BATCH)?;
        let records = client.submit(&batch).await;
        let records = records.map_err(|error| {
            Failure::refused("a batch was not recorded", "read the logs of the nodes").because(&error)
        })?;
        if let Some(refused) = records.iter().find(|record| !record.outcome.is_accepted()) {
            let what = format!("a note was refused with `{}`", refused.outcome.name());
            return Err(Failure::refused(what, "tell us about this"));
        }
    }
    Ok(())
}

/// From the start of the first validator until all of them are ready.
async fn restart(site: &mut Site) -> Result<Duration> {
    let cluster = site.own()?;
    cluster.stop().await;
    let started = Instant::now();
    cluster.start_nodes().await?;
    let took = started.elapsed();
    cluster.start_service().await?;
    Ok(took)
}

/// Kills a validator, removes all it stored, starts it, and waits until it is where the others are.
async fn come_back(site: &mut Site) -> Result<Return> {
    let client = connect(&site.profile("operator")?).await?;
    let entries = site.ledger_size().await.0;
    let cluster = site.own()?;
    let (data, other) = (cluster.layout.node_data(WIPED), cluster.layout.node_data(1));
    let bytes = bytes_of(&other.join("blocks"))?;
    cluster.kill_node(WIPED).await?;
    std::fs::remove_dir_all(&data).map_err(|error| cannot_read(&data, &error))?;
    let address = cluster.node_urls().get(WIPED - 1).cloned().unwrap_or_default();
    let started = Instant::now();
    cluster.start_node(WIPED).await?;
    while log_size(&client, &address).await < entries {
        if started.elapsed() > PATIENCE {
            return Err(Failure::refused("the validator is not in step in time", "read its log"));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(Return { bytes, entries, time: started.elapsed() })
}

/// Of one node, as far as it says.
async fn log_size(client: &Client, address: &str) -> u64 {
    let statuses = client.statuses().await;
    let of_it = statuses.into_iter().find(|(node, _)| node == address);
    of_it.and_then(|(_, status)| status.ok()).map_or(0, |status| status.log_size)
}

/// Bytes of the files below a folder.
fn bytes_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).map_err(|error| cannot_read(folder, &error))? {
        let entry = entry.map_err(|error| cannot_read(folder, &error))?;
        let metadata = entry.metadata().map_err(|error| cannot_read(folder, &error))?;
        bytes += if metadata.is_dir() { bytes_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn cannot_read(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("`{}` cannot be read or removed", folder.display()), "run it again")
        .because(error)
}
