//! `keyward ledger import`: a node's data folder from an export, after everything in it was checked.

use std::path::PathBuf;

use keyward_ledger_node::{Restore, RestoreError};
use keyward_ledger_verify::Depth;
use serde_json::json;

use super::check::{check_export, trust};
use super::folder::Folder;
use crate::commands::Context;
use crate::failure::{Failure, Result};

/// From where to where.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The export's folder; it must begin at the first block.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The node's data folder, which must not be there yet or be empty.
    #[arg(long, value_name = "DATA_DIR")]
    into: PathBuf,
    /// The trust file [default: the profile's].
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let trust = trust(context, self.trust.as_deref())?;
        let heights = Folder::at(&self.dir).manifest()?.heights();
        if heights.is_none_or(|(from, _)| from != 1) {
            let what = "the export does not begin at the first block";
            return Err(Failure::usage(what, "export again without `--from`"));
        }
        let mut restore = Restore::begin(&self.into).map_err(|error| failed(&error))?;
        let verdict = check_export(context.output, &trust, &self.dir, Depth::Execution, |block, held| {
            let certificate = block.descendants.is_empty().then_some(&block.certificate);
            restore.put(&held.block, &block.block, certificate, held.set_size).map_err(|error| failed(&error))
        })?;
        restore.finish().map_err(|error| failed(&error))?;
        let words = format!(
            "imported heights 1 to {} with {} records into `{}`\n  start a node on it: `data_dir` in its `node.toml`. It makes \
             its other files and fetches what is newer.\n  A validator that voted before is not to be started on it: its vote \
             journal is not part of an export.",
            verdict.to,
            verdict.records,
            self.into.display()
        );
        let json = json!({
            "to": verdict.to, "records": verdict.records, "into": self.into,
            "tip": hex::encode(verdict.tip_digest), "state_root": hex::encode(verdict.tip.state_root),
        });
        context.output.answer(words, &json);
        Ok(())
    }
}

fn failed(error: &RestoreError) -> Failure {
    match error {
        RestoreError::NotEmpty { .. } => {
            Failure::usage("the data folder is in use", "name a folder that is not there yet").because(error)
        }
        RestoreError::Unfinished { path } => {
            let next = format!(
                "see that no other import is under way, remove `{}`, and import again from the start",
                path.display()
            );
            Failure::usage("an import into this place was broken off", next).because(error)
        }
        _ => Failure::refused("cannot write the data folder", "free the disk, then try again").because(error),
    }
}
