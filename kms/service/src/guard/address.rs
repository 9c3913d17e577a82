//! Signing with a one-time address: the address's own key proves the intent, and signs the payload once that is final and accepted.

use keyward_domain::{
    AccountId, Code,
    scheme::{PublicKey, verify_digest},
};
use keyward_ledger_core::{
    entry::{Entry, UseAddress},
    hash::signature_hash,
    outcome::{Outcome, Refusal},
    receipt::Released,
};
use keyward_store::{
    AddressOrigin, AddressUse, Change, Claimed, IdempotencyKey as Name, IntentState, NewAddress, NewIntent,
    Signed as Row,
};

use super::{DECISIONS_MAX, refused};
use crate::{
    addresses::{decode_address, encode_address},
    custody::Custody,
    failure::Failure,
    ports::Final,
    releases::hold_ms,
    risk::{Asking, ToKeep, Weighed},
};

/// A use of an address on its way.
pub(crate) struct AddressPassage {
    pub(crate) account: AccountId,
    pub(crate) address: NewAddress,
    pub(crate) intent: NewIntent,
    /// With its proof.
    pub(crate) used: UseAddress,
    /// The address, as a key of the scheme.
    pub(crate) key: PublicKey,
    pub(crate) name: Option<Name>,
}

/// A signature by an address, with its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedAddress {
    pub(crate) address: NewAddress,
    pub(crate) signature: Vec<u8>,
    pub(crate) receipt: Vec<u8>,
}

impl SignedAddress {
    /// What an idempotency key keeps: `address || signature[64] || receipt`.
    fn encode(&self) -> Vec<u8> {
        [&encode_address(&self.address)[..], &self.signature, &self.receipt].concat()
    }

    pub(crate) fn of_kept(bytes: &[u8]) -> Result<Self, Failure> {
        let read = |bytes| {
            let (address, rest) = decode_address(bytes)?;
            let (signature, receipt) = rest.split_first_chunk::<64>()?;
            Some(Self { address, signature: signature.to_vec(), receipt: receipt.to_vec() })
        };
        read(bytes).ok_or_else(|| Failure::internal("a kept response cannot be read"))
    }
}

impl Custody {
    /// Keeps an intent that risk lets pass, and takes its address. What passed by an approval is to be taken in once that is used up.
    pub(crate) async fn keep_address_intent(
        &self,
        asking: Asking<'_>,
        intent: &NewIntent,
        address: &AddressUse,
    ) -> Result<Option<Weighed>, Failure> {
        self.require_open_on_ledger(asking.account).await?;
        for _ in 0..DECISIONS_MAX {
            let what = ToKeep::Address(intent.clone(), address.clone());
            let (claimed, weighed) = self.begin_judged(asking, what).await?;
            if claimed != Claimed::Stale {
                return Ok(weighed);
            }
        }
        Err(Failure::new(Code::ServiceBusy, "the account's history is being changed"))
    }

    /// Records the intent; answers only with a record that is final and accepted.
    pub(crate) async fn claim_address(&self, passage: &AddressPassage) -> Result<Box<dyn Final>, Failure> {
        let intent = &passage.intent;
        let record = match self.ledger.commit(Entry::UseAddress(passage.used.clone())).await {
            Ok(record) => record,
            Err(error) => {
                self.settle(intent, IntentState::Submitted, None).await;
                return Err(error.into());
            }
        };
        if record.outcome().is_accepted() {
            return Ok(record);
        }
        let place = Some((record.leaf_index(), record.height()));
        self.settle(intent, IntentState::Refused, place).await;
        self.free_refused(passage, record.outcome()).await;
        Err(refused(record.outcome().name()))
    }

    /// A refused record names its address for all to see, and a second one would tell that both are of one account: an address of an
    /// index is given up, there are others. What was paid to an address can be spent with that one alone: it is free again.
    pub(crate) async fn free_refused(&self, passage: &AddressPassage, outcome: &Outcome) {
        let paid = matches!(passage.address.origin, AddressOrigin::Payment(_));
        if paid && outcome.refusal() != Some(Refusal::AddressUsed) {
            self.free_address(passage).await;
        }
    }

