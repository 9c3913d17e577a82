//! `keyward vault status`: what the ledger proves, in plain words.

use std::path::PathBuf;

use serde_json::json;

use super::{Context, Named, answer, failed};
use crate::failure::Result;
use crate::files::{self, Access};
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    named: Named,
    /// Writes the receipt of the newest sealing here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Status {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let name = self.named.parse()?;
        let service = connect(&context.profile()?, As::Whoever).await?;
        let status = service.client.vault_status(&name).await.map_err(failed("cannot read the vault"))?;
        let Some(status) = status else {
            let words = format!("the account has no vault `{name}`: the ledger proves that none was sealed");
            context.output.answer(words, &json!({ "vault": name.as_str(), "version": 0 }));
            return Ok(());
        };
        if let Some(path) = &self.receipt {
            files::write(path, &status.receipt, Access::Public)?;
        }
        let factors = service.client.vault_factors(&status).await.map_err(failed("cannot read the vault"))?;
        let name = name.as_str();
        let words = answer::words(name, &status, &factors);
        context.output.answer(words, &answer::to_json(name, &status, &factors));
        Ok(())
    }
}
