//! Records: one by its place, and those that become final, as they do.

use std::path::PathBuf;

use futures::StreamExt as _;
use keyward_ledger_client::{Client, ClientError, Recorded};
use keyward_ledger_core::entry::{Entry, Intent, RotateKey, kind_name, kind_of};
use serde_json::{Value, json};

use super::addresses::{addresses_json, addresses_words};
use super::associations::{association_json, association_words, publication_json};
use super::audits::{audit_json, audit_words};
use super::checkpoint::write_cose;
use super::delegations::{delegation_json, delegation_words};
use super::failed;
use super::shared::{shared_json, shared_key_of, shared_words};
use super::status::short;
use super::vaults::{vault_json, vault_words};
use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};

pub(super) async fn get(
    context: &Context,
    client: &Client,
    leaf_index: u64,
    receipt: Option<PathBuf>,
    cose: Option<PathBuf>,
) -> Result<()> {
    files::distinct(receipt.iter().chain(&cose).map(PathBuf::as_path))?;
    let recorded =
        client.record(leaf_index).await.map_err(|error| failed("cannot read the record", &error))?;
    let bytes = recorded.receipt(None);
    if let Some(path) = &receipt {
        files::write(path, &bytes, Access::Public)?;
    }
    let mut json = record_json(&recorded);
    if let Value::Object(map) = &mut json {
        map.insert("receipt".into(), json!(hex::encode(&bytes)));
        if let Some(path) = &cose {
            map.insert("cose".into(), write_cose(client, &recorded, path).await?);
        }
    }
    context.output.answer(record_words(&recorded), &json);
    Ok(())
}

pub(super) async fn tail(
    context: &Context,
    client: &Client,
    from: Option<u64>,
    count: Option<u64>,
) -> Result<()> {
    let cannot = |error: ClientError| failed("cannot follow the ledger", &error);
    let newest = client.status().await.map_err(cannot)?.height;
    let from = from.unwrap_or(newest).max(1);
    let mut left = count.unwrap_or(u64::MAX);
    let mut blocks = Box::pin(client.follow(from).await.map_err(cannot)?);
    while left > 0 {
        let block = sent(blocks.next().await)?;
        for recorded in block.records.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            context.output.answer(record_words(recorded), &record_json(recorded));
            left -= 1;
        }
    }
    Ok(())
}

/// The next block of a stream that goes from node to node.
pub(super) fn sent<T>(next: Option<std::result::Result<T, ClientError>>) -> Result<T> {
    let none = || Failure::unreachable("the nodes send no blocks", "see `keyward ledger status`");
    next.ok_or_else(none)?.map_err(|error| failed("the nodes send no blocks", &error))
}

pub(super) fn record_words(recorded: &Recorded) -> String {
    let record = recorded.record();
    format!(
        "{:>8}  height {:<6} {:<14} {:<18} submitter {} #{}.{}{}{}",
        recorded.leaf_index,
        recorded.height,
        kind_name(kind_of(&record.entry).unwrap_or_default()),
        recorded.outcome.name(),
        short(&record.submitter),
        record.sequence,
        record.index,
        key_of(&record.entry).map(|key| format!("  key {key}")).unwrap_or_default(),
        told(&record.entry).map(|said| format!("  {said}")).unwrap_or_default(),
    )
}

/// What an entry says of a vault, of delegates, of a shared key, of an association, of addresses or of audits.
fn told(entry: &[u8]) -> Option<String> {
    let entry = Entry::decode(entry).ok()?;
    vault_words(&entry)
        .or_else(|| delegation_words(&entry))
        .or_else(|| shared_words(&entry))
        .or_else(|| association_words(&entry))
        .or_else(|| addresses_words(&entry))
        .or_else(|| audit_words(&entry))
}

/// The key that an entry is about.
fn key_of(entry: &[u8]) -> Option<String> {
    let entry = Entry::decode(entry).ok()?;
    match &entry {
        Entry::Intent(Intent { key_id, .. })
        | Entry::FreezeKey { key_id }
        | Entry::UnfreezeKey { key_id }
        | Entry::ScheduleDestroyKey { key_id, .. }
        | Entry::CancelDestroyKey { key_id }
        | Entry::DestroyKey { key_id } => Some(key_id.to_string()),
        Entry::UseAddress(used) => used.key_id().map(|key_id| key_id.to_string()),
        Entry::BindKey(bind) | Entry::RotateKey(RotateKey { bind, .. }) => {
            let key = keyward_domain::scheme::PublicKey::parse(bind.scheme, &bind.public_key).ok()?;
            Some(key.id().to_string())
        }
        _ => shared_key_of(&entry).map(|key_id| key_id.to_string()),
    }
}

pub(super) fn record_json(recorded: &Recorded) -> Value {
    let record = recorded.record();
    let entry = Entry::decode(&record.entry).ok();
    let vault = entry.as_ref().and_then(|entry| vault_json(entry, &recorded.outcome));
    let delegation = entry.as_ref().and_then(|entry| delegation_json(entry, &recorded.outcome));
    json!({
        "leaf_index": recorded.leaf_index, "id": hex::encode(record.id()), "height": recorded.height, "time_ms": recorded.time_ms,
        "kind": kind_name(kind_of(&record.entry).unwrap_or_default()), "entry": hex::encode(&record.entry),
        "outcome": recorded.outcome.name(), "submitter": hex::encode(record.submitter),
        "sequence": record.sequence, "index": record.index, "key_id": key_of(&record.entry), "vault": vault, "delegation": delegation,
        "shared": entry.as_ref().and_then(shared_json), "association": entry.as_ref().and_then(association_json),
        "publication": entry.as_ref().and_then(publication_json),
        "addresses": entry.as_ref().and_then(addresses_json), "audit": entry.as_ref().and_then(audit_json),
    })
}
