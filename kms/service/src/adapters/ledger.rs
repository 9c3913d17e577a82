//! The real ledger: a verified client and a committer for our submitter key.

use std::{
    ops::{Range, RangeInclusive},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use keyward_ledger_client::{
    Client, ClientError, CommitError, Committer, FOUND_MAX, Found, LAG_MAX, Recorded, VerifiedState,
};
use keyward_ledger_core::{
    entry::Entry, outcome::Outcome, question::Question, receipt::Released, state::layout::parameters_key,
};
use tokio::time::timeout;

use crate::ports::{Final, Later, Ledger, LedgerError, Page, Proven};

/// Blocks within which an entry whose caller stopped waiting may still become final.
const UNTIL_BLOCKS: u64 = 4096;

/// Blocks that are asked for at once where a record is looked for.
const SEARCHED_AT_ONCE: usize = 16;

/// The ledger through one committer.
pub(crate) struct Validators {
    client: Client,
    committer: Committer,
    /// How long a caller waits, queueing included.
    patience: Duration,
}

impl Validators {
    pub(crate) fn new(client: Client, committer: Committer, patience: Duration) -> Self {
        Self { client, committer, patience }
    }

    async fn recorded(
        &self,
        commit: impl Future<Output = Result<Recorded, CommitError>>,
    ) -> Result<Box<dyn Final>, LedgerError> {
        match timeout(self.patience, commit).await {
            Ok(Ok(recorded)) => Ok(Box::new(recorded)),
            Ok(Err(error)) => Err(committed(error)),
            Err(_elapsed) => Err(self.late("the entry was not final in time")),
        }
    }

    fn late(&self, what: &'static str) -> LedgerError {
        LedgerError::Unavailable {
            until: self.client.height().saturating_add(UNTIL_BLOCKS),
            source: what.into(),
        }
    }
}

impl Ledger for Validators {
    fn chain_id(&self) -> [u8; 32] {
        self.client.chain_id()
    }

    fn submitter(&self) -> [u8; 32] {
        *self.committer.submitter()
    }

    fn height(&self) -> u64 {
        self.client.height()
    }

    fn trust_line(&self) -> String {
        self.client.trust().encode()
    }

    fn commit(&self, entry: Entry) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        Box::pin(async move { self.recorded(self.committer.commit(&entry)).await })
    }

    fn commit_later(&self, entry: Entry) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        Box::pin(async move { self.recorded(self.committer.commit_later(&entry)).await })
    }

    fn accepted_within(
        &self,
        heights: RangeInclusive<u64>,
        entry: Entry,
    ) -> Later<'_, Result<Option<Box<dyn Final>>, LedgerError>> {
        Box::pin(async move {
            let wanted = entry.encode();
            let (first, last) = heights.into_inner();
            let heights = first.max(1)..=last.min(self.client.height());
            // No bound for the whole: each search ends with its heights, and one that was begun anew never would.
            let mut blocks = stream::iter(heights)
                .map(async |height| timeout(self.patience, self.client.block(height)).await)
                .buffered(SEARCHED_AT_ONCE);
            while let Some(block) = blocks.next().await {
                let block = block.map_err(|_elapsed| self.late("a block was not answered in time"))?;
                let records = block.map_err(asked)?.records.into_iter();
                let mut fitting =
                    records.filter(|record| record.outcome.is_accepted() && record.record().entry == wanted);
                if let Some(found) = fitting.next() {
                    return Ok(Some(Box::new(found) as Box<dyn Final>));
                }
            }
            Ok(None)
        })
    }

    fn state(&self, key: Vec<u8>) -> Later<'_, Result<Option<Vec<u8>>, LedgerError>> {
        Box::pin(async move { self.proven(key).await.map(|proven| proven.value) })
    }

    fn proven(&self, key: Vec<u8>) -> Later<'_, Result<Proven, LedgerError>> {
        Box::pin(async move {
            match timeout(self.patience, self.client.state(&key)).await {
                Ok(Ok(VerifiedState { value, height, time_ms, receipt })) => {
                    Ok(Proven { value, height, time_ms, receipt })
                }
                Ok(Err(error)) => Err(asked(error)),
                Err(_elapsed) => Err(self.late("the state was not answered in time")),
            }
        })
    }

    fn record(&self, leaf_index: u64) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        Box::pin(async move {
            match timeout(self.patience, self.client.record(leaf_index)).await {
                Ok(Ok(recorded)) => Ok(Box::new(recorded) as Box<dyn Final>),
                Ok(Err(error)) => Err(asked(error)),
                Err(_elapsed) => Err(self.late("the record was not answered in time")),
            }
        })
    }

    fn of_kind(
        &self,
        kind: u16,
        times_ms: Range<u64>,
        from_leaf: u64,
    ) -> Later<'_, Result<Page, LedgerError>> {
        Box::pin(async move {
            let (from_ms, to_ms) = (Some(times_ms.start), Some(times_ms.end));
            let question = Question { kind: Some(kind), from_ms, to_ms, ..Question::default() };
            match timeout(self.patience, self.client.find(&question, from_leaf, FOUND_MAX)).await {
                // What is missing is no answer: it would be taken for none.
                Ok(Ok(Found { more: false, complete_to, .. }))
                    if complete_to.saturating_add(LAG_MAX) < self.client.height() =>
                {
                    Err(self.late("the validator has not looked through its newest blocks yet"))
                }
                Ok(Ok(Found { records, next_leaf, more, .. })) => {
                    let accepted = records.into_iter().filter(|record| record.outcome.is_accepted());
                    let records = accepted.map(|record| Box::new(record) as Box<dyn Final>).collect();
                    Ok((records, more.then_some(next_leaf)))
                }
                Ok(Err(error)) => Err(asked(error)),
                Err(_elapsed) => Err(self.late("the records were not answered in time")),
            }
        })
    }

    fn refresh(&self) -> Later<'_, Result<u64, LedgerError>> {
        Box::pin(async move {
            self.state(parameters_key()).await?;
            Ok(self.client.height())
        })
    }
}

