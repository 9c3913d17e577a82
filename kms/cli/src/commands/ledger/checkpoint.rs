//! `keyward ledger checkpoint` and `get --cose`: the log in the forms of other people's tools.

use std::path::{Path, PathBuf};

use keyward_ledger_client::{Client, Recorded};
use serde_json::{Value, json};

use super::{Context, failed};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};

/// What becomes of the checkpoint.
#[derive(Debug, clap::Args)]
pub(crate) struct Checkpoint {
    /// Also proves that the log begins with the one of this size; whoever holds that checkpoint can tell.
    #[arg(long, value_name = "SIZE", default_value_t = 0)]
    from: u64,
    /// Writes the checkpoint here.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Checkpoint {
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<()> {
        let merged = client.checkpoint(self.from, None).await;
        let merged = merged.map_err(|error| failed("cannot get a checkpoint of the log", &error))?;
        let note = merged.note.encode();
        if let Some(path) = &self.out {
            files::write(path, note.as_bytes(), Access::Public)?;
        }
        for silent in &merged.silent {
            context.output.note(format!("no signature of {silent}"));
        }
        let lines: Vec<_> =
            merged.verifiers.iter().map(|[log, cosigner]| [log.line(), cosigner.line()]).collect();
        let words = lines.iter().map(|[log, cosigner]| format!("log {log}\ncosigner {cosigner}\n"));
        let words = format!("{note}\nthe keys of {} validators:\n{}", lines.len(), words.collect::<String>());
        let checkpoint = &merged.note.checkpoint;
        let keys = lines.iter().map(|[log, cosigner]| json!({ "log": log, "cosigner": cosigner }));
        let json = json!({
            "origin": checkpoint.origin, "size": checkpoint.size, "root": hex::encode(checkpoint.root),
            "note": note, "verifiers": keys.collect::<Vec<_>>(),
            "from": self.from, "consistency": merged.consistency.iter().map(hex::encode).collect::<Vec<_>>(),
        });
        context.output.answer(words.trim_end(), &json);
        Ok(())
    }
}

/// Writes a record's inclusion proof as a COSE Receipt; gives what one needs to verify it.
pub(super) async fn write_cose(client: &Client, recorded: &Recorded, path: &Path) -> Result<Value> {
    let merged = client.checkpoint(0, Some(recorded)).await;
    let merged = merged.map_err(|error| failed("cannot get a COSE Receipt", &error))?;
    let (Some(receipt), Some([_, cosigner])) = (&merged.cose_receipt, merged.verifiers.first()) else {
        return Err(Failure::refused(
            "the only record of a log has no COSE Receipt",
            "ask again when the ledger has more records",
        ));
    };
    files::write(path, receipt, Access::Public)?;
    Ok(json!({
        "receipt": hex::encode(receipt), "record": hex::encode(recorded.record().encode()),
        "origin": merged.note.checkpoint.origin, "key": cosigner.name,
        "public_key": hex::encode(cosigner.public_key), "log_size": merged.note.checkpoint.size,
    }))
}
