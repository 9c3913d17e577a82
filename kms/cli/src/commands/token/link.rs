//! `keyward token link`.

use std::path::PathBuf;
use std::time::Duration;

use keyward_client::Link as LinkCall;
use keyward_domain::Alias;
use zeroize::Zeroizing;

use super::{Context, ask};
use crate::commands::key::{answer_change, parse_scheme};
use crate::failure::{Failure, Result};
use crate::files;
use crate::local::prepare::read_pin;
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(super) struct Link {
    /// The token's label or serial.
    #[arg(long)]
    token: String,
    /// The key's label in the token.
    #[arg(long, default_value = "")]
    label: String,
    /// The key's id (CKA_ID) in hex, where labels are not unique.
    #[arg(long, value_name = "HEX", default_value = "")]
    id: String,
    /// What it signs with.
    #[arg(long)]
    scheme: String,
    /// What to call it.
    #[arg(long)]
    alias: String,
    /// The token agent that the token is attached to, by the name in its certificate; its PIN stays at the desk.
    #[arg(long, value_name = "NAME", conflicts_with = "pin_file")]
    agent: Option<String>,
    /// How long to wait for somebody at the agent's desk, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        requires = "agent",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    wait: u64,
    /// A file of mode 0600 that holds the token's PIN; without it, the PIN is asked for.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Writes the receipt of its binding here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Link {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        files::distinct(self.receipt.iter().chain(&self.pin_file).map(PathBuf::as_path))?;
        let pin = match (&self.pin_file, &self.agent) {
            (Some(path), _) => read_pin(path)?,
            (None, Some(_)) => Zeroizing::new(String::new()),
            (None, None) => ask(&format!("PIN of token `{}`: ", self.token))?,
        };
        let link = self.link(pin)?;
        let service = connect(&context.profile()?, As::Certificate).await?;
        let client = match self.agent {
            Some(_) => service.client.with_deadline(Duration::from_secs(self.wait)),
            None => service.client,
        };
        let linked = client.link(link).await;
        let linked = linked.map_err(crate::service::failed("cannot link the token's key"))?;
        answer_change(context, "linked", &linked, self.receipt)
    }

    fn link(&self, pin: Zeroizing<String>) -> Result<LinkCall> {
        let alias =
            Alias::parse(&self.alias).map_err(|error| Failure::of_coded("cannot name the key", &error))?;
        let id = hex::decode(&self.id).map_err(|error| {
            Failure::usage(format!("`{}` is not hex", self.id), "see `keyward token list` for ids")
                .because(&error)
        })?;
        if self.label.is_empty() && id.is_empty() {
            return Err(Failure::usage("no key of the token is named", "give `--label` or `--id`"));
        }
        Ok(LinkCall {
            token: self.token.clone(),
            key_label: self.label.clone(),
            id,
            scheme: parse_scheme(&self.scheme)?,
            alias: alias.to_string(),
            agent: self.agent.clone().unwrap_or_default(),
            pin: Zeroizing::new(pin.as_bytes().to_vec()),
        })
    }
}
