//! Uses of addresses that wait for a proof or a signature of the person's side, by intent; in memory, as the guard's other ones are:
//! after a crash the person begins again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use keyward_domain::{AccountId, Code};
use keyward_store::{Change, Id, IdempotencyKey as Name, IntentState};
use tokio::sync::Mutex as Turn;

use super::{own_approved::Approved, payload::ToSign};
use crate::{
    custody::Custody,
    failure::Failure,
    guard::{AddressPassage, SignedAddress},
    ports::Final,
};

/// How long a proof, and after it a signature, is waited for, in milliseconds.
pub(super) const WAIT_MS: u64 = 120_000;
/// How long the answer is kept for who did not hear it, in milliseconds.
pub(super) const ANSWER_MS: u64 = 20_000;
/// Uses of one account that wait at once.
const WAITING_FOR_ONE_MAX: usize = 32;
/// Uses that are known at once, answered ones among them.
const KNOWN_MAX: usize = 16_384;

/// Uses that were begun here.
#[derive(Default)]
pub(crate) struct BegunAddresses(Mutex<HashMap<Id, Arc<OwnUse>>>);

/// A use that was begun here.
pub(super) struct OwnUse {
    pub(super) account: AccountId,
    pub(super) intent: Id,
    /// The intent up to its proof, and what opens its commitment.
    pub(super) body: Vec<u8>,
    pub(super) opening: Id,
    name: Option<Name>,
    /// Until when it waits; then it is ended and forgotten.
    pub(super) until_ms: AtomicU64,
    /// Held while something is handed in: of two that race, the second finds what became of the first.
    pub(super) state: Turn<OwnState>,
}

pub(super) struct OwnState {
    pub(super) passage: AddressPassage,
    pub(super) to_sign: ToSign,
    /// What it is approved by.
    pub(super) by: Option<Approved>,
    pub(super) stage: Stage,
}

/// How far it came.
pub(super) enum Stage {
    /// Its proof is waited for.
    Begun,
    /// Handed in at this height; what became of it is not known.
    HandedIn(u64),
    /// Final and accepted; its release is held back until then.
    Recorded(Box<dyn Final>, u64),
    Released {
        record: Box<dyn Final>,
        signed: SignedAddress,
    },
    Ended,
}

impl OwnUse {
    pub(super) fn new(
        passage: AddressPassage,
        (to_sign, by): (ToSign, Option<Approved>),
        now_ms: u64,
    ) -> Self {
        Self {
            account: passage.account,
            intent: passage.intent.id,
            body: passage.used.body(),
            opening: passage.intent.r,
            name: passage.name.clone(),
            until_ms: AtomicU64::new(now_ms.saturating_add(WAIT_MS)),
            state: Turn::new(OwnState { passage, to_sign, by, stage: Stage::Begun }),
        }
    }

    pub(super) fn waits_until(&self, until_ms: u64) {
        self.until_ms.store(until_ms, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms.load(Ordering::Relaxed) <= now_ms
    }
}

impl BegunAddresses {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<OwnUse>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses one more of an account than there may be. Those that come in at the same moment may get past it, as many as there are
    /// permits.
    pub(super) fn check_room(&self, account: AccountId) -> Result<(), Failure> {
        let known = self.lock();
        let own = known.values().filter(|one| one.account == account).count();
        if own >= WAITING_FOR_ONE_MAX || known.len() >= KNOWN_MAX {
            return Err(Failure::new(
                Code::ServiceBusy,
                "too many uses of addresses wait for their signatures",
            ));
        }
        Ok(())
    }

    /// A use of this account; another account's is unknown too.
    pub(super) fn of(&self, intent: &Id, account: AccountId) -> Result<Arc<OwnUse>, Failure> {
        let found = self.lock().get(intent).filter(|one| one.account == account).cloned();
        found.ok_or_else(unknown)
    }

    pub(super) fn named(&self, name: &Name) -> Option<Arc<OwnUse>> {
        let same = |own: &Name| (&own.principal, &own.key) == (&name.principal, &name.key);
        self.lock().values().find(|one| one.name.as_ref().is_some_and(same)).cloned()
    }

    /// Whether an intent is somebody's here.
    pub(super) fn knows(&self, intent: &Id) -> bool {
        self.lock().contains_key(intent)
    }

    pub(super) fn insert(&self, one: Arc<OwnUse>) {
        self.lock().insert(one.intent, one);
    }

    pub(super) fn remove(&self, intent: &Id) {
        self.lock().remove(intent);
    }

    fn over(&self, now_ms: u64) -> Vec<Arc<OwnUse>> {
        self.lock().values().filter(|one| one.is_over(now_ms)).cloned().collect()
    }
}

impl Custody {
    /// Ends what nobody proved or signed in time, and forgets what was answered.
    pub(crate) async fn end_begun_addresses(&self) {
        for one in self.begun_addresses.over(self.clock.now_ms()) {
            // Somebody is just handing something in: it is looked at again.
            let Ok(mut state) = one.state.try_lock() else { continue };
            self.end_own_use(&mut state).await;
            self.begun_addresses.remove(&one.intent);
        }
    }

    /// It gets no signature any more. Of what was never handed in the ledger has nothing, and its address is free again.
    pub(super) async fn end_own_use(&self, state: &mut OwnState) {
        let OwnState { passage, stage, by, .. } = state;
        match std::mem::replace(stage, Stage::Ended) {
            Stage::Begun => {
                self.abandon(passage).await;
                self.take_back_paid(by.as_ref(), &passage.intent.id).await;
            }
            Stage::HandedIn(_) => self.lose_address_intent(passage).await,
            Stage::Recorded(record, _) => self.end_address_intent(passage, record.as_ref()).await,
            Stage::Released { .. } | Stage::Ended => return,
        }
        self.give_back(passage.name.clone()).await;
    }

    /// Nobody else ever heard of it: what was shown of the address is forgotten too.
    async fn abandon(&self, passage: &AddressPassage) {
        let intent = passage.intent.id;
        let (account, public_key) = (passage.account.0, passage.address.public_key);
        let changes = vec![
            Change::SetIntentState { intent, state: IntentState::Abandoned, place: None },
            Change::ForgetAddress { account, public_key, intent },
        ];
        if let Err(error) = self.store.apply(changes).await {
            tracing::warn!(%error, "an intent that was given up is still open here");
        }
    }
}

pub(super) fn unknown() -> Failure {
    Failure::new(Code::SigningUnknown, "no such use of an address waits for you")
}
