//! `keyward key`: keys and their life cycle.

mod answer;
mod create;
mod export;
mod import;
mod lend;
pub(crate) mod life;
mod list;
mod shared;

use std::path::PathBuf;

use keyward_domain::KeyName;

use super::Context;
use crate::failure::{Failure, Result};
use crate::service::{As, connect, failed};

pub(crate) use answer::{answer_change, moment};

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    /// Acts as the certificate's holder, even if somebody is logged in.
    #[arg(long, global = true)]
    as_certificate: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Makes a key: within a login on this side, for the person; else in the service, for the app.
    Create(create::Create),
    /// Lists the keys one may see: one's own, or for officers, auditors and operators those of every account.
    List(list::List),
    /// Shows a key.
    Show {
        /// Alias, alias@version, or key id in hex.
        key: String,
    },
    /// The public key in a form that other programs read.
    Export(export::Export),
    /// Hands in a key that was made elsewhere: proved and sealed to the service on this side.
    Import(import::Import),
    /// Lets a new version take over: the old one verifies what it signed, and signs no more.
    Rotate(life::Rotate),
    /// Stops a key.
    Freeze(Change),
    /// Lets a frozen key sign again: for security officers.
    Unfreeze(Change),
    /// Starts the waiting period after which a key is destroyed for good; from now on it signs nothing.
    Destroy(life::Destroy),
    /// Takes that back: the key is frozen then.
    CancelDestroy(Change),
    /// Sets and removes labels.
    Label(life::Label),
    /// Lets an app sign with a key of ours without a login, until revoked.
    Authorize(lend::Lending),
    /// Ends that.
    Revoke(lend::Lending),
    /// Keys that you share with keepers: who holds them, dealing anew, repair, another device.
    Shared(shared::Shared),
}

#[derive(Debug, clap::Args)]
struct Change {
    /// Alias, alias@version, or key id in hex.
    key: String,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Key {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let service = connect(&context.profile()?, As::of(self.as_certificate)).await?;
        let client = &service.client;
        match self.verb {
            Verb::Create(create) => create.run(context, &service).await,
            Verb::List(list) => list.run(context, &service).await,
            Verb::Show { key } => {
                let key = client.show_key(&parse_key(&key)?).await.map_err(failed("cannot show the key"))?;
                answer::show(context, &key);
                Ok(())
            }
            Verb::Export(export) => export.run(context, &service).await,
            Verb::Import(import) => import.run(context, &service).await,
            Verb::Rotate(rotate) => rotate.run(context, &service).await,
            Verb::Freeze(Change { key, receipt }) => {
                let frozen = client.freeze_key(&parse_key(&key)?).await;
                let frozen = frozen.map_err(failed("cannot freeze the key"))?;
                answer_change(context, "frozen", &frozen, receipt)
            }
            Verb::Unfreeze(Change { key, receipt }) => {
                let active = client.unfreeze_key(&parse_key(&key)?).await;
                let active = active.map_err(failed("cannot unfreeze the key"))?;
                answer_change(context, "active again", &active, receipt)
            }
            Verb::Destroy(destroy) => destroy.run(context, &service).await,
            Verb::CancelDestroy(Change { key, receipt }) => {
                life::cancel(context, &service, &key, receipt).await
            }
            Verb::Label(label) => label.run(context, &service).await,
            Verb::Authorize(lending) => lending.authorize(context, &service).await,
            Verb::Revoke(lending) => lending.revoke(context, &service).await,
            Verb::Shared(shared) => Box::pin(shared.run(context, &service)).await,
        }
    }
}

/// A scheme by its name.
pub(crate) fn parse_scheme(name: &str) -> Result<keyward_domain::scheme::Scheme> {
    keyward_domain::scheme::Scheme::from_name(name).ok_or_else(|| Failure {
        exit: crate::failure::Exit::Usage,
        ..Failure::refused(format!("`{name}` is not a scheme"), "").coded(keyward_domain::Code::SchemeUnknown)
    })
}

/// A key's name, checked before anybody is asked.
pub(crate) fn parse_key(text: &str) -> Result<String> {
    let name = KeyName::parse(text).map_err(|error| Failure::of_coded("cannot name the key", &error))?;
    Ok(name.to_string())
}
