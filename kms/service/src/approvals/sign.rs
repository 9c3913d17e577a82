//! Signing with approvals: they are used up on the ledger first, then the guard makes the one signature that they pay for.
//!
//! INVARIANT: the intent's id follows from the record that used the approvals up, and its commitment is the case's. So a case
//! has one signature, of exactly what was approved, whatever crashes between and however often it is asked.

use std::sync::Arc;

use keyward_domain::{Code, risk::Verb};
use keyward_ledger_core::{
    contracts::intent::INTENT_BLOCKS_MAX,
    entry::{Act, Case, Entry},
    hash::commitment,
    outcome::Refusal,
    scheme::KeyId,
    shared::approval_payload,
};
use keyward_store::{Change, Custody as Place, Id, IdempotencyKey as Name, StoreError};

use super::{act_of, malformed, refusal};
use crate::{
    caller::Caller,
    custody::Custody,
    delegation::act::{DoneAct, before},
    failure::Failure,
    guard::{Acted, DECISIONS_MAX, Input, Paid, Said, Signed, payload},
    handed_in,
    keybook::KnownKey,
    once::{Once, request_hash},
    ports::Final,
    risk::Asking,
    vaults::{
        entries::{self, HandedIn},
        floods::Flood,
    },
};

/// A signature that is asked for with a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskApproved<'a, B> {
    pub(crate) key: &'a str,
    pub(crate) input: &'a Input<B>,
    /// What the payload says.
    pub(crate) said: &'a Said,
    pub(crate) mark: &'a [u8],
    pub(crate) case: Id,
    /// Opens the commitment that the case is about.
    pub(crate) opening: Id,
    /// The initiator's word that the approvals are used up.
    pub(crate) use_entry: &'a [u8],
}

