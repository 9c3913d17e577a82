//! `keyward ledger state`: asks for a proof, verifies it as `keyward verify` does, and only then says anything.

use std::path::PathBuf;

use super::state_key::StateKey;
use super::{connect, failed};
use crate::commands::Context;
use crate::commands::verify::state::{Fresh, check, to_json, words};
use crate::failure::Result;
use crate::files::{self, Access};

/// What is asked for, and how recent the answer must be.
#[derive(Debug, clap::Args)]
pub(crate) struct State {
    /// The key, as `key <KEY ID>`, `account <ID>`, `credential <ID>`, `intent <ID>`, `submitter <KEY>`, `batch
    /// <SUBMITTER> <SEQUENCE>`, `keeper <ID>`, `vault <ID>`, `delegation <ID>`, `delegations <ACCOUNT>`, `keepers`,
    /// `validators`, `parameters`, or `raw <HEX>` for the bytes themselves.
    #[arg(required = true, num_args = 1..=3, value_name = "KEY")]
    key: Vec<String>,
    /// Writes the state receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    fresh: Fresh,
}

impl State {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let key = StateKey::parse(&self.key)?;
        let profile = context.profile()?;
        let trust = files::read(&profile.path(&profile.file.trust))?;
        let client = connect(&profile).await?;
        let state =
            client.state(key.bytes()).await.map_err(|error| failed("cannot read the state", &error))?;
        let shown = check(&trust, &state.receipt, Some(&key), &self.fresh)?;
        if let Some(path) = &self.receipt {
            files::write(path, &state.receipt, Access::Public)?;
        }
        let mut json = to_json(&shown);
        if let serde_json::Value::Object(map) = &mut json {
            map.insert("receipt".into(), hex::encode(&state.receipt).into());
        }
        context.output.answer(words(&shown), &json);
        Ok(())
    }
}
