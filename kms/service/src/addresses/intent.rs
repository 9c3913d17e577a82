//! The intent of an address: the detail that only its epoch's leaf opens, and what the ledger is told beside.

use keyward_crypto::unlinkable::{ViewingLeaf, seal_detail};
use keyward_domain::{
    AccountId,
    detail::{Detail, Source, said},
    scheme::{PublicKey, Scheme},
};
use keyward_ledger_core::{
    entry::{HandleLimit, UseAddress},
    hash::commitment,
};
use keyward_store::{AddressOrigin, Id, NewAddress, NewIntent};

use super::{choose::malformed, payload::ToSign};
use crate::{
    approvals::blind::BlindCase,
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    guard::INTENT_BLOCKS,
};

/// A use that is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) account: AccountId,
    pub(super) address: &'a NewAddress,
    pub(super) scheme: Scheme,
    /// Of the epoch in which it is used.
    pub(super) view: &'a ViewingLeaf,
    pub(super) epoch_ms: u64,
    pub(super) policy: Id,
    pub(super) to_sign: &'a ToSign,
    pub(super) limit: Option<HandleLimit>,
    /// What it is approved by.
    pub(super) by: Option<&'a BlindCase>,
}

/// A use without its proof.
pub(super) struct Intended {
    pub(super) intent: NewIntent,
    pub(super) used: UseAddress,
    pub(super) key: PublicKey,
}

impl Custody {
    /// A fresh intent, or the one that approvals have paid for. Under its id nothing else is ever sealed.
    pub(super) fn intend(&self, caller: &Caller, wanted: Wanted<'_>) -> Result<Intended, Failure> {
        let Wanted { account, address, scheme, view, epoch_ms, policy, to_sign, limit, by } = wanted;
        let (fresh, r): ([u8; 32], [u8; 32]) = (random()?, random()?);
        let id = by.map_or(fresh, |case| case.intent);
        let payload_hash = to_sign.hash;
        let mut used = UseAddress {
            id,
            scheme,
            public_key: address.public_key,
            epoch_ms,
            epoch: view.epoch(),
            executor: self.ledger.submitter(),
            commitment: commitment(&r, &payload_hash),
            not_after: self.ledger.height().saturating_add(INTENT_BLOCKS),
            limit,
            detail: Vec::new(),
            proof: [0; 64],
        };
        let key = used.key().ok_or_else(|| malformed("the address is no point of secp256k1"))?;
        let app = match &caller.person {
            Some(_) => String::new(),
            None => caller.principal.name().to_owned(),
        };
        let detail = Detail {
            account: account.0,
            source: source(address),
            payload_hash,
            opening: r,
            policy,
            approved: by.map(BlindCase::approved_by),
            app,
            format: to_sign.format.clone(),
            said: said(to_sign.words.iter().cloned()),
        };
        let detail = detail.encode().map_err(Failure::internal)?;
        used.detail = seal_detail(view, &id, &used.public_fields(), &detail).map_err(Failure::internal)?;
        let intent = NewIntent {
            id,
            key_id: key.id().0,
            key_revision: 0,
            submitter: used.executor,
            r,
            payload_hash,
            policy,
            not_after: used.not_after,
            created_ms: self.clock.now_ms(),
        };
        Ok(Intended { intent, used, key })
    }
}

fn source(address: &NewAddress) -> Source {
    match address.origin {
        AddressOrigin::Index(index) => Source::Index(index),
        AddressOrigin::Payment(payment) => Source::Payment { epoch: address.epoch, payment },
    }
}
