//! `keyward token`: tokens attached to the service, and their keys.

mod agent;
mod host;
mod link;
mod list;
mod person;
mod prepare;

use zeroize::Zeroizing;

use super::Context;
use crate::failure::{Failure, Result};

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Lists the tokens attached to the service, and their keys.
    List,
    /// Binds a token's key to the operator's account; its private part stays in the token.
    Link(link::Link),
    /// Runs at the bank's desk: signs with its own tokens what the ledger has recorded and its own rules allow.
    Agent(agent::Agent),
    /// Runs one PKCS#11 module in a process of its own; the service starts it.
    #[command(hide = true)]
    Host(host::Host),
    /// Makes a software token with keys for trying things out.
    #[command(hide = true)]
    Prepare(prepare::Prepare),
}

impl Token {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::List => list::list(context).await,
            Verb::Link(link) => link.run(context).await,
            Verb::Agent(agent) => agent.run(context).await,
            Verb::Host(host) => host.run().await,
            Verb::Prepare(prepare) => prepare.run().await,
        }
    }
}

/// Asks a person at the terminal, without showing what is typed.
pub(crate) fn ask(prompt: &str) -> Result<Zeroizing<String>> {
    let answer = rpassword::prompt_password(prompt);
    answer.map(Zeroizing::new).map_err(|error| {
        Failure::usage("there is no terminal to ask at", "give the secret in a file of mode 0600")
            .because(&error)
    })
}
