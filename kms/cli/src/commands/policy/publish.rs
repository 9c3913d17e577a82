//! `keyward policy ask` and `publish`: approval of a set, and putting it in force; `keyward risk ask` and `publish` too.

use std::path::PathBuf;

use keyward_client::Client;
use keyward_client::approvals::{About, Publication, Published, RuleName, Voice};
use keyward_domain::Coded as _;
use keyward_domain::risk::RuleSet;
use keyward_ledger_core::codec::parse_hex32;
use keyward_ledger_core::entry::{kind, tenant_id};
use serde_json::json;

use super::{Context, failed, read};
use crate::commands::approve::name_id;
use crate::commands::delegate::word::Word;
use crate::commands::key::life::parse_wait;
use crate::commands::recorded::parse_id;
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
    /// The set.
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Ask {
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
pub(in crate::commands) struct Publish {
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
    async fn next(&self, client: &Client, own: [u8; 32], of: Published) -> Result<Publication> {
        let text = read(&self.file)?;
        check(&text, of)?;
        let rule = self.next_rule.as_deref().map(|rule| rule_id(rule, own)).transpose()?;
        let unseen = failed("cannot see what is in force");
        let (tenant, proven, next) = match of {
            Published::Policy => {
                let shown = client.show_policy(0).await.map_err(unseen)?;
                (shown.tenant, shown.proven, shown.next(&text, rule))
            }
            Published::Risk => {
                let shown = client.show_risk(0).await.map_err(unseen)?;
                (shown.tenant, shown.proven, shown.next(&text, rule))
            }
        };
        if !proven {
            let next = "give the profile the ledger's trust file";
            return Err(Failure::refused(format!("nothing proves which {} are in force", of.words()), next));
        }
        if self.tenant.as_deref().is_some_and(|name| tenant_id(name) != tenant) {
            let next = "use the profile of that tenant's service";
            return Err(Failure::refused("the service is another tenant's", next));
        }
        next.ok_or_else(|| {
            Failure::usage(
                "nothing says by which rule the next version is approved",
                "define one (`keyward approve rule define`), and give it with `--next-rule`",
            )
        })
    }
}

impl Ask {
    pub(in crate::commands) async fn run(self, context: &Context, of: Published) -> Result<()> {
        let (client, login) = self.set.word.login(context).await?;
        let own = login.session.account;
        let publication = self.set.next(&client, own, of).await?;
        let owner = match self.of.as_deref() {
            Some(owner) => parse_id(owner, "give the account's id: user names are not taken here")?,
            None => own,
        };
        let rule = RuleName { owner, name: name_id(&self.rule)? };
        let (version, about) = (publication.publish.version, About::Publication(publication));
        let asked = client.ask_approval(Voice::Account(&login), &rule, &about, self.live).await;
        let (_, case) = asked.map_err(failed("cannot ask for approvals"))?;
        let (case, hash) = (hex::encode(case), hex::encode(about.payload()));
        let words = format!(
            "asked for approval of version {version}\n  case     {case}\n  hash     {hash}\n  each approver looks at it (`keyward approve show {case}`) and compares the hash with you; then `keyward {} publish --case {case} {}`",
            command(of),
            self.set.file.display()
        );
        context.output.answer(words, &json!({ "case": case, "hash": hash, "version": version }));
        Ok(())
    }
}

impl Publish {
    pub(in crate::commands) async fn run(self, context: &Context, of: Published) -> Result<()> {
        files::distinct(self.receipt.iter().chain([&self.set.file]).map(PathBuf::as_path))?;
        let case = self
            .case
            .as_deref()
            .map(|case| parse_id(case, "copy it from `keyward approve list`"))
            .transpose()?;
        let (client, login) = self.set.word.login(context).await?;
        let publication = self.set.next(&client, login.session.account, of).await?;
        aside(&format!("publishing version {}", publication.publish.version));
        let voice = Voice::Account(&login);
        let published = match of {
            Published::Policy => client.publish_policy(voice, &publication, case).await,
            Published::Risk => client.publish_risk(voice, &publication, case).await,
        };
        let (done, version) = published.map_err(failed("cannot publish it"))?;
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
fn check(text: &str, of: Published) -> Result<()> {
    let refused = |code: &str, error: &(dyn std::error::Error + 'static)| {
        let next = format!("run `keyward {} check` on it, and mend it", command(of));
        let code = Some(code.to_owned());
        Err(Failure { code, ..Failure::refused("the set cannot be published", next).because(error) })
    };
    match of {
        Published::Policy => {
            let floor = keyward_policies::PolicySet::embedded();
            let checked = floor.and_then(|floor| floor.with_tenant(text));
            checked.map(drop).or_else(|error| refused(error.code(), &error))
        }
        Published::Risk => {
            RuleSet::parse(text).map(drop).or_else(|error| refused(error.code().name(), &error))
        }
    }
}

const fn command(of: Published) -> &'static str {
    match of {
        Published::Policy => "policy",
        Published::Risk => "risk",
    }
}

/// A rule's id, said as such or by a name of the own account's.
pub(in crate::commands) fn rule_id(text: &str, own: [u8; 32]) -> Result<[u8; 32]> {
    match parse_hex32(text) {
        Some(id) => Ok(id),
        None => Ok(RuleName { owner: own, name: name_id(text)? }.id(kind::DEFINE_APPROVAL)),
    }
}
