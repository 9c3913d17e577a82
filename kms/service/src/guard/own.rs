//! Signing with a key of mode `self`, in two steps: the guard records the intent, the person's side signs, the guard
//! checks the signature and queues its release.
//!
//! What was begun is in memory: this server's submitter made the intent, and no other one can record its release. After
//! a crash it is an intent without a release, like any other; the person begins again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use keyward_domain::{AccountId, Code};
use keyward_store::{Claimed, Custody as Place, Id, IdempotencyKey as Name, IntentState, NewIntent};

use super::{DECISIONS_MAX, Input, Passage, Signed, kept, payload, verify};
use crate::{
    caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey, once::judge, ports::Final,
};

/// How long a signature is waited for, in milliseconds: time to type a password, and to stretch it.
const WAIT_MS: u64 = 120_000;
/// How long the answer is kept for who did not hear it, in milliseconds; longer under an idempotency key.
const ANSWER_MS: u64 = 20_000;
/// Signings of one account that wait at once.
const WAITING_FOR_ONE_MAX: usize = 32;
/// The bytes of one account's messages that wait: two of the longest.
const BYTES_OF_ONE_MAX: usize = 2 << 20;
/// The bytes of all messages that wait.
const BYTES_MAX: usize = 64 << 20;
/// Signings that are known at once, answered ones among them.
const KNOWN_MAX: usize = 16_384;

/// What the person's side is to sign.
#[derive(Debug)]
pub(crate) struct ToSign {
    pub(crate) key: Arc<KnownKey>,
    pub(crate) intent: Id,
    /// Opens the intent's commitment.
    pub(crate) r: Id,
    /// Of the intent.
    pub(crate) receipt: Vec<u8>,
    pub(crate) expires_ms: u64,
}

/// What came of beginning.
#[derive(Debug)]
pub(crate) enum Start {
    ToSign(ToSign),
    /// The same request was finished before.
    Signed(Signed),
}

/// The signings that were begun here.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    waiting: Mutex<HashMap<Id, Arc<Waiting>>>,
}

struct Waiting {
    account: AccountId,
    key: Arc<KnownKey>,
    intent: NewIntent,
    name: Option<Name>,
    record: Box<dyn Final>,
    expires_ms: u64,
    /// When it may be forgotten.
    known_until_ms: AtomicU64,
    /// Of the message that waits; 0 once nothing waits any more.
    bytes: AtomicU64,
    /// Held while a signature is judged: of two that race, the second finds what became of the first.
    fate: tokio::sync::Mutex<Fate>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting(until {})", self.expires_ms)
    }
}

enum Fate {
    Open(Input<Vec<u8>>),
    Released { signature: Vec<u8>, receipt: Vec<u8> },
    Ended,
}

impl Waiting {
    fn to_sign(&self) -> ToSign {
        ToSign {
            key: self.key.clone(),
            intent: self.intent.id,
            r: self.intent.r,
            receipt: self.record.receipt(None),
            expires_ms: self.expires_ms,
        }
    }

    /// Comes to an end, whose memory is short.
    fn end(&self, fate: &mut Fate, end: Fate, known_until_ms: u64) {
        *fate = end;
        self.bytes.store(0, Ordering::Relaxed);
        self.known_until_ms.store(known_until_ms, Ordering::Relaxed);
    }
}

impl Begun {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses one too many. Those that come in at the same moment may get past it, as many as there are permits.
    fn check_room(&self, account: AccountId, more: usize) -> Result<(), Failure> {
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
        let own_full = own >= WAITING_FOR_ONE_MAX || own_bytes > BYTES_OF_ONE_MAX;
        if own_full || known.len() >= KNOWN_MAX || bytes > BYTES_MAX {
            return Err(Failure::new(Code::ServiceBusy, "too many signings wait for their signatures"));
        }
        Ok(())
    }

    fn of(&self, intent: &Id, account: AccountId) -> Option<Arc<Waiting>> {
        self.lock().get(intent).filter(|one| one.account == account).cloned()
    }

    fn named(&self, name: &Name) -> Option<Arc<Waiting>> {
        let same = |own: &Name| (&own.principal, &own.key) == (&name.principal, &name.key);
        self.lock().values().find(|one| one.name.as_ref().is_some_and(same)).cloned()
    }

    fn expired(&self, now_ms: u64) -> Vec<Arc<Waiting>> {
        let over = |one: &&Arc<Waiting>| one.known_until_ms.load(Ordering::Relaxed) <= now_ms;
        self.lock().values().filter(over).cloned().collect()
    }

    fn remove(&self, intent: &Id) {
        self.lock().remove(intent);
    }
}

