//! `keyward ledger state`: asks for a proof, verifies it as `keyward verify` does, and only then says anything.

use std::path::PathBuf;

use keyward_ledger_client::Client;
use keyward_ledger_core::state::vault::VaultState;

use super::state_key::StateKey;
use super::{connect, failed};
use crate::commands::Context;
use crate::commands::key::moment;
use crate::commands::verify::state::{Fresh, check, to_json, words};
use crate::failure::Result;
use crate::files::{self, Access};

/// What is asked for, and how recent the answer must be.
#[derive(Debug, clap::Args)]
pub(crate) struct State {
    /// The key, as `key <KEY ID>`, `account <ID>`, `credential <ID>`, `intent <ID>`, `submitter <KEY>`, `batch
    /// <SUBMITTER> <SEQUENCE>`, `keeper <ID>`, `vault <ID>`, `delegation <ID>`, `delegations <ACCOUNT>`, `shared/key <ID>`, `association/id <ID>`, `policy/tenant <ID>`,
    /// `address/account <ID>`, `address/used <X>`, `audit/tenant <ID>`, `audit/grant <ID>`, `shared/run <RULE ID>`, `shared/intent <ID>`, `keepers`,
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
        let dealt_ms = dealt_ms(&client, key.bytes(), state.value.as_deref()).await?;
        let (mut json, mut words) = (to_json(&shown), words(&shown));
        if let serde_json::Value::Object(map) = &mut json {
            map.insert("receipt".into(), hex::encode(&state.receipt).into());
            if let Some(dealt_ms) = dealt_ms {
                map.insert("shares_dealt_ms".into(), dealt_ms.into());
                words = format!("{words}\n  its shares were dealt {}", moment(dealt_ms));
            }
        }
        context.output.answer(words, &json);
        Ok(())
    }
}

/// When the present shares of a vault were dealt: the time of their record, which is proven like the state.
async fn dealt_ms(client: &Client, key: &[u8], value: Option<&[u8]>) -> Result<Option<u64>> {
    let is_vault = key.strip_prefix(b"vault/").is_some_and(|rule| rule.len() == 32);
    let vault = value.filter(|_| is_vault).and_then(|value| VaultState::decode(value).ok());
    let Some(vault) = vault else { return Ok(None) };
    let record = client.record(vault.shares_leaf).await;
    Ok(Some(record.map_err(|error| failed("cannot read the record of the shares", &error))?.time_ms))
}
