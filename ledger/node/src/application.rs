//! The engine's application: paces proposals and passes everything on to the executor.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_core::block::{self, BLOCK_BYTES_MAX};
use keyward_ledger_engine::{
    Ancestors, Application, Block, BlockHeader, BoxFuture, Certificate, EpochPlan, Event, Format,
    ProposeContext,
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use crate::{
    alarms::{Alarm, Code},
    executor::{Answer, Job, stop},
    intake::Gossip,
    plan::plan,
    repair,
    shared::Shared,
};

/// How blocks are read: the format of `ledger/core`.
pub(crate) struct BlockFormat;

impl Format for BlockFormat {
    fn parse(&self, bytes: &[u8]) -> Option<BlockHeader> {
        let block = block::Block::decode(bytes).ok()?;
        Some(BlockHeader {
            height: block.header().height,
            parent: block.header().parent,
            digest: *block.digest(),
        })
    }

    fn block_bytes_max(&self) -> usize {
        BLOCK_BYTES_MAX
    }
}

/// How fast blocks follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between blocks when nothing waits.
    pub(crate) idle: Duration,
    /// Between blocks under load, so that one block carries more.
    pub(crate) min: Duration,
}

/// How much longer the pause is for each entry of the block before it.
const PAUSE_PER_ENTRY: Duration = Duration::from_micros(125);
/// The longest pause under load, unless the configured one is longer.
const PAUSE_MAX: Duration = Duration::from_millis(40);

impl Pace {
    /// Between a block and the next: a block costs every validator the same syncs and wake-ups whatever it
    /// carries, so the more there is to carry, the fuller blocks become rather than the more of them.
    fn pause(self, entries: usize) -> Duration {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        let longer = self.min.saturating_add(PAUSE_PER_ENTRY.saturating_mul(entries));
        longer.min(PAUSE_MAX.max(self.min))
    }
}

pub(crate) struct LedgerApplication {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    pace: Pace,
    last_proposal: Mutex<Option<Last>>,
    gossip: Gossip,
}

/// The proposal before: when it was made, by the timer.
#[derive(Clone, Copy)]
struct Last {
    at: Duration,
    entries: usize,
}

impl LedgerApplication {
    pub(crate) fn new(shared: Arc<Shared>, jobs: mpsc::Sender<Job>, pace: Pace, gossip: Gossip) -> Self {
        Self { shared, jobs, pace, last_proposal: Mutex::new(None), gossip }
    }

    /// Waits for a batch that is in no unfinalised block, for the pace, and no longer than the leader may.
    async fn wait_for_work(&self, context: &ProposeContext) {
        // What waits for the epoch's end waits for blocks, full or not.
        if self.shared.view().ledger.hurries().unwrap_or(false) {
            return;
        }
        let timer = &self.shared.timer;
        let now = timer.now();
        let last = *self.last_proposal.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = last.map_or(now, |last| last.at + self.pace.pause(last.entries));
        let latest = now + self.pace.idle.min(context.time_out / 2);
        timer.sleep(earliest.min(latest).saturating_sub(now)).await;
        loop {
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let left = latest.saturating_sub(timer.now());
            if self.has_work() || timer.within(left, arrived).await.is_none() {
                break;
            }
        }
    }

    fn has_work(&self) -> bool {
        let in_flight = self.shared.in_flight();
        self.shared.pool().any(|batch| !in_flight.contains(batch.id()))
    }

    /// Asks the executor; reads the blocks between the parent and the finalized ones when it needs them.
    async fn ask<T>(
        &self,
        mut ancestors: Ancestors,
        job: impl Fn(Vec<Block>, oneshot::Sender<Answer<T>>) -> Job,
    ) -> Option<T> {
        let (mut below, mut answers) = (Vec::new(), 0);
        loop {
            let (reply, answer) = oneshot::channel();
            self.jobs.send(job(below.clone(), reply)).await.ok()?;
            match answer.await.ok()? {
                Answer::Done(value) => return Some(value),
                Answer::AncestorsNeeded if answers > 0 => return None,
                Answer::AncestorsNeeded => below = self.blocks_above_final(&mut ancestors).await,
            }
            answers += 1;
        }
    }

