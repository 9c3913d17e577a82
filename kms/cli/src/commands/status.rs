//! `keyward status`: what the custody service says of itself, for operators.

use serde_json::json;

use super::Context;
use crate::failure::Result;
use crate::service::{As, connect, failed};

/// Unreleased intents that are shown in words; `--output json` names all.
const SHOWN_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Status {}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let service = connect(&context.profile()?, As::Certificate).await?;
        let status = service.client.status().await.map_err(failed("cannot see the service's status"))?;
        let ready = |ready: bool| if ready { "ready" } else { "NOT READY" };
        let mut words = format!(
            "version {}; ledger {}, height {}; token {}\n  policy {}",
            status.version,
            ready(status.ledger_reachable),
            status.ledger_height,
            ready(status.token_ready),
            hex::encode(&status.policy),
        );
        words += &match status.unreleased.len() {
            0 => "\n  no intent is left without a signature".to_owned(),
            count => format!("\n  intents without a signature, none of which will get one: {count}"),
        };
        for intent in status.unreleased.iter().take(SHOWN_MAX) {
            let (id, key) = (hex::encode(&intent.intent_id), hex::encode(&intent.key_id));
            words += &format!("\n    {id}  key {key}  {}", intent.state);
        }
        let unreleased: Vec<_> = status
            .unreleased
            .iter()
            .map(|intent| {
                json!({
                    "intent_id": hex::encode(&intent.intent_id), "key_id": hex::encode(&intent.key_id),
                    "created_unix_ms": intent.created_unix_ms, "state": intent.state,
                })
            })
            .collect();
        let json = json!({
            "version": status.version, "chain_id": hex::encode(&status.chain_id),
            "policy": hex::encode(&status.policy), "ledger_height": status.ledger_height,
            "ledger_reachable": status.ledger_reachable, "token_ready": status.token_ready,
            "trust": status.trust, "unreleased": unreleased,
        });
        context.output.answer(words, &json);
        Ok(())
    }
}
