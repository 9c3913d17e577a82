//! What a keeper asks of the ledger: final records, state with proof, and to record its own acts.

use std::{
    fmt,
    pin::Pin,
    time::{SystemTime, UNIX_EPOCH},
};

use keyward_ledger_client::{Client, ClientError, CommitError, Committer, FOUND_MAX, Recorded};
use keyward_ledger_core::{
    entry::{Entry, RuleName},
    hash::Hash,
    outcome::Outcome,
    question::Question,
};
use thiserror::Error;

use crate::{
    desk::chain,
    facts::vault_act,
    looks::{Looks, Together},
};

/// An answer that comes.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'a>>;

/// Why the ledger gave no answer.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// There is no such record.
    #[error("the ledger has no record {leaf_index}")]
    NoRecord {
        /// Its place in the log.
        leaf_index: u64,
    },
    /// The newest final state that can be had is old.
    #[error("the newest final state that can be had is {age_ms} ms old")]
    Behind {
        /// How old, in milliseconds.
        age_ms: u64,
    },
    /// No validator gave an answer that is proven.
    #[error("the ledger cannot be asked now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A record that is final, with what the contract said.
#[derive(Clone, Debug)]
pub struct Final {
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// What became of it.
    pub outcome: Outcome,
    /// The time of its block, in milliseconds since 1970.
    pub time_ms: u64,
}

/// A final record, and what stands under keys of state that is no older.
#[derive(Clone, Debug)]
pub struct Look {
    /// The record.
    pub record: Final,
    /// One for each key, in their order.
    pub values: Vec<Option<Vec<u8>>>,
    /// The time of the state, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Final state, and a way to add to it. What it answers is proven.
pub trait Ledger: Send + Sync {
    /// Which ledger it is.
    fn chain_id(&self) -> Hash;
    /// A final record by its place in the log.
    fn record(&self, leaf_index: u64) -> Pending<'_, Final>;
    /// The value under a key of the newest final state, and the time of its block in milliseconds since 1970.
    fn state<'a>(&'a self, key: &'a [u8]) -> Pending<'a, (Option<Vec<u8>>, u64)>;
    /// A final record by its place in the log, with the values under keys; none as long as there is no such record, or no state
    /// that is as new.
    fn look(&self, leaf_index: u64, keys: Vec<Vec<u8>>) -> Pending<'_, Option<Look>> {
        Box::pin(async move { singly(self, leaf_index, &keys).await })
    }
    /// Records an entry in the keeper's name; returns once it is final.
    fn submit<'a>(&'a self, entry: &'a Entry) -> Pending<'a, Outcome>;
    /// Vaults of which records from a leaf on name a keeper, as far as one question goes, and from where to go on; none when
    /// that was all. It may miss some: it is a hint of where to look, and no proof.
    fn vaults_of<'a>(
        &'a self,
        _keeper: &'a Hash,
        _from_leaf: u64,
    ) -> Pending<'a, (Vec<RuleName>, Option<u64>)> {
        Box::pin(async { Ok((Vec::new(), None)) })
    }
    /// This machine's clock, in milliseconds since 1970: how old state is.
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A look by one question for the record and one for each key.
pub(crate) async fn singly<L: Ledger + ?Sized>(
    ledger: &L,
    leaf_index: u64,
    keys: &[Vec<u8>],
) -> Result<Option<Look>, LedgerError> {
    let record = match ledger.record(leaf_index).await {
        Err(LedgerError::NoRecord { .. }) => return Ok(None),
        found => found?,
    };
    let (mut values, mut oldest_ms) = (Vec::with_capacity(keys.len()), u64::MAX);
    for key in keys {
        let (value, time_ms) = ledger.state(key).await?;
        values.push(value);
        oldest_ms = oldest_ms.min(time_ms);
    }
    Ok((oldest_ms >= record.time_ms).then_some(Look { record, values, time_ms: oldest_ms }))
}

/// The validators, asked with proof.
pub struct Validators {
    client: Client,
    committer: Committer,
    looks: Looks,
}

impl fmt::Debug for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validators").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Validators {
    /// Reads through the client, submits through the committer. Must be called within a runtime.
    pub fn new(client: Client, committer: Committer) -> Self {
        let asked = client.clone();
        let looks = Looks::start(move |leaves, keys| together(asked.clone(), leaves, keys));
        Self { client, committer, looks }
    }
}

async fn together(client: Client, leaves: Vec<u64>, keys: Vec<Vec<u8>>) -> Result<Together, String> {
    let read = client.read(&leaves, &keys).await.map_err(|error| chain(&error))?;
    let records = read.records.iter().map(|found| found.as_ref().map(final_of)).collect();
    Ok(Together { records, values: read.values, time_ms: read.time_ms })
}

fn final_of(found: &Recorded) -> Final {
    let entry = found.record().entry.clone();
    Final { entry, outcome: found.outcome.clone(), time_ms: found.time_ms }
}

impl Ledger for Validators {
    fn chain_id(&self) -> Hash {
        self.client.chain_id()
    }

    fn record(&self, leaf_index: u64) -> Pending<'_, Final> {
        Box::pin(async move {
            let found = self.client.record(leaf_index).await.map_err(|error| match &error {
                ClientError::Refused { code, .. } if code == "RECORD_UNKNOWN" => {
                    LedgerError::NoRecord { leaf_index }
                }
                _ => LedgerError::Unavailable(error.into()),
            })?;
            Ok(final_of(&found))
        })
    }

    fn state<'a>(&'a self, key: &'a [u8]) -> Pending<'a, (Option<Vec<u8>>, u64)> {
        Box::pin(async move {
            let state =
                self.client.state(key).await.map_err(|error| LedgerError::Unavailable(error.into()))?;
            Ok((state.value, state.time_ms))
        })
    }

    fn look(&self, leaf_index: u64, keys: Vec<Vec<u8>>) -> Pending<'_, Option<Look>> {
        Box::pin(self.looks.look(self, leaf_index, keys))
    }

    fn vaults_of<'a>(
        &'a self,
        keeper: &'a Hash,
        from_leaf: u64,
    ) -> Pending<'a, (Vec<RuleName>, Option<u64>)> {
        Box::pin(async move {
            let question = Question { subject: Some(*keeper), ..Question::default() };
            let found = self.client.find(&question, from_leaf, FOUND_MAX).await;
            let found = found.map_err(|error| LedgerError::Unavailable(error.into()))?;
            let vaults = found.records.iter().filter_map(|found| vault_act(&found.record().entry));
            Ok((vaults.map(|act| *act.vault()).collect(), found.more.then_some(found.next_leaf)))
        })
    }

    fn submit<'a>(&'a self, entry: &'a Entry) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let committed = self.committer.commit(entry).await;
            let committed = committed.map_err(|error: CommitError| LedgerError::Unavailable(error.into()))?;
            Ok(committed.outcome)
        })
    }
}
