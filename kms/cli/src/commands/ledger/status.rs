//! What each node says of itself; not proven.

use keyward_ledger_client::{Client, Status};
use serde_json::{Value, json};

use super::scrub;
use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::output::table;

pub(super) async fn run(context: &Context, client: &Client) -> Result<()> {
    let statuses = client.statuses().await;
    let rows: Vec<_> = statuses.iter().map(|(node, status)| row(node, status.as_ref())).collect();
    let head = ["node", "height", "epoch", "records", "pooled", "time", "block"];
    let nodes: Vec<_> = statuses.iter().map(|(node, status)| to_json(node, status.as_ref())).collect();
    let answered = statuses.iter().filter(|(_, status)| status.is_ok()).count();
    let trust = client.trust();
    let words = format!(
        "ledger `{}` {}\n{answered} of {} nodes answer; what they say of themselves:\n{}",
        trust.name,
        hex::encode(trust.chain_id),
        statuses.len(),
        table(&head, &rows)
    );
    let json = json!({ "name": trust.name, "chain_id": hex::encode(trust.chain_id), "nodes": nodes });
    let answered_by = statuses.iter().filter_map(|(node, status)| Some((node, status.as_ref().ok()?)));
    let alarms: String = answered_by.map(|(node, status)| scrub::alarm_words(node, status)).collect();
    context.output.answer(words + &refused_reads(&statuses) + &alarms, &json);
    if answered == 0 {
        return Err(Failure::unreachable("no node answers", "see whether the validators run (`keyward up`)"));
    }
    Ok(())
}

/// Reads that were refused, where the nodes tell us.
fn refused_reads(statuses: &[(String, std::result::Result<Status, String>)]) -> String {
    let told =
        statuses.iter().filter_map(|(node, status)| Some((node, status.as_ref().ok()?.operation.as_ref()?)));
    let lines = told.flat_map(|(node, operation)| {
        operation.refused_reads.iter().map(move |read| {
            format!(
                "\n{} reads of {} were refused to the role `{}` at {node}",
                read.count, read.class, read.role
            )
        })
    });
    lines.collect()
}

fn row(node: &str, status: std::result::Result<&Status, &String>) -> Vec<String> {
    match status {
        Ok(status) => vec![
            node.to_owned(),
            status.height.to_string(),
            status.epoch.to_string(),
            status.log_size.to_string(),
            status.pool_batches.to_string(),
            status.time_ms.to_string(),
            short(&status.block_digest),
        ],
        Err(_silent) => vec![node.to_owned(), "does not answer".to_owned()],
    }
}

pub(super) fn short(bytes: &[u8]) -> String {
    hex::encode(bytes.iter().copied().take(6).collect::<Vec<_>>())
}

fn to_json(node: &str, status: std::result::Result<&Status, &String>) -> Value {
    match status {
        Ok(status) => json!({
            "node": node, "height": status.height, "epoch": status.epoch, "regime": status.regime,
            "block_digest": hex::encode(&status.block_digest), "log_size": status.log_size,
            "log_root": hex::encode(&status.log_root), "state_root": hex::encode(&status.state_root),
            "pool_batches": status.pool_batches, "pool_bytes": status.pool_bytes, "time_ms": status.time_ms,
            "validator": hex::encode(&status.validator), "validators": status.validators.len(),
            "version": status.version,
            "refused_reads": status.operation.as_ref().map(|operation| operation.refused_reads.iter().map(|read| {
                json!({ "role": read.role, "class": read.class, "count": read.count })
            }).collect::<Vec<_>>()),
            "cold": scrub::cold_json(status), "scrub": scrub::to_json(status), "alarms": scrub::alarms_json(status),
            "floor": status.operation.as_ref().map(|operation| operation.floor),
            "look_up_height": status.operation.as_ref().map(|operation| operation.look_up_height),
            "alarms_open": status.operation.as_ref().map(|operation| operation.alarms_open),
        }),
        Err(why) => json!({ "node": node, "error": why }),
    }
}
