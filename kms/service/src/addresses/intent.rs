//! The intent of an address: the detail that only its epoch's leaf opens, and what the ledger is told beside.

use keyward_crypto::unlinkable::{ViewingLeaf, seal_detail};
use keyward_domain::{
    AccountId,
    detail::{Detail, Source, said},
    scheme::{PublicKey, Scheme},
};
use keyward_ledger_core::{
    contracts::intent::INTENT_BLOCKS_MAX,
    entry::{HandleLimit, UseAddress},
    hash::commitment,
};
use keyward_store::{AddressOrigin, Id, NewAddress, NewIntent};

use super::{choose::malformed, payload::ToSign};
use crate::{
    approvals::blind::{BlindCase, Pays},
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
};

/// The ends of intents of addresses stand so many blocks apart.
const END_STEP_BLOCKS: u64 = 1024;

/// Until which block the intent of an address stands that is begun at `height`: 3,072 blocks at least, within the ledger's bound.
///
/// Everybody sees it. Of every second an own root's device takes between begin and record an exact end would tell, and so
/// which uses are whose. Where the next step lies between, the device begins again.
pub(super) fn not_after(height: u64) -> u64 {
    let latest = height.saturating_add(INTENT_BLOCKS_MAX);
    latest - latest % END_STEP_BLOCKS
}

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
    /// A fresh intent, or the one that was drawn with the approvals. Under its id nothing else is ever sealed.
    pub(super) fn intend(&self, caller: &Caller, wanted: Wanted<'_>) -> Result<Intended, Failure> {
        let Wanted { account, address, scheme, view, epoch_ms, policy, to_sign, limit, by } = wanted;
        let (fresh, r): ([u8; 32], [u8; 32]) = (random()?, random()?);
        let id = match by.map(|case| case.pays) {
            Some(Pays::Intent(drawn)) => drawn,
            Some(Pays::Nothing | Pays::Begun) | None => fresh,
        };
        let payload_hash = to_sign.hash;
        let mut used = UseAddress {
            id,
            scheme,
            public_key: address.public_key,
            epoch_ms,
            epoch: view.epoch(),
            executor: self.ledger.submitter(),
            commitment: commitment(&r, &payload_hash),
            not_after: not_after(self.ledger.height()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intents_end_tells_no_more_of_its_begin_than_a_thousand_blocks_of_it() {
        for height in (0..5_000).chain([1 << 40, (1 << 40) + 1_023]) {
            let end = not_after(height);
            assert_eq!(end % 1_024, 0, "{height}");
            assert!((height + 3_073..=height + 4_096).contains(&end), "{height}: {end}");
        }
        assert_eq!(not_after(1_024), not_after(2_047));
        assert!(not_after(u64::MAX) > u64::MAX - 1_024, "no overflow");
    }
}
