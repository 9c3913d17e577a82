//! `keyward token list`.

use keyward_proto::custody::{Token as TokenMessage, TokenKey};
use serde_json::{Value, json};

use super::Context;
use crate::failure::Result;
use crate::output::table;
use crate::service::{As, connect};

pub(super) async fn list(context: &Context) -> Result<()> {
    let service = connect(&context.profile()?, As::Certificate).await?;
    let tokens = service.client.list_tokens().await.map_err(crate::service::failed("cannot list tokens"))?;
    let words = if tokens.is_empty() { "no tokens".to_owned() } else { words(&tokens) };
    context.output.answer(words, &to_json(&tokens));
    Ok(())
}

fn words(tokens: &[TokenMessage]) -> String {
    let tokens = tokens.iter().map(|token| {
        let head = format!(
            "token `{}`, serial {}, {} {}, {}\n  {}",
            token.label,
            token.serial,
            token.manufacturer,
            token.model,
            if token.logged_in { "logged in" } else { "not logged in" },
            if token.agent.is_empty() {
                format!("module {}", token.module)
            } else {
                format!("at the desk of agent `{}`", token.agent)
            }
        );
        let rows: Vec<_> = token.keys.iter().map(row).collect();
        let keys = table(&["  key", "id", "kind", "linked as"], &rows);
        if rows.is_empty() { format!("{head}\n  no keys") } else { format!("{head}\n{keys}") }
    });
    tokens.collect::<Vec<_>>().join("\n")
}

fn row(key: &TokenKey) -> Vec<String> {
    vec![format!("  {}", key.label), hex::encode(&key.id), key.kind.clone(), hex::encode(&key.key_id)]
}

fn to_json(tokens: &[TokenMessage]) -> Value {
    let key = |key: &TokenKey| {
        json!({
            "label": key.label, "id": hex::encode(&key.id), "kind": key.kind,
            "key_id": (!key.key_id.is_empty()).then(|| hex::encode(&key.key_id)),
        })
    };
    let tokens = tokens.iter().map(|token| {
        json!({
            "label": token.label, "serial": token.serial, "manufacturer": token.manufacturer, "model": token.model,
            "module": token.module, "agent": token.agent, "logged_in": token.logged_in,
            "keys": token.keys.iter().map(key).collect::<Vec<_>>(),
        })
    });
    json!({ "tokens": tokens.collect::<Vec<_>>() })
}
