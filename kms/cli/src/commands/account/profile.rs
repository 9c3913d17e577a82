//! `keyward account profile`: contact and identity fields, and who reads them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keyward_domain::profile::Fields;
use serde_json::json;

use super::Context;
use crate::commands::reason::Reason;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::{As, Service, connect, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Profile {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Replaces one's own fields.
    Set {
        /// `name=value`, repeatable: name, email, phone, note or what else is wanted.
        #[arg(value_name = "NAME=VALUE")]
        fields: Vec<String>,
        /// A file of mode 0600 with one `name=value` in each line, which no list of commands remembers.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Shows one's own fields, or for officers and auditors another's; each time this is recorded.
    Show {
        /// The person's user name.
        #[arg(long, value_name = "NAME", requires = "Reason")]
        user: Option<String>,
        #[command(flatten)]
        reason: Reason,
        /// Writes the receipt of the record here.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
    },
    /// Erases the fields for good.
    Erase {
        /// The person's user name, for officers.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Says that erasing is meant.
        #[arg(long)]
        yes: bool,
    },
}

impl Profile {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let service = connect(&context.profile()?, As::Whoever).await?;
        match self.verb {
            Verb::Set { fields, file } => set(context, &service, fields, file).await,
            Verb::Show { user, reason, receipt } => show(context, &service, user, &reason, receipt).await,
            Verb::Erase { user, yes } => erase(context, &service, user, yes).await,
        }
    }
}

async fn set(context: &Context, service: &Service, given: Vec<String>, file: Option<PathBuf>) -> Result<()> {
    let text = file.as_deref().map(files::read_secret).transpose()?.unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut fields = BTreeMap::new();
    for line in given.iter().map(String::as_str).chain(lines) {
        let malformed =
            || Failure::usage("a field is not `name=value`", "write fields as `email=me@example.org`");
        let (name, value) = line.split_once('=').ok_or_else(malformed)?;
        fields.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Fields::parse(fields.clone()).map_err(|error| Failure::of_coded("cannot use the fields", &error))?;
    let names = fields.keys().cloned().collect::<Vec<_>>().join(", ");
    let receipt = service.client.set_profile(fields).await.map_err(failed("cannot keep the fields"))?;
    context.output.answer(format!("kept: {names}"), &json!({ "receipt": hex::encode(receipt) }));
    Ok(())
}

async fn show(
    context: &Context,
    service: &Service,
    user: Option<String>,
    reason: &Reason,
    receipt: Option<PathBuf>,
) -> Result<()> {
    files::distinct(receipt.iter().chain(reason.file()).map(PathBuf::as_path))?;
    let (user, reason) = (user.unwrap_or_default(), reason.said()?.unwrap_or_default());
    let read = service.client.show_profile(&user, &reason).await.map_err(failed("cannot show the fields"))?;
    if let Some(path) = &receipt {
        files::write(path, &read.receipt, Access::Public)?;
    }
    let words: Vec<_> = read.fields.iter().map(|(name, value)| format!("  {name:<11} {value}")).collect();
    let json = json!({
        "fields": read.fields, "receipt": hex::encode(&read.receipt), "blinding": hex::encode(&read.blinding),
    });
    context.output.answer(words.join("\n"), &json);
    Ok(())
}

async fn erase(context: &Context, service: &Service, user: Option<String>, yes: bool) -> Result<()> {
    if !yes {
        return Err(Failure::usage("erased fields do not come back", "give `--yes` if this is meant"));
    }
    let user = user.unwrap_or_default();
    let receipt = service.client.erase_profile(&user).await.map_err(failed("cannot erase the fields"))?;
    context.output.answer("the fields are erased", &json!({ "receipt": hex::encode(receipt) }));
    Ok(())
}
