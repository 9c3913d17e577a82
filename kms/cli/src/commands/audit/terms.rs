//! `keyward audit terms`: shown to everybody, published by officers, from version 2 on with the approval of others.

use keyward_client::Client;
use keyward_client::approvals::{About, ApprovalState, Party, Voice};
use keyward_client::audit::{AuditTerms, PublishAudit, ShownTerms};
use keyward_client::party_words;
use keyward_domain::moment::period;
use keyward_ledger_core::entry::{GRANT_TENANT_ACCOUNTS, KEPT_MS_MAX};
use serde_json::{Value, json};

use super::grant::ask;
use super::{Context, Keep, failed, parse_id, tell};
use crate::commands::delegate::word::Word;
use crate::commands::key::life::parse_wait;
use crate::commands::policy::publish::rule_id;
use crate::failure::{Failure, Result};
use crate::service::{As, connect};

/// Ten years with their leap days.
const TEN_YEARS_MS: u64 = 3_653 * 86_400_000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Terms {
    /// Shows the terms in force, as the ledger proves them.
    Show {
        /// Of this tenant; without it, of the service's own.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// Opens a case for the approval of terms, by the rule that stands.
    Ask(AskTerms),
    /// Puts terms in force: the first ones as they are, all after them with the case that has approved them.
    Publish(Publish),
}

/// The terms, and the rule by which grants and the version after it are approved.
#[derive(Debug, clap::Args)]
struct New {
    /// The most accounts of one grant: a number, or `all`, with which a grant may be for the whole tenant.
    #[arg(long, value_name = "N", value_parser = parse_accounts)]
    accounts: u16,
    /// The longest period of one grant: `30d`, `12h`, ..
    #[arg(long, value_name = "TIME", value_parser = parse_wait)]
    period: u64,
    /// How far ahead a grant may end: `90d`, ..
    #[arg(long, value_name = "TIME", value_parser = parse_wait)]
    live: u64,
    /// How long after an account was closed what it did before can still be opened: `3653d`, .., or `none`. Without it, as in the
    /// terms that stand, and ten years in the first version: the longest that the Union's law on money laundering has banks keep
    /// records of a relationship that ended (Directive (EU) 2015/849, article 40).
    #[arg(long, value_name = "TIME", value_parser = parse_kept)]
    kept: Option<u64>,
    /// The approval rule for grants and for the next version: the id that `keyward approve rule show` prints, 64 hex digits, or the
    /// name of a rule of the account that is logged in. Without it, the rule that stands; the first version needs it.
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// The tenant's name, where the service is not to be believed in which one it is.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    word: Word,
}

#[derive(Debug, clap::Args)]
pub(super) struct AskTerms {
    /// How long the case lives; the rule says how long at most.
    #[arg(long, default_value = "1h", value_parser = parse_wait, value_name = "TIME")]
    case_lives: u64,
    #[command(flatten)]
    new: New,
    #[command(flatten)]
    keep: Keep,
}

#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// The case that has approved them: from version 2 on.
    #[arg(long, value_name = "CASE")]
    case: Option<String>,
    #[command(flatten)]
    new: New,
    #[command(flatten)]
    keep: Keep,
}

impl Terms {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Show { tenant } => show(context, tenant.as_deref()).await,
            Self::Ask(ask) => ask.run(context).await,
            Self::Publish(publish) => publish.run(context).await,
        }
    }
}

fn parse_accounts(text: &str) -> std::result::Result<u16, String> {
    match text {
        "all" => Ok(GRANT_TENANT_ACCOUNTS),
        text => text
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| format!("`{text}` is not 1 to 65535, or `all`")),
    }
}

fn parse_kept(text: &str) -> std::result::Result<u64, String> {
    match text {
        "none" => Ok(0),
        text => match parse_wait(text)? {
            kept_ms if kept_ms <= KEPT_MS_MAX => Ok(kept_ms),
            _ => Err(format!("`{text}` is more than {}", period(KEPT_MS_MAX))),
        },
    }
}

impl New {
    async fn next(&self, client: &Client, own: [u8; 32]) -> Result<(ShownTerms, PublishAudit)> {
        let rule = self.rule.as_deref().map(|rule| rule_id(rule, own)).transpose()?;
        let shown = client.show_audit_terms(self.tenant.as_deref()).await;
        let shown = shown.map_err(failed("cannot see which terms are in force"))?;
        let terms = AuditTerms {
            accounts_max: self.accounts,
            span_ms_max: self.period,
            live_ms_max: self.live,
            kept_ms: self.kept.unwrap_or_else(|| shown.state.map_or(TEN_YEARS_MS, |now| now.terms.kept_ms)),
        };
        let next = shown.next(terms, rule).ok_or_else(|| {
            Failure::usage(
                "nothing says by which rule grants are approved",
                "define one (`keyward approve rule define`), and give it with `--rule`",
            )
        })?;
        Ok((shown, next))
    }
}

