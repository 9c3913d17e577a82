//! Signing once with an address of a hosted root: a named one, or a fresh one.

use keyward_crypto::{
    SigningKey,
    unlinkable::{AddressRoot, Payment},
};
use keyward_domain::{AccountId, Code, Mode, risk::Verb as Judged, scheme::Scheme};
use keyward_ledger_core::{entry::HandleLimit, unlinkable::use_address_message};
use keyward_policies::Verb;
use keyward_store::{
    AddressAccount, AddressOrigin, AddressRow, AddressUse, Id, IdempotencyKey as Name, NewAddress,
};

use super::{
    intent::{Intended, Wanted},
    payload::ToSign,
    resume::used_before,
    scheme_of,
};
use crate::{
    approvals::blind::{BlindCase, Pays},
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{AddressPassage, Input, SignedAddress},
    once::{Once, request_hash},
    risk::Asking,
};

/// What is asked for.
#[derive(Debug)]
pub(crate) struct SignAddress<B> {
    /// None: a fresh address.
    pub(crate) public_key: Option<[u8; 33]>,
    pub(crate) scheme: String,
    pub(crate) input: Input<B>,
    pub(crate) format: String,
    pub(crate) mark: Vec<u8>,
    /// The case that it is approved by.
    pub(crate) case: Option<[u8; 32]>,
}

/// Who asks for what, decided.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) account: AccountId,
    pub(super) scheme: Scheme,
    pub(super) to_sign: &'a ToSign,
    pub(super) policy: [u8; 32],
    /// What it is approved by.
    pub(super) by: Option<&'a BlindCase>,
}

