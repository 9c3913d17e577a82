//! Asking the nodes to read everything they store again; and what they found, for the status.

use keyward_ledger_client::{Alarm, Client, Status};
use serde_json::{Value, json};

use super::status::short;
use crate::commands::Context;
use crate::failure::{Failure, Result};

pub(super) async fn run(context: &Context, client: &Client) -> Result<()> {
    let answers = client.scrub().await;
    let asked = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
    let nodes: Vec<_> = answers
        .iter()
        .map(|(node, answer)| json!({ "node": node, "error": answer.as_ref().err() }))
        .collect();
    let refused: String = answers
        .iter()
        .filter_map(|(node, answer)| answer.as_ref().err().map(|why| format!("\n{node}: {why}")))
        .collect();
    let words =
        format!("{asked} nodes read all they store again; `keyward ledger status` says what they find");
    context.output.answer(words + &refused, &json!({ "nodes": nodes }));
    if asked == 0 {
        let next = "use the profile of an operator; see whether the validators run (`keyward up`)";
        return Err(Failure::refused("no node was asked", next));
    }
    Ok(())
}

/// What the scrubber of a node did, if the node tells us.
pub(super) fn to_json(status: &Status) -> Value {
    let scrub = status.operation.as_ref().and_then(|operation| operation.scrub.as_ref());
    scrub.map_or(Value::Null, |scrub| {
        json!({
            "runs": scrub.runs, "running": scrub.running, "height": scrub.height, "bytes": scrub.bytes,
            "found": scrub.found, "unrepaired": scrub.unrepaired,
        })
    })
}

/// What of a node's blocks lies at a second location, if the node tells us.
pub(super) fn cold_json(status: &Status) -> Value {
    let cold = status.operation.as_ref().and_then(|operation| operation.cold.as_ref());
    cold.map_or(Value::Null, |cold| json!({ "segments": cold.segments, "bytes": cold.bytes }))
}

/// The newest alarms of a node, if it tells us.
pub(super) fn alarms_json(status: &Status) -> Value {
    let operation = status.operation.as_ref();
    operation.map_or(Value::Null, |operation| operation.alarms.iter().map(alarm_json).collect())
}

fn alarm_json(alarm: &Alarm) -> Value {
    json!({
        "number": alarm.number, "code": alarm.code, "height": alarm.height, "text": alarm.text,
        "node": (!alarm.node.is_empty()).then(|| hex::encode(&alarm.node)), "count": alarm.count,
        "first_ms": alarm.first_ms, "last_ms": alarm.last_ms, "repaired": alarm.repaired,
    })
}

/// A line for each alarm of a node.
pub(super) fn alarm_words(node: &str, status: &Status) -> String {
    let alarms = status.operation.iter().flat_map(|operation| &operation.alarms);
    let line = |alarm: &Alarm| {
        format!(
            "\n{node}: {}{}{}: {} ({} times{})",
            alarm.code,
            alarm.height.map(|height| format!(" at height {height}")).unwrap_or_default(),
            if alarm.node.is_empty() { String::new() } else { format!(" about {}", short(&alarm.node)) },
            alarm.text,
            alarm.count,
            if alarm.repaired { ", repaired" } else { "" },
        )
    };
    alarms.map(line).collect()
}
