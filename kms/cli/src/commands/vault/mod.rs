//! `keyward vault`: keys that come back when everything else is lost.
//!
//! Whatever the service says of vaults is verified against the profile's trust file before it is believed.

mod answer;
mod check;
mod code;
mod consent;
mod consents;
mod destroy;
mod enter;
mod evidence;
mod factors;
mod keys;
mod recover;
mod seal;
mod status;

use std::sync::{Mutex, PoisonError};

use keyward_client::vault::{ConsentError, RecoverError, VaultError, VaultStep};
use keyward_domain::VaultName;

use super::Context;
use crate::failure::{Failure, Result};
use crate::output::{Output, Waiting};
use crate::service::{failed, told};

#[derive(Debug, clap::Args)]
pub(crate) struct Vault {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Seals keys into a vault that a password and some of its keepers open together, and nobody alone.
    Seal(seal::Seal),
    /// What the ledger proves of a vault: who holds it, which guesses are left.
    Status(status::Status),
    /// Has every keeper prove that it still holds its share; nothing is opened, and no guess is spent.
    Check(check::Check),
    /// Brings the keys back, onto this device or into files. A wrong password costs a guess.
    Recover(recover::Recover),
    /// Signs somebody else's recovery, where their vault asks for your word or that of one of your keys.
    Consent(consent::Consent),
    /// One-time codes from an authenticator, which the service asks for before each recovery.
    Code(code::Code),
    /// Ends a vault for good; each keeper erases its share and records that it did.
    Destroy(destroy::Destroy),
}

/// Which vault.
#[derive(Debug, clap::Args)]
struct Named {
    /// What the vault is called: 1 to 64 of a-z, 0-9, dot, dash or underscore. Name and password are all that has to
    /// be remembered.
    #[arg(long, value_name = "NAME", default_value = VaultName::DEFAULT)]
    vault: String,
}

impl Named {
    fn parse(&self) -> Result<VaultName> {
        VaultName::parse(&self.vault)
            .map_err(|error| Failure::of_coded("cannot use the vault's name", &error))
    }
}

impl Vault {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Seal(seal) => Box::pin(seal.run(context)).await,
            Verb::Status(status) => Box::pin(status.run(context)).await,
            Verb::Check(check) => Box::pin(check.run(context)).await,
            Verb::Recover(recover) => Box::pin(recover.run(context)).await,
            Verb::Consent(consent) => Box::pin(consent.run(context)).await,
            Verb::Code(code) => Box::pin(code.run(context)).await,
            Verb::Destroy(destroy) => Box::pin(destroy.run(context)).await,
        }
    }
}

/// Shows what is being done, one step after the other.
struct Steps {
    output: Output,
    now: Mutex<Option<Waiting>>,
}

impl Steps {
    const fn new(output: Output) -> Self {
        Self { output, now: Mutex::new(None) }
    }

    fn show(&self, step: VaultStep) {
        let words = match step {
            VaultStep::Proving => "what the service shows is held against the trust file",
            VaultStep::Stretching => "the password is stretched",
            VaultStep::Depositing => "every keeper is given its share",
            VaultStep::Recording => "the ledger records it",
            VaultStep::Evaluating => "keepers evaluate the blinded password",
            VaultStep::Releasing => "keepers release their parts",
            VaultStep::Drilling => "every keeper proves its share",
        };
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        drop(now.take()); // the line before goes first
        *now = Some(self.output.wait_for(words));
    }
}

told!(VaultError, Self::Client(error) => error);
told!(ConsentError, Self::Vault(VaultError::Client(error)) => error);
told!(RecoverError, Self::Vault(VaultError::Client(error)) => error);

/// A failure with its stable code.
fn named(failure: Failure, code: &str) -> Failure {
    Failure { code: Some(code.to_owned()), ..failure }
}
