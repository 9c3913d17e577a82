//! Guard, the one path of every use of a key: authorise, keep the intent, record it and wait until it is final
//! and accepted, act, check the result, queue the release, answer with the receipt.
//!
//! INVARIANT: nothing is signed before the ledger's own answer says that the intent is final and accepted, and
//! no signature leaves before its release is queued durably.

mod address;
mod delegated;
mod own;
mod said;
mod shared;
mod waiting;

use std::fmt;
use std::sync::Arc;

use keyward_domain::{
    Code, Payload,
    risk::Verb,
    scheme::{self, Scheme},
};
use keyward_ledger_core::{
    entry::{Entry, Intent},
    hash::{commitment, signature_hash},
    receipt::Released,
};
use keyward_store::{
    Change, Claim, Claimed, Custody as Place, IdempotencyKey as Name, IntentState, NewIntent, Signed as Row,
};
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use crate::{
    agents::Signing,
    caller::Caller,
    custody::{Custody, random},
    delegation::act::refuse_own_messages,
    failure::Failure,
    keybook::KnownKey,
    once::{judge, request_hash},
    ports::{Final, LedgerError, ToSign},
    risk::{Asking, ToKeep, Weighed},
};

pub(crate) use address::{AddressPassage, SignedAddress};
pub(crate) use delegated::{Acted, Paid};
#[cfg(test)]
pub(crate) use delegated::{intent_id, intent_until};
pub(crate) use own::{Begun, Start};
pub(crate) use said::{Permission, Said, Shown, denied, needs};
pub(crate) use shared::{
    BeginShared, BegunShared, EndShared, Fault, Faults, FinishShared, GoOnShared, SignedShared, StartShared,
};

/// How many blocks an intent's claim lives: long enough for its release, within the ledger's bound of 4096.
pub(crate) const INTENT_BLOCKS: u64 = 4000;
/// How often a signature is decided whose key is being changed meanwhile, by this server or by another.
pub(crate) const DECISIONS_MAX: usize = 5;

/// What is to be signed; the bytes are checked against the key's scheme. Prints redacted.
#[derive(Clone)]
pub(crate) enum Input<B> {
    Message(B),
    Digest(B),
}

impl<B> fmt::Debug for Input<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input(redacted)")
    }
}

/// A signature with its receipt.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) key: Arc<KnownKey>,
    pub(crate) signature: Vec<u8>,
    pub(crate) receipt: Vec<u8>,
}

/// One request on its way.
struct Passage<'a> {
    key: Arc<KnownKey>,
    payload: Payload<'a>,
    intent: NewIntent,
    name: Option<Name>,
    caller: &'a Caller,
    /// What a token agent is told of the message.
    word: &'a [u8],
    /// What the idempotency key keeps before the signature.
    before: Vec<u8>,
}