impl Custody {
    /// Signs with approvals. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn sign_approved<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        ask: AskApproved<'_, B>,
    ) -> Result<DoneAct, Failure> {
        let _permit = self.permit()?;
        let (entry, case) = use_of(ask.use_entry)?;
        self.verify_author(&entry).await?;
        // Decided with the approvals that are about to be used up: what the ledger makes of them comes after.
        let found = self.approval_case(&ask.case).await?;
        let said = ask.said.clone().approved(found.as_ref().map(|found| found.rule));
        let ask = AskApproved { said: &said, ..ask };
        let (key, _) = self.key_to_sign(caller, ask.key, ask.said).await?;
        let payload = payload(&key, ask.input)?;
        let payload_hash = payload.hash();
        let committed = commitment(&ask.opening, &payload_hash);
        if case.id != ask.case || case.payload != approval_payload(&KeyId(key.row.key_id), &committed) {
            let what = "the case is not about this key, payload and opening";
            return Err(Failure::new(Code::ApprovalPayloadOther, what));
        }
        let form: &[u8] = match ask.input {
            Input::Message(_) => b"message",
            Input::Digest(_) => b"digest",
        };
        // The entry is none of the request: signed anew, the same case is the same request.
        let fields: [&[u8]; 5] = [&key.row.key_id, form, &payload_hash, &ask.case, &ask.opening];
        let name = match self.once(caller, ask.mark, request_hash("key.sign-approved", &fields)).await? {
            Once::Done(bytes) => return DoneAct::of_kept(key, &bytes),
            Once::Fresh(name) => name,
        };
        let done = self.sign_approved_once(caller, &ask, &entry, key, name.clone()).await;
        if done.is_err() {
            self.give_back(name).await;
        }
        done
    }

    async fn sign_approved_once<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        ask: &AskApproved<'_, B>,
        entry: &Entry,
        key: Arc<KnownKey>,
        name: Option<Name>,
    ) -> Result<DoneAct, Failure> {
        // Each record of a use is on the account of who has it done.
        let payer = caller.account.map_or(key.account(), |account| account).0;
        self.floods.charge(payer, Flood::Entry, self.clock.now_ms())?;
        // What can be known to fail must fail before anything is used up.
        let _place = self.agent_place(&key)?;
        match &key.row.custody {
            Place::Hosted { sealed, .. } => drop(self.opened_key(&key, sealed).await?),
            Place::Linked { .. } => {}
            _ => return Err(Failure::new(Code::KeyIsSelf, "the key does not sign here alone")),
        }
        self.check_approvers(caller, &ask.case).await?;
        let weighed =
            self.weigh(Asking { caller, account: key.account(), said: ask.said, verb: Verb::Sign }).await?;
        let record = self.recorded_use(ask.case, entry).await?;
        self.learn(weighed).await;
        let used = entries::kept(record.as_ref());
        let mut acted = Acted {
            record: record.as_ref(),
            input: ask.input,
            r: ask.opening,
            policy: [0; 32],
            name,
            before: before(&used),
            paid: Paid::Approvals,
        };
        let signed = self
            .sign_used(caller, ask, &mut acted)
            .await
            .map_err(|failure| used_up(failure, record.as_ref()))?;
        self.erase_mail(&ask.case).await;
        Ok(DoneAct { act: HandedIn::of_kept(&used)?, signed })
    }

    /// Decides anew now that the use stands, and signs.
    async fn sign_used<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        ask: &AskApproved<'_, B>,
        acted: &mut Acted<'_, B>,
    ) -> Result<Signed, Failure> {
        // None can come any more: what was given up to the use is looked at once more.
        self.check_approvers_used(caller, &ask.case, acted.record).await?;
        for _ in 0..DECISIONS_MAX {
            let (key, policy) = self.key_to_sign(caller, ask.key, ask.said).await?;
            acted.policy = policy;
            if let Some(signed) = self.try_sign_acted(caller, acted, key).await? {
                return Ok(signed);
            }
        }
        Err(Failure::new(Code::ServiceBusy, "the key is being changed"))
    }

    /// The record that used a case up, final and accepted: handed in now, or found where an earlier try got through. What is
    /// to be handed in is written down before, so that a crash leaves it to be found, and forgotten once it is refused.
    async fn recorded_use(&self, case: Id, entry: &Entry) -> Result<Box<dyn Final>, Failure> {
        let kept = self.store.approval_of_case(case).await?.and_then(|row| row.used);
        if let Some(bytes) = &kept {
            let kept = Entry::decode(bytes).map_err(Failure::internal)?;
            // Whoever wrote it down may still be at it: its own entry goes before ours.
            match self.handed_in_use(&kept, true).await? {
                Ok(record) => return Ok(record),
                Err(refused) if is_of_case(refused.code) => {
                    self.keep_use(case, Some(bytes.clone()), None).await?;
                    return Err(refused);
                }
                Err(_stale) => {}
            }
        }
        let bytes = entry.encode();
        self.keep_use(case, kept, Some(bytes.clone())).await?;
        let recorded = self.handed_in_use(entry, false).await?;
        if recorded.is_err() {
            self.keep_use(case, Some(bytes), None).await?;
        }
        recorded
    }

    async fn keep_use(&self, case: Id, from: Option<Vec<u8>>, to: Option<Vec<u8>>) -> Result<(), StoreError> {
        self.store.apply(vec![Change::SetApprovalUse { case, from, to }]).await
    }

    /// The record, or the ledger's refusal; an error where nobody knows what became of it.
    pub(super) async fn handed_in_use(
        &self,
        entry: &Entry,
        look_first: bool,
    ) -> Result<Result<Box<dyn Final>, Failure>, Failure> {
        if look_first && let Some(found) = self.used_before(entry).await? {
            return Ok(Ok(found));
        }
        let record = self.ledger.commit(entry.clone()).await?;
        if record.outcome().is_accepted() {
            return Ok(Ok(record));
        }
        let before = [Refusal::AuthorReplayed, Refusal::Expired, Refusal::CaseUsed, Refusal::CaseUnknown];
        if record.outcome().refusal().is_some_and(|refusal| before.contains(&refusal))
            && let Some(found) = self.used_before(entry).await?
        {
            return Ok(Ok(found));
        }
        Ok(Err(refusal(record.as_ref())))
    }

    /// No further back than where an intent may still follow.
    async fn used_before(&self, entry: &Entry) -> Result<Option<Box<dyn Final>>, Failure> {
        let height = self.ledger.height();
        let first = height.saturating_sub(INTENT_BLOCKS_MAX);
        Ok(self.ledger.accepted_within(first..=height, entry.clone()).await?)
    }
}

/// Refusals that another word of the initiator's would share: they are the case's, not the entry's.
fn is_of_case(code: Code) -> bool {
    use Code::{ApprovalsMissing, CaseClosed, CasePayload, CaseUnknown, CaseUsed, RuleUnknown, RuleVersion};
    matches!(
        code,
        ApprovalsMissing | CaseClosed | CasePayload | CaseUnknown | CaseUsed | RuleUnknown | RuleVersion
    )
}

/// A canonical use of approvals, and the case.
fn use_of(bytes: &[u8]) -> Result<(Entry, Case), Failure> {
    let entry = handed_in::read(bytes, Code::ApprovalRequestMalformed)?;
    match act_of(&entry) {
        Some((Act::UseApproval(case), _)) => {
            let case = *case;
            Ok((entry, case))
        }
        _ => Err(malformed("the entry is no use of approvals, signed by one author")),
    }
}

/// A refusal after the use says where it stands.
pub(crate) fn used_up(failure: Failure, record: &dyn Final) -> Failure {
    let place = record.leaf_index();
    let message = format!("{}; the approvals are used up by record {place}", failure.message);
    Failure { message, ..failure }
}
