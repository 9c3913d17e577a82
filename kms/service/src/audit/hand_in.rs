//! Handing in what people signed about audits: once under each idempotency key, and settled whatever stops between.

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::entry::{AuditAct, Entry};
use keyward_policies::Verb;
use keyward_store::{Act as Row, ActKind, Change};

use super::{act_of, malformed};
use crate::{
    acts::{Plan, Settled},
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in::{self, Sought},
    once::{Once, request_hash},
    vaults::{
        entries::{HandedIn, kept},
        floods::Flood,
    },
};

/// What may be handed in, one call each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Publish,
    Request,
    Issue,
    Open,
    Revoke,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Publish => "audit.publish",
            Self::Request => "audit.request",
            Self::Issue => "audit.issue",
            Self::Open => "audit.open",
            Self::Revoke => "audit.revoke",
        }
    }

    const fn flood(self) -> Flood {
        match self {
            Self::Open => Flood::Opening,
            Self::Publish | Self::Request | Self::Issue | Self::Revoke => Flood::Audit,
        }
    }

    const fn of(act: &AuditAct) -> Self {
        match act {
            AuditAct::Publish(_) => Self::Publish,
            AuditAct::Request(_) => Self::Request,
            AuditAct::Issue { .. } => Self::Issue,
            AuditAct::Open(_) => Self::Open,
            AuditAct::Revoke(_) => Self::Revoke,
        }
    }
}

/// What somebody hands in; with what asks for a grant, what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandIn<'a> {
    pub(crate) kind: Kind,
    pub(crate) entry: &'a [u8],
    pub(crate) purpose: &'a str,
    pub(crate) mark: &'a [u8],
}

impl Custody {
    /// Hands an entry in and waits until it is final. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn hand_in_audit(&self, caller: &Caller, what: HandIn<'_>) -> Result<HandedIn, Failure> {
        let _permit = self.permit()?;
        let account = self.audit_account(caller, what.kind)?;
        caller.in_time(self.clock.now_ms())?;
        let entry = handed_in::read(what.entry, Code::AuditRequestMalformed)?;
        let none = || malformed(format!("the entry is none of `{}`, signed by one author", what.kind.name()));
        let (act, author) = act_of(&entry).filter(|(act, _)| Kind::of(act) == what.kind).ok_or_else(none)?;
        if !self.spoke(&[author], account).await? {
            return Err(Failure::new(Code::NotAllowed, "the caller's account has not signed the entry"));
        }
        let hash = request_hash(what.kind.name(), &[&account.0, what.entry, what.purpose.as_bytes()]);
        let name = match self.once(caller, what.mark, hash).await? {
            Once::Done(bytes) => return HandedIn::of_kept(&bytes),
            Once::Fresh(name) => name,
        };
        let checked = async {
            self.floods.charge(account.0, what.kind.flood(), self.clock.now_ms())?;
            self.before_audit(caller, account, act, what.purpose).await
        };
        let before = match checked.await {
            Ok(before) => before,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let (refused, entries) = (undone(act), vec![entry.clone()]);
        let (kind, subject, app) = (ActKind::Audit, account.0, String::new());
        let plan = Plan { kind, subject, entries, before, accepted: Vec::new(), refused, name, app };
        let done = HandedIn::of_kept(&self.perform(plan).await?)?;
        if let AuditAct::Issue { grant, .. } = act {
            self.look_at_issued(caller, grant).await;
        }
        Ok(done)
    }

    /// Whose word it is. Who asks, opens or publishes does it by the certificate of their office, in a session; who approves may
    /// end what they approved.
    fn audit_account(&self, caller: &Caller, kind: Kind) -> Result<AccountId, Failure> {
        let office = match kind {
            Kind::Publish => Verb::AuditPublish,
            Kind::Request | Kind::Issue => Verb::AuditAsk,
            Kind::Open => Verb::AuditOpen,
            Kind::Revoke => {
                let own = caller.own_account()?;
                self.authorise_account(caller, Verb::AuditRevoke, own)?;
                return Ok(own);
            }
        };
        self.authorise_office(caller, office)?;
        Ok(caller.person()?.account)
    }

    /// What would be refused, in words that say why, and what is kept before the entry leaves.
    async fn before_audit(
        &self,
        caller: &Caller,
        account: AccountId,
        act: &AuditAct,
        purpose: &str,
    ) -> Result<Vec<Change>, Failure> {
        match act {
            AuditAct::Publish(publish) => self.check_terms(caller, publish).await.map(|()| Vec::new()),
            AuditAct::Request(grant) => self.check_request(account, grant, purpose).await,
            AuditAct::Issue { grant, case } => {
                self.check_issue(caller, account, (grant, case)).await.map(|()| Vec::new())
            }
            AuditAct::Open(open) => self.check_open(caller, account, open).await.map(|()| Vec::new()),
            AuditAct::Revoke(revoke) => self.own_grant(&revoke.grant).await.map(|_| Vec::new()),
        }
    }

    /// Settles an entry that a crash or an outage left: what takes rights away is handed in again, what gives them is only looked
    /// for. None while it may still come by itself.
    pub(crate) async fn settle_audit(
        &self,
        row: &Row,
        entries: &[Entry],
    ) -> Result<Option<Settled>, Failure> {
        let known = entries.first().and_then(|entry| Some((entry, act_of(entry)?.0)));
        let Some((entry, act)) = known else { return Ok(Some(Settled::undone(Vec::new()))) };
        Ok(match self.seek(row, entry, matches!(act, AuditAct::Revoke(_))).await? {
            Sought::Found(record) => {
                Some(Settled { changes: Vec::new(), receipt: Some(kept(record.as_ref())) })
            }
            Sought::Waits => None,
            Sought::Lost => Some(Settled::undone(undone(act))),
        })
    }
}

/// What was kept for an entry that did not come to stand.
fn undone(act: &AuditAct) -> Vec<Change> {
    match act {
        AuditAct::Request(grant) => vec![Change::ForgetGrant(grant.id)],
        _ => Vec::new(),
    }
}
