//! `keyward policy`: the tenant's own policies, for security officers: checking, showing, trying and publishing them.
//!
//! Checking needs no network. What is in force is verified against the profile's trust file before it is shown.

pub(super) mod check;
mod explain;
pub(super) mod publish;
mod show;

use std::path::{Path, PathBuf};

use keyward_client::PoliciesError;
use keyward_client::approvals::Published;

use super::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::service::{failed, told};

#[derive(Debug, clap::Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Checks a set on this machine, and decides the cases beside it (`NAME.cases.json` beside `NAME.cedar`).
    Check {
        /// Cedar.
        file: PathBuf,
        /// The cases, where they are not beside the file.
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
    /// Shows the set in force, as the ledger proves it, or one that was.
    Show {
        /// A version that was; without it, the one in force.
        #[arg(value_name = "VERSION")]
        number: Option<u32>,
        /// Shows the service's own policies and the schema too, which stand under every set.
        #[arg(long)]
        floor: bool,
    },
    /// Says what would be decided of a request, and by which policies.
    Explain(Box<explain::Explain>),
    /// Decides lately decided requests again under a set; nothing is put in force.
    DryRun {
        /// Cedar.
        file: PathBuf,
    },
    /// Opens a case for the approval of a set, by the rule that stands.
    Ask(publish::Ask),
    /// Puts a set in force: the first one as it is, each one after it with the case that has approved it.
    Publish(publish::Publish),
    /// Lists the versions that the service knows of.
    Versions,
}

impl Policy {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Check { file, cases } => check::run(context, &file, cases.as_deref()),
            Verb::Show { number, floor } => show::show(context, number.unwrap_or_default(), floor).await,
            Verb::Explain(explain) => explain.run(context).await,
            Verb::DryRun { file } => show::dry_run(context, &file).await,
            Verb::Ask(ask) => ask.run(context, Published::Policy).await,
            Verb::Publish(publish) => publish.run(context, Published::Policy).await,
            Verb::Versions => show::versions(context).await,
        }
    }
}

/// A set's text.
pub(super) fn read(file: &Path) -> Result<String> {
    String::from_utf8(files::read(file)?)
        .map_err(|_| Failure::usage(format!("`{}` is not UTF-8", file.display()), "give a text"))
}

told!(PoliciesError, Self::Client(error) => error, next_for);

/// What to do next where a code, which other rooms know as well, means something of its own here.
fn next_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "APPROVALS_MISSING" => {
            "ask for approval (`keyward policy ask`, of rules of risk `keyward risk ask`), and publish with the case once others have given it (`--case`)"
        }
        "CASE_PAYLOAD" => {
            "publish exactly the text that the case is about, as the next version (`keyward approve show`)"
        }
        "CASE_USED" | "CASE_CLOSED" | "CASE_UNKNOWN" => {
            "ask for approval anew (`keyward policy ask`, of rules of risk `keyward risk ask`)"
        }
        "AUTHOR_NOT_NAMED" => "have the one publish who has asked for the approval",
        "RULE_UNKNOWN" => "define the rule first (`keyward approve rule define`), or correct `--next-rule`",
        "SESSION_REQUIRED" => "log in first, with this profile (`keyward account login`)",
        _ => return None,
    })
}