    /// The intent has not left, and never will.
    pub(crate) async fn give_up_address(&self, passage: &AddressPassage) {
        self.settle(&passage.intent, IntentState::Refused, None).await;
        self.free_address(passage).await;
    }

    /// The address of an intent that uses nothing is free again.
    pub(crate) async fn free_address(&self, passage: &AddressPassage) {
        let (account, public_key, intent) =
            (passage.account.0, passage.address.public_key, passage.intent.id);
        let free = Change::FreeAddress { account, public_key, intent };
        if let Err(error) = self.store.apply(vec![free]).await {
            tracing::warn!(%error, "an address that was not used stays taken");
        }
    }

    /// Writes down where the ledger has the intent. Lost, it is looked for when the epoch is closed.
    pub(crate) async fn remember_use(&self, passage: &AddressPassage, record: &dyn Final) {
        let used = Change::AddressUsed {
            account: passage.account.0,
            public_key: passage.address.public_key,
            intent: passage.intent.id,
            leaf_index: record.leaf_index(),
            leaf_hash: record.leaf_hash(),
        };
        if let Err(error) = self.store.apply(vec![used]).await {
            tracing::warn!(%error, "the place of a used address is looked for later");
        }
    }

    /// Signs under an intent that is final and accepted; `sign` makes the signature of the payload's digest.
    pub(crate) async fn pass_address(
        &self,
        passage: &AddressPassage,
        sign: impl FnOnce(&[u8; 32]) -> Result<Vec<u8>, Failure> + Send,
    ) -> Result<SignedAddress, Failure> {
        let record = self.claim_address(passage).await?;
        let open = self.require_open_on_ledger(passage.account).await;
        let released = match open.and_then(|()| sign(&passage.intent.payload_hash)) {
            Ok(signature) => self.release_address(passage, record.as_ref(), (signature, None)).await,
            Err(failure) => Err(failure),
        };
        if released.is_err() {
            self.end_address_intent(passage, record.as_ref()).await;
        }
        self.remember_use(passage, record.as_ref()).await;
        released
    }

    /// The intent is final and gets no signature.
    pub(crate) async fn end_address_intent(&self, passage: &AddressPassage, record: &dyn Final) {
        let place = Some((record.leaf_index(), record.height()));
        self.settle(&passage.intent, IntentState::Final, place).await;
    }

    /// The intent was perhaps handed in, and gets no signature.
    pub(crate) async fn lose_address_intent(&self, passage: &AddressPassage) {
        self.settle(&passage.intent, IntentState::Submitted, None).await;
    }

    /// Lets no signature through that does not verify by the ledger's own rule, and queues its release, held back until the time that
    /// was drawn when the use was final; else, or if that is over, until one that is drawn now.
    pub(crate) async fn release_address(
        &self,
        passage: &AddressPassage,
        record: &dyn Final,
        (signature, held_until_ms): (Vec<u8>, Option<u64>),
    ) -> Result<SignedAddress, Failure> {
        let AddressPassage { address, intent, key, name, .. } = passage;
        verify_digest(key, &intent.payload_hash, &signature).map_err(|error| {
            Failure::because(Code::SignatureInvalid, "the signature made does not verify", error)
        })?;
        if self.ledger.height() > intent.not_after {
            return Err(Failure::new(Code::RequestExpired, "the intent was void before it was signed for"));
        }
        let now_ms = self.clock.now_ms();
        let held_until_ms = match held_until_ms.filter(|until_ms| *until_ms > now_ms) {
            Some(held_until_ms) => held_until_ms,
            None => now_ms.saturating_add(hold_ms()?),
        };
        let receipt = record.receipt(Some(Released {
            public_key: key.clone(),
            r: intent.r,
            payload_hash: intent.payload_hash,
            signature: signature.clone(),
        }));
        let signed = SignedAddress { address: *address, signature, receipt };
        let row = Row {
            intent: intent.id,
            leaf_index: record.leaf_index(),
            height: record.height(),
            signature_hash: signature_hash(&signed.signature),
            held_until_ms,
            response: name.clone().map(|name| (name, signed.encode())),
        };
        self.store.finish_intent(row).await?;
        self.queued.notify_one();
        Ok(signed)
    }
}
