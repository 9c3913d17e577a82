//! Cases that name nobody: for what an account signs with an address, which a case in its name would give away.
//!
//! The service opens them and uses them up. The ledger does not see who asks, so that no approver is the asker is checked here, and
//! whoever opens the detail of the use can check it again. A case pays for one intent. Of a hosted root its id is drawn when the case is
//! asked for and points to nothing on the ledger: the guard's rules for what is paid for on the ledger hold for it (`guard/delegated`).
//! Of a root of one's own the case's row says for which one (`addresses/own_approved`).

use keyward_domain::{
    AccountId, Code,
    approval::{About, AddressSigning},
    detail::ApprovedBy,
};
use keyward_ledger_core::{
    entry::Entry,
    state::layout::{AccountState, ApprovalCase, ApprovalCaseStatus as Status, ApprovalState, account_key},
};
use keyward_store::{ActKind, Approval, Change, Id, IntentState};

use super::{mail::row_id, members};
use crate::{
    acts::Plan,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    once::{Once, request_hash},
    ports::Final,
    vaults::{entries::HandedIn, floods::Flood},
};

/// Whether a case names nobody: its payload stands in the initiator's place.
pub(super) fn is_blind(found: &ApprovalCase) -> bool {
    found.initiator == found.payload
}

/// A case that an account asked for here, without a name.
pub(crate) struct BlindCase {
    pub(crate) id: Id,
    pub(crate) asked: AddressSigning,
    /// Under which it is approved.
    pub(crate) rule: Id,
    pub(crate) pays: Pays,
}

/// What a case pays for, as its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pays {
    /// Of a root of one's own: nothing yet.
    Nothing,
    /// The same, and it is being used up.
    Begun,
    /// This intent alone.
    Intent(Id),
}

impl Pays {
    pub(crate) fn encode(self) -> Option<Vec<u8>> {
        match self {
            Self::Nothing => None,
            Self::Begun => Some(Vec::new()),
            Self::Intent(intent) => Some(intent.to_vec()),
        }
    }

    pub(crate) fn of(row: &Approval) -> Result<Self, Failure> {
        match row.used.as_deref() {
            None => Ok(Self::Nothing),
            Some([]) => Ok(Self::Begun),
            Some(intent) => match Id::try_from(intent) {
                Ok(intent) => Ok(Self::Intent(intent)),
                Err(_length) => Err(Failure::internal("a case that pays for what is no intent")),
            },
        }
    }
}

impl BlindCase {
    /// Of a hosted root: the intent that was drawn when it was asked for.
    pub(crate) fn drawn(&self) -> Result<Id, Failure> {
        match self.pays {
            Pays::Intent(intent) => Ok(intent),
            Pays::Nothing | Pays::Begun => {
                Err(Failure::internal("a case without the intent that it pays for"))
            }
        }
    }

    /// What the detail of the use says of it.
    pub(crate) const fn approved_by(&self) -> ApprovedBy {
        ApprovedBy { case: self.id, salt: self.asked.salt }
    }
}

/// What is asked for without a name.
pub(crate) struct AskBlindly<'a> {
    pub(crate) asked: AddressSigning,
    pub(crate) rule: Id,
    pub(crate) live_ms: u64,
    pub(crate) mark: &'a [u8],
    pub(crate) pays: Pays,
}