impl Custody {
    /// Signs. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn sign_with_address<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        ask: SignAddress<B>,
    ) -> Result<SignedAddress, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        let scheme = scheme_of(&ask.scheme)?;
        let to_sign = &ToSign::read(&ask.input, &ask.format, scheme)?;
        let policy = match ask.case {
            // Decided when it is known what approves it.
            Some(_) => [0; 32],
            None => self.decide_address(caller, account, Mode::Hosted, &to_sign.said).await?,
        };
        let named = ask.public_key.as_ref().map(|key| &key[..]).unwrap_or_default();
        let (payload, case) = (to_sign.name(), ask.case);
        let fields = [&account.0[..], named, scheme.name().as_bytes(), &payload];
        let fields = fields.into_iter().chain(case.as_ref().map(|case| &case[..])).collect::<Vec<_>>();
        let name = match self.once(caller, &ask.mark, request_hash("address.sign", &fields)).await? {
            Once::Done(bytes) => return SignedAddress::of_kept(&bytes),
            Once::Fresh(name) => name,
        };
        let asked = Asked { caller, account, scheme, to_sign, policy, by: None };
        let signed = match &ask.case {
            Some(case) => self.sign_approved_asked(asked, case, ask.public_key, name.clone()).await,
            None => self.sign_asked(asked, ask.public_key, name.clone()).await,
        };
        if signed.is_err() {
            self.give_back(name).await;
        }
        signed
    }

    /// With approvals, if they are for just this.
    async fn sign_approved_asked(
        &self,
        asked: Asked<'_>,
        case: &Id,
        public_key: Option<[u8; 33]>,
        name: Option<Name>,
    ) -> Result<SignedAddress, Failure> {
        let case = self.case_of(&asked, case).await?;
        // Decided with the approvals that are about to be used up: what the ledger makes of them comes after.
        let to_sign = asked.to_sign.approved(case.rule);
        let asked = Asked { to_sign: &to_sign, by: Some(&case), ..asked };
        let signed = self.sign_asked(asked, public_key, name).await?;
        self.erase_mail(&case.id).await;
        Ok(signed)
    }

    async fn sign_asked(
        &self,
        asked: Asked<'_>,
        public_key: Option<[u8; 33]>,
        name: Option<Name>,
    ) -> Result<SignedAddress, Failure> {
        let account = asked.account;
        let (row, root) = self.hosted_addresses(account).await?;
        let given = match public_key {
            Some(public_key) => {
                let given = self.given_address(account, public_key).await?;
                if given.intent.is_some() {
                    return self.sign_late(&asked, &root, &given, name).await;
                }
                if matches!(given.new.origin, AddressOrigin::Index(_)) {
                    self.refuse_other_epochs(&row, given.new.epoch)?;
                    // Using approvals up takes a block or more: a use that comes after the epoch's edge is refused, and they are gone.
                    if asked.by.is_some() && self.address_epoch_now(&row)? > given.new.epoch {
                        let what = format!("the address epoch `{}` has ended", given.new.epoch);
                        return Err(Failure::new(Code::AddressEpoch, what));
                    }
                }
                Some(given.new)
            }
            None => None,
        };
        if let (None, Some(case)) = (&given, asked.by)
            && let Some(signed) = self.sign_late_by(&asked, case, &root, name.clone()).await?
        {
            return Ok(signed);
        }
        let limit = self.handle_limit(&root).await?;
        let Some(case) = asked.by else {
            return self.sign_with(asked, (&row, &root, limit), given, name).await;
        };
        let paid = self.pay_with(&asked, case).await?;
        let asked = Asked { policy: paid.policy, ..asked };
        let signed = self.sign_with(asked, (&row, &root, limit), given, name).await;
        signed.map_err(|failure| paid.failed(failure))
    }

    /// With an address that an intent has already, if it is just this one's.
    async fn sign_late(
        &self,
        asked: &Asked<'_>,
        root: &AddressRoot,
        given: &AddressRow,
        name: Option<Name>,
    ) -> Result<SignedAddress, Failure> {
        let Asked { caller, account, scheme, to_sign, by, .. } = *asked;
        if let Some(case) = by {
            if given.intent.map(Pays::Intent) != Some(case.pays) {
                return Err(used_before());
            }
            // Nothing is paid here: what is decided where approvals are used up is decided all the same.
            self.decide_address(caller, account, Mode::Hosted, &to_sign.said).await?;
            self.check_approvers(caller, &case.id).await?;
        }
        let key = key_of(root, &given.new, scheme)?;
        self.resume_address(given, (&key, to_sign.hash), name).await
    }

    /// With the fresh address that an earlier try took, whose answer was lost and which nobody was told; none where no signature can be
    /// had from it any more.
    async fn sign_late_by(
        &self,
        asked: &Asked<'_>,
        case: &BlindCase,
        root: &AddressRoot,
        name: Option<Name>,
    ) -> Result<Option<SignedAddress>, Failure> {
        let intent = case.drawn()?;
        if !self.unreleased.contains(&intent) {
            return Ok(None);
        }
        let taken = self.store.address_of_intent(asked.account.0, intent).await?;
        let Some(taken) = taken else { return Ok(None) };
        match self.sign_late(asked, root, &taken, name).await {
            Err(failure) if failure.code == Code::AddressUsed => Ok(None),
            signed => signed.map(Some),
        }
    }

    /// With a given address, or, now that nothing else is waited for, a fresh one.
    async fn sign_with(
        &self,
        asked: Asked<'_>,
        (row, root, limit): (&AddressAccount, &AddressRoot, Option<HandleLimit>),
        given: Option<NewAddress>,
        name: Option<Name>,
    ) -> Result<SignedAddress, Failure> {
        let Asked { caller, account, scheme, to_sign, policy, by } = asked;
        let address = match given {
            Some(given) => given,
            None => self.fresh_address(account, row, root).await?,
        };
        let epoch = match address.origin {
            AddressOrigin::Index(_) => address.epoch,
            AddressOrigin::Payment(_) => self.address_epoch_now(row)?,
        };
        let view = root.viewing_leaf(epoch);
        let key = key_of(root, &address, scheme)?;
        let wanted = Wanted {
            account,
            address: &address,
            scheme,
            view: &view,
            epoch_ms: row.epoch_ms,
            policy,
            to_sign,
            limit,
            by,
        };
        let Intended { intent, mut used, key: public } = self.intend(caller, wanted)?;
        let message = use_address_message(&self.ledger.chain_id(), &used.body());
        let proof = key.sign_message(&message).map_err(Failure::internal)?;
        used.proof = proof.try_into().map_err(|_length| Failure::internal("a proof of another length"))?;
        let taken = AddressUse {
            account: account.0,
            address,
            epoch,
            sealed: Some(self.seal_epoch(account, root, epoch)?),
            leaf_pin: None,
            spending_pin: None,
        };
        if by.is_some() {
            self.keep_paid_intent(&intent, &taken).await?;
        } else {
            let asking = Asking { caller, account, said: &to_sign.said, verb: Judged::Sign };
            // Without approvals nothing is left to be taken in.
            drop(self.keep_address_intent(asking, &intent, &taken).await?);
        }
        let passage = AddressPassage { account, address, intent, used, key: public, name };
        if let Some(case) = by
            && let Err(failure) = self.refuse_taken_back(case).await
        {
            self.give_up_address(&passage).await;
            return Err(failure);
        }
        let sign = |digest: &[u8; 32]| key.sign_digest(digest).map_err(Failure::internal);
        self.pass_address(&passage, sign).await
    }

    /// An address of the account that was given out or found.
    async fn given_address(&self, account: AccountId, public_key: [u8; 33]) -> Result<AddressRow, Failure> {
        let row = self.store.address(account.0, public_key).await?;
        row.ok_or_else(|| Failure::new(Code::AddressUnknown, "the account has no such address"))
    }
}

/// The private key of an address.
fn key_of(root: &AddressRoot, address: &NewAddress, scheme: Scheme) -> Result<SigningKey, Failure> {
    let view = root.viewing_leaf(address.epoch);
    let spending = root.spending_leaf(address.epoch).map_err(Failure::internal)?;
    let key = match address.origin {
        AddressOrigin::Index(index) => spending.key(&view, index, scheme),
        AddressOrigin::Payment(payment) => {
            Payment::decode(&payment).and_then(|payment| payment.key(&view, &spending, scheme))
        }
    };
    key.map_err(Failure::internal)
}
