//! Signing with an address of a root that is the person's own: the service decides and seals the detail, the address's key proves the
//! intent, and signs once that is final. Approvals that it takes are used up in between (`own_approved`). What the service is shown of an epoch is forgotten with the request; its hash is kept, so that
//! all uses of an epoch are sealed for the same leaf.

use std::fmt;
use std::sync::Arc;

use keyward_crypto::unlinkable::{EpochAddresses, Payment, SpendingPoint, ViewingLeaf};
use keyward_domain::{
    AccountId, Code, Mode,
    risk::Verb as Judged,
    scheme::{verify, verify_digest},
};
use keyward_ledger_core::{entry::Entry, unlinkable::use_address_message};
use keyward_policies::Verb;
use keyward_store::{AddressOrigin, AddressUse, Claimed, Id, NewAddress};
use zeroize::Zeroizing;

pub(super) use super::payload::pin as pinned;
use super::{
    intent::{Intended, Wanted, not_after},
    other,
    own_approved::Approved,
    own_book::{ANSWER_MS, OwnState, OwnUse, Stage, WAIT_MS, unknown},
    payload::ToSign,
    scheme_of,
    sign::Asked,
};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{AddressPassage, Input, SignedAddress, refused},
    once::{judge, request_hash},
    ports::Final,
    releases::hold_ms,
    risk::Asking,
};

/// What the hashes of a leaf and of a spending point are under.
pub(super) const LEAF_PIN: &[u8] = b"keyward/address-leaf-pin/v1";
pub(super) const SPENDING_PIN: &[u8] = b"keyward/address-spending-pin/v1";

/// What is asked for, and shown.
pub(crate) struct BeginAddress<B> {
    /// Under way; of the viewing leaf.
    pub(crate) epoch: u32,
    pub(crate) leaf: Zeroizing<[u8; 32]>,
    /// Of the epoch whose keys the address has.
    pub(crate) spending: Vec<u8>,
    pub(crate) address: NewAddress,
    pub(crate) scheme: String,
    pub(crate) input: Input<B>,
    pub(crate) format: String,
    pub(crate) mark: Vec<u8>,
    /// The case that it is approved by.
    pub(crate) case: Option<Id>,
}

/// What the address's key is to sign. Prints redacted: the opening says of what payload the intent is.
#[derive(PartialEq, Eq)]
pub(crate) struct BegunAddress {
    pub(crate) intent: Vec<u8>,
    pub(crate) opening: Id,
}

impl fmt::Debug for BegunAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BegunAddress(redacted)")
    }
}

impl BegunAddress {
    fn of(own: &OwnUse) -> Self {
        Self { intent: own.body.clone(), opening: own.opening }
    }
}

impl Custody {
    /// Refuses roots that are not hosted where uses are counted.
    pub(super) fn refuse_uncounted(&self) -> Result<(), Failure> {
        if self.addresses.limit.is_none() {
            return Ok(());
        }
        let what = "this service counts uses of addresses, and cannot count those of a root of your own";
        Err(Failure::new(Code::AddressLimitHosted, what))
    }

