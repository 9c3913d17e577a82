//! What is printed of keys.

use std::path::PathBuf;

use keyward_client::KeyWithReceipt;
pub(crate) use keyward_domain::moment::moment;
use keyward_proto::custody::{Key as KeyMessage, KeyVersion};
use serde_json::{Value, json};

use super::Context;
use crate::commands::shared::EXPERIMENTAL;
use crate::failure::Result;
use crate::files::{self, Access};

/// Prints a key.
pub(super) fn show(context: &Context, key: &KeyMessage) {
    context.output.answer(words(key), &to_json(key));
}

/// Prints a changed key, and keeps its receipt if wanted.
pub(crate) fn answer_change(
    context: &Context,
    what: &str,
    changed: &KeyWithReceipt,
    receipt: Option<PathBuf>,
) -> Result<()> {
    answer_next(context, what, changed, receipt, "")
}

/// The same, with what follows from it.
pub(super) fn answer_next(
    context: &Context,
    what: &str,
    changed: &KeyWithReceipt,
    receipt: Option<PathBuf>,
    next: &str,
) -> Result<()> {
    if let Some(path) = &receipt {
        files::write(path, &changed.receipt, Access::Public)?;
    }
    let key = &changed.key;
    let kept = receipt.map(|path| format!("\n  receipt     {}", path.display())).unwrap_or_default();
    let next = if next.is_empty() { String::new() } else { format!("\n{next}") };
    let words = format!("key `{}` is {what}\n{}{kept}{next}", key.alias, words(key));
    let mut json = to_json(key);
    if let Value::Object(map) = &mut json {
        map.insert("receipt".into(), json!(hex::encode(&changed.receipt)));
    }
    context.output.answer(words, &json);
    Ok(())
}

fn words(key: &KeyMessage) -> String {
    let versions: Vec<_> = key.versions.iter().map(version_words).collect();
    let destroyed_after = match key.destroy_after_unix_ms {
        0 => String::new(),
        after_ms => moment(after_ms),
    };
    let lines = [
        ("alias", key.alias.clone()),
        ("version", key.version.to_string()),
        ("key id", hex::encode(&key.key_id)),
        ("scheme", key.scheme.clone()),
        ("public key", hex::encode(&key.public_key)),
        ("address", key.address.clone()),
        ("mode", key.mode.clone()),
        ("protocol", if key.experimental { EXPERIMENTAL.to_owned() } else { String::new() }),
        ("state", key.state.clone()),
        ("destroyed", destroyed_after),
        ("successor", hex::encode(&key.successor)),
        ("labels", labels(key)),
        ("token", key.token.clone()),
        ("agent", key.agent.clone()),
        ("claims", key.claims.join(", ")),
        ("account", hex::encode(&key.account)),
        ("versions", if versions.len() > 1 { versions.join(", ") } else { String::new() }),
    ];
    let shown = lines.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("  {name:<11} {value}")).collect::<Vec<_>>().join("\n")
}

/// Labels as they are written on the command line, sorted.
pub(super) fn labels(key: &KeyMessage) -> String {
    let mut labels: Vec<_> = key.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.sort_unstable();
    labels.join(", ")
}

fn version_words(version: &KeyVersion) -> String {
    format!("{} {}", version.version, version.state)
}

pub(super) fn to_json(key: &KeyMessage) -> Value {
    let labels: serde_json::Map<_, _> =
        key.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let versions: Vec<_> = key.versions.iter().map(version_json).collect();
    json!({
        "alias": key.alias, "key_id": hex::encode(&key.key_id), "scheme": key.scheme,
        "public_key": hex::encode(&key.public_key), "address": key.address, "mode": key.mode, "state": key.state,
        "experimental": key.experimental,
        "version": key.version, "created_unix_ms": key.created_unix_ms, "token": key.token,
        "account": hex::encode(&key.account), "claims": key.claims, "agent": key.agent, "labels": labels,
        "changed_unix_ms": key.changed_unix_ms, "destroy_after_unix_ms": key.destroy_after_unix_ms,
        "successor": hex::encode(&key.successor), "versions": versions,
    })
}

fn version_json(version: &KeyVersion) -> Value {
    json!({
        "version": version.version, "key_id": hex::encode(&version.key_id), "state": version.state,
        "created_unix_ms": version.created_unix_ms,
    })
}
