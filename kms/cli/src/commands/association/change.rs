//! `keyward association leave`, `dispute` and `settle`.

use std::path::PathBuf;

use keyward_client::associations::AssociationAct;
use keyward_ledger_core::hash::{Hash, sha256};

use super::{Context, Sign, address, parse_id, standing};
use crate::commands::reason::{Reason, is_file, said};
use crate::failure::{Failure, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Leave {
    /// The association's id, 64 hex digits.
    association: String,
    /// The address that goes, with its chain's name in front.
    address: String,
    #[command(flatten)]
    sign: Sign,
}

impl Leave {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let (association, address) = (parse_id(&self.association)?, address(&self.address)?);
        let own = self.sign.enter(context).await?;
        let (stands, _) = standing(&own.client, &association).await?;
        let member = stands.members.iter().find(|member| member.address == address);
        let account = own.account().await?;
        if member.is_none_or(|member| member.account != account) {
            let next = "look at `keyward association show`; addresses of others go by `keyward association update --remove`";
            let failure = Failure::refused("no such address of your account stands in the association", next);
            return Err(Failure { code: Some("MEMBER_UNKNOWN".into()), ..failure });
        }
        let version = stands.version.saturating_add(1);
        let act = AssociationAct::Leave { association, version, address };
        let petition = own.client.association_petition(act).map_err(super::failed("cannot make it"))?;
        self.sign.sign(context, &own, petition, Some(&stands)).await
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Dispute {
    /// The association's id, 64 hex digits.
    association: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    sign: Sign,
}

impl Dispute {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let association = parse_id(&self.association)?;
        self.sign.apart_from(self.reason.file())?;
        let reason = hashed(&self.reason.text()?);
        let own = self.sign.enter(context).await?;
        let (stands, _) = standing(&own.client, &association).await?;
        let act = AssociationAct::Dispute { association, version: stands.version, reason };
        let petition = own.client.association_petition(act).map_err(super::failed("cannot make it"))?;
        self.sign.sign(context, &own, petition, Some(&stands)).await
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Settle {
    /// The association's id, 64 hex digits.
    association: String,
    /// What was decided. The ledger keeps its SHA-256 alone; without it, nothing. While this runs, the words stand in the list of
    /// processes, for everybody on this machine: give them in a file where they are about people.
    #[arg(long, value_name = "TEXT", conflicts_with = "verdict_file")]
    verdict: Option<String>,
    /// A file with these words, or `-` for standard input. Others on this machine see none of it if only you may read the file.
    #[arg(long, value_name = "FILE")]
    verdict_file: Option<PathBuf>,
    #[command(flatten)]
    sign: Sign,
}

impl Settle {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let association = parse_id(&self.association)?;
        self.sign.apart_from(self.verdict_file.as_ref().filter(|file| is_file(file)))?;
        let verdict = said(self.verdict.as_deref(), self.verdict_file.as_deref())?;
        let verdict = verdict.as_deref().map(hashed).unwrap_or_default();
        let own = self.sign.enter(context).await?;
        let (stands, _) = standing(&own.client, &association).await?;
        if stands.dispute.is_none() {
            let failure = Failure::refused("no dispute is open", "nothing is to be done: changes are taken");
            return Err(Failure { code: Some("ASSOCIATION_UNDISPUTED".into()), ..failure });
        }
        let act = AssociationAct::Settle { association, dispute: stands.disputes, verdict };
        let petition = own.client.association_petition(act).map_err(super::failed("cannot make it"))?;
        self.sign.sign(context, &own, petition, Some(&stands)).await
    }
}

fn hashed(text: &str) -> Hash {
    sha256(&[text.as_bytes()])
}
