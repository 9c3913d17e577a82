//! The engine's application: paces proposals and passes everything on to the executor.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_core::block::{self, BLOCK_BYTES_MAX, Regime};
use keyward_ledger_engine::{
    Ancestors, Application, Block, BlockHeader, BoxFuture, Certificate, EpochPlan, Event, Format, LeaderTerm,
    ProposeContext,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{debug, info, warn};

use crate::{
    executor::{Answer, Job},
    intake::Gossip,
    repair,
    shared::Shared,
};

/// Views of one leader in the fast regime.
const FAST_TERM_VIEWS: u32 = 64;

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

pub(crate) struct LedgerApplication {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    pace: Pace,
    last_proposal: Mutex<Option<Instant>>,
    gossip: Gossip,
}

impl LedgerApplication {
    pub(crate) fn new(shared: Arc<Shared>, jobs: mpsc::Sender<Job>, pace: Pace, gossip: Gossip) -> Self {
        Self { shared, jobs, pace, last_proposal: Mutex::new(None), gossip }
    }

    /// Waits for a batch that is in no unfinalised block, for the pace, and no longer than the leader may.
    async fn wait_for_work(&self, context: &ProposeContext) {
        let now = Instant::now();
        let last = *self.last_proposal.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = last.map_or(now, |last| last + self.pace.min);
        let latest = now + self.pace.idle.min(context.time_out / 2);
        sleep_until(earliest.min(latest)).await;
        loop {
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.has_work() || timeout_at(latest, arrived).await.is_err() {
                break;
            }
        }
        *self.last_proposal.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
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
            let job = |ancestors, reply| Job::Propose { parent: parent.clone(), ancestors, reply };
            self.ask(ancestors, job).await.flatten()
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
            for block in repair::blocks_from(&self.shared, next, block).await {
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

    fn plan(&self, _epoch: u64) -> EpochPlan {
        // The set of genesis holds for every epoch: no entry of this version changes it.
        let document = self.shared.genesis.document();
        let term = match document.regime {
            Regime::Fast => LeaderTerm::Stable { views: FAST_TERM_VIEWS },
            Regime::Strict => LeaderTerm::Rotating,
        };
        EpochPlan { validators: document.validators.clone(), term }
    }

    fn gossip(&self, message: Bytes) {
        if self.gossip.try_send(message).is_err() {
            debug!("too many batches of peers wait to be verified: one is dropped");
        }
    }

    fn event(&self, event: Event) {
        match event {
            Event::EpochStarted { epoch, voting } => debug!(epoch, voting, "epoch started"),
            Event::Nullified { epoch, view } => info!(epoch, view, "a view was skipped"),
            Event::Fault(evidence) => {
                let validator = hex::encode(evidence.validator);
                warn!(validator, fault = ?evidence.fault, epoch = evidence.epoch, view = evidence.view, "alarm: signed evidence of a fault");
            }
            Event::StoreDamaged { reason } => warn!(reason, "alarm: stored bytes do not check"),
        }
    }
}
