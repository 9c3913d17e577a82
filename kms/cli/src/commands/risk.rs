//! `keyward risk`: the tenant's rules of risk, for security officers: checking, showing, replaying and publishing them.
//!
//! Checking and simulating need no network. What is in force is verified against the profile's trust file before it is shown.

mod check;
mod show;
mod simulate;

use std::path::PathBuf;

use keyward_client::approvals::Published;

use super::policy::publish;
use super::{Context, policy};
use crate::failure::Result;
use crate::moment;

#[derive(Debug, clap::Args)]
pub(crate) struct Risk {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Checks rules on this machine, and judges the cases beside them (`NAME.cases.json` beside `NAME.toml`).
    Check {
        /// TOML.
        file: PathBuf,
        /// The cases, where they are not beside the file.
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
    /// Says what rules catch, and whom they hold up, on a workload that is made from a seed.
    Simulate(simulate::Simulate),
    /// Shows the rules in force, as the ledger proves them, or those that were; or what is known of an account's habits.
    Show {
        /// A version that was; without it, the one in force.
        #[arg(value_name = "VERSION")]
        number: Option<u32>,
        /// The habits of this account (64 hex digits) in numbers, with the limits that hold for it.
        #[arg(long, value_name = "ACCOUNT", conflicts_with = "number")]
        account: Option<String>,
    },
    /// Judges lately judged requests again under other rules; nothing is put in force.
    Replay {
        /// TOML.
        file: PathBuf,
        /// Judges no request before this time: `2026-01-31`, `2026-01-31T08:30:00Z`, or milliseconds since 1970; those before only make
        /// the histories.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },
    /// Opens a case for the approval of rules, by the approval rule that stands.
    Ask(publish::Ask),
    /// Puts rules in force: the first ones as they are, all after them with the case that has approved them.
    Publish(publish::Publish),
    /// Lists the versions that the service knows of.
    Versions,
}

impl Risk {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Check { file, cases } => check::run(context, &file, cases.as_deref()),
            Verb::Simulate(simulate) => simulate.run(context),
            Verb::Show { account: Some(account), .. } => show::account(context, &account).await,
            Verb::Show { number, .. } => show::show(context, number.unwrap_or_default()).await,
            Verb::Replay { file, since } => {
                let since_ms = since.map_or(Ok(0), |since| moment::parse("since", &since))?;
                show::replay(context, &policy::read(&file)?, since_ms).await
            }
            Verb::Ask(ask) => ask.run(context, Published::Risk).await,
            Verb::Publish(publish) => publish.run(context, Published::Risk).await,
            Verb::Versions => show::versions(context).await,
        }
    }
}