    /// Decides, and seals the detail; the ledger is told with the proof. Run it in a task of its own.
    pub(crate) async fn begin_with_address<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        ask: BeginAddress<B>,
    ) -> Result<BegunAddress, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        self.refuse_uncounted()?;
        let scheme = scheme_of(&ask.scheme)?;
        let to_sign = ToSign::read(&ask.input, &ask.format, scheme)?;
        let chosen = self.own_addresses(account).await?;
        self.refuse_other_epochs(&chosen, ask.epoch)?;
        check_shown(&ask)?;
        let asked = Asked { caller, account, scheme, to_sign: &to_sign, policy: [0; 32], by: None };
        let (case, to_sign, policy) = self.decide_own(&asked, ask.case.as_ref()).await?;
        let payload = to_sign.name();
        let fields = [&account.0[..], &ask.address.public_key, scheme.name().as_bytes(), &payload];
        let fields = fields.into_iter().chain(ask.case.as_ref().map(|case| &case[..])).collect::<Vec<_>>();
        let claim = self.claim_of(caller, &ask.mark, request_hash("address.begin", &fields))?;
        let name = claim.as_ref().map(|claim| claim.name.clone());
        if let Some(claim) = claim {
            let claimed = self.store.claim(claim).await?;
            // The answer to the first try may have been lost: the same intent is to be signed.
            if claimed != Claimed::New
                && let Some(own) = name.as_ref().and_then(|name| self.begun_addresses.named(name))
                && claimed != Claimed::Conflict
            {
                return Ok(BegunAddress::of(&own));
            }
            if judge(claimed)?.is_some() {
                return Err(Failure::new(Code::SigningDone, "the request was finished before"));
            }
        }
        let view = ViewingLeaf::from_bytes(ask.epoch, ask.leaf.clone());
        let wanted = Wanted {
            account,
            address: &ask.address,
            scheme,
            view: &view,
            epoch_ms: chosen.epoch_ms,
            policy,
            to_sign: &to_sign,
            limit: None,
            by: case.as_ref(),
        };
        let begun = async {
            self.begun_addresses.check_room(account)?;
            let Intended { intent, used, key } = self.intend(caller, wanted)?;
            let taken = pinned_use(account, &ask);
            let asking = Asking { caller, account, said: &to_sign.said, verb: Judged::Sign };
            let weighed = self.keep_address_intent(asking, &intent, &taken).await?;
            let by = case.as_ref().map(|case| Approved { case: case.id, weighed });
            let address = ask.address;
            Ok((AddressPassage { account, address, intent, used, key, name: name.clone() }, by))
        };
        match begun.await {
            Ok((passage, by)) => {
                let own = OwnUse::new(passage, (to_sign.clone(), by), self.clock.now_ms());
                let own = Arc::new(own);
                self.begun_addresses.insert(own.clone());
                Ok(BegunAddress::of(&own))
            }
            Err(failure) => {
                self.give_back(name).await;
                Err(failure)
            }
        }
    }

    /// Takes the proof of an intent and records it; answers when it is final and accepted. Asked again, it answers the same. Run it in a
    /// task of its own.
    pub(crate) async fn record_address(
        &self,
        caller: &Caller,
        intent: &Id,
        proof: [u8; 64],
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        let own = self.begun_addresses.of(intent, account)?;
        let mut state = own.state.lock().await;
        match &state.stage {
            Stage::Recorded(record, _) | Stage::Released { record, .. } => return Ok(record.receipt(None)),
            Stage::Ended => return Err(unknown()),
            Stage::Begun | Stage::HandedIn(_) => {}
        }
        if own.is_over(self.clock.now_ms()) {
            return Err(unknown());
        }
        let message = use_address_message(&self.ledger.chain_id(), &own.body);
        verify(&state.passage.key, &message, &proof).map_err(|error| {
            Failure::because(
                Code::ProofInvalid,
                "the proof is no signature of the intent by its address",
                error,
            )
        })?;
        let hold_ms = hold_ms()?;
        if matches!(state.stage, Stage::Begun) {
            self.refuse_stale(&mut state).await?;
            self.pay_own(caller, &mut state).await?;
            self.refuse_stale(&mut state).await?;
        }
        let record = match self.hand_in_use(&mut state, proof).await {
            Ok(record) => record,
            Err(failure) => {
                if matches!(state.stage, Stage::Ended) {
                    self.take_back_paid(state.by.as_ref(), intent).await;
                }
                return Err(failure);
            }
        };
        let receipt = record.receipt(None);
        self.remember_use(&state.passage, record.as_ref()).await;
        let now_ms = self.clock.now_ms();
        state.stage = Stage::Recorded(record, now_ms.saturating_add(hold_ms));
        own.waits_until(now_ms.saturating_add(WAIT_MS));
        Ok(receipt)
    }

    /// Refuses, and ends, a use whose intent would have another end if it were begun now, as everybody would see.
    async fn refuse_stale(&self, state: &mut OwnState) -> Result<(), Failure> {
        if state.passage.intent.not_after == not_after(self.ledger.height()) {
            return Ok(());
        }
        self.end_own_use(state).await;
        self.begun_addresses.remove(&state.passage.intent.id);
        Err(Failure::new(
            Code::AddressIntentStale,
            "the intent's end is not the one of those that are begun now",
        ))
    }

    /// The accepted record of a use. While its fate is not known it is looked for first, and the same bytes are handed in again.
    async fn hand_in_use(&self, state: &mut OwnState, proof: [u8; 64]) -> Result<Box<dyn Final>, Failure> {
        let Stage::HandedIn(from) = state.stage else {
            state.passage.used.proof = proof;
            state.stage = Stage::HandedIn(self.ledger.height());
            let claimed = self.claim_address(&state.passage).await;
            if claimed.as_ref().is_err_and(|failure| !may_stand(failure.code)) {
                state.stage = Stage::Ended;
                self.give_back(state.passage.name.clone()).await;
            }
            return claimed;
        };
        let entry = Entry::UseAddress(state.passage.used.clone());
        let heights = || from..=self.ledger.height().saturating_add(1);
        if let Some(found) = self.ledger.accepted_within(heights(), entry.clone()).await? {
            return Ok(found);
        }
        let again = self.ledger.commit(entry.clone()).await?;
        if again.outcome().is_accepted() {
            return Ok(again);
        }
        // Refused, because the first one came through meanwhile, or for good.
        if let Some(found) = self.ledger.accepted_within(heights(), entry).await? {
            return Ok(found);
        }
        let failure = refused(again.outcome().name());
        state.stage = Stage::Ended;
        self.free_refused(&state.passage, again.outcome()).await;
        self.give_back(state.passage.name.clone()).await;
        Err(failure)
    }

    /// Takes the signature of what was recorded, and queues its release. Asked again, it answers the same. Run it in a task of its own.
    pub(crate) async fn finish_address(
        &self,
        caller: &Caller,
        intent: &Id,
        signature: &[u8],
    ) -> Result<SignedAddress, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        let own = self.begun_addresses.of(intent, account)?;
        let mut state = own.state.lock().await;
        match &state.stage {
            Stage::Recorded(..) => {}
            Stage::Released { signed, .. } if signed.signature == signature => return Ok(signed.clone()),
            Stage::Released { .. } => {
                return Err(Failure::new(Code::SigningDone, "the intent has released another signature"));
            }
            Stage::Begun | Stage::HandedIn(_) => {
                let what = "the intent is not on the ledger yet: hand its proof in first";
                return Err(Failure::new(Code::SigningUnknown, what));
            }
            Stage::Ended => return Err(unknown()),
        }
        if own.is_over(self.clock.now_ms()) {
            return Err(unknown());
        }
        // The decision is as old as the beginning: account and policies may have changed since.
        self.require_open_on_ledger(account).await?;
        self.own_addresses(account).await?;
        self.decide_address(caller, account, Mode::Own, &state.to_sign.said).await?;
        verify_digest(&state.passage.key, &state.to_sign.hash, signature).map_err(|error| {
            let what = "the signature handed in does not verify";
            Failure::because(Code::OwnSignatureInvalid, what, error)
        })?;
        let Stage::Recorded(record, held_until_ms) = std::mem::replace(&mut state.stage, Stage::Ended) else {
            return Err(unknown());
        };
        let signature = (signature.to_vec(), Some(held_until_ms));
        match self.release_address(&state.passage, record.as_ref(), signature).await {
            Ok(signed) => {
                state.stage = Stage::Released { record, signed: signed.clone() };
                own.waits_until(self.clock.now_ms().saturating_add(ANSWER_MS));
                if let Some(by) = &state.by {
                    self.erase_mail(&by.case).await;
                }
                Ok(signed)
            }
            Err(failure) => {
                state.stage = Stage::Recorded(record, held_until_ms);
                self.end_own_use(&mut state).await;
                self.begun_addresses.remove(intent);
                Err(failure)
            }
        }
    }
}