impl Custody {
    /// Decides, and records the intent; answers when it is final and accepted. Run it in a task of its own.
    pub(crate) async fn begin_sign<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        key_name: &str,
        input: Input<B>,
        mark: &[u8],
    ) -> Result<Start, Failure> {
        let _permit = self.permit()?;
        let account = caller.person()?.account;
        let input = match input {
            Input::Message(bytes) => Input::Message(bytes.as_ref().to_vec()),
            Input::Digest(bytes) => Input::Digest(bytes.as_ref().to_vec()),
        };
        for _ in 0..DECISIONS_MAX {
            let key = self.key_to_sign(caller, key_name).await?;
            if key.row.custody != Place::Own || key.account() != account {
                return Err(Failure::new(Code::KeyNotSelf, "the service signs with this key: ask it to"));
            }
            if let Some(start) = self.try_begin(caller, key, &input, mark).await? {
                return Ok(start);
            }
        }
        Err(Failure::new(Code::ServiceBusy, "the key is being changed"))
    }

    /// None when the key's row changed between the decision and the intent.
    async fn try_begin(
        &self,
        caller: &Caller,
        key: Arc<KnownKey>,
        input: &Input<Vec<u8>>,
        mark: &[u8],
    ) -> Result<Option<Start>, Failure> {
        let payload = payload(&key, input)?;
        let account = key.account();
        let claim = self.claim_of(caller, mark, self.sign_hash(&key, input, &payload))?;
        let name = claim.as_ref().map(|claim| claim.name.clone());
        let (Input::Message(bytes) | Input::Digest(bytes)) = input;
        // An empty message takes a place too.
        let bytes = bytes.len().max(1);
        if let Err(busy) = self.begun.check_room(account, bytes)
            && name.as_ref().is_none_or(|name| self.begun.named(name).is_none())
        {
            return Err(busy);
        }
        let intent = self.new_intent(&key, &payload)?;
        let claimed = self.keep_intent(&intent, claim).await?;
        if claimed == Claimed::Stale {
            return Ok(None);
        }
        // The answer to the first try may have been lost: the same intent is to be signed.
        if claimed == Claimed::InProgress
            && let Some(waiting) = name.as_ref().and_then(|name| self.begun.named(name))
        {
            return Ok(Some(Start::ToSign(waiting.to_sign())));
        }
        if let Some(done) = judge(claimed)? {
            return kept(key, &done).map(|signed| Some(Start::Signed(signed)));
        }
        let passage = Passage { key, payload, intent, name, caller };
        let record = match self.claim_on_ledger(&passage).await {
            Ok(record) => record,
            Err(failure) => {
                self.give_back(passage.name).await;
                return Err(failure);
            }
        };
        let Passage { key, intent, name, .. } = passage;
        let expires_ms = self.clock.now_ms().saturating_add(WAIT_MS);
        let waiting = Waiting {
            account,
            key,
            intent,
            name,
            record,
            expires_ms,
            known_until_ms: AtomicU64::new(expires_ms),
            bytes: AtomicU64::new(u64::try_from(bytes).unwrap_or(u64::MAX)),
            fate: tokio::sync::Mutex::new(Fate::Open(input.clone())),
        };
        let start = Start::ToSign(waiting.to_sign());
        self.begun.lock().insert(waiting.intent.id, Arc::new(waiting));
        Ok(Some(start))
    }

    /// Takes the signature of what was begun, and queues its release. Run it in a task of its own.
    pub(crate) async fn finish_sign(
        &self,
        caller: &Caller,
        intent: &Id,
        signature: &[u8],
    ) -> Result<Signed, Failure> {
        let _permit = self.permit()?;
        let account = caller.person()?.account;
        // Another account's is unknown too: ids tell nothing.
        let waiting = self.begun.of(intent, account).ok_or_else(unknown)?;
        let mut fate = waiting.fate.lock().await;
        let input = match &*fate {
            Fate::Open(input) => input,
            Fate::Released { signature: released, receipt } if released == signature => {
                let (key, signature, receipt) = (waiting.key.clone(), released.clone(), receipt.clone());
                return Ok(Signed { key, signature, receipt });
            }
            Fate::Released { .. } => {
                return Err(Failure::new(Code::SigningDone, "the intent has released another signature"));
            }
            Fate::Ended => return Err(unknown()),
        };
        let now_ms = self.clock.now_ms();
        caller.in_time(now_ms)?;
        if now_ms >= waiting.expires_ms {
            return Err(unknown());
        }
        self.check_now(caller, &waiting).await?;
        let payload = payload(&waiting.key, input)?;
        verify(&waiting.key, &payload, signature).map_err(|error| {
            let what = "the signature handed in does not verify";
            Failure::because(Code::OwnSignatureInvalid, what, error)
        })?;
        let (key, intent, name) = (waiting.key.clone(), waiting.intent.clone(), waiting.name.clone());
        let passage = Passage { key, payload, intent, name, caller };
        let released = self.release(&passage, waiting.record.as_ref(), signature.to_vec()).await;
        match released {
            Ok(signed) => {
                let (signature, receipt) = (signed.signature.clone(), signed.receipt.clone());
                let end = Fate::Released { signature, receipt };
                waiting.end(&mut fate, end, now_ms.saturating_add(ANSWER_MS));
                Ok(signed)
            }
            Err(failure) => {
                waiting.end(&mut fate, Fate::Ended, now_ms);
                self.give_up(&waiting).await;
                Err(failure)
            }
        }
    }

    /// The decision is as old as the beginning: the key may have been frozen since.
    async fn check_now(&self, caller: &Caller, waiting: &Waiting) -> Result<(), Failure> {
        let row = self.store.key(waiting.key.row.key_id).await?;
        let row = row.ok_or_else(|| Failure::new(Code::KeyUnknown, "the key is gone"))?;
        self.check_sign(caller, &self.known(row).await?)
    }

    async fn give_up(&self, waiting: &Waiting) {
        let place = Some((waiting.record.leaf_index(), waiting.record.height()));
        self.settle(&waiting.intent, IntentState::Final, place).await;
        self.give_back(waiting.name.clone()).await;
        self.begun.remove(&waiting.intent.id);
    }

    /// Ends what nobody signed in time, and forgets what was signed.
    pub(crate) async fn end_begun(&self) {
        for waiting in self.begun.expired(self.clock.now_ms()) {
            // Somebody is just handing its signature in: it is looked at again.
            let Ok(mut fate) = waiting.fate.try_lock() else { continue };
            if matches!(*fate, Fate::Open(_)) {
                waiting.end(&mut fate, Fate::Ended, 0);
                self.give_up(&waiting).await;
            }
            self.begun.remove(&waiting.intent.id);
        }
    }
}

fn unknown() -> Failure {
    Failure::new(Code::SigningUnknown, "no such signing waits for your signature")
}
