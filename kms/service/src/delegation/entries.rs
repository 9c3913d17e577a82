//! Handing in what persons signed about delegates: once under each idempotency key, and settled whatever stops between.

use keyward_domain::Code;
use keyward_ledger_core::entry::{DelegationAct, Entry, Party};
use keyward_policies::Verb;
use keyward_store::{Act as Row, ActKind, Change, Id};

use super::{act_of, malformed, recovery};
use crate::{
    acts::{Plan, Settled},
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in::{self, Sought},
    hex::{hex, unhex},
    once::{Once, request_hash},
    vaults::entries::{HandedIn, kept},
    vaults::floods::Flood,
};

/// What may be handed in, one call each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Appoint,
    Revoke,
    Open,
    Veto,
    Cancel,
    Execute,
}

impl Kind {
    const fn verb(self) -> Verb {
        match self {
            Self::Appoint | Self::Revoke => Verb::DelegationChange,
            Self::Open | Self::Cancel | Self::Execute => Verb::RecoveryAsk,
            Self::Veto => Verb::RecoveryVeto,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Appoint => "delegation.appoint",
            Self::Revoke => "delegation.revoke",
            Self::Open => "recovery.open",
            Self::Veto => "recovery.veto",
            Self::Cancel => "recovery.cancel",
            Self::Execute => "recovery.execute",
        }
    }

    const fn of(act: &DelegationAct) -> Option<Self> {
        match act {
            DelegationAct::Appoint(_) => Some(Self::Appoint),
            DelegationAct::Revoke { .. } => Some(Self::Revoke),
            DelegationAct::OpenRecovery { .. } => Some(Self::Open),
            DelegationAct::VetoRecovery(_) => Some(Self::Veto),
            DelegationAct::CancelRecovery(_) => Some(Self::Cancel),
            DelegationAct::ExecuteRecovery { .. } => Some(Self::Execute),
            DelegationAct::Operate { .. } => None,
        }
    }

    /// What takes rights away is handed in again if nobody knows whether it arrived; what gives them is only looked for.
    const fn again(self) -> bool {
        matches!(self, Self::Revoke | Self::Veto | Self::Cancel)
    }
}

/// The login that a recovery binds: the name of an OPAQUE registration, and its last message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    pub(crate) name: &'a [u8; 32],
    pub(crate) upload: &'a [u8],
}

/// What a person hands in; with what opens a recovery, the login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandIn<'a> {
    pub(crate) kind: Kind,
    pub(crate) entry: &'a [u8],
    pub(crate) mark: &'a [u8],
    pub(crate) login: Option<Login<'a>>,
}

impl Custody {
    /// Hands an entry in and waits until it is final. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn hand_in_delegation(
        &self,
        caller: &Caller,
        what: HandIn<'_>,
    ) -> Result<HandedIn, Failure> {
        let _permit = self.permit()?;
        let account = caller.person()?.account;
        self.authorise_account(caller, what.kind.verb(), account)?;
        caller.in_time(self.clock.now_ms())?;
        let entry = own_entry(what.kind, what.entry)?;
        // A veto may be signed by a token of the account that this service does not know; whose it is the ledger knows.
        let parties = authors_of(&entry);
        if what.kind != Kind::Veto && !self.spoke(&parties, account).await? {
            return Err(Failure::new(Code::NotAllowed, "the session's account has not signed the entry"));
        }
        let hash = match &what.login {
            Some(Login { name, upload }) => {
                request_hash(what.kind.name(), &[&account.0, what.entry, *name, upload])
            }
            None => request_hash(what.kind.name(), &[&account.0, what.entry]),
        };
        let name = match self.once(caller, what.mark, hash).await? {
            Once::Done(bytes) => return HandedIn::of_kept(&bytes),
            Once::Fresh(name) => name,
        };
        let checked = async {
            self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
            self.check_login(&entry, what.login).await
        };
        let login = match checked.await {
            Ok(login) => login,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let accepted = self.login_waits(&entry, &login)?;
        let (kind, subject, app) = (ActKind::Delegation, account.0, hex(&login));
        let (entries, before, refused) = (vec![entry.clone()], Vec::new(), Vec::new());
        let plan = Plan { kind, subject, entries, before, accepted, refused, name, app };
        let owner = entry_owner(&plan.entries);
        let handed_in = match self.perform(plan).await {
            Ok(kept) => HandedIn::of_kept(&kept)?,
            Err(failure) if what.kind == Kind::Open => self.opened_before(&entry, &login, failure).await?,
            Err(failure) => return Err(failure),
        };
        // The owner is told at once of what this service handed in; what fails here is found when accounts are gone over.
        if let Some(owner) = owner
            && let Err(failure) = self.look_at(&owner).await
        {
            tracing::info!(%failure, "an owner is told a little later");
        }
        if what.kind == Kind::Execute
            && let Err(failure) = self.settle_acts().await
        {
            tracing::info!(%failure, "the recovered login is bound a little later");
        }
        Ok(handed_in)
    }

    /// Settles an entry that a crash or an outage left. None while it may still come by itself.
    pub(crate) async fn settle_delegation(
        &self,
        act: &Row,
        entries: &[Entry],
        login: &str,
    ) -> Result<Option<Settled>, Failure> {
        let Some((entry, kind)) = entries.first().and_then(|entry| {
            let (act_on, _) = act_of(entry)?;
            Some((entry, Kind::of(act_on)?))
        }) else {
            return Ok(Some(Settled::undone(Vec::new())));
        };
        let record = match self.seek(act, entry, kind.again()).await? {
            Sought::Found(record) => record,
            Sought::Waits => return Ok(None),
            Sought::Lost => return Ok(Some(Settled::undone(Vec::new()))),
        };
        let login = unhex(login).ok_or_else(|| Failure::internal("an act's login is not hex"))?;
        let changes = self.login_waits(entry, &login)?;
        Ok(Some(Settled { changes, receipt: Some(kept(record.as_ref())) }))
    }

    /// What keeps a recovery's login until it is executed or over.
    fn login_waits(&self, entry: &Entry, login: &[u8]) -> Result<Vec<Change>, Failure> {
        if login.is_empty() { Ok(Vec::new()) } else { Ok(vec![recovery::waits(self, entry, login)?]) }
    }
}

/// Whose delegation waits for something after this.
fn entry_owner(entries: &[Entry]) -> Option<Id> {
    match act_of(entries.first()?)?.0 {
        DelegationAct::Appoint(define) => Some(define.rule.owner),
        DelegationAct::Revoke { rule, .. } => Some(rule.owner),
        DelegationAct::OpenRecovery { recovery, .. } => Some(recovery.rule.owner),
        _ => None,
    }
}

/// The entry, if it is exactly one of the call's kind.
fn own_entry(kind: Kind, bytes: &[u8]) -> Result<Entry, Failure> {
    let entry = handed_in::read(bytes, Code::DelegationRequestMalformed)?;
    let found = act_of(&entry).filter(|(act, _)| Kind::of(act) == Some(kind));
    match found {
        Some(_) => Ok(entry),
        None => Err(malformed(format!("the entry is none of `{}`", kind.name()))),
    }
}

/// Who signed it.
fn authors_of(entry: &Entry) -> Vec<Party> {
    let authored = act_of(entry).map(|(_, authored)| authored);
    authored.map_or_else(Vec::new, |authored| authored.authors.iter().map(|author| author.party).collect())
}