    async fn blocks_above_final(&self, ancestors: &mut Ancestors) -> Vec<Block> {
        let mut below = Vec::new();
        while let Some(block) = ancestors.next().await {
            let is_final = block.height <= self.shared.view().ledger.height();
            below.push(block);
            if is_final {
                break;
            }
        }
        below
    }
}

impl Application for LedgerApplication {
    fn propose(
        &self,
        context: ProposeContext,
        parent: Block,
        ancestors: Ancestors,
    ) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(async move {
            self.wait_for_work(&context).await;
            let at = self.shared.timer.now();
            let job = |ancestors, reply| Job::Propose { parent: parent.clone(), ancestors, reply };
            let proposed = self.ask(ancestors, job).await.flatten();
            let entries = proposed.as_ref().map_or(0, |proposed| proposed.entries);
            let last = Last { at, entries };
            *self.last_proposal.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
            proposed.map(|proposed| proposed.bytes)
        })
    }

    fn verify(
        &self,
        _: ProposeContext,
        parent: Block,
        block: Block,
        ancestors: Ancestors,
    ) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let job = |ancestors, reply| Job::Verify {
                parent: parent.clone(),
                block: block.clone(),
                ancestors,
                reply,
            };
            self.ask(ancestors, job).await.unwrap_or(false)
        })
    }

    fn finalized(&self, block: Block) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A damaged block may be missing between what was recovered and what the engine goes on with.
            let next = self.shared.view().ledger.height() + 1;
            let mut below = repair::digests_below(&self.shared, next, &block).await;
            let mut height = next;
            while height <= block.height {
                let block = match below.pop() {
                    Some(digest) => repair::block_with(&self.shared, height, digest).await,
                    None => block.clone(),
                };
                height = block.height + 1;
                let (reply, done) = oneshot::channel();
                if self.jobs.send(Job::Finalized { block, reply }).await.is_err() || done.await.is_err() {
                    // The executor has stopped: this block must not count as done, so this never returns.
                    std::future::pending::<()>().await;
                }
            }
        })
    }

    fn certificate(&self, height: u64, certificate: Certificate) {
        // The certificate is in the store as well: losing one here costs the wait for the next.
        if self.jobs.try_send(Job::Certificate { height, certificate }).is_err() {
            debug!(height, "the executor is busy: a certificate waits for its successor");
        }
    }

    fn plan(&self, epoch: u64) -> EpochPlan {
        plan(&self.shared, epoch).unwrap_or_else(|broken| stop(&broken))
    }

    fn gossip(&self, from: [u8; 32], message: Bytes) {
        if self.gossip.try_send((from, message)).is_err() {
            debug!("too many messages of peers wait to be looked at: one is dropped");
        }
    }

    fn event(&self, event: Event) {
        match event {
            Event::EpochStarted { epoch, voting } => debug!(epoch, voting, "epoch started"),
            Event::Nullified { epoch, view } => {
                info!(epoch, view, "a view was skipped");
                self.shared.reports.skipped(epoch);
            }
            Event::Fault(evidence) => {
                self.shared.reports.fault(&evidence);
                let validator = hex::encode(evidence.validator);
                warn!(validator, fault = ?evidence.fault, epoch = evidence.epoch, view = evidence.view, "alarm: signed evidence of a fault");
                let text =
                    format!("{:?} in epoch {}, view {}", evidence.fault, evidence.epoch, evidence.view);
                self.shared.alarms.raise(Alarm::new(Code::VotesConflict, text).about(evidence.validator));
            }
            Event::StoreDamaged { reason } => {
                self.shared.alarms.raise(Alarm::new(Code::StoreDamaged, reason));
                self.shared.scrub.ask();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuller_blocks_are_followed_by_longer_pauses_within_bounds() {
        let pace = Pace { idle: Duration::from_secs(1), min: Duration::from_millis(12) };
        assert_eq!(pace.pause(0), pace.min);
        assert_eq!(pace.pause(80), Duration::from_millis(22));
        assert_eq!(pace.pause(1000), PAUSE_MAX);
        assert_eq!(pace.pause(usize::MAX), PAUSE_MAX);
        let slow = Pace { min: Duration::from_millis(100), ..pace };
        assert_eq!((slow.pause(0), slow.pause(1000)), (slow.min, slow.min), "never shorter than configured");
    }
}
