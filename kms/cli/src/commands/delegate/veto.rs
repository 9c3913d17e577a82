//! `keyward delegate veto`: the account stops a recovery, by its password or by a key that it named for this.

use std::path::{Path, PathBuf};

use keyward_client::delegation::{Done, RuleName};
use serde_json::json;

use super::word::Word;
use super::{Context, Keep, Name, failed, parse_account, tell};
use crate::commands::key::parse_scheme;
use crate::failure::{Failure, Result};
use crate::files;
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(super) struct Veto {
    #[command(flatten)]
    name: Name,
    /// Vetoes with a key that the appointment named for this, instead of your password: SCHEME:FILE, a private key in a file
    /// of mode 0600.
    #[arg(long, value_name = "SCHEME:FILE", conflicts_with = "password_file")]
    key: Option<String>,
    /// With `--key`: the account whose recovery is stopped, if it is not the one that is logged in.
    #[arg(long, value_name = "ACCOUNT", requires = "key")]
    of: Option<String>,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
}

impl Veto {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        files::distinct(self.keep.receipt.iter().chain(&self.word.password_file).map(PathBuf::as_path))?;
        let name = self.name.id()?;
        let done = match &self.key {
            Some(key) => self.with_key(context, key, name).await?,
            None => {
                let (client, login) = self.word.login(context).await?;
                client.veto_recovery(&login, &name).await.map_err(failed("cannot veto"))?
            }
        };
        let words = "the recovery is vetoed: nothing of the account has changed. Change the password if somebody else knows it, and \
                     revoke delegates that you do not trust (`keyward delegate revoke`)";
        tell(context, words, &done, &self.keep, &json!({}))
    }

    async fn with_key(&self, context: &Context, key: &str, name: [u8; 32]) -> Result<Done> {
        let (scheme, path) = key.split_once(':').ok_or_else(|| {
            Failure::usage(
                format!("`{key}` is no SCHEME:FILE"),
                "give the key's scheme and file, as `ed25519:veto.pem`",
            )
        })?;
        let (scheme, bytes) = (parse_scheme(scheme)?, files::read_secret_bytes(Path::new(path))?);
        let key = keyward_crypto::read_private_key(scheme, &bytes).map_err(|error| {
            let what = format!("`{path}` holds no private key for `{scheme}`");
            Failure::refused(what, "give one PKCS#8 or SEC1 key of that kind, without a password")
                .because(&error)
        })?;
        let profile = context.profile()?;
        let owner = match (&self.of, profile.session()?) {
            (Some(account), _) => parse_account(account)?,
            (None, Some(kept)) => kept.account()?,
            (None, None) => {
                return Err(Failure::usage(
                    "nobody is logged in",
                    "say whose recovery it is with `--of`, in a session of a delegate's",
                ));
            }
        };
        let client = connect(&profile, As::Whoever).await?.client;
        let rule = RuleName { owner, name };
        client.veto_recovery_with(&key, &rule).await.map_err(failed("cannot veto"))
    }
}
