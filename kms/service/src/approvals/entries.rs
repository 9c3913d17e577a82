//! Handing in what persons signed about approvals: once under each idempotency key, and settled whatever stops between.

use keyward_domain::{AccountId, Code, approval::About, scheme};
use keyward_ledger_core::{
    contracts::authored::authored_message,
    entry::{Act, Author, Entry, Party, Terms as _},
    scheme::{PublicKey, Scheme},
    state::layout::{ApprovalState, CredentialState, credential_key},
};
use keyward_policies::Verb;
use keyward_store::{Act as Row, ActKind, ApprovalRule, Change, Id, IdempotencyKey as Name};

use super::{act_of, mail::row_id, malformed, members, rule_id};
use crate::{
    acts::{Plan, Settled},
    addresses::check_limit_terms,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in::{self, Sought},
    once::{Once, request_hash},
    ports::Final,
    vaults::entries::{HandedIn, kept},
    vaults::floods::Flood,
};

/// What may be handed in, one call each. Approvals are used up where they pay for something, not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Define,
    Ask,
    Give,
    Refuse,
    Withdraw,
}

impl Kind {
    const fn verb(self) -> Verb {
        match self {
            Self::Define => Verb::ApprovalDefine,
            Self::Ask => Verb::ApprovalAsk,
            Self::Give | Self::Refuse | Self::Withdraw => Verb::ApprovalGive,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Define => "approval.define",
            Self::Ask => "approval.ask",
            Self::Give => "approval.give",
            Self::Refuse => "approval.refuse",
            Self::Withdraw => "approval.withdraw",
        }
    }

    const fn of(act: &Act) -> Option<Self> {
        match act {
            Act::DefineApproval(_) | Act::DefineRate(_) => Some(Self::Define),
            Act::OpenApproval { .. } => Some(Self::Ask),
            Act::Approve { .. } => Some(Self::Give),
            Act::RefuseApproval(_) => Some(Self::Refuse),
            Act::WithdrawApproval(_) => Some(Self::Withdraw),
            _ => None,
        }
    }

    /// What takes rights away is handed in again if nobody knows whether it arrived; what gives them is only looked for.
    const fn again(self) -> bool {
        matches!(self, Self::Refuse | Self::Withdraw)
    }
}

/// What somebody hands in; with what opens a case, what it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandIn<'a> {
    pub(crate) kind: Kind,
    pub(crate) entry: &'a [u8],
    pub(crate) about: Option<&'a About>,
    pub(crate) mark: &'a [u8],
}

/// What a word came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Recorded(HandedIn),
    /// Who asked for a blind case has taken it back here; the ledger has no entry of it.
    TakenBack,
}

impl Heard {
    /// Of what an idempotency key keeps: nothing where nothing was recorded.
    fn of_kept(bytes: &[u8]) -> Result<Self, Failure> {
        if bytes.is_empty() { Ok(Self::TakenBack) } else { HandedIn::of_kept(bytes).map(Self::Recorded) }
    }
}