impl Custody {
    /// A place among the requests that may be under way at once.
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.permits.clone().try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => Failure::new(Code::ServiceBusy, "too many requests are under way"),
            TryAcquireError::Closed => Failure::internal(error),
        })
    }

    /// Signs. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn sign<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        key_name: &str,
        (input, said): (&Input<B>, &Said),
        mark: &[u8],
    ) -> Result<Signed, Failure> {
        let _permit = self.permit()?;
        for _ in 0..DECISIONS_MAX {
            if let Some(signed) = self.try_sign(caller, key_name, (input, said), mark).await? {
                return Ok(signed);
            }
        }
        Err(Failure::new(Code::ServiceBusy, "the key is being changed"))
    }

    /// None when the key's row changed between the decision and the intent: what was known of it is forgotten.
    async fn try_sign<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        key_name: &str,
        (input, said): (&Input<B>, &Said),
        mark: &[u8],
    ) -> Result<Option<Signed>, Failure> {
        let (key, policy) = self.key_to_sign(caller, key_name, said).await?;
        match key.row.custody {
            Place::Own => {
                return Err(Failure::new(Code::KeyIsSelf, "the key signs on the person's side alone"));
            }
            Place::Shared { .. } => return Err(shared_alone()),
            Place::Hosted { .. } | Place::Linked { .. } | Place::Erased => {}
        }
        let payload = payload(&key, input)?;
        if caller.account != Some(key.account()) {
            refuse_own_messages(&key, &payload)?;
        }
        let _place = self.agent_place(&key)?;
        let claim = self.claim_of(caller, mark, self.sign_hash(&key, input, &payload))?;
        let intent = self.new_intent(&key, &payload, policy)?;
        let name = claim.as_ref().map(|claim| claim.name.clone());
        let asking = Asking { caller, account: key.account(), said, verb: Verb::Sign };
        let (claimed, _) = self.keep_intent(asking, &intent, claim).await?;
        if claimed == Claimed::Stale {
            return Ok(None);
        }
        if claimed == Claimed::InProgress
            && let Some(answer) = self.follow_agent(&key, caller, name.as_ref()).await
        {
            return answer.map(Some);
        }
        if let Some(done) = judge(claimed)? {
            return kept(key, &done).map(Some);
        }
        let leader = self.lead_agent(&key, name.as_ref());
        let passage = Passage { key, payload, intent, name, caller, word: &said.word, before: Vec::new() };
        let passed = self.pass(&passage).await;
        if passed.is_err() {
            self.give_back(passage.name).await;
        }
        leader.end(&passed);
        passed.map(Some)
    }

    /// Keeps an intent that risk lets pass, and claims its request. When the key's row is another one than was decided on, what
    /// was known of it is forgotten.
    async fn keep_intent(
        &self,
        asking: Asking<'_>,
        intent: &NewIntent,
        claim: Option<Claim>,
    ) -> Result<(Claimed, Option<Weighed>), Failure> {
        let name = claim.as_ref().map(|claim| claim.name.clone());
        match self.begin_judged(asking, ToKeep::Key(intent.clone(), claim)).await {
            Ok((claimed, weighed)) => {
                if claimed == Claimed::Stale {
                    self.keys.forget(&intent.key_id);
                    self.opened.forget(&intent.key_id);
                }
                Ok((claimed, weighed))
            }
            Err(failure) => {
                // Whether it was kept is not known; nothing is signed for it.
                self.give_back(name).await;
                Err(failure)
            }
        }
    }

    fn new_intent(
        &self,
        key: &KnownKey,
        payload: &Payload<'_>,
        policy: [u8; 32],
    ) -> Result<NewIntent, Failure> {
        let fresh: [u8; 64] = random()?;
        let (id, r) = split(fresh);
        Ok(NewIntent {
            id,
            key_id: key.row.key_id,
            key_revision: key.row.revision,
            submitter: self.ledger.submitter(),
            r,
            payload_hash: payload.hash(),
            policy,
            not_after: self.ledger.height().saturating_add(INTENT_BLOCKS),
            created_ms: self.clock.now_ms(),
        })
    }

    fn sign_hash<B>(&self, key: &KnownKey, input: &Input<B>, payload: &Payload<'_>) -> [u8; 32] {
        let form: &[u8] = match input {
            Input::Message(_) => b"message",
            Input::Digest(_) => b"digest",
        };
        request_hash("key.sign", &[&key.row.key_id, form, &payload.hash()])
    }

    async fn pass(&self, passage: &Passage<'_>) -> Result<Signed, Failure> {
        let record = self.claim_on_ledger(passage).await?;
        let released = async {
            let signature = self.act(passage, record.as_ref()).await?;
            self.release(passage, record.as_ref(), signature).await
        };
        match released.await {
            Ok(signed) => Ok(signed),
            Err(failure) => {
                let place = Some((record.leaf_index(), record.height()));
                self.settle(&passage.intent, IntentState::Final, place).await;
                Err(failure)
            }
        }
    }

    /// Records the intent; answers only with a record that is final and accepted.
    async fn claim_on_ledger(&self, passage: &Passage<'_>) -> Result<Box<dyn Final>, Failure> {
        let intent = &passage.intent;
        let entry = Entry::Intent(Intent {
            id: intent.id,
            key_id: passage.key.public_key.id(),
            executor: self.ledger.submitter(),
            commitment: commitment(&intent.r, &intent.payload_hash),
            policy: intent.policy,
            not_after: intent.not_after,
        });
        let record = match self.ledger.commit(entry).await {
            Ok(record) => record,
            Err(error) => {
                self.settle(intent, IntentState::Submitted, None).await;
                return Err(error.into());
            }
        };
        if record.outcome().is_accepted() {
            return Ok(record);
        }
        let name = record.outcome().name();
        self.settle(intent, IntentState::Refused, Some((record.leaf_index(), record.height()))).await;
        Err(refused(name))
    }

    /// Uses the key, and lets no signature through that does not verify by the ledger's own rule.
    async fn act(&self, passage: &Passage<'_>, record: &dyn Final) -> Result<Vec<u8>, Failure> {
        let key = &passage.key;
        let signature = match &key.row.custody {
            Place::Hosted { sealed, .. } => {
                let opened = self.opened_key(key, sealed).await?;
                match &passage.payload {
                    Payload::Message(message) => opened.sign_message(message),
                    Payload::Digest(digest) => opened.sign_digest(digest),
                }
                .map_err(Failure::internal)?
            }
            Place::Erased => {
                return Err(Failure::new(Code::KeyDestroyed, "the key's private part is erased"));
            }
            Place::Own => {
                return Err(Failure::new(Code::KeyIsSelf, "the key signs on the person's side alone"));
            }
            Place::Shared { .. } => return Err(shared_alone()),
            Place::Linked { agent: Some(agent), .. } => {
                let Passage { intent, payload, caller, word, .. } = passage;
                let (public_key, receipt) = (&key.public_key, record.receipt(None));
                let signing = Signing { caller, intent, public_key, payload, receipt, word };
                self.sign_through_agent(agent, signing).await?
            }
            Place::Linked { serial, id, agent: None, .. } => {
                let what = match &passage.payload {
                    Payload::Message(message) => ToSign::Message(message.to_vec()),
                    Payload::Digest(digest) => ToSign::Digest(*digest),
                };
                self.tokens.sign(serial.clone(), id.clone(), key.public_key.scheme(), what).await?
            }
        };
        verify(key, &passage.payload, &signature).map_err(|error| {
            Failure::because(Code::SignatureInvalid, "the signature made does not verify", error)
        })?;
        Ok(signature)
    }

    async fn release(
        &self,
        passage: &Passage<'_>,
        record: &dyn Final,
        signature: Vec<u8>,
    ) -> Result<Signed, Failure> {
        // A person at a desk may take longer than the intent stands: the ledger would not take its release any more.
        if self.ledger.height() > passage.intent.not_after {
            return Err(Failure::new(Code::RequestExpired, "the intent was void before it was signed for"));
        }
        let receipt = record.receipt(Some(Released {
            public_key: passage.key.public_key.clone(),
            r: passage.intent.r,
            payload_hash: passage.intent.payload_hash,
            signature: signature.clone(),
        }));
        let response = passage
            .name
            .clone()
            .map(|name| (name, [&passage.before[..], &keep(&signature, &receipt)].concat()));
        let row = Row {
            intent: passage.intent.id,
            leaf_index: record.leaf_index(),
            height: record.height(),
            signature_hash: signature_hash(&signature),
            held_until_ms: 0,
            response,
        };
        self.store.finish_intent(row).await?;
        self.queued.notify_one();
        Ok(Signed { key: passage.key.clone(), signature, receipt })
    }

    /// Writes down that an intent got no signature.
    async fn settle(&self, intent: &NewIntent, state: IntentState, place: Option<(u64, u64)>) {
        let change = Change::SetIntentState { intent: intent.id, state, place };
        if let Err(error) = self.store.apply(vec![change]).await {
            tracing::error!(%error, "an intent's state was not kept");
        }
        if state != IntentState::Refused {
            self.unreleased.add(intent.clone(), state);
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable { .. } => {
                Self::because(Code::LedgerUnavailable, "the ledger did not answer in time", error)
            }
            LedgerError::Unverified { .. } => {
                Self::because(Code::LedgerUnverified, "the ledger's answer does not verify", error)
            }
            LedgerError::Refused { ref code, .. } => {
                let code = Code::of_ledger(code);
                Self::because(code, "the ledger refused the batch", error)
            }
        }
    }
}