impl Custody {
    /// Opens a case for the caller's account. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn ask_blindly(
        &self,
        caller: &Caller,
        ask: AskBlindly<'_>,
    ) -> Result<HandedIn, Failure> {
        let AskBlindly { asked, rule, live_ms, mark, pays } = ask;
        let account = AccountId(asked.account);
        let (scheme, times) = ([asked.scheme.code()], live_ms.to_be_bytes());
        let fields: [&[u8]; 6] =
            [&asked.account, &scheme, &asked.payload_hash, asked.format.as_bytes(), &rule, &times];
        let name = match self.once(caller, mark, request_hash("address.ask", &fields)).await? {
            Once::Done(bytes) => return HandedIn::of_kept(&bytes),
            Once::Fresh(name) => name,
        };
        let entry = Entry::OpenBlindCase(asked.blinded().open(rule, live_ms));
        let about = About::Address(asked);
        let prepared = async {
            self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
            let terms = self.approval_rule(&rule).await?;
            let terms = terms.ok_or_else(|| Failure::new(Code::RuleUnknown, "no such rule was defined"))?;
            super::entries::check_life(live_ms, &terms)?;
            let readers = self.accounts_of(members(&terms)).await?;
            self.posted(caller, account, &entry.encode(), (&about, readers, live_ms, pays.encode())).await
        };
        let before = match prepared.await {
            Ok(before) => before,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let id = row_id(&entry.encode());
        let accepted = vec![Change::OpenApproval { id, case: [0; 32], ends_ms: live_ms }];
        let refused = vec![Change::RemoveApproval(id)];
        let (kind, subject, app) = (ActKind::Approval, account.0, String::new());
        let plan = Plan { kind, subject, entries: vec![entry], before, accepted, refused, name, app };
        HandedIn::of_kept(&self.perform(plan).await?)
    }

    /// The account's case, as the ledger has it, and what it asked for here.
    pub(crate) async fn blind_case(&self, account: AccountId, case: &Id) -> Result<BlindCase, Failure> {
        let unknown = || Failure::new(Code::CaseUnknown, "the account has asked for no such case here");
        let row = self.store.approval_of_case(*case).await?.filter(|row| row.account == account.0);
        let row = row.ok_or_else(unknown)?;
        if row.is_withdrawn() {
            return Err(taken_back());
        }
        let About::Address(asked) = self.opened_mail(&row)? else {
            return Err(Failure::new(Code::ApprovalPayloadOther, "the case is about no address"));
        };
        let found = self.approval_case(case).await?.ok_or_else(unknown)?;
        if found.payload != asked.blinded().payload() {
            return Err(Failure::internal("a case whose payload is not that of what was asked for"));
        }
        Ok(BlindCase { id: *case, asked, rule: found.rule, pays: Pays::of(&row)? })
    }

    /// The record that used a case up, final and accepted: handed in now, or found where an earlier try got through. The entry is
    /// the same whoever makes it, and who may make it knows the salt.
    pub(crate) async fn used_blind(
        &self,
        case: &BlindCase,
        is_used: bool,
    ) -> Result<Box<dyn Final>, Failure> {
        let entry = Entry::UseBlindCase(case.asked.blinded().use_up(case.id));
        self.handed_in_use(&entry, is_used).await?
    }

    /// Refuses what the ledger would refuse: the word that uses a case up would stand there for good, and with it another service could
    /// use the case up as soon as it is complete. Whether it is used up already.
    pub(crate) async fn check_usable(&self, case: &BlindCase) -> Result<bool, Failure> {
        let refused = |code, what| Err(Failure::new(code, what));
        let (found, time_ms) = self.approval_case_since(&case.id, self.ledger.height()).await?;
        let Some(found) = found else { return refused(Code::CaseUnknown, "the case's time is over") };
        match found.status {
            Status::Used => return Ok(true),
            Status::Closed => return refused(Code::CaseClosed, "the case was refused or withdrawn"),
            Status::Open if found.ends_ms < time_ms => {
                return refused(Code::CaseUnknown, "the case's time is over");
            }
            Status::Open => {}
        }
        let Some(rule) = self.approval_rule(&found.rule).await? else {
            return refused(Code::RuleUnknown, "no such rule was defined");
        };
        if rule.version != found.version {
            return refused(Code::RuleVersion, "the case's rule was defined anew since it was opened");
        }
        if self.is_complete(&found, &rule).await? {
            return Ok(false);
        }
        refused(Code::ApprovalsMissing, "not all groups of the rule have approved the case")
    }

    /// As the ledger counts: approvals of accounts that are closed do not.
    async fn is_complete(&self, found: &ApprovalCase, rule: &ApprovalState) -> Result<bool, Failure> {
        let mut given = Vec::with_capacity(found.approvals.len());
        for (group, account) in &found.approvals {
            let value = self.ledger.state(account_key(account)).await?;
            let of =
                value.map(|value| AccountState::decode(&value)).transpose().map_err(Failure::internal)?;
            if of.is_some_and(|of| of.open) {
                given.push(*group);
            }
        }
        let met = |(number, needed): (u8, u8)| {
            given.iter().filter(|group| **group == number).count() >= usize::from(needed.max(1))
        };
        let groups = &rule.terms.groups;
        Ok(!groups.is_empty() && (0..).zip(groups.iter().map(|group| group.needed)).all(met))
    }

    /// Takes a blind case back for the account that asked for it: here alone, for the ledger would keep beside the case's id who did.
    /// Without its salt nothing can be signed by it. Whether it is taken back; else the word is for the ledger.
    pub(super) async fn take_back(&self, account: AccountId, case: &Id) -> Result<bool, Failure> {
        let row = self.store.approval_of_case(*case).await?.filter(|row| row.account == account.0);
        let found = self.approval_case_since(case, self.ledger.height()).await?.0;
        let has_approved = |found: &ApprovalCase| found.approvals.iter().any(|(_, of)| *of == account.0);
        if found.as_ref().is_some_and(|found| !is_blind(found) || has_approved(found)) {
            return Ok(false);
        }
        if let Some(row) = row.as_ref().filter(|row| row.is_withdrawn()) {
            return self.check_unsigned(row).await.map(|()| true);
        }
        let Some(found) = found else {
            return Err(Failure::new(Code::CaseUnknown, "no such case was opened, or its time is over"));
        };
        match found.status {
            Status::Open => {}
            Status::Used => return Err(used_up()),
            Status::Closed => return Err(Failure::new(Code::CaseClosed, "the case was refused")),
        }
        let not_given =
            || Failure::new(Code::ApprovalNotGiven, "the account has given no approval in this case");
        row.ok_or_else(not_given)?;
        self.store.apply(vec![Change::WithdrawApproval(*case)]).await?;
        match self.store.approval_of_case(*case).await? {
            Some(row) => self.check_unsigned(&row).await.map(|()| true),
            None => Err(Failure::new(Code::IdempotencyPending, "the case ends just now")),
        }
    }

    /// Refuses to say of a case that is taken back that nothing is signed by it, unless that is so. INVARIANT: who signs keeps the intent, or of an own
    /// root makes the case its own, first and then looks whether the case was taken back, who takes it back does it first and then looks for the intent: one of both
    /// sees the other.
    async fn check_unsigned(&self, row: &Approval) -> Result<(), Failure> {
        let Pays::Intent(intent) = Pays::of(row)? else { return Ok(()) };
        match self.store.intent(intent).await?.map(|intent| intent.state) {
            None | Some(IntentState::Refused | IntentState::Abandoned) => Ok(()),
            Some(IntentState::Submitted | IntentState::Final) => {
                Err(Failure::new(Code::IdempotencyPending, "it is being signed just now"))
            }
            Some(IntentState::Signed | IntentState::Released | IntentState::Late) => Err(used_up()),
        }
    }

    /// Refuses a case that was taken back by now.
    pub(crate) async fn refuse_taken_back(&self, case: &BlindCase) -> Result<(), Failure> {
        let row = self.store.approval_of_case(case.id).await?;
        if row.is_some_and(|row| row.is_withdrawn()) { Err(taken_back()) } else { Ok(()) }
    }

    /// Refuses an approver of a case that names nobody who has asked for it, and a case of which it is not known here who did.
    pub(super) async fn refuse_asker(
        &self,
        caller: &Caller,
        case: &Id,
        found: &ApprovalCase,
    ) -> Result<(), Failure> {
        if !is_blind(found) {
            return Ok(());
        }
        match self.store.approval_of_case(*case).await? {
            Some(row) if caller.account.is_some_and(|own| own.0 == row.account) => {
                let what = "the approver's account has asked for the case";
                Err(Failure::new(Code::ApproverIsInitiator, what))
            }
            Some(row) if row.is_withdrawn() => Err(taken_back()),
            Some(_) => Ok(()),
            None => Err(Failure::new(Code::ApprovalUnknown, "who has asked for the case is not known here")),
        }
    }
}

pub(crate) fn taken_back() -> Failure {
    Failure::new(Code::CaseClosed, "who asked for the case has taken it back: nothing is signed by it")
}

fn used_up() -> Failure {
    Failure::new(Code::CaseUsed, "the case is used up")
}
