//! `keyward policy ask` and `publish`: approval of a set, and putting it in force.

use std::path::PathBuf;

use keyward_client::Client;
use keyward_client::approvals::{About, Publication, RuleName, Voice};
use keyward_domain::ApprovalRuleName;
use keyward_ledger_core::codec::parse_hex32;
use keyward_ledger_core::entry::{kind, tenant_id};
use serde_json::json;

use super::{Context, failed, read};
use crate::commands::approve::failed as not_asked;
use crate::commands::delegate::word::Word;
use crate::commands::key::life::parse_wait;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::aside;

/// The set, and the rule by which the version after it is approved.
#[derive(Debug, clap::Args)]
struct Set {
    /// The approval rule for the version after this one: the id that `keyward approve rule show` prints, 64 hex digits, or the
    /// name of a rule of the account that is logged in. Without it, the rule that stands; the first version needs it.
    #[arg(long, value_name = "RULE")]
    next_rule: Option<String>,
    /// The tenant's name, where the service is not to be believed in which one it is.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    word: Word,
    /// Cedar.
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    /// Whose rule it is that approves this version, 64 hex digits; without it, the account that is logged in.
    #[arg(long, value_name = "ACCOUNT")]
    of: Option<String>,
    /// The name of the rule that stands: what its owner calls it.
    #[arg(long, value_name = "NAME")]
    rule: String,
    /// How long the case lives; the rule says how long at most.
    #[arg(long, default_value = "1h", value_parser = parse_wait, value_name = "TIME")]
    live: u64,
    #[command(flatten)]
    set: Set,
}

#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// The case that has approved it: from version 2 on.
    #[arg(long, value_name = "CASE")]
    case: Option<String>,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    set: Set,
}

impl Set {
    /// The publication that comes next, checked on this machine first.
    async fn next(&self, client: &Client, own: [u8; 32]) -> Result<Publication> {
        let text = read(&self.file)?;
        check(&text)?;
        let rule = self.next_rule.as_deref().map(|rule| rule_id(rule, own)).transpose()?;
        let shown = client.show_policy(0).await.map_err(failed("cannot see the policies in force"))?;
        if !shown.proven {
            let next = "give the profile the ledger's trust file";
            return Err(Failure::refused("nothing proves which policies are in force", next));
        }
        if self.tenant.as_deref().is_some_and(|name| tenant_id(name) != shown.tenant) {
            let next = "use the profile of that tenant's service";
            return Err(Failure::refused("the service is another tenant's", next));
        }
        shown.next(&text, rule).ok_or_else(|| {
            Failure::usage(
                "nothing says by which rule the next version is approved",
                "define one (`keyward approve rule define`), and give it with `--next-rule`",
            )
        })
    }
}

impl Ask {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let (client, login) = self.set.word.login(context).await?;
        let own = login.session.account;
        let publication = self.set.next(&client, own).await?;
        let owner = match self.of.as_deref() {
            Some(of) => id(of, "give the account's id: user names are not taken here")?,
            None => own,
        };
        let rule = RuleName { owner, name: name_id(&self.rule)? };
        let (version, about) = (publication.publish.version, About::Publication(publication));
        let asked = client.ask_approval(Voice::Account(&login), &rule, &about, self.live).await;
        let (_, case) = asked.map_err(not_asked("cannot ask for approvals"))?;
        let (case, hash) = (hex::encode(case), hex::encode(about.payload()));
        let words = format!(
            "asked for approval of version {version}\n  case     {case}\n  hash     {hash}\n  each approver looks at it (`keyward approve show {case}`) and compares the hash with you; then `keyward policy publish --case {case} {}`",
            self.set.file.display()
        );
        context.output.answer(words, &json!({ "case": case, "hash": hash, "version": version }));
        Ok(())
    }
}

impl Publish {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        files::distinct(self.receipt.iter().chain([&self.set.file]).map(PathBuf::as_path))?;
        let case =
            self.case.as_deref().map(|case| id(case, "copy it from `keyward approve list`")).transpose()?;
        let (client, login) = self.set.word.login(context).await?;
        let publication = self.set.next(&client, login.session.account).await?;
        aside(&format!("publishing version {}", publication.publish.version));
        let published = client.publish_policy(Voice::Account(&login), &publication, case).await;
        let (done, version) = published.map_err(failed("cannot publish the policies"))?;
        if let Some(path) = &self.receipt {
            files::write(path, &done.receipt, Access::Public)?;
        }
        let hash = hex::encode(publication.publish.set);
        let words = format!("version {version} is in force\n  hash     {hash}");
        let json = json!({
            "version": version, "hash": hash, "leaf_index": done.leaf_index, "time_unix_ms": done.time_ms,
            "receipt": hex::encode(&done.receipt),
        });
        context.output.answer(words, &json);
        Ok(())
    }
}

/// What the service would refuse is refused here, before anybody is asked.
fn check(text: &str) -> Result<()> {
    let floor = keyward_policies::PolicySet::embedded();
    let checked = floor.and_then(|floor| floor.with_tenant(text));
    checked.map(drop).map_err(|error| {
        let code = Some(error.code().to_owned());
        let next = "run `keyward policy check` on it, and mend it";
        Failure { code, ..Failure::refused("the set cannot be published", next).because(&error) }
    })
}

/// A rule's id, said as such or by a name of the own account's.
fn rule_id(text: &str, own: [u8; 32]) -> Result<[u8; 32]> {
    match parse_hex32(text) {
        Some(id) => Ok(id),
        None => Ok(RuleName { owner: own, name: name_id(text)? }.id(kind::DEFINE_APPROVAL)),
    }
}

fn name_id(text: &str) -> Result<[u8; 32]> {
    if let Some(id) = parse_hex32(text) {
        return Ok(id);
    }
    let name = ApprovalRuleName::parse(text);
    Ok(name.map_err(|error| Failure::of_coded("cannot use the rule's name", &error))?.id())
}

fn id(text: &str, next: &str) -> Result<[u8; 32]> {
    parse_hex32(text).ok_or_else(|| Failure::usage(format!("`{text}` is not 64 lower-case hex digits"), next))
}
