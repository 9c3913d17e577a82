//! `keyward kek`: the keys that seal hosted keys, PINs and secrets, for security officers.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::{As, Service, connect, failed};

#[derive(Debug, clap::Args)]
pub(crate) struct Kek {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Makes the next key-encryption key in the token: it seals from now on, and what is older comes under it.
    Rotate {
        /// Writes the receipt here.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
    },
    /// Shows which one seals, and what is still under an older one.
    Status,
    /// Removes an old one from the token for good, once nothing is under it.
    Remove {
        /// Its number.
        number: u32,
        /// Says that removing is meant.
        #[arg(long)]
        yes: bool,
        /// Writes the receipt here.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
    },
}

impl Kek {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let service = connect(&context.profile()?, As::Certificate).await?;
        match self.verb {
            Verb::Rotate { receipt } => rotate(context, &service, receipt).await,
            Verb::Status => status(context, &service).await,
            Verb::Remove { number, yes, receipt } => remove(context, &service, number, yes, receipt).await,
        }
    }
}

async fn rotate(context: &Context, service: &Service, receipt: Option<PathBuf>) -> Result<()> {
    let rotated =
        service.client.rotate_kek().await.map_err(failed("cannot rotate the key-encryption key"))?;
    if let Some(path) = &receipt {
        files::write(path, &rotated.receipt, Access::Public)?;
    }
    let words = format!(
        "key-encryption key {} seals from now on; `keyward kek status` tells when everything is under it",
        rotated.number
    );
    let json = json!({ "number": rotated.number, "receipt": hex::encode(&rotated.receipt) });
    context.output.answer(words, &json);
    Ok(())
}

async fn status(context: &Context, service: &Service) -> Result<()> {
    let status = service.client.kek_status().await.map_err(failed("cannot see the key-encryption keys"))?;
    let left = status.keys_left + status.profiles_left + status.pins_left + status.secrets_left;
    let stands = if left == 0 {
        "everything is under it".to_owned()
    } else {
        format!(
            "under an older one: {} keys, {} profiles, {} PINs, {} secrets",
            status.keys_left, status.profiles_left, status.pins_left, status.secrets_left
        )
    };
    let present = status.present.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let words = format!(
        "key-encryption key {} (`{}`) seals; {stands}\n  in the token: {present}",
        status.number, status.label
    );
    let json = json!({
        "number": status.number, "label": status.label, "since_unix_ms": status.since_unix_ms,
        "resealed": status.resealed, "keys_left": status.keys_left, "profiles_left": status.profiles_left,
        "pins_left": status.pins_left, "secrets_left": status.secrets_left, "present": status.present,
    });
    context.output.answer(words, &json);
    Ok(())
}

async fn remove(
    context: &Context,
    service: &Service,
    number: u32,
    yes: bool,
    receipt: Option<PathBuf>,
) -> Result<()> {
    if !yes {
        let what = "what is sealed under a removed key never opens again, copies of the database included";
        return Err(Failure::usage(what, "give `--yes` if this is meant"));
    }
    let removed = service.client.remove_kek(number).await;
    let removed = removed.map_err(failed("cannot remove the key-encryption key"))?;
    if let Some(path) = &receipt {
        files::write(path, &removed, Access::Public)?;
    }
    let json = json!({ "removed": number, "receipt": hex::encode(&removed) });
    context.output.answer(format!("key-encryption key {number} is removed"), &json);
    Ok(())
}
