//! Signing with a key of mode `self`, in two steps: the guard records the intent, the person's side signs, the guard
//! checks the signature and queues its release.

use std::sync::Arc;

use keyward_domain::{Code, risk::Verb};
use keyward_store::{Claimed, Custody as Place, Id};

use super::{
    DECISIONS_MAX, Input, Passage, Said, Signed, kept, payload, shared_alone, verify,
    waiting::{self, ANSWER_MS, Fate, Found, unknown},
};
use crate::{
    caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey, once::judge, risk::Asking,
};

/// Signings of one account that wait at once.
const WAITING_FOR_ONE_MAX: usize = 32;

/// What is to be signed, and what it says.
type Open = (Input<Vec<u8>>, Said);
/// The signings that wait for a person's signature; what is to be signed is kept meanwhile.
pub(crate) type Begun = waiting::Begun<Open>;
type Waiting = waiting::Waiting<Open>;

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

fn to_sign(waiting: &Waiting) -> ToSign {
    ToSign {
        key: waiting.key.clone(),
        intent: waiting.intent.id,
        r: waiting.intent.r,
        receipt: waiting.record.receipt(None),
        expires_ms: waiting.expires_ms,
    }
}

impl Custody {
    /// Decides, and records the intent; answers when it is final and accepted. Run it in a task of its own.
    pub(crate) async fn begin_sign<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        key_name: &str,
        (input, said): (Input<B>, Said),
        mark: &[u8],
    ) -> Result<Start, Failure> {
        let _permit = self.permit()?;
        let account = caller.person()?.account;
        let input = match input {
            Input::Message(bytes) => Input::Message(bytes.as_ref().to_vec()),
            Input::Digest(bytes) => Input::Digest(bytes.as_ref().to_vec()),
        };
        for _ in 0..DECISIONS_MAX {
            let (key, policy) = self.key_to_sign(caller, key_name, &said).await?;
            if matches!(key.row.custody, Place::Shared { .. }) {
                return Err(shared_alone());
            }
            if key.row.custody != Place::Own || key.account() != account {
                return Err(Failure::new(Code::KeyNotSelf, "the service signs with this key: ask it to"));
            }
            if let Some(start) = self.try_begin(caller, (key.clone(), policy), (&input, &said), mark).await? {
                return Ok(start);
            }
        }
        Err(Failure::new(Code::ServiceBusy, "the key is being changed"))
    }

    /// None when the key's row changed between the decision and the intent.
    async fn try_begin(
        &self,
        caller: &Caller,
        (key, policy): (Arc<KnownKey>, Id),
        (input, said): (&Input<Vec<u8>>, &Said),
        mark: &[u8],
    ) -> Result<Option<Start>, Failure> {
        let payload = payload(&key, input)?;
        let account = key.account();
        let claim = self.claim_of(caller, mark, self.sign_hash(&key, input, &payload))?;
        let name = claim.as_ref().map(|claim| claim.name.clone());
        let (Input::Message(bytes) | Input::Digest(bytes)) = input;
        // An empty message takes a place too; so does what it says.
        let said_bytes: usize = said.facts.destinations.iter().map(String::len).sum();
        let bytes = bytes.len().saturating_add(said_bytes).max(1);
        if let Err(busy) = self.begun.check_room(account, bytes, WAITING_FOR_ONE_MAX)
            && name.as_ref().is_none_or(|name| self.begun.named(name).is_none())
        {
            return Err(busy);
        }
        let intent = self.new_intent(&key, &payload, policy)?;
        let asking = Asking { caller, account: key.account(), said, verb: Verb::Sign };
        let (claimed, _) = self.keep_intent(asking, &intent, claim).await?;
        if claimed == Claimed::Stale {
            return Ok(None);
        }
        // The answer to the first try may have been lost: the same intent is to be signed.
        if claimed == Claimed::InProgress
            && let Some(waiting) = name.as_ref().and_then(|name| self.begun.named(name))
        {
            return Ok(Some(Start::ToSign(to_sign(&waiting))));
        }
        if let Some(done) = judge(claimed)? {
            return kept(key, &done).map(|signed| Some(Start::Signed(signed)));
        }
        let passage = Passage { key, payload, intent, name, caller, word: &[], before: Vec::new() };
        let record = match self.claim_on_ledger(&passage).await {
            Ok(record) => record,
            Err(failure) => {
                self.give_back(passage.name).await;
                return Err(failure);
            }
        };
        let Passage { key, intent, name, .. } = passage;
        let open = ((input.clone(), said.clone()), bytes);
        let waiting = Waiting::new(key, (intent, name, record), open, self.clock.now_ms());
        let start = Start::ToSign(to_sign(&waiting));
        self.begun.insert(Arc::new(waiting));
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
        let now_ms = self.clock.now_ms();
        let (input, said) = match waiting.found(&mut fate, (caller, now_ms))? {
            Found::Open((input, said)) => (input, said),
            Found::Released { signature: released, receipt } if released == signature => {
                let (key, signature, receipt) = (waiting.key.clone(), released.to_vec(), receipt.to_vec());
                return Ok(Signed { key, signature, receipt });
            }
            Found::Released { .. } => {
                return Err(Failure::new(Code::SigningDone, "the intent has released another signature"));
            }
        };
        self.check_sign(caller, &self.key_now(&waiting).await?, said)?;
        let payload = payload(&waiting.key, input)?;
        verify(&waiting.key, &payload, signature).map_err(|error| {
            let what = "the signature handed in does not verify";
            Failure::because(Code::OwnSignatureInvalid, what, error)
        })?;
        let (key, intent, name) = (waiting.key.clone(), waiting.intent.clone(), waiting.name.clone());
        let passage = Passage { key, payload, intent, name, caller, word: &[], before: Vec::new() };
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
                self.give_up(&self.begun, &waiting).await;
                Err(failure)
            }
        }
    }
}
