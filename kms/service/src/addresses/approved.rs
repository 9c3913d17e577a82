//! Approvals of what an address is to sign: asked for before there is an address, under no name, and used up right before it is used.

use keyward_domain::{Code, Mode, approval::AddressSigning, risk::Verb as Judged};
use keyward_policies::Verb;
use keyward_store::{AddressCustody, AddressUse, Claimed, Id, NewIntent, StoreError};

use super::{payload::ToSign, scheme_of, sign::Asked};
use crate::{
    acts::Guarded,
    approvals::{
        blind::{AskBlindly, BlindCase, Pays},
        sign::used_up,
    },
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    guard::{Input, Paid},
    ports::Final,
    risk::Asking,
    vaults::{entries::HandedIn, floods::Flood},
};

/// What approvals are asked for.
#[derive(Debug)]
pub(crate) struct AskAddress<B> {
    /// The id of an approval rule.
    pub(crate) rule: Id,
    pub(crate) live_ms: u64,
    pub(crate) scheme: String,
    pub(crate) input: Input<B>,
    pub(crate) format: String,
    pub(crate) mark: Vec<u8>,
}

/// Approvals that are used up, for an intent that is to be begun.
pub(super) struct PaidFor<'a> {
    record: Box<dyn Final>,
    /// The policy set that decided once they were.
    pub(super) policy: Id,
    _in_hand: Guarded<'a>,
}

impl PaidFor<'_> {
    /// A refusal after the use says where it stands.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        used_up(failure, self.record.as_ref())
    }
}

impl Custody {
    /// Asks for approval of a payload that an address is to sign. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn ask_for_address<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        ask: AskAddress<B>,
    ) -> Result<HandedIn, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        let scheme = scheme_of(&ask.scheme)?;
        let to_sign = ToSign::read(&ask.input, &ask.format, scheme)?;
        let pays = match self.chosen_addresses(account).await?.custody {
            AddressCustody::Hosted => Pays::Intent(random()?),
            AddressCustody::Own => {
                self.refuse_uncounted()?;
                Pays::Nothing
            }
        };
        let (Input::Message(payload) | Input::Digest(payload)) = &ask.input;
        let asked = AddressSigning {
            account: account.0,
            salt: random()?,
            scheme,
            payload: payload.as_ref().to_vec(),
            format: to_sign.format,
            payload_hash: to_sign.hash,
        };
        let (rule, live_ms, mark) = (ask.rule, ask.live_ms, &ask.mark[..]);
        self.ask_blindly(caller, AskBlindly { asked, rule, live_ms, mark, pays }).await
    }

    /// The account's case, if it is about just this signature.
    pub(super) async fn case_of(&self, asked: &Asked<'_>, case: &Id) -> Result<BlindCase, Failure> {
        let case = self.blind_case(asked.account, case).await?;
        let about = (&case.asked.payload_hash, &case.asked.format, case.asked.scheme);
        if about == (&asked.to_sign.hash, &asked.to_sign.format, asked.scheme) {
            return Ok(case);
        }
        let what = "the case is about another payload, format or scheme";
        Err(Failure::new(Code::ApprovalPayloadOther, what))
    }

    /// Refuses what is known to fail before approvals are used up. Whether they are already, and the policy set that decided.
    pub(super) async fn check_paying(
        &self,
        asked: &Asked<'_>,
        mode: Mode,
        case: &BlindCase,
    ) -> Result<(bool, Id), Failure> {
        let Asked { caller, account, to_sign, .. } = *asked;
        let is_used = self.check_usable(case).await?;
        self.require_open_on_ledger(account).await?;
        let policy = self.decide_address(caller, account, mode, &to_sign.said).await?;
        self.check_approvers(caller, &case.id).await?;
        Ok((is_used, policy))
    }

    /// Uses approvals up. What can be known to fail has failed before: the case has one intent, whatever becomes of it.
    pub(super) async fn pay_with<'a>(
        &'a self,
        asked: &Asked<'_>,
        case: &'a BlindCase,
    ) -> Result<PaidFor<'a>, Failure> {
        let Asked { caller, account, to_sign, .. } = *asked;
        // Each look for what used the case up is long, and each word to the ledger stands there for good.
        self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
        let under_way = || Failure::new(Code::IdempotencyPending, "it is being signed just now");
        let intent = case.drawn()?;
        let in_hand = self.in_flight.enter(intent).ok_or_else(under_way)?;
        if let Some(row) = self.store.intent(intent).await? {
            return Err(self.stands(Paid::Approvals, &row));
        }
        let (is_used, _) = self.check_paying(asked, Mode::Hosted, case).await?;
        let asking = Asking { caller, account, said: &to_sign.said, verb: Judged::Sign };
        let weighed = self.weigh(asking).await?;
        let record = self.used_blind(case, is_used).await?;
        let decided = async {
            self.check_unclaimed(intent, Paid::Approvals, record.as_ref()).await?;
            // None can come any more: what was given up to the use is looked at once more.
            self.check_approvers_used(caller, &case.id, record.as_ref()).await?;
            self.decide_address(caller, account, Mode::Hosted, &to_sign.said).await
        };
        match decided.await {
            Ok(policy) => {
                // What a retry brings here again is known once: after this it has its intent.
                self.learn(weighed).await;
                Ok(PaidFor { record, policy, _in_hand: in_hand })
            }
            Err(failure) => Err(used_up(failure, record.as_ref())),
        }
    }

    /// Keeps the one intent of a case, and takes its address.
    pub(super) async fn keep_paid_intent(
        &self,
        intent: &NewIntent,
        address: &AddressUse,
    ) -> Result<(), Failure> {
        match self.store.begin_address_intent(intent.clone(), address.clone(), None).await {
            Ok(Claimed::Stale) => {
                Err(Failure::new(Code::ServiceBusy, "the account's history is being changed"))
            }
            Ok(_) => Ok(()),
            // Another server was faster.
            Err(StoreError::Missing { what: "new intent" }) => {
                Err(Failure::new(Code::IdempotencyPending, "another server has it in hand"))
            }
            Err(error) => Err(error.into()),
        }
    }
}