impl Custody {
    /// Hands an entry in and waits until it is final. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn hand_in_approval(
        &self,
        caller: &Caller,
        what: HandIn<'_>,
    ) -> Result<HandedIn, Failure> {
        match self.hear_approval(caller, what).await? {
            Heard::Recorded(done) => Ok(done),
            Heard::TakenBack => {
                Err(Failure::internal("a word that is none of a withdrawal was not recorded"))
            }
        }
    }

    /// Takes an approval or a case back, likewise.
    pub(crate) async fn withdraw_approval(
        &self,
        caller: &Caller,
        entry: &[u8],
        mark: &[u8],
    ) -> Result<Heard, Failure> {
        self.hear_approval(caller, HandIn { kind: Kind::Withdraw, entry, about: None, mark }).await
    }

    async fn hear_approval(&self, caller: &Caller, what: HandIn<'_>) -> Result<Heard, Failure> {
        let _permit = self.permit()?;
        let account = caller.own_account()?;
        self.authorise_account(caller, what.kind.verb(), account)?;
        caller.in_time(self.clock.now_ms())?;
        let entry = own_entry(what.kind, what.entry)?;
        self.check_author(&entry, account).await?;
        let about = what.about.map(About::encode).unwrap_or_default();
        let hash = request_hash(what.kind.name(), &[&account.0, what.entry, &about]);
        let name = match self.once(caller, what.mark, hash).await? {
            Once::Done(bytes) => return Heard::of_kept(&bytes),
            Once::Fresh(name) => name,
        };
        let checked = async {
            self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
            self.before_hand_in(caller, account, &entry, &what).await
        };
        let before = match checked.await {
            Ok(Some(before)) => before,
            Ok(None) => {
                self.remember_taken_back(name).await;
                return Ok(Heard::TakenBack);
            }
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let (accepted, refused) = (self.follows(&entry, account).await?, undone(&entry, what.entry));
        let (kind, subject, app) = (ActKind::Approval, account.0, String::new());
        let plan = Plan { kind, subject, entries: vec![entry], before, accepted, refused, name, app };
        Heard::of_kept(&self.perform(plan).await?)
    }

    /// Keeps the answer. Without it the row of the case gives the same one to who asks again.
    async fn remember_taken_back(&self, name: Option<Name>) {
        let Some(name) = name else { return };
        if let Err(error) = self.store.apply(vec![Change::Complete(name.clone(), Vec::new())]).await {
            tracing::warn!(%error, "the answer to a withdrawal is not kept");
            self.give_back(Some(name)).await;
        }
    }

    /// Refuses an entry that the caller's account has not signed.
    async fn check_author(&self, entry: &Entry, account: AccountId) -> Result<(), Failure> {
        let party = act_of(entry).map(|(_, author)| author.party);
        let speaks_for = match &party {
            Some(party) => self.account_of(party).await?,
            None => None,
        };
        if speaks_for != Some(account) {
            return Err(Failure::new(Code::NotAllowed, "the caller's account has not signed the entry"));
        }
        self.verify_author(entry).await
    }

    /// Refuses an entry whose author has not signed it, before it takes a place on the ledger.
    pub(super) async fn verify_author(&self, entry: &Entry) -> Result<(), Failure> {
        let Some((act, author)) = act_of(entry) else {
            return Err(malformed("the entry has not one author"));
        };
        let key = self.authors_key(author).await?;
        let key = key.ok_or_else(|| Failure::new(Code::AuthorUnknown, "the author's key is not known"))?;
        let Author { party, nonce, not_after, signature, .. } = author;
        let (chain_id, payload) = (self.ledger.chain_id(), act.payload());
        let message = authored_message(&chain_id, act.kind(), &payload, *party, nonce, *not_after);
        scheme::verify(&key, &message, signature).map_err(|error| {
            Failure::because(Code::AuthorSignatureInvalid, "the author's signature does not verify", error)
        })
    }

    async fn authors_key(&self, author: &Author) -> Result<Option<PublicKey>, Failure> {
        match author.party {
            Party::Credential(account) => {
                let Some(value) = self.ledger.state(credential_key(&account)).await? else { return Ok(None) };
                let credential = CredentialState::decode(&value).map_err(Failure::internal)?;
                Ok(PublicKey::parse(Scheme::Ed25519, &credential.public_key).ok())
            }
            Party::Key(key_id) => Ok(self.key_by_id(key_id.0).await?.map(|key| key.public_key.clone())),
        }
    }

    /// What the service adds, and what is kept before the entry leaves; none: it does not leave, its case is taken back here.
    async fn before_hand_in(
        &self,
        caller: &Caller,
        account: AccountId,
        entry: &Entry,
        what: &HandIn<'_>,
    ) -> Result<Option<Vec<Change>>, Failure> {
        match act_of(entry).map(|(act, _)| act) {
            Some(Act::DefineApproval(define)) if !define.terms.is_sound() => {
                let what = "a rule needs groups, and each of them at least one approval and as many members";
                Err(Failure::new(Code::RuleInvalid, what))
            }
            Some(Act::DefineRate(define)) => {
                check_limit_terms(&define.terms)?;
                Ok(Some(Vec::new()))
            }
            Some(Act::OpenApproval { rule, payload, live_ms }) => {
                let about = what.about.ok_or_else(|| malformed("nothing says what the case is about"))?;
                about.meaning().map_err(Failure::of)?;
                if about.payload() != *payload {
                    let what = "the case's payload is not that of what it is said to be about";
                    return Err(Failure::new(Code::ApprovalPayloadOther, what));
                }
                let rule = self.approval_rule(&rule_id(rule)).await?;
                let rule = rule.ok_or_else(|| Failure::new(Code::RuleUnknown, "no such rule was defined"))?;
                check_life(*live_ms, &rule)?;
                let readers = self.accounts_of(members(&rule)).await?;
                self.posted(caller, account, what.entry, (about, readers, *live_ms, None)).await.map(Some)
            }
            Some(Act::Approve { case, .. }) => {
                if let Some(found) = self.approval_case(&case.id).await? {
                    self.refuse_asker(caller, &case.id, &found).await?;
                    self.refuse_second_self(caller, &case.id, &found).await?;
                }
                Ok(Some(Vec::new()))
            }
            Some(Act::WithdrawApproval(case)) if self.take_back(account, &case.id).await? => Ok(None),
            _ => Ok(Some(Vec::new())),
        }
    }

    /// What an accepted entry means for what is kept here. Case and end of one that opens a case follow from its record.
    async fn follows(&self, entry: &Entry, account: AccountId) -> Result<Vec<Change>, Failure> {
        if let Entry::OpenBlindCase(open) = entry {
            let (id, ends_ms) = (row_id(&entry.encode()), open.live_ms);
            return Ok(vec![Change::OpenApproval { id, case: [0; 32], ends_ms }]);
        }
        Ok(match act_of(entry).map(|(act, _)| act) {
            Some(Act::DefineApproval(define)) => {
                let (rule, created_ms) = (define.rule, self.clock.now_ms());
                let (owner, name) = (rule.owner, rule.name);
                vec![Change::PutApprovalRule(ApprovalRule { rule: rule_id(&rule), owner, name, created_ms })]
            }
            Some(Act::OpenApproval { live_ms, .. }) => {
                vec![Change::OpenApproval { id: row_id(&entry.encode()), case: [0; 32], ends_ms: *live_ms }]
            }
            Some(Act::RefuseApproval(case)) => vec![Change::EndApproval(case.id)],
            Some(Act::WithdrawApproval(case)) => {
                let row = self.store.approval_of_case(case.id).await?;
                let own = row.is_some_and(|row| row.account == account.0);
                if own { vec![Change::EndApproval(case.id)] } else { Vec::new() }
            }
            _ => Vec::new(),
        })
    }

    /// Settles an entry that a crash or an outage left. None while it may still come by itself.
    pub(crate) async fn settle_approval(
        &self,
        act: &Row,
        entries: &[Entry],
    ) -> Result<Option<Settled>, Failure> {
        let again = |entry: &Entry| match entry {
            Entry::OpenBlindCase(_) => Some(false),
            entry => Some(Kind::of(act_of(entry)?.0)?.again()),
        };
        let known = entries.first().and_then(|entry| Some((entry, again(entry)?)));
        let Some((entry, again)) = known else { return Ok(Some(Settled::undone(Vec::new()))) };
        let record = match self.seek(act, entry, again).await? {
            Sought::Found(record) => record,
            Sought::Waits => return Ok(None),
            Sought::Lost => return Ok(Some(Settled::undone(undone(entry, &entry.encode())))),
        };
        let follows = self.follows(entry, AccountId(act.subject)).await?;
        let changes = placed(follows, record.as_ref());
        Ok(Some(Settled { changes, receipt: Some(kept(record.as_ref())) }))
    }
}

