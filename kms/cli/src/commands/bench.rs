//! `keyward bench`: what the parts reach on this machine, as one JSON line.
//!
//! `bench sign` has an app's hosted key sign; `bench ledger` records notes. Both warm up, then count what is answered
//! within the measured time. Without a profile or `--dir` they start a Keyward of their own in a temporary folder,
//! with the supervisor of `keyward up`, and remove it afterwards; `bench sign --servers N` puts N custody servers over
//! one database and spreads its connections over them. `bench growth` fills a ledger of its own, and asks what an entry
//! costs then, how fast full validators start, and how fast one that lost everything is in step.
//!
//! `bench sign --mode shared` has a person sign together with t of n keepers: one operation is two rounds with each of them.
//!
//! `bench relink` derives unlinkable addresses and finds one account's in an export, on one core.
//!
//! `bench vault` seals and recovers vaults, and measures what both sides compute for it. `bench risk` has verdicts made over a long
//! history, in this process alone. `bench query` asks in SQL what a grant's reader asks, of a PostgreSQL server.
//!
//! What the figures mean:
//! - an *operation* is one signature with its final receipt, or one entry that is final and proven to the client;
//! - `p50_ms`, `p99_ms`: from asking to the verified answer; an entry takes as long as its batch;
//! - `cpu_us_per_operation`: user and system time of validators, service and this process, from `/proc/PID/stat`
//!   (this process: its CPU clock); nothing where the processes run on another machine;
//! - `bare_us_per_operation`: the same cryptography in a loop of one thread of this process, in the same run. Of a
//!   signature: making and verifying it, which the guard must do. Of an entry: its leaf hash, its share of the log's
//!   inner hashes and of its batch's digest and signature check, once for each validator;
//! - `bare_operations_per_s` of `bench ledger`: entries in opaque blocks as full as those measured, which the consensus
//!   engine alone orders, as many of it as there are validators, in this process;
//! - `strangers_cpu_percent`: how much of the machine was taken by processes that are none of ours.
//!
//! One receipt in a hundred is verified offline against the trust file; every answer must carry one.

mod bare;
mod cpu;
mod growth;
mod ledger;
mod load;
mod opaque;
mod person;
mod query;
mod relink;
mod report;
mod risk;
mod shared;
mod sign;
mod site;
mod token;
mod vault;

use std::path::PathBuf;
use std::time::Duration;

use super::Context;
use crate::failure::{Failure, Result};
use crate::local::state::Wanted;
use site::Site;

#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Signatures of an app's key, or of one that a person shares with keepers, each with its final receipt.
    Sign(sign::Sign),
    /// Notes on the ledger, each final and proven.
    Ledger(ledger::Ledger),
    /// Cost, start and catching up of a ledger that grows.
    Growth(growth::Growth),
    /// Sealing and recovering vaults, and what both sides compute for it.
    Vault(vault::Vault),
    /// Unlinkable addresses: derived, and found again with a grant in an export.
    Relink(relink::Relink),
    /// What a grant's reader waits for in SQL, over a million transactions.
    Query(query::Query),
    /// Verdicts of risk over an account's long history.
    Risk(risk::Risk),
    /// The token room beside the bare `cryptoki` loop, on a software token of its own.
    Token(token::Token),
}

/// How long and how hard.
#[derive(Clone, Debug, clap::Args)]
struct Load {
    /// How long is measured.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How long the same load runs before.
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,
    /// Requests under way at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: Option<u16>,
    /// Operations in one batch.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: Option<u16>,
    /// Connections to spread the requests over.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: Option<u16>,
    /// The folder of a running `keyward up` to measure.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Load {
    const fn seconds(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    const fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up)
    }

    fn concurrency(&self, default: usize) -> usize {
        self.concurrency.map_or(default, usize::from)
    }

    fn batch(&self, default: usize) -> usize {
        self.batch.map_or(default, usize::from)
    }

    fn connections(&self, default: usize) -> usize {
        self.connections.map_or(default, usize::from)
    }
}

impl Verb {
    /// Of those that measure a whole Keyward.
    const fn load(&self) -> Option<&Load> {
        match self {
            Self::Sign(sign) => Some(&sign.load),
            Self::Ledger(ledger) => Some(&ledger.load),
            Self::Growth(_)
            | Self::Query(_)
            | Self::Relink(_)
            | Self::Risk(_)
            | Self::Token(_)
            | Self::Vault(_) => None,
        }
    }
}

impl Verb {
    /// What a Keyward of our own is made of.
    fn wanted(&self) -> Wanted {
        match self {
            Self::Sign(sign) => sign.wanted(),
            Self::Ledger(_)
            | Self::Growth(_)
            | Self::Query(_)
            | Self::Relink(_)
            | Self::Risk(_)
            | Self::Token(_)
            | Self::Vault(_) => Wanted::default(),
        }
    }
}

impl Bench {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Token(token) => return Box::pin(token.run(context)).await,
            Verb::Relink(relink) => return Box::pin(relink.run(context)).await,
            Verb::Query(query) => return Box::pin(query.run(context)).await,
            Verb::Growth(growth) => return Box::pin(growth.run(context)).await,
            Verb::Vault(vault) => return Box::pin(vault.run(context)).await,
            Verb::Risk(risk) => return risk.run(context),
            Verb::Sign(_) | Verb::Ledger(_) => {}
        }
        let dir = self.verb.load().and_then(|load| load.dir.as_deref());
        let mut site = Site::choose(context, dir, self.verb.wanted())?;
        let measured = tokio::select! {
            measured = self.measure(context, &mut site) => Some(measured),
            () = crate::signals::end() => None,
        };
        // Who breaks off does not want to look for what went wrong.
        site.close(measured.as_ref().is_none_or(Result::is_ok)).await;
        let broken_off = || Err(Failure::refused("the measurement was broken off", "run it again"));
        let report = measured.unwrap_or_else(broken_off)?;
        context.output.answer(report.words(), &report.json());
        Ok(())
    }

    async fn measure(self, context: &Context, site: &mut Site) -> Result<report::Report> {
        site.start().await?;
        match self.verb {
            Verb::Sign(sign) => Box::pin(sign.measure(context, site)).await,
            Verb::Ledger(ledger) => Box::pin(ledger.measure(context, site)).await,
            Verb::Growth(_)
            | Verb::Query(_)
            | Verb::Relink(_)
            | Verb::Risk(_)
            | Verb::Token(_)
            | Verb::Vault(_) => Err(Failure::usage("this is measured otherwise", "")),
        }
    }
}
