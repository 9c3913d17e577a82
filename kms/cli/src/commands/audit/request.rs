//! `keyward audit request` and `ask`: a grant is asked for, with a key of its own on this device, and then its approvals.

use std::path::Path;

use keyward_client::approvals::About;
use keyward_client::audit::AskedGrant;
use keyward_client::{Client, Login};
use serde_json::json;

use super::grant::{self, ask};
use super::{Context, Keep, failed, parse_account, parse_grant, tell};
use crate::commands::delegate::word::Word;
use crate::commands::key::life::parse_wait;
use crate::commands::own::FOLDER;
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
    /// What it is for, in words that approvers read; the ledger has its hash alone.
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// How long the case for its approvals lives; the rule says how long at most.
    #[arg(long, default_value = "1h", value_parser = parse_wait, value_name = "TIME")]
    case_lives: u64,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
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
        let time = |option: &str, text: &str| {
            let wrong = || {
                let next = "write `2026-01-31`, `2026-01-31T08:30:00Z`, or milliseconds since 1970";
                Failure::usage(format!("`--{option} {text}` is no time"), next)
            };
            moment::parse_ms(text).ok_or_else(wrong)
        };
        let accounts = self.accounts.iter().map(|account| parse_account(account));
        Ok(AskedGrant {
            accounts: accounts.collect::<Result<_>>()?,
            from_ms: time("from", &self.from)?,
            until_ms: time("until", &self.until)?,
            expires_ms: time("expires", &self.expires)?,
            purpose: self.purpose.clone(),
        })
    }
}

impl Ask {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let id = parse_grant(&self.grant)?;
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
