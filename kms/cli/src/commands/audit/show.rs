//! `keyward audit list` and `show`.

use serde_json::json;

use super::{Context, failed, grant, parse_grant};
use crate::commands::key::moment;
use crate::failure::Result;
use crate::service::{As, connect};

pub(super) async fn list(context: &Context) -> Result<()> {
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let grants = client.list_grants().await.map_err(failed("cannot list grants"))?;
    let lines: Vec<_> = grants
        .iter()
        .map(|one| format!("{}  {}  {:?}", hex::encode(one.id), moment(one.requested_ms), one.purpose))
        .collect();
    let none = || "there is no grant that you asked for or may revoke".to_owned();
    let words = if lines.is_empty() { none() } else { lines.join("\n") };
    let grants: Vec<_> = grants
        .iter()
        .map(|one| {
            json!({
                "grant": hex::encode(one.id), "purpose": one.purpose, "grantee": hex::encode(one.grantee),
                "requested_unix_ms": one.requested_ms,
            })
        })
        .collect();
    context.output.answer(words, &json!({ "grants": grants }));
    Ok(())
}

pub(super) async fn show(context: &Context, id: &str) -> Result<()> {
    let id = parse_grant(id)?;
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let shown = client.show_grant(&id).await.map_err(failed("cannot show the grant"))?;
    context.output.answer(grant::words(&shown), &grant::to_json(&shown));
    Ok(())
}
