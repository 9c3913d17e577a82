//! `keyward ledger check`: everything about a ledger that can be checked, over its nodes or over an export.

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use keyward_ledger_core::hash::sha256;
use keyward_ledger_core::trust::Trust;
use keyward_ledger_verify::{Anchor, Depth, Held, History, HistoryVerdict};
use serde_json::{Value, json};

use super::folder::{Folder, check_chunk, other_file, refuted};
use super::records::sent;
use super::{connect, failed};
use crate::commands::Context;
use crate::commands::verify::invalid;
use crate::config::serve::read_trust;
use crate::failure::{Failure, Result};
use crate::output::Output;

/// What is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// An export's folder; without it, the ledger that the profile's nodes serve.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The trust file [default: the profile's].
    #[arg(long, value_name = "FILE", requires = "dir")]
    trust: Option<PathBuf>,
    /// Checks what this node of the profile serves: its number, from 1.
    #[arg(long, value_name = "N", conflicts_with = "dir")]
    node: Option<usize>,
    /// Checks up to this height [default: the newest].
    #[arg(long, value_name = "HEIGHT", conflicts_with = "dir")]
    to: Option<u64>,
}

impl Check {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let verdict = match &self.dir {
            Some(dir) => {
                let trust = trust(context, self.trust.as_deref())?;
                check_export(context.output, &trust, dir, Depth::Execution, |_, _| Ok(()))?
            }
            None => self.live(context).await?,
        };
        context.output.answer(words(&verdict), &to_json(&verdict));
        Ok(())
    }

    async fn live(&self, context: &Context) -> Result<HistoryVerdict> {
        let cannot = |error| failed("cannot check the ledger", &error);
        let mut profile = context.profile()?;
        if let Some(number) = self.node {
            let chosen = number.checked_sub(1).and_then(|index| profile.file.nodes.get(index).cloned());
            profile.file.nodes = vec![chosen.ok_or_else(|| {
                Failure::usage(format!("the profile names no node {number}"), "count its `nodes` from 1")
            })?];
        }
        let client = connect(&profile).await?;
        let (tip, links) = client.proven_tip().await.map_err(cannot)?;
        let to = self.to.unwrap_or(tip);
        if to > tip || to == 0 {
            return Err(Failure::usage(
                format!("height {to} is not there: the newest is {tip}"),
                "choose a height",
            ));
        }
        let history = History::new(client.trust(), client.genesis(), &links, 1, Depth::Execution);
        let mut history = history.map_err(|failure| invalid(&failure))?;
        let progress = context.output.progress("checking blocks", 0, to);
        let mut blocks = Box::pin(client.served(history.next_height()).await.map_err(cannot)?);
        while history.next_height() <= to {
            let block = sent(blocks.next().await)?;
            history.check(&block).map_err(|broken| refuted(&broken))?;
            progress.reach(history.next_height() - 1);
        }
        history.finish().map_err(|broken| refuted(&broken))
    }
}

/// The trust file that was named, else the profile's.
pub(crate) fn trust(context: &Context, named: Option<&Path>) -> Result<Trust> {
    match named {
        Some(path) => read_trust(path),
        None => {
            let profile = context.profile()?;
            read_trust(&profile.path(&profile.file.trust))
        }
    }
}

/// Checks an export from its manifest to its last block, and hands on each block that holds; at [`Depth::Chain`] nothing holds
/// before the verdict.
pub(crate) fn check_export(
    output: Output,
    trust: &Trust,
    dir: &Path,
    depth: Depth,
    mut held: impl FnMut(&keyward_ledger_core::export::ProvenBlock, Held) -> Result<()>,
) -> Result<HistoryVerdict> {
    let folder = Folder::at(dir);
    let manifest = folder.manifest()?;
    let genesis = folder.named_genesis(&manifest)?;
    let links = folder.named_links(&manifest)?;
    let (from, to) = manifest.heights().unwrap_or((1, 1));
    let history = History::new(trust, &genesis, &links, from, depth);
    let mut history = history.map_err(|failure| invalid(&failure))?;
    if (&*manifest.name, &manifest.chain_id) != (genesis.name(), genesis.chain_id()) {
        return Err(other_file("genesis"));
    }
    let progress = output.progress("checking blocks", from.saturating_sub(1), to);
    for chunk in &manifest.chunks {
        let name = keyward_ledger_core::export::ChunkName::file(chunk.first);
        let bytes = folder.chunk(chunk.first)?;
        // First what is wrong inside, which has a height; only then that it is another file.
        check_chunk(&mut history, &bytes, |block, found| {
            progress.reach(found.block.header().height);
            held(block, found)
        })?;
        if sha256(&[&bytes]) != chunk.sha256 || history.next_height() != chunk.last.saturating_add(1) {
            return Err(other_file(&name));
        }
    }
    history.finish().map_err(|broken| refuted(&broken))
}

fn anchor(verdict: &HistoryVerdict) -> String {
    match verdict.anchor {
        Anchor::Genesis => "genesis".to_owned(),
        Anchor::Checkpoint { height } => format!("checkpoint {height}"),
    }
}

fn words(verdict: &HistoryVerdict) -> String {
    let executed = match verdict.depth {
        Depth::Execution => "executed: every outcome and root is what follows from the entries",
        Depth::Chain | Depth::Proofs => "not executed: that needs the blocks from the first on",
    };
    format!(
        "holds: heights {} to {} of `{}`, {} records\n  {executed}\n  tip {}, state {}, log {}\n  anchor: {} {}",
        verdict.from,
        verdict.to,
        verdict.name,
        verdict.records,
        hex::encode(verdict.tip_digest),
        hex::encode(verdict.tip.state_root),
        hex::encode(verdict.tip.log_root),
        anchor(verdict),
        hex::encode(verdict.chain_id),
    )
}

fn to_json(verdict: &HistoryVerdict) -> Value {
    json!({
        "valid": true,
        "anchor": { "kind": anchor(verdict), "name": verdict.name, "chain_id": hex::encode(verdict.chain_id) },
        "from": verdict.from, "to": verdict.to, "records": verdict.records,
        "executed": verdict.depth == Depth::Execution,
        "tip": hex::encode(verdict.tip_digest), "state_root": hex::encode(verdict.tip.state_root),
        "log_root": hex::encode(verdict.tip.log_root), "log_size": verdict.tip.log_size,
    })
}
