//! Signings that wait for the person's side: what was begun here, by intent, with bounds on how much of it waits.
//!
//! It is in memory: this server's submitter made the intent, and no other one can record its release. After a crash it is an
//! intent without a release, like any other; the person begins again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use keyward_domain::{AccountId, Code};
use keyward_store::{Id, IdempotencyKey as Name, IntentState, NewIntent};

use crate::{caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey, ports::Final};

/// How long a signature is waited for, in milliseconds: time to type a password, and to stretch it.
pub(super) const WAIT_MS: u64 = 120_000;
/// How long the answer is kept for who did not hear it, in milliseconds; longer under an idempotency key.
pub(super) const ANSWER_MS: u64 = 20_000;
/// The bytes of one account's messages that wait: eight of the longest.
const BYTES_OF_ONE_MAX: usize = 8 << 20;
/// The bytes of all messages that wait.
const BYTES_MAX: usize = 64 << 20;
/// Signings that are known at once, answered ones among them.
const KNOWN_MAX: usize = 16_384;

/// The signings that were begun here; `O` is what is known of an open one.
pub(crate) struct Begun<O> {
    waiting: Mutex<HashMap<Id, Arc<Waiting<O>>>>,
}

impl<O> Default for Begun<O> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

pub(super) struct Waiting<O> {
    pub(super) account: AccountId,
    pub(super) key: Arc<KnownKey>,
    pub(super) intent: NewIntent,
    pub(super) name: Option<Name>,
    pub(super) record: Box<dyn Final>,
    pub(super) expires_ms: u64,
    /// When it may be forgotten.
    known_until_ms: AtomicU64,
    /// Of what waits; 0 once nothing waits any more.
    bytes: AtomicU64,
    /// Held while a signature is judged: of two that race, the second finds what became of the first.
    pub(super) fate: tokio::sync::Mutex<Fate<O>>,
}

pub(super) enum Fate<O> {
    Open(O),
    Released { signature: Vec<u8>, receipt: Vec<u8> },
    Ended,
}

/// What a later step finds of a signing.
pub(super) enum Found<'a, O> {
    Open(&'a mut O),
    Released { signature: &'a [u8], receipt: &'a [u8] },
}

impl<O> std::fmt::Debug for Waiting<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting(until {})", self.expires_ms)
    }
}

impl<O> Waiting<O> {
    /// From now on for a while; `bytes` is what of it is kept meanwhile.
    pub(super) fn new(
        key: Arc<KnownKey>,
        (intent, name, record): (NewIntent, Option<Name>, Box<dyn Final>),
        (open, bytes): (O, usize),
        now_ms: u64,
    ) -> Self {
        let expires_ms = now_ms.saturating_add(WAIT_MS);
        Self {
            account: key.account(),
            key,
            intent,
            name,
            record,
            expires_ms,
            known_until_ms: AtomicU64::new(expires_ms),
            bytes: AtomicU64::new(u64::try_from(bytes).unwrap_or(u64::MAX)),
            fate: tokio::sync::Mutex::new(Fate::Open(open)),
        }
    }

