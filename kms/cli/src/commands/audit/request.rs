//! `keyward audit request` and `ask`: a grant is asked for, with a key of its own on this device, and then its approvals.

use std::path::{Path, PathBuf};

use keyward_client::approvals::About;
use keyward_client::audit::AskedGrant;
use keyward_client::{Client, Login};
use keyward_domain::audit::PURPOSE_LEN_MAX;
use serde_json::json;

use super::grant::{self, ask};
use super::{Context, Keep, failed, parse_account, parse_grant, tell};
use crate::commands::delegate::word::Word;
use crate::commands::key::life::parse_wait;
use crate::commands::own::FOLDER;
use crate::commands::reason::{is_file, said};
use crate::failure::{Failure, Result};
use crate::moment;
use crate::output::aside;

#[derive(Debug, clap::Args)]
pub(super) struct Request {
    /// An account's id, 64 hex digits; may be given 64 times.
    #[arg(long = "account", value_name = "ACCOUNT", required_unless_present = "whole_tenant")]
    accounts: Vec<String>,
    /// Every account of the tenant.
    #[arg(long, conflicts_with = "accounts")]
    whole_tenant: bool,
    /// Where the period begins: `2026-01-31`, `2026-01-31T08:30:00Z`, or milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Where it ends; not part of it.
    #[arg(long, value_name = "TIME")]
    until: String,
    /// When the grant ends: nothing is opened after that.
    #[arg(long, value_name = "TIME")]
    expires: String,
    #[command(flatten)]
    purpose: Purpose,
    /// How long the case for its approvals lives; the rule says how long at most.
    #[arg(long, default_value = "1h", value_parser = parse_wait, value_name = "TIME")]
    case_lives: u64,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
}

/// What it is for: the one or the other.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Purpose {
    /// What it is for, in words that approvers read; the ledger has its hash alone. While this runs, the words stand in the list of
    /// processes, for everybody on this machine: give them in a file where they say whom you suspect.
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    /// A file with these words, or `-` for standard input. Others on this machine see none of it if only you may read the file.
    #[arg(long, value_name = "FILE")]
    purpose_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    /// The grant, 64 hex digits.
    grant: String,
    /// How long the case lives; the rule says how long at most.
    #[arg(long, default_value = "1h", value_parser = parse_wait, value_name = "TIME")]
    case_lives: u64,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
}

impl Request {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        self.keep.apart_from(self.purpose.file().into_iter().chain(&self.word.password_file))?;
        let asked = self.asked()?;
        let (client, login) = self.word.login(context).await?;
        let cannot = failed("cannot ask for the grant");
        let folder = context.profile()?.path(Path::new(FOLDER));
        let device = client.device_keys(&folder).map_err(failed("cannot use the keys on this device"))?;
        let terms = client.show_audit_terms(None).await.map_err(&cannot)?;
        let purpose = asked.purpose.clone();
        let requested = client.request_grant(&login, &device, (&terms, asked)).await;
        let (done, grant) = requested.map_err(&cannot)?;
        let id = hex::encode(grant.id);
        aside(&format!("the grant {id} is asked for; now its approvals are"));
        let about = About::Grant { grant, purpose };
        let case = ask(&client, &login, (&terms, &about), self.case_lives).await.map_err(|failure| {
            let next = format!("the grant is asked for: ask for its approvals with `keyward audit ask {id}`");
            Failure { next, ..failure }
        })?;
        let said = format!(
            "asked\n  grant    {id}\n{}; then `keyward audit issue {id} --case {}`",
            case.words(),
            case.case()
        );
        tell(context, &said, &done, &self.keep, &case.json(&json!({ "grant": id })))
    }

    fn asked(&self) -> Result<AskedGrant> {
        let accounts = self.accounts.iter().map(|account| parse_account(account));
        Ok(AskedGrant {
            accounts: accounts.collect::<Result<_>>()?,
            from_ms: moment::parse("from", &self.from)?,
            until_ms: moment::parse("until", &self.until)?,
            expires_ms: moment::parse("expires", &self.expires)?,
            purpose: self.purpose.text()?,
        })
    }
}

impl Purpose {
    /// The file that is read, if one is.
    fn file(&self) -> Option<&PathBuf> {
        self.purpose_file.as_ref().filter(|file| is_file(file))
    }

    fn text(&self) -> Result<String> {
        let text = said(self.purpose.as_deref(), self.purpose_file.as_deref())?.unwrap_or_default();
        if text.is_empty() || text.len() > PURPOSE_LEN_MAX {
            let what = format!("what the grant is for has {} bytes", text.len());
            let next = format!("say in 1 to {PURPOSE_LEN_MAX} bytes what it is for: approvers read it");
            return Err(Failure::usage(what, next));
        }
        Ok(text)
    }
}

impl Ask {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let id = parse_grant(&self.grant)?;
        self.keep.apart_from(&self.word.password_file)?;
        let (client, login) = self.word.login(context).await?;
        let about = about(&client, &login, &id).await?;
        let terms = client.show_audit_terms(None).await.map_err(failed("cannot see the terms"))?;
        let case = ask(&client, &login, (&terms, &about), self.case_lives).await?;
        let id = hex::encode(id);
        let said = format!("asked\n{}; then `keyward audit issue {id} --case {}`", case.words(), case.case());
        tell(context, &said, &case.done, &self.keep, &case.json(&json!({ "grant": id })))
    }
}

/// The grant as the ledger has it, with its purpose.
async fn about(client: &Client, login: &Login, id: &[u8; 32]) -> Result<About> {
    let shown = client.show_grant(id).await.map_err(failed("cannot look at the grant"))?;
    if shown.state.grantee != login.session.account {
        let next = "have the account ask that has asked for the grant";
        return Err(Failure::refused("the grant was asked for by another account", next));
    }
    let Some(purpose) = shown.purpose.clone() else {
        let next = "ask for another grant (`keyward audit request`)";
        return Err(Failure::refused("the service does not keep what the grant is for", next));
    };
    aside(&grant::words(&shown));
    Ok(About::Grant { grant: shown.state.grant, purpose })
}
