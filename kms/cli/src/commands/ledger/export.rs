//! `keyward ledger export`: the ledger as files, each block checked before it is written, going on where it ended.

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use keyward_ledger_client::Client;
use keyward_ledger_core::export::{ChunkName, encode_links};
use keyward_ledger_core::hash::sha256;
use keyward_ledger_verify::{Depth, History, HistoryVerdict};
use serde_json::json;

use super::folder::{Folder, Writing, check_chunk, refuted};
use super::records::sent;
use super::{connect, failed};
use crate::commands::Context;
use crate::commands::verify::invalid;
use crate::failure::{Failure, Result};
use crate::output::Progress;

/// Which heights, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The folder: empty, or that of an export that is to go on.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The first height; without the first block an export can be checked, but neither executed nor imported.
    #[arg(long, value_name = "HEIGHT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// The last height [default: the newest].
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u64>,
}

/// What was written, and from which height on by this run.
struct Exported {
    verdict: HistoryVerdict,
    resumed_at: u64,
}

/// Brings an export of all that the profile's nodes have up to date; a new one where there is none.
pub(crate) async fn bring_up_to_date(context: &Context, dir: &Path) -> Result<()> {
    let export = Export { dir: dir.to_owned(), from: 1, to: None };
    export.write(context).await.map(drop)
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let Exported { verdict, resumed_at } = self.write(context).await?;
        let dir = self.dir.display();
        let words = format!(
            "exported heights {} to {} with {} records into `{dir}`\n  check it anywhere: keyward ledger check {dir} --trust FILE",
            verdict.from, verdict.to, verdict.records
        );
        let json = json!({
            "from": verdict.from, "to": verdict.to, "records": verdict.records, "resumed_at": resumed_at,
            "dir": self.dir, "tip": hex::encode(verdict.tip_digest),
        });
        context.output.answer(words, &json);
        Ok(())
    }

    async fn write(&self, context: &Context) -> Result<Exported> {
        let client = connect(&context.profile()?).await?;
        let cannot = "cannot export the ledger";
        let (tip, links) = client.proven_tip().await.map_err(|error| failed(cannot, &error))?;
        let to = self.to.unwrap_or(tip);
        if to > tip || self.from > to {
            let what = format!("the heights {} to {to} are not there: the newest is {tip}", self.from);
            return Err(Failure::usage(what, "choose heights up to the newest"));
        }
        let folder = Folder::at(&self.dir);
        prepare(&folder, &client)?;
        let history = History::new(client.trust(), client.genesis(), &links, self.from, Depth::Proofs);
        let mut history = history.map_err(|failure| invalid(&failure))?;
        let progress = context.output.progress("exporting blocks", self.from, to);
        let mut chunks = resumed(&folder, &mut history, self.from, &progress)?;
        let resumed_at = history.next_height();
        if resumed_at > to.saturating_add(1) {
            let what = format!("the export in `{}` goes on to height {}", self.dir.display(), resumed_at - 1);
            return Err(Failure::usage(what, "leave `--to` away, or choose another folder"));
        }
        fetch(&folder, &client, &mut history, to, &mut chunks, &progress).await?;
        folder.write_manifest(&encode_links(&links), client.genesis(), chunks)?;
        drop(progress);
        let verdict = history.finish().map_err(|broken| refuted(&broken))?;
        Ok(Exported { verdict, resumed_at })
    }
}

fn prepare(folder: &Folder, client: &Client) -> Result<()> {
    folder.check_is_ours()?;
    match folder.genesis()? {
        Some(bytes) if bytes != client.genesis().encode() => {
            let next = "choose another folder, or the profile of the ledger that it is of";
            Err(Failure::usage("the folder holds an export of another ledger", next))
        }
        Some(_) => Ok(()),
        None => folder.write_genesis(client.genesis()),
    }
}

/// Checks what an earlier run wrote; each chunk lies there whole or not at all.
fn resumed(folder: &Folder, history: &mut History, from: u64, progress: &Progress) -> Result<Vec<ChunkName>> {
    let mut chunks = Vec::new();
    for first in folder.chunks()? {
        if first != history.next_height() {
            let what = format!(
                "the folder holds a chunk from height {first}, and none from {}",
                history.next_height()
            );
            let next = format!("give the same `--from` as before (not {from}), or choose an empty folder");
            return Err(Failure::usage(what, next));
        }
        let bytes = folder.chunk(first)?;
        check_chunk(history, &bytes, |_, held| {
            progress.reach(held.block.header().height);
            Ok(())
        })?;
        let last = history.next_height().saturating_sub(1);
        chunks.push(ChunkName { first, last, sha256: sha256(&[&bytes]) });
    }
    Ok(chunks)
}

async fn fetch(
    folder: &Folder,
    client: &Client,
    history: &mut History,
    to: u64,
    chunks: &mut Vec<ChunkName>,
    progress: &Progress,
) -> Result<()> {
    let cannot = |error| failed("cannot export the ledger", &error);
    let mut writing = Writing::from(history.next_height());
    let mut blocks = Box::pin(client.served(history.next_height()).await.map_err(cannot)?);
    while history.next_height() <= to {
        let block = sent(blocks.next().await).map_err(|mut failure| {
            "try again: the export goes on where it ended".clone_into(&mut failure.next);
            failure
        })?;
        history.check(&block).map_err(|broken| refuted(&broken))?;
        writing.push(&block);
        let next = history.next_height();
        progress.reach(next - 1);
        if writing.is_full() {
            chunks.push(std::mem::replace(&mut writing, Writing::from(next)).write(folder, next - 1)?);
        }
    }
    if !writing.is_empty() {
        chunks.push(writing.write(folder, history.next_height() - 1)?);
    }
    Ok(())
}
