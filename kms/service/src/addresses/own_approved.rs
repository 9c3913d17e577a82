//! Approvals of what an address of a root of one's own is to sign: looked at before there is an intent, and used up once its address has
//! vouched for one, right before that is recorded.
//!
//! INVARIANT: a case pays for one intent. Its row says first that it is being used up, and then for which intent: of several that were
//! begun with it the database lets one have it. A case that is used up on the ledger, and of which the row says nothing, was used before
//! the database was set back, and pays for nothing.

use keyward_domain::{Code, Mode};
use keyward_ledger_core::state::addresses::used_address_key;
use keyward_store::{Change, Id, StoreError};

use super::{own_book::OwnState, payload::ToSign, resume::used_before, sign::Asked};
use crate::{
    approvals::{
        blind::{BlindCase, Pays, taken_back},
        sign::used_up,
    },
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{AddressPassage, Paid},
    risk::Weighed,
    vaults::floods::Flood,
};

/// What a use that was begun is approved by.
pub(super) struct Approved {
    pub(super) case: Id,
    /// What passed by its approvals, until they are used up.
    pub(super) weighed: Option<Weighed>,
}

impl Custody {
    /// The policies' word, by the approvals of a case if there is one: it, what is to be signed with it, and the policy set. Uses nothing up.
    pub(super) async fn decide_own(
        &self,
        asked: &Asked<'_>,
        case: Option<&Id>,
    ) -> Result<(Option<BlindCase>, ToSign, Id), Failure> {
        let Asked { caller, account, to_sign, .. } = *asked;
        let Some(case) = case else {
            let policy = self.decide_address(caller, account, Mode::Own, &to_sign.said).await?;
            return Ok((None, to_sign.clone(), policy));
        };
        self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
        let case = self.case_of(asked, case).await?;
        let to_sign = to_sign.approved(case.rule);
        let (_, policy) = self.check_own_case(&Asked { to_sign: &to_sign, ..*asked }, &case, None).await?;
        Ok((Some(case), to_sign, policy))
    }

    /// Uses up the approvals of a use whose address has vouched for it: from then on the case is this intent's. What can be known to fail
    /// fails before.
    pub(super) async fn pay_own(&self, caller: &Caller, state: &mut OwnState) -> Result<(), Failure> {
        let OwnState { passage, to_sign, by, .. } = state;
        let Some(by) = by else { return Ok(()) };
        let (account, intent) = (passage.account, passage.intent.id);
        self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
        let _in_hand = self.in_flight.enter(by.case).ok_or_else(in_hand)?;
        // It may have been withdrawn since, or have paid for another one.
        let case = self.blind_case(account, &by.case).await?;
        let scheme = passage.used.scheme;
        let asked = Asked { caller, account, scheme, to_sign, policy: [0; 32], by: None };
        let (is_used, _) = self.check_own_case(&asked, &case, Some(intent)).await?;
        self.check_recordable(passage).await?;
        if case.pays == Pays::Nothing {
            self.set_paid(&case.id, Pays::Nothing, Pays::Begun).await?;
        }
        let record = self.used_blind(&case, is_used).await?;
        let paid = async {
            // None can come any more: what was given up to the use is looked at once more.
            self.check_approvers_used(caller, &case.id, record.as_ref()).await?;
            self.decide_address(caller, account, Mode::Own, &to_sign.said).await?;
            self.take_paid(&case, intent).await
        };
        paid.await.map_err(|failure| used_up(failure, record.as_ref()))?;
        if let Some(weighed) = by.weighed.take() {
            self.learn(weighed).await;
        }
        Ok(())
    }

    /// What is never recorded was paid for in vain: the case, though used up, pays for another one while it lives.
    pub(super) async fn take_back_paid(&self, by: Option<&Approved>, intent: &Id) {
        let Some(by) = by else { return };
        if let Err(error) = self.set_paid(&by.case, Pays::Intent(*intent), Pays::Begun).await {
            tracing::warn!(%error, "a case stays with an intent that was not recorded");
        }
    }

    /// Refuses a case that is not complete, or is another intent's. Whether it is used up already, and the policy set.
    async fn check_own_case(
        &self,
        asked: &Asked<'_>,
        case: &BlindCase,
        intent: Option<Id>,
    ) -> Result<(bool, Id), Failure> {
        if let Pays::Intent(paid) = case.pays
            && Some(paid) != intent
        {
            return Err(self.paid_before(paid).await?);
        }
        let (is_used, policy) = self.check_paying(asked, Mode::Own, case).await?;
        if is_used && case.pays == Pays::Nothing {
            let what = "the case is used up on the ledger, and nothing is known here of what for";
            return Err(Failure::new(Code::ApprovalUnsigned, what));
        }
        Ok((is_used, policy))
    }

    async fn paid_before(&self, paid: Id) -> Result<Failure, Failure> {
        if self.begun_addresses.knows(&paid) {
            return Ok(in_hand());
        }
        Ok(match self.store.intent(paid).await? {
            Some(row) => self.stands(Paid::Approvals, &row),
            None => {
                Failure::new(Code::ApprovalUnsigned, "the case has paid for what is not known here any more")
            }
        })
    }

    /// Refuses what the ledger would refuse: it was decided some time ago.
    async fn check_recordable(&self, passage: &AddressPassage) -> Result<(), Failure> {
        let row = self.own_addresses(passage.account).await?;
        self.refuse_other_epochs(&row, passage.used.epoch)?;
        let [_, x @ ..] = passage.used.public_key;
        match self.ledger.state(used_address_key(&x)).await? {
            Some(_) => Err(used_before()),
            None => Ok(()),
        }
    }

    /// Makes the case the intent's, unless another one has it.
    async fn take_paid(&self, case: &BlindCase, intent: Id) -> Result<(), Failure> {
        self.set_paid(&case.id, Pays::Begun, Pays::Intent(intent)).await?;
        match self.store.approval_of_case(case.id).await? {
            Some(row) if row.is_withdrawn() => {
                self.set_paid(&case.id, Pays::Intent(intent), Pays::Begun).await?;
                Err(taken_back())
            }
            Some(row) if Pays::of(&row)? == Pays::Intent(intent) => Ok(()),
            Some(_) => Err(in_hand()),
            None => Err(Failure::new(Code::CaseUnknown, "the case was withdrawn meanwhile")),
        }
    }

    /// Changes what a case pays for, if that is still what is said.
    async fn set_paid(&self, case: &Id, from: Pays, to: Pays) -> Result<(), StoreError> {
        let (case, from, to) = (*case, from.encode(), to.encode());
        self.store.apply(vec![Change::SetApprovalUse { case, from, to }]).await
    }
}

fn in_hand() -> Failure {
    Failure::new(Code::IdempotencyPending, "another use of an address has the case in hand")
}
