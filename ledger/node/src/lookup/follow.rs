//! Noting the finalized blocks, one after the other, behind everything else.

use std::{sync::Arc, time::Duration};

use keyward_ledger_core::block::Block;
use tokio::{runtime::Handle, sync::watch};
use tracing::debug;

use super::{Handed, MergeFailed, Reference, references};
use crate::{
    alarms::{Alarm, Code},
    repair,
    shared::Shared,
};

/// How long to wait for a block that is missing here, or for a disk that does not take what is written.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Notes finalized blocks until the node stops.
pub(crate) fn follow(shared: &Arc<Shared>, runtime: &Handle, mut stopping: watch::Receiver<bool>) {
    let (mut views, mut progress) = (shared.view.subscribe(), shared.lookup.progress());
    loop {
        views.borrow_and_update();
        let is_done = catch_up(shared, || *stopping.borrow());
        if !is_done && !*stopping.borrow() {
            // A block is missing here: the others have it.
            let next = shared.lookup.covered() + 1;
            runtime.block_on(repair::block_at(shared, next));
        }
        let stops = runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => true,
                changed = views.changed(), if is_done => changed.is_err(),
                // What was taken out of it is noted again, though nothing new becomes final.
                cut = progress.wait_for(|covered| *covered < shared.view().ledger.height()), if is_done => cut.is_err(),
                () = tokio::time::sleep(TRY_AGAIN), if !is_done => false,
            }
        });
        if stops {
            return;
        }
    }
}

/// Notes what is final and not noted yet; `false` if something is in the way.
pub(crate) fn catch_up(shared: &Shared, stops: impl Fn() -> bool) -> bool {
    while !stops() {
        let lookup = &shared.lookup;
        let writing = lookup.writing();
        let next = lookup.covered() + 1;
        let step = lookup.write_what_waits(&stops).and_then(|()| {
            if next > shared.view().ledger.height() {
                return Ok(Step::Done);
            }
            let Some(references) = references_at(shared, next) else { return Ok(Step::Missing) };
            lookup.note(next, &references, &stops).map(|()| Step::Noted)
        });
        drop(writing);
        match step {
            Ok(Step::Noted) => {}
            Ok(Step::Done) => {
                settled(shared);
                return true;
            }
            Ok(Step::Missing) => {
                debug!(height = next, "the look-up waits for a block that is missing here");
                return false;
            }
            // Merged another time.
            Err(MergeFailed::Stopped) => return true,
            Err(MergeFailed::Read(failed)) if failed.is_damage() => damaged(shared, &failed),
            Err(MergeFailed::Read(failed)) => {
                shared.alarms.raise(Alarm::new(Code::LookUpBehind, format!("{failed}: {}", failed.source)));
                return false;
            }
            Err(MergeFailed::Write(error)) => {
                let text = format!("its files cannot be written: {error}; free space for them");
                shared.alarms.raise(Alarm::new(Code::LookUpBehind, text));
                return false;
            }
        }
    }
    true
}

enum Step {
    Noted,
    Done,
    Missing,
}

/// A run that is damaged is made again from the blocks.
pub(super) fn damaged(shared: &Shared, failed: &super::RunFailed) {
    shared.alarms.raise(alarm(failed));
    shared.lookup.take_out(failed);
}

pub(crate) fn alarm(failed: &super::RunFailed) -> Alarm {
    Alarm::new(Code::LookUpDamaged, format!("{failed}: {}", failed.source))
}

/// Everything is noted: what was wrong has been put right.
fn settled(shared: &Shared) {
    shared.alarms.repaired(|alarm| matches!(alarm.code, Code::LookUpDamaged | Code::LookUpBehind));
}

/// What is to be noted of a block: as it was handed over, or from the store.
fn references_at(shared: &Shared, height: u64) -> Option<Vec<Reference>> {
    if let Some(Handed { time_ms, batches, ids, .. }) = shared.lookup.take(height) {
        let entries = batches
            .iter()
            .flat_map(|result| result.batch.entries().map(|entry| (result.batch.submitter(), entry)));
        return Some(references((height, time_ms), entries, &ids));
    }
    let block = Block::decode(&repair::stored(shared, height)?).ok()?;
    let ids = match shared.index.entry(height) {
        Ok(Some((_, outcomes))) => outcomes.leaf_hashes(&block),
        _ => None,
    };
    if ids.is_none() {
        shared.scrub.ask();
    }
    Some(references_of(&block, &ids?))
}

/// What is to be noted of a stored block whose records have these ids.
pub(super) fn references_of(block: &Block, ids: &[keyward_ledger_core::hash::Hash]) -> Vec<Reference> {
    let entries =
        block.batches.iter().flat_map(|batch| batch.entries().map(|entry| (batch.submitter(), entry)));
    references((block.header().height, block.header().time_ms), entries, ids)
}
