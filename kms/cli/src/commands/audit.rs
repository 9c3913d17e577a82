//! `keyward audit`: terms for audits, grants, and what they open.
//!
//! What the service shows is held against the ledger's proofs under the profile's trust file before it is shown here.

mod file;
mod grant;
mod issue;
mod offline;
mod open;
mod report;
mod request;
mod revoke;
mod run;
mod show;
mod terms;
mod told;
pub(crate) mod whose;

use keyward_client::audit::AuditError;

pub(crate) use self::file::{load as load_grant_file, place as grant_file_place};
pub(crate) use self::offline::{Offline, refused};

use super::Context;
use super::recorded::{Keep, parse_account, parse_id, tell};
use crate::failure::Result;
use crate::service::{failed, told};

#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// How far a grant may reach, and who approves it: show, ask, publish.
    #[command(subcommand)]
    Terms(terms::Terms),
    /// Asks for a grant, and for its approvals; with an auditor's certificate, in a session.
    Request(request::Request),
    /// Asks for the approvals of a grant once more.
    Ask(request::Ask),
    /// Has a grant issued that others have approved.
    Issue(issue::Issue),
    /// Opens what has elapsed of a grant's period, and keeps it in a folder; again, later, what has elapsed since.
    Open(open::Open),
    /// Lists the grants that you asked for, or may revoke.
    List,
    /// Shows a grant as the ledger proves it.
    Show {
        /// The grant, 64 hex digits.
        grant: String,
    },
    /// Ends a grant for good: as who asked for it, or as one who approves grants.
    Revoke(revoke::Revoke),
    /// Finds what a grant opens in a ledger's export, and shows it; needs no service, and with an export no network.
    Relink(report::Relink),
    /// Writes a report on that: a page, JSON and CSV, with a receipt of every record in it.
    Report(report::Write),
    /// Writes it in one format.
    Export(report::Export),
}

impl Audit {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Terms(terms) => terms.run(context).await,
            Verb::Request(request) => request.run(context).await,
            Verb::Ask(ask) => ask.run(context).await,
            Verb::Issue(issue) => issue.run(context).await,
            Verb::Open(open) => open.run(context).await,
            Verb::List => show::list(context).await,
            Verb::Show { grant } => show::show(context, &grant).await,
            Verb::Revoke(revoke) => revoke.run(context).await,
            Verb::Relink(relink) => relink.run(context).await,
            Verb::Report(report) => report.run(context).await,
            Verb::Export(export) => export.run(context).await,
        }
    }
}

/// A grant's id.
fn parse_grant(text: &str) -> Result<[u8; 32]> {
    parse_id(text, "copy it from `keyward audit list`")
}

told!(AuditError, Self::Client(error) => error, next_for);

/// What to do next where a code, which other rooms know as well, means something of its own here.
fn next_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "APPROVALS_MISSING" => {
            "have others approve first (`keyward approve show` says who is missing); of terms, ask for approvals with `keyward audit terms ask`"
        }
        "CASE_PAYLOAD" => "name the case that was opened for exactly this grant or these terms",
        "CASE_USED" | "CASE_CLOSED" | "CASE_UNKNOWN" => {
            "ask for approvals anew (`keyward audit ask`, of terms `keyward audit terms ask`)"
        }
        "RULE_VERSION" => {
            "look at `keyward audit terms show`: the terms were published anew; a grant that was asked for under those before is asked for again (`keyward audit request`)"
        }
        "AUTHOR_NOT_NAMED" => {
            "have the one do it who asked for the grant; to revoke it, one of those whom `keyward audit terms show` names"
        }
        "ADDRESSES_UNKNOWN" => {
            "name accounts of this tenant that have chosen unlinkable addresses; what others sign stands in the ledger in the clear"
        }
        "ACCOUNT_UNKNOWN" => "name accounts by their ids, 64 hex digits",
        "ACCOUNT_CLOSED" => {
            "ask for a period from before the account was closed (`keyward ledger state address/account ID`), and within the time for which `keyward audit terms show` keeps closed ones"
        }
        "EPOCH_UNDER_WAY" => "wait until the epoch has ended, and some seconds longer",
        "SESSION_REQUIRED" => "log in first, with this profile (`keyward account login`)",
        "NOT_ALLOWED" => {
            "ask for grants and open them with an auditor's certificate, publish terms with an officer's, each in a session of your own"
        }
        _ => return None,
    })
}
