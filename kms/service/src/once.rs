//! Idempotency of the writes that are not signatures: the same key and request is the same write.

use keyward_domain::{Code, IdempotencyKey};
use keyward_store::{Change, Claim, Claimed, IdempotencyKey as Name};
use sha2::{Digest as _, Sha256};

use crate::{caller::Caller, custody::Custody, failure::Failure};

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
    /// The claim of a request, if it carries a key.
    pub(crate) fn claim_of(
        &self,
        caller: &Caller,
        mark: &[u8],
        request_hash: [u8; 32],
    ) -> Result<Option<Claim>, Failure> {
        let Some(mark) = IdempotencyKey::parse(mark).map_err(Failure::of)? else { return Ok(None) };
        let name = Name { principal: caller.name(), key: mark.as_bytes().to_vec() };
        Ok(Some(Claim { name, request_hash, boot: self.boot, now_ms: self.clock.now_ms() }))
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
        Ok(match judge(self.store.claim(claim).await?)? {
            None => Once::Fresh(Some(name)),
            Some(response) => Once::Done(response),
        })
    }

    /// Gives a claim back after a failure, so that the request may be tried again.
    pub(crate) async fn give_back(&self, name: Option<Name>) {
        let Some(name) = name else { return };
        if let Err(error) = self.store.apply(vec![Change::Forget(name)]).await {
            tracing::error!(%error, "an idempotency key was not given back");
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
        Claimed::Conflict => {
            Err(Failure::new(Code::IdempotencyConflict, "the idempotency key belongs to another request"))
        }
    }
}