impl AskTerms {
    async fn run(self, context: &Context) -> Result<()> {
        self.keep.apart_from(&self.new.word.password_file)?;
        let (client, login) = self.new.word.login(context).await?;
        let (shown, next) = self.new.next(&client, login.session.account).await?;
        let about = About::AuditTerms(next);
        let asked = ask(&client, &login, (&shown, &about), self.case_lives).await?;
        let said = format!("asked for approval of version {}\n{}", next.version, asked.words());
        let then =
            format!("{said}; then `keyward audit terms publish --case {}` with the same terms", asked.case());
        tell(context, &then, &asked.done, &self.keep, &asked.json(&json!({ "version": next.version })))
    }
}

impl Publish {
    async fn run(self, context: &Context) -> Result<()> {
        let case = self.case.as_deref().map(|case| parse_id(case, "copy it from `keyward approve list`"));
        let case = case.transpose()?;
        self.keep.apart_from(&self.new.word.password_file)?;
        let (client, login) = self.new.word.login(context).await?;
        let (shown, next) = self.new.next(&client, login.session.account).await?;
        let published = client.publish_audit_terms(Voice::Account(&login), (&next, shown.height), case).await;
        let done = published.map_err(failed("cannot publish the terms"))?;
        let words = format!("version {} of the terms for audits is in force", next.version);
        tell(context, &words, &done, &self.keep, &json!({ "version": next.version }))
    }
}

async fn show(context: &Context, tenant: Option<&str>) -> Result<()> {
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let shown = client.show_audit_terms(tenant).await.map_err(failed("cannot show the terms"))?;
    context.output.answer(words(&shown), &to_json(&shown));
    Ok(())
}

fn words(shown: &ShownTerms) -> String {
    let Some(state) = &shown.state else {
        return "no terms for audits were ever published: nobody can ask for a grant yet. Whoever publishes the first ones, through any \
                service of the ledger, names the rule by which everything of this tenant is opened: have your security officers do it \
                before accounts choose addresses or deal closed epochs, and look here that the rule is theirs"
            .to_owned();
    };
    let AuditTerms { accounts_max, span_ms_max, live_ms_max, kept_ms } = state.terms;
    let accounts = match accounts_max {
        GRANT_TENANT_ACCOUNTS => "any number, or the whole tenant".to_owned(),
        count => format!("{count} at most"),
    };
    let mut lines = vec![format!("version {}, proven at height {}", state.version, shown.height)];
    let mut add = |what: &str, said: String| lines.push(format!("  {what:<9} {said}"));
    add("tenant", hex::encode(shown.tenant));
    add("accounts", accounts);
    add("period", format!("{} at most", period(span_ms_max)));
    add("ends", format!("{} ahead at most", period(live_ms_max)));
    add(
        "closed",
        match kept_ms {
            0 => "accounts that are closed open nothing any more".to_owned(),
            kept_ms => {
                format!("accounts can be opened for {} after it, for what they did before", period(kept_ms))
            }
        },
    );
    lines.extend(rule_lines(shown));
    lines.join("\n")
}

/// The rule by which grants are approved, and who that is.
pub(super) fn rule_lines(shown: &ShownTerms) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |what: &str, said: String| lines.push(format!("  {what:<9} {said}"));
    shown.state.iter().for_each(|state| add("rule", hex::encode(state.rule)));
    for group in shown.rule.iter().flat_map(|rule| &rule.terms.groups) {
        add("group", format!("{:?}: {} needed of", group.role, group.needed));
        group.members.iter().for_each(|member| add("", party_words(*member)));
    }
    lines
}

pub(super) fn to_json(shown: &ShownTerms) -> Value {
    let groups = |rule: &ApprovalState| -> Vec<Value> {
        let members = |members: &[Party]| members.iter().map(|one| party_words(*one)).collect::<Vec<_>>();
        let group = rule.terms.groups.iter();
        group
            .map(|of| json!({ "role": of.role, "needed": of.needed, "members": members(&of.members) }))
            .collect()
    };
    json!({
        "tenant": hex::encode(shown.tenant), "version": shown.state.map_or(0, |state| state.version),
        "accounts_max": shown.state.map(|state| state.terms.accounts_max),
        "period_max_ms": shown.state.map(|state| state.terms.span_ms_max),
        "live_max_ms": shown.state.map(|state| state.terms.live_ms_max),
        "kept_ms": shown.state.map(|state| state.terms.kept_ms),
        "rule": shown.state.map(|state| hex::encode(state.rule)), "groups": shown.rule.as_ref().map(groups),
        "height": shown.height,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn closed_accounts_are_kept_for_a_time_or_not_at_all() {
        assert_eq!(parse_kept("none"), Ok(0));
        assert_eq!(parse_kept("3653d"), Ok(TEN_YEARS_MS));
        assert_eq!(parse_kept("36600d"), Ok(KEPT_MS_MAX));
        for wrong in ["", "0d", "-1d", "1y", "36601d", "18446744073709551615d"] {
            parse_kept(wrong).unwrap_err();
        }
    }
}