/// What a shared key answers to whoever asks the service to sign with it.
pub(crate) fn shared_alone() -> Failure {
    Failure::new(Code::KeyShared, "the key is shared: its holder signs with it, together with its keepers")
}

fn verify(key: &KnownKey, payload: &Payload<'_>, signature: &[u8]) -> Result<(), scheme::SignatureError> {
    match payload {
        Payload::Message(message) => scheme::verify(&key.public_key, message, signature),
        Payload::Digest(digest) => scheme::verify_digest(&key.public_key, digest, signature),
    }
}

/// A refusal by a contract, as the caller sees it.
pub(crate) fn refused(outcome: &str) -> Failure {
    Failure::new(Code::of_ledger(outcome), format!("the ledger refused it (`{outcome}`)"))
}

pub(crate) fn payload<'a, B: AsRef<[u8]>>(
    key: &KnownKey,
    input: &'a Input<B>,
) -> Result<Payload<'a>, Failure> {
    let scheme: Scheme = key.public_key.scheme();
    match input {
        Input::Message(message) => Payload::message(message.as_ref()),
        Input::Digest(digest) => Payload::digest(scheme, digest.as_ref()),
    }
    .map_err(Failure::of)
}

fn split(fresh: [u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut id, mut r) = ([0; 32], [0; 32]);
    let (first, second) = fresh.split_at(32);
    id.copy_from_slice(first);
    r.copy_from_slice(second);
    (id, r)
}

/// What an idempotency key keeps of a signature: `u32 length || signature || receipt`.
fn keep(signature: &[u8], receipt: &[u8]) -> Vec<u8> {
    let len = u32::try_from(signature.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&len[..], signature, receipt].concat()
}

pub(crate) fn kept(key: Arc<KnownKey>, bytes: &[u8]) -> Result<Signed, Failure> {
    let unreadable = || Failure::internal("a kept response cannot be read");
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(unreadable)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(Failure::internal)?;
    let (signature, receipt) = rest.split_at_checked(len).ok_or_else(unreadable)?;
    Ok(Signed { key, signature: signature.to_vec(), receipt: receipt.to_vec() })
}
