//! `keyward address limit`: the rate rule by which a service counts uses of hosted addresses.

use std::path::PathBuf;

use keyward_client::Client;
use keyward_client::addresses::AddressLimit;
use serde_json::json;

use super::Context;
use crate::commands::approve::name_id;
use crate::commands::delegate::word::Word;
use crate::commands::key::life::parse_wait;
use crate::commands::recorded::{Keep, parse_id, tell};
use crate::failure::Result;
use crate::files;
use crate::service::failed;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Limit {
    /// Defines a limit with your account's word, or its next version, and prints what the service's configuration takes.
    Define(Define),
    /// Shows a limit as the ledger proves it.
    Show {
        /// The rule's id, 64 hex digits.
        rule: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Define {
    /// The most uses of one account's addresses in one window.
    #[arg(long, value_name = "N")]
    count: u64,
    /// The window: `1s` to `366d`. Windows begin at its multiples since 1970. Of one that is longer than an epoch, whoever holds a grant for
    /// one epoch sees the account's acts in all of it.
    #[arg(long, value_parser = parse_wait, value_name = "TIME")]
    window: u64,
    /// What you call the rule: 1 to 64 of a-z, 0-9, dot, dash or underscore. By the same name its next version is defined.
    #[arg(long, value_name = "NAME", default_value = "addresses")]
    rule: String,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
}

impl Limit {
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<()> {
        match self {
            Self::Define(define) => define.run(context).await,
            Self::Show { rule } => show(context, client, &rule).await,
        }
    }
}

impl Define {
    async fn run(self, context: &Context) -> Result<()> {
        files::distinct(self.keep.receipt.iter().chain(&self.word.password_file).map(PathBuf::as_path))?;
        let name = name_id(&self.rule)?;
        let limit = AddressLimit::new(self.count, self.window);
        let limit = limit.map_err(failed("cannot define the limit"))?;
        let (client, login) = self.word.login(context).await?;
        let done = client.define_address_limit(&login, &name, limit).await;
        let (done, id) = done.map_err(failed("cannot define the limit"))?;
        let (owner, id) = (hex::encode(login.session.account), hex::encode(id));
        let words = format!(
            "the limit `{}` is defined: {}\n  account  {owner}\n  rule     {id}\n  a service that names the rule counts by this version within a \
             minute; for another, put this into its `serve.toml` (no address of a root of one's own signs there any more), and start it again:\n\n\
             [addresses]\nlimit = \"{id}\"\n",
            self.rule,
            words(&limit),
        );
        let json = json!({
            "rule": id, "name": self.rule, "owner": owner, "count": limit.count(), "window_ms": limit.window_ms(),
        });
        tell(context, &words, &done, &self.keep, &json)
    }
}

async fn show(context: &Context, client: &Client, rule: &str) -> Result<()> {
    let id = parse_id(rule, "copy it from `limit` of `[addresses]`, or from where it was defined")?;
    let shown = client.address_limit(&id).await.map_err(failed("cannot show the limit"))?;
    let words = format!("rule {rule}, version {}: {}", shown.version, words(&shown.limit));
    let json = json!({
        "rule": rule, "version": shown.version, "count": shown.limit.count(), "window_ms": shown.limit.window_ms(),
        "height": shown.height,
    });
    context.output.answer(words, &json);
    Ok(())
}

fn words(limit: &AddressLimit) -> String {
    format!("each account's addresses sign {} times in {} s at most", limit.count(), limit.window_ms() / 1000)
}