/// Whether the ledger may have, or come to have, what was answered so.
const fn may_stand(code: Code) -> bool {
    matches!(code, Code::LedgerUnavailable | Code::LedgerUnverified)
}

/// Refuses an address that is not the one of its place in the epoch that was shown. One that was paid to in an earlier epoch could be
/// held against that epoch's leaf alone, which nobody shows any more: relinking finds it if it is another.
fn check_shown<B>(ask: &BeginAddress<B>) -> Result<(), Failure> {
    let BeginAddress { epoch, leaf, spending, address, .. } = ask;
    let point = SpendingPoint::decode(spending).map_err(other)?;
    let fits = |derived| match derived {
        Some(public_key) if public_key == address.public_key => Ok(()),
        _ => Err(Failure::new(Code::AddressOther, "the address is not the one of its place in the epoch")),
    };
    if point.epoch() != address.epoch || address.epoch > *epoch {
        return Err(Failure::new(Code::AddressOther, "the spending point is not of the address's epoch"));
    }
    let view = ViewingLeaf::from_bytes(*epoch, leaf.clone());
    match address.origin {
        AddressOrigin::Index(_) if address.epoch != *epoch => {
            Err(Failure::new(Code::AddressEpoch, "an address of an index signs in its own epoch alone"))
        }
        AddressOrigin::Index(index) => {
            fits(Some(EpochAddresses::new(view, point).address(index).map_err(other)?))
        }
        AddressOrigin::Payment(payment) => {
            let payment = Payment::decode(&payment).map_err(other)?;
            if address.epoch != *epoch {
                return Ok(());
            }
            fits(payment.seen(&view, point).map_err(other)?)
        }
    }
}

fn pinned_use<B>(account: AccountId, ask: &BeginAddress<B>) -> AddressUse {
    let BeginAddress { epoch, leaf, spending, address, .. } = ask;
    let of_this_epoch = address.epoch == *epoch;
    AddressUse {
        account: account.0,
        address: *address,
        epoch: *epoch,
        sealed: None,
        leaf_pin: Some(pinned(LEAF_PIN, &account.0, leaf.as_slice())),
        spending_pin: of_this_epoch.then(|| pinned(SPENDING_PIN, &account.0, spending)),
    }
}
