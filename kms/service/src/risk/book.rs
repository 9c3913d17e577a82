//! Histories of accounts: in memory those that were looked at lately, sealed in the database all of them.
//!
//! A row has a revision. Who writes says which one came before, so that of two servers one learns that it judged by an older
//! history, and judges anew. What was taken in but is not kept yet is put on top of what another server kept meanwhile.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use keyward_crypto::{open, seal};
use keyward_domain::risk::{History, Outcome, Request};
use keyward_store::{AccountState, Change, Id, RiskHistory, StoreError};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::Risk;
use crate::{custody::Custody, failure::Failure};

const LABEL: &[u8] = b"keyward/risk-history/v1";
/// Accounts in memory, as long as what they did is kept.
const ACCOUNTS_MAX: usize = 16_384;
/// What is put on top of another server's history at most; beyond that it is in this server's alone until that is kept.
const WAITING_MAX: usize = 4096;
/// How often a history is kept anew because another server was faster.
const KEEPINGS_MAX: usize = 5;

/// The histories that were looked at lately, one turn for each account.
#[derive(Default)]
pub(super) struct Book(Mutex<HashMap<Id, Arc<Turn<Known>>>>);

/// What is known of an account's habits.
#[derive(Default)]
pub(super) struct Known {
    pub(super) history: History,
    revision: u64,
    /// Whether the row was read.
    loaded: bool,
    /// Whether the history holds more than the row.
    unkept: bool,
    waiting: Vec<Taken>,
    /// When what is only watched speaks up again.
    pub(super) quiet_until_ms: u64,
}

/// What a history took in.
pub(super) enum Taken {
    Done(Request, Outcome),
    LoginFailed(u64),
}

impl Taken {
    fn add_to(&self, history: &mut History) {
        match self {
            Self::Done(request, outcome) => history.record(request, *outcome),
            Self::LoginFailed(time_ms) => history.login_failed(*time_ms),
        }
    }
}

impl Known {
    /// Takes something in; kept later.
    pub(super) fn take(&mut self, taken: Taken) {
        taken.add_to(&mut self.history);
        self.unkept = true;
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(taken);
        }
    }

    /// The row was written, with this history.
    pub(super) fn kept(&mut self, history: History) {
        self.history = history;
        self.revision = self.revision.saturating_add(1);
        self.unkept = false;
        self.waiting.clear();
    }

    /// Another server has written the row: it is to be read again.
    pub(super) fn outdated(&mut self) {
        self.loaded = false;
    }
}

/// Which account's turn it is.
pub(super) type Entered = OwnedMutexGuard<Known>;

impl Book {
    fn turn(&self, account: Id) -> Arc<Turn<Known>> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(&account) {
            // Whoever holds one, or has something to keep, stays.
            accounts.retain(|_, known| {
                Arc::strong_count(known) > 1 || known.try_lock().is_ok_and(|known| known.unkept)
            });
        }
        accounts.entry(account).or_default().clone()
    }

    fn unkept(&self) -> Vec<Id> {
        let accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unkept = |known: &Turn<Known>| known.try_lock().map_or(true, |known| known.unkept);
        accounts.iter().filter(|(_, known)| unkept(known)).map(|(id, _)| *id).collect()
    }
}

impl Risk {
    /// The history as a row.
    pub(super) fn row(&self, account: Id, known: &Known, history: &History) -> Result<RiskHistory, Failure> {
        let sealed = seal(&self.key, &aad(&account), &history.encode()).map_err(Failure::internal)?;
        Ok(RiskHistory { account, from: known.revision, sealed })
    }

    fn opened(&self, account: &Id, sealed: &[u8]) -> Result<History, Failure> {
        let plain = open(&self.key, &aad(account), sealed).map_err(Failure::internal)?;
        plain.expose(History::decode).map_err(Failure::internal)
    }
}

impl Custody {
    /// The account's turn, with its history.
    pub(super) async fn enter_history(&self, account: Id) -> Result<Entered, Failure> {
        let mut known = self.risk.book.turn(account).lock_owned().await;
        self.load_history(account, &mut known).await?;
        Ok(known)
    }

    /// Reads the row where it was not read, or is another one by now.
    pub(super) async fn load_history(&self, account: Id, known: &mut Known) -> Result<(), Failure> {
        if known.loaded {
            return Ok(());
        }
        let (revision, mut history) = match self.store.risk_history(account).await? {
            Some((revision, sealed)) => (revision, self.risk.opened(&account, &sealed)?),
            None => (0, History::default()),
        };
        known.waiting.iter().for_each(|taken| taken.add_to(&mut history));
        (known.history, known.revision, known.loaded) = (history, revision, true);
        Ok(())
    }

    /// Keeps what the history took in, whoever else writes.
    pub(super) async fn keep_history(&self, account: Id, known: &mut Known) -> Result<(), Failure> {
        for _ in 0..KEEPINGS_MAX {
            self.load_history(account, known).await?;
            if !known.unkept {
                return Ok(());
            }
            let row = self.risk.row(account, known, &known.history)?;
            // The first one waits for whoever is closing the account, so that it does not outlive it.
            let first = (row.from == 0).then_some(Change::NeedOpenAccount(account));
            match self.store.apply(first.into_iter().chain([Change::PutRiskHistory(row)]).collect()).await {
                Ok(()) => {
                    let history = std::mem::take(&mut known.history);
                    known.kept(history);
                    return Ok(());
                }
                Err(StoreError::Missing { .. }) => known.outdated(),
                Err(error) => return Err(error.into()),
            }
        }
        // An account that was closed has no history any more, and takes none. Of an open one it is kept later.
        let row = self.store.account(account).await?;
        if row.is_none_or(|row| row.state != AccountState::Open) {
            *known = Known::default();
        }
        Ok(())
    }

    /// Keeps every history that took something in; one that is not to be kept keeps no other from it. Fails by the first of them.
    pub(crate) async fn keep_histories(&self) -> Result<(), Failure> {
        let mut kept = Ok(());
        for account in self.risk.book.unkept() {
            let mut known = self.risk.book.turn(account).lock_owned().await;
            kept = kept.and(self.keep_history(account, &mut known).await);
        }
        kept.and(self.keep_judged().await)
    }

    /// A log-in failed: it speaks against what comes next.
    pub(crate) async fn note_failed_login(&self, account: Id, time_ms: u64) {
        match self.enter_history(account).await {
            Ok(mut known) => known.take(Taken::LoginFailed(time_ms)),
            Err(failure) => tracing::warn!(%failure, "a failed log-in is missing in the account's history"),
        }
    }
}

fn aad(account: &Id) -> Vec<u8> {
    [LABEL, account].concat()
}
