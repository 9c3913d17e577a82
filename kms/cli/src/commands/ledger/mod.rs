//! `keyward ledger`: what stands on the ledger, verified against the trust file.

pub(crate) mod addresses;
mod associations;
pub(crate) mod audits;
pub(crate) mod check;
mod checkpoint;
pub(crate) mod delegations;
pub(crate) mod export;
mod find;
pub(crate) mod folder;
mod import;
pub(crate) mod project;
mod records;
mod scrub;
pub(crate) mod shared;
mod state;
pub(crate) mod state_key;
mod status;
pub(crate) mod vaults;

use std::path::PathBuf;

use keyward_ledger_client::{Client, ClientError, Config, DEADLINE, Identity};
use zeroize::Zeroizing;

use super::Context;
use crate::certificate::principal_of;
use crate::config::serve::{SUBMITTER_KEY, read_trust};
use crate::failure::{Failure, Result};
use crate::profile::Profile;
use crate::sealed::OperatorSecret;

#[derive(Debug, clap::Args)]
pub(crate) struct Ledger {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// What each node says of itself.
    Status,
    /// Asks every node to read all that it stores again now.
    Scrub,
    /// One record, with the receipt that proves it.
    Get {
        /// Its place in the log.
        leaf_index: u64,
        /// Writes the receipt here.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
        /// Writes the inclusion proof here as a COSE Receipt (RFC 9942).
        #[arg(long, value_name = "FILE")]
        cose: Option<PathBuf>,
    },
    /// Records by id, submitter, kind, what they name, and time; each with the place of its proof.
    Find(find::Find),
    /// The newest checkpoint of the log, cosigned by the validators, for transparency-log tools (C2SP).
    Checkpoint(checkpoint::Checkpoint),
    /// Records as they become final, until Ctrl-C.
    Tail {
        /// Begins at this height [default: the newest].
        #[arg(long, value_name = "HEIGHT")]
        from: Option<u64>,
        /// Ends after so many records.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// What stands under a key of the state now, or that nothing does, with the receipt that proves it.
    State(state::State),
    /// Writes the ledger into files with their proofs, going on where an earlier run ended.
    Export(export::Export),
    /// Keeps a PostgreSQL database up to date with the ledger, and with what audit grants open, each for a reader of its own.
    Project(Box<project::Project>),
    /// Makes a node's data folder from an export, after checking everything in it.
    Import(import::Import),
    /// Checks digests, certificates, signatures, execution, outcomes and log, over the nodes or over an export.
    Check(check::Check),
    /// Who runs the ledger: list, join, propose, approve.
    Member(super::member::MemberCommand),
    /// How the ledger agrees, since when and why.
    Regime(super::member::Regime),
}

impl Ledger {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Status => status::run(context, &connect(&context.profile()?).await?).await,
            Verb::Scrub => scrub::run(context, &connect(&context.profile()?).await?).await,
            Verb::Get { leaf_index, receipt, cose } => {
                records::get(context, &connect(&context.profile()?).await?, leaf_index, receipt, cose).await
            }
            Verb::Find(find) => find.run(context, &connect(&context.profile()?).await?).await,
            Verb::Checkpoint(checkpoint) => {
                checkpoint.run(context, &connect(&context.profile()?).await?).await
            }
            Verb::Tail { from, count } => {
                let client = connect(&context.profile()?).await?;
                tokio::select! {
                    done = records::tail(context, &client, from, count) => done,
                    () = crate::signals::end() => Ok(()),
                }
            }
            Verb::State(state) => state.run(context).await,
            Verb::Export(export) => export.run(context).await,
            Verb::Project(project) => Box::pin(project.run(context)).await,
            Verb::Import(import) => import.run(context),
            Verb::Check(check) => check.run(context).await,
            Verb::Member(command) => Box::pin(command.run(context)).await,
            Verb::Regime(command) => Box::pin(command.run(context)).await,
        }
    }
}

/// A client of the ledger that a profile names.
pub(crate) async fn connect(profile: &Profile) -> Result<Client> {
    let (ca_pem, certificate_pem, key_pem) = profile.identity()?;
    let config = Config {
        nodes: profile.file.nodes.clone(),
        identity: Identity { ca_pem, certificate_pem, key_pem },
        trust: read_trust(&profile.path(&profile.file.trust))?,
        deadline: DEADLINE,
        dial: crate::proxy::way_out(profile.file.proxy.as_deref(), &profile.file.nodes)?,
    };
    Client::connect(config).await.map_err(|error| failed("cannot reach the ledger", &error))
}

/// The submitter's key that the profile may open.
pub(crate) fn submitter_seed(profile: &Profile) -> Result<Zeroizing<[u8; 32]>> {
    let (Some(secret), Some(key)) = (&profile.file.operator_secret, &profile.file.submitter_key) else {
        return Err(Failure::usage(
            format!("the profile in `{}` names no submitter's key", profile.folder.display()),
            "choose the operator's profile, or make a key (`keyward ledger member submitter`) and add `operator_secret` and `submitter_key` to it",
        ));
    };
    let owner = principal_of(&profile.path(&profile.file.certificate))?;
    OperatorSecret::load(&profile.path(secret))?.open32(&profile.path(key), SUBMITTER_KEY, &owner)
}

/// Words for what the ledger's client says.
pub(crate) fn failed(what: &str, error: &ClientError) -> Failure {
    let refused = Failure::refused(what, "compare the trust file with the ledger's operators");
    match error {
        ClientError::Unreachable { .. } => {
            Failure::unreachable(what, "see whether the validators run (`keyward up`)").because(error)
        }
        ClientError::Refused { code, .. } => {
            let next = match &**code {
                "READ_NOT_ALLOWED" => "read it with the profile of an auditor (`--profile local-auditor`)",
                _ => "correct the request",
            };
            let mut failure = Failure::refused(what, next).because(error);
            if let Some(code) = keyward_domain::Code::from_name(code) {
                failure = failure.coded(code);
            }
            failure.code = Some(code.clone());
            failure
        }
        _ => refused.because(error),
    }
}
