//! `keyward ledger member submitter`: a key to submit with, made where it stays and sealed for whom a certificate names.

use std::path::PathBuf;

use keyward_domain::Principal;
use keyward_ledger_core::ed25519::SigningKey;
use serde_json::json;

use crate::commands::Context;
use crate::config::serve::SUBMITTER_KEY;
use crate::failure::{Failure, Result};
use crate::files;
use crate::sealed::{OperatorSecret, random32};

#[derive(Debug, clap::Args)]
pub(super) struct Submitter {
    /// Whom the certificate names beside which the key is used: `keyward://operator/NAME`, `keyward://service/NAME`, ..
    #[arg(long, value_name = "URI")]
    owner: String,
    /// The operator's secret to seal the key under; it is made if it is not there.
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,
    /// Where to write the sealed key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

impl Submitter {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let owner = Principal::parse(&self.owner).map_err(|error| {
            let what = format!("`{}` names nobody", self.owner);
            Failure::usage(what, "give `keyward://<role>/<name>`").because(&error)
        })?;
        files::distinct([self.secret.as_path(), self.key.as_path()])?;
        files::fresh(&self.key, "keys")?;
        let secret = match self.secret.symlink_metadata() {
            Ok(_) => OperatorSecret::load(&self.secret)?,
            Err(_) => OperatorSecret::create(&self.secret)?,
        };
        let seed = random32()?;
        secret.seal(&self.key, SUBMITTER_KEY, &owner, seed.as_ref())?;
        let submitter = hex::encode(SigningKey::from_seed(&seed).public_key());
        let words = format!(
            "key in `{}`, sealed under `{}`; keep the two apart in backups\nsubmitter {submitter}\nthe ledger's members let it in with\n  \
             keyward ledger member propose --node node.toml set-submitter {submitter} --role ROLE",
            self.key.display(),
            self.secret.display()
        );
        context
            .output
            .answer(words, &json!({ "submitter": submitter, "key": self.key, "secret": self.secret }));
        Ok(())
    }
}