    /// What is there for a step that is made now; refused once the signing has ended, or nobody waits for it any more.
    pub(super) fn found<'a>(
        &self,
        fate: &'a mut Fate<O>,
        (caller, now_ms): (&Caller, u64),
    ) -> Result<Found<'a, O>, Failure> {
        match fate {
            Fate::Open(open) => {
                caller.in_time(now_ms)?;
                if now_ms >= self.expires_ms {
                    return Err(unknown());
                }
                Ok(Found::Open(open))
            }
            Fate::Released { signature, receipt } => Ok(Found::Released { signature, receipt }),
            Fate::Ended => Err(unknown()),
        }
    }

    /// So much of it is kept from now on.
    pub(super) fn holds(&self, bytes: usize) {
        self.bytes.store(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Comes to an end, whose memory is short.
    pub(super) fn end(&self, fate: &mut Fate<O>, end: Fate<O>, known_until_ms: u64) {
        *fate = end;
        self.bytes.store(0, Ordering::Relaxed);
        self.known_until_ms.store(known_until_ms, Ordering::Relaxed);
    }
}

impl<O> Begun<O> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Waiting<O>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses one more than `most` of an account, and too many bytes. Those that come in at the same moment may get past it,
    /// as many as there are permits.
    pub(super) fn check_room(&self, account: AccountId, more: usize, most: usize) -> Result<(), Failure> {
        let known = self.lock();
        let (mut own, mut own_bytes, mut bytes) = (0, more, more);
        for one in known.values() {
            let waits = usize::try_from(one.bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
            if one.account == account {
                own += usize::from(waits > 0);
                own_bytes = own_bytes.saturating_add(waits);
            }
            bytes = bytes.saturating_add(waits);
        }
        let own_full = own >= most || own_bytes > BYTES_OF_ONE_MAX;
        if own_full || known.len() >= KNOWN_MAX || bytes > BYTES_MAX {
            return Err(Failure::new(Code::ServiceBusy, "too many signings wait for their signatures"));
        }
        Ok(())
    }

    pub(super) fn of(&self, intent: &Id, account: AccountId) -> Option<Arc<Waiting<O>>> {
        self.lock().get(intent).filter(|one| one.account == account).cloned()
    }

    pub(super) fn named(&self, name: &Name) -> Option<Arc<Waiting<O>>> {
        let same = |own: &Name| (&own.principal, &own.key) == (&name.principal, &name.key);
        self.lock().values().find(|one| one.name.as_ref().is_some_and(same)).cloned()
    }

    pub(super) fn insert(&self, waiting: Arc<Waiting<O>>) {
        self.lock().insert(waiting.intent.id, waiting);
    }

    pub(super) fn remove(&self, intent: &Id) {
        self.lock().remove(intent);
    }

    fn expired(&self, now_ms: u64) -> Vec<Arc<Waiting<O>>> {
        let over = |one: &&Arc<Waiting<O>>| one.known_until_ms.load(Ordering::Relaxed) <= now_ms;
        self.lock().values().filter(over).cloned().collect()
    }
}

impl Custody {
    pub(super) async fn give_up<O>(&self, begun: &Begun<O>, waiting: &Waiting<O>) {
        let place = Some((waiting.record.leaf_index(), waiting.record.height()));
        self.settle(&waiting.intent, IntentState::Final, place).await;
        self.give_back(waiting.name.clone()).await;
        begun.remove(&waiting.intent.id);
    }

    /// The decision is as old as the beginning: the key may have been frozen since.
    pub(super) async fn key_now<O>(&self, waiting: &Waiting<O>) -> Result<KnownKey, Failure> {
        let row = self.store.key(waiting.key.row.key_id).await?;
        self.known(row.ok_or_else(|| Failure::new(Code::KeyUnknown, "the key is gone"))?).await
    }

    /// Ends what nobody signed in time, and forgets what was signed.
    pub(crate) async fn end_begun(&self) {
        self.end_expired(&self.begun).await;
        self.end_expired(&self.begun_shared).await;
        self.end_begun_addresses().await;
    }

    async fn end_expired<O>(&self, begun: &Begun<O>) {
        for waiting in begun.expired(self.clock.now_ms()) {
            // Somebody is just handing its signature in: it is looked at again.
            let Ok(mut fate) = waiting.fate.try_lock() else { continue };
            if matches!(*fate, Fate::Open(_)) {
                waiting.end(&mut fate, Fate::Ended, 0);
                self.give_up(begun, &waiting).await;
            }
            begun.remove(&waiting.intent.id);
        }
    }
}

pub(super) fn unknown() -> Failure {
    Failure::new(Code::SigningUnknown, "no such signing waits for your signature")
}