/// Refuses a life that the rule does not let a case have.
pub(super) fn check_life(live_ms: u64, rule: &ApprovalState) -> Result<(), Failure> {
    let most = rule.terms.live_ms_max;
    if (1..=most).contains(&live_ms) {
        return Ok(());
    }
    let what = format!("under its rule a case lives for 1 to `{most}` ms, not `{live_ms}`");
    Err(Failure::new(Code::InvalidArgument, what))
}

/// What was kept for an entry that did not come to stand.
fn undone(entry: &Entry, bytes: &[u8]) -> Vec<Change> {
    match act_of(entry).map(|(act, _)| act) {
        None if matches!(entry, Entry::OpenBlindCase(_)) => vec![Change::RemoveApproval(row_id(bytes))],
        Some(Act::OpenApproval { .. }) => vec![Change::RemoveApproval(row_id(bytes))],
        _ => Vec::new(),
    }
}

/// The same changes with the case that a record has opened, and its end.
pub(crate) fn placed(mut changes: Vec<Change>, record: &dyn Final) -> Vec<Change> {
    for change in &mut changes {
        if let Change::OpenApproval { case, ends_ms, .. } = change
            && let Ok(opened) = Id::try_from(record.outcome().data.as_slice())
        {
            (*case, *ends_ms) = (opened, record.time_ms().saturating_add(*ends_ms));
        }
    }
    changes
}

/// The entry, if it is exactly one of the call's kind.
fn own_entry(kind: Kind, bytes: &[u8]) -> Result<Entry, Failure> {
    let entry = handed_in::read(bytes, Code::ApprovalRequestMalformed)?;
    match act_of(&entry).and_then(|(act, _)| Kind::of(act)) {
        Some(found) if found == kind => Ok(entry),
        _ => Err(malformed(format!("the entry is none of `{}`, signed by one author", kind.name()))),
    }
}
