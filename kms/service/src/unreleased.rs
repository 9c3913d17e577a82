//! Intents without a signature: told to the operator, given up once the ledger would refuse their release. Of addresses alone,
//! which the ledger lets sign once, one is signed for when the very same is asked for again (`addresses/resume.rs`).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use keyward_ledger_core::state::layout::intent_key;
use keyward_store::{Change, IntentState, NewIntent};

use crate::{custody::Custody, failure::Failure, hex::hex};

/// Intents that are told at most.
const TOLD_MAX: usize = 10_000;

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Unreleased {
    intents: Mutex<BTreeMap<[u8; 32], (NewIntent, IntentState)>>,
}

impl Unreleased {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], (NewIntent, IntentState)>> {
        self.intents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, intent: NewIntent, state: IntentState) {
        let mut intents = self.lock();
        if intents.len() < TOLD_MAX {
            intents.insert(intent.id, (intent, state));
        }
    }

    pub(crate) fn list(&self) -> Vec<(NewIntent, IntentState)> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn contains(&self, id: &[u8; 32]) -> bool {
        self.lock().contains_key(id)
    }

    fn remove(&self, id: &[u8; 32]) {
        self.lock().remove(id);
    }
}

impl Custody {
    /// At the start, before any request: whatever an earlier run left open.
    pub(crate) async fn find_unreleased(&self) -> Result<usize, Failure> {
        let limit = u32::try_from(TOLD_MAX).unwrap_or(u32::MAX);
        let open = self.store.open_intents(self.ledger.submitter(), limit).await?;
        for row in &open {
            let (intent, key) = (hex(&row.new.id), hex(&row.new.key_id));
            tracing::warn!(
                intent,
                key,
                state = row.state.word(),
                "an earlier run left an intent without a release"
            );
            // Nobody waits for it any more: an agent is not to sign it either.
            self.withdraw_request(row.new.id).await?;
            self.unreleased.add(row.new.clone(), row.state);
        }
        Ok(open.len())
    }

    /// Looks up what became of them, and gives up those whose last height has passed.
    pub(crate) async fn settle_unreleased(&self) -> Result<(), Failure> {
        let height = self.ledger.height();
        for (intent, state) in self.unreleased.list() {
            let next = if height > intent.not_after {
                IntentState::Abandoned
            } else if state == IntentState::Submitted && self.is_claimed(&intent).await? {
                IntentState::Final
            } else {
                continue;
            };
            let change = Change::SetIntentState { intent: intent.id, state: next, place: None };
            self.store.apply(vec![change]).await?;
            self.unreleased.remove(&intent.id);
            if next == IntentState::Final {
                self.unreleased.add(intent, next);
            }
        }
        Ok(())
    }

    async fn is_claimed(&self, intent: &NewIntent) -> Result<bool, Failure> {
        Ok(self.ledger.state(intent_key(&intent.id)).await?.is_some())
    }
}