impl Final for Recorded {
    fn entry(&self) -> &[u8] {
        &self.record().entry
    }

    fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn leaf_index(&self) -> u64 {
        self.leaf_index
    }

    fn height(&self) -> u64 {
        self.height
    }

    fn time_ms(&self) -> u64 {
        self.record().time_ms
    }

    fn leaf_hash(&self) -> [u8; 32] {
        self.record().id()
    }

    fn receipt(&self, released: Option<Released>) -> Vec<u8> {
        Self::receipt(self, released)
    }
}

fn committed(error: CommitError) -> LedgerError {
    match error.root() {
        CommitError::Unavailable { may_become_final_until, .. } => {
            LedgerError::Unavailable { until: *may_become_final_until, source: error.into() }
        }
        CommitError::Unproven { .. } => LedgerError::Unverified { source: error.into() },
        CommitError::Refused { code, .. } => {
            LedgerError::Refused { code: code.clone(), source: error.into() }
        }
        // Nothing of it left this process.
        CommitError::Batch { .. }
        | CommitError::Randomness { .. }
        | CommitError::Stopped
        | CommitError::Shared(_) => LedgerError::Unavailable { until: 0, source: error.into() },
    }
}

fn asked(error: ClientError) -> LedgerError {
    match &error {
        ClientError::Unreachable { .. } | ClientError::Connection(_) => {
            LedgerError::Unavailable { until: 0, source: error.into() }
        }
        ClientError::Refused { code, .. } => {
            LedgerError::Refused { code: code.clone(), source: error.into() }
        }
        ClientError::OtherLedger(_) | ClientError::Genesis(_) | ClientError::Unproven(_) => {
            LedgerError::Unverified { source: error.into() }
        }
    }
}
