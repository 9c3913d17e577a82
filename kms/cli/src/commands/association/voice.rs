//! Who speaks for a party: a person's login, an app's own key, or a key in a token.

use std::path::Path;

use keyward_client::{Client, Login, Petition};
use keyward_ledger_core::hash::Hash;

use super::{Context, failed};
use crate::commands::own::{PasswordFrom, account_of, unlock};
use crate::failure::Result;
use crate::service::{As, connect, waiting};

/// Who signs.
#[derive(Debug, clap::Args)]
pub(super) struct Speaker {
    /// Signs with this linked key, by alias or key id: the token signs, attached to the service or at a token agent, which shows
    /// what it is. Without it, your login signs, or the key that speaks for an app.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["key_file", "password_file"])]
    key: Option<String>,
    /// How long to wait for the token, in seconds: at a token agent's desk a person may have to read what is signed.
    #[arg(long, value_name = "SECONDS", requires = "key", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: Option<u64>,
    #[command(flatten)]
    password: PasswordFrom,
}

/// A client, and who speaks through it.
pub(super) struct Speaking {
    pub(super) client: Client,
    voice: Voice,
}

enum Voice {
    Login(Box<Login>),
    Token(String),
}

impl Speaker {
    /// The files that are read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.password.paths()
    }

    pub(super) async fn open(&self, context: &Context) -> Result<Speaking> {
        let profile = context.profile()?;
        if let Some(key) = &self.key {
            let client = waiting(connect(&profile, As::Whoever).await?.client, self.wait);
            return Ok(Speaking { client, voice: Voice::Token(key.clone()) });
        }
        let client = connect(&profile, As::Certificate).await?.client;
        let own = unlock(context.output, &profile, &client, &self.password).await?;
        Ok(Speaking { client: own.client, voice: Voice::Login(Box::new(own.login)) })
    }
}

impl Speaking {
    pub(super) async fn sign(&self, context: &Context, petition: &mut Petition) -> Result<()> {
        let signed = match &self.voice {
            Voice::Login(login) => self.client.sign_association(login, petition).await,
            Voice::Token(key) => {
                let _waiting = context.output.wait_for("the token signs");
                self.client.sign_association_with_token(key, petition).await
            }
        };
        signed.map_err(failed("cannot sign it"))
    }

    /// For which account.
    pub(super) async fn account(&self) -> Result<Hash> {
        match &self.voice {
            Voice::Login(login) => Ok(login.session.account),
            Voice::Token(key) => account_of(&self.client, key).await,
        }
    }
}
