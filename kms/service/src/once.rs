//! Idempotency of the writes that are not signatures: the same key and request is the same write.

use std::sync::{Mutex, PoisonError};

use keyward_domain::{Code, IdempotencyKey};
use keyward_store::{Change, Claim, Claimed, IdempotencyKey as Name};
use sha2::{Digest as _, Sha256};

use crate::{
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
};

/// Idempotency keys that wait to be given back at most; those beyond wait for the next start.
const OWED_MAX: usize = 65_536;

/// Idempotency keys that could not be given back.
pub(crate) type Owed = Mutex<Vec<Name>>;

/// The hash of a request: its verb and its fields, each with its length.
pub(crate) fn request_hash(verb: &str, fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for field in std::iter::once(&verb.as_bytes()).chain(fields) {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

/// What came of showing an idempotency key.
#[derive(Debug)]
pub(crate) enum Once {
    /// Do it; with a name, complete or forget it.
    Fresh(Option<Name>),
    /// It was done; this was kept of it.
    Done(Vec<u8>),
}

impl Custody {
    /// The claim of a request, if it carries a key. Every write passes here before it is begun.
    pub(crate) fn claim_of(
        &self,
        caller: &Caller,
        mark: &[u8],
        request_hash: [u8; 32],
    ) -> Result<Option<Claim>, Failure> {
        let now_ms = self.clock.now_ms();
        caller.in_time(now_ms)?;
        let Some(mark) = IdempotencyKey::parse(mark).map_err(Failure::of)? else { return Ok(None) };
        let name = Name { principal: caller.name(), key: mark.as_bytes().to_vec(), ticket: random()? };
        Ok(Some(Claim { name, request_hash, boot: self.boot, now_ms }))
    }

    /// Claims the key of a write.
    pub(crate) async fn once(
        &self,
        caller: &Caller,
        mark: &[u8],
        request_hash: [u8; 32],
    ) -> Result<Once, Failure> {
        let Some(claim) = self.claim_of(caller, mark, request_hash)? else { return Ok(Once::Fresh(None)) };
        let name = claim.name.clone();
        let claimed = match self.store.claim(claim).await {
            Ok(claimed) => claimed,
            Err(error) => {
                // Whether it was kept is not known.
                self.give_back(Some(name)).await;
                return Err(error.into());
            }
        };
        Ok(match judge(claimed)? {
            None => Once::Fresh(Some(name)),
            Some(response) => Once::Done(response),
        })
    }

    /// Gives a claim back after a failure, so that the request may be tried again.
    pub(crate) async fn give_back(&self, name: Option<Name>) {
        let Some(name) = name else { return };
        if let Err(error) = self.store.apply(vec![Change::Forget(name.clone())]).await {
            tracing::warn!(%error, "an idempotency key is given back later");
            let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
            if owed.len() < OWED_MAX {
                owed.push(name);
            }
        }
    }

    /// Gives back what could not be given back while the database was away.
    pub(crate) async fn give_back_owed(&self) {
        let owed = std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for name in owed {
            self.give_back(Some(name)).await;
        }
    }
}

/// None when the claim is new, the response when it was done before.
pub(crate) fn judge(claimed: Claimed) -> Result<Option<Vec<u8>>, Failure> {
    match claimed {
        Claimed::New => Ok(None),
        Claimed::Done(response) => Ok(Some(response)),
        Claimed::InProgress => {
            Err(Failure::new(Code::IdempotencyPending, "the same request is still being worked on"))
        }
        // Only intents are decided on rows that may have changed meanwhile.
        Claimed::Stale => Err(Failure::new(Code::ServiceBusy, "the key is being changed")),
        Claimed::Conflict => {
            Err(Failure::new(Code::IdempotencyConflict, "the idempotency key belongs to another request"))
        }
    }
}
