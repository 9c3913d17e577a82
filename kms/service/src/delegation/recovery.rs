//! How a recovered account logs in again: the login is made by its holder, named by what the delegates sign, kept here from
//! the opening on, and bound once the ledger has put the new credential in the place of the lost one.

use keyward_crypto::OpaqueServer;
use keyward_domain::{AccountId, Code, UserName, recovery_login};
use keyward_ledger_core::{
    contracts::authored::AUTHORED_BLOCKS_MAX,
    entry::{DelegationAct, Entry, Recovery, kind},
    hash::Tag,
    state::layout::{
        CredentialState, TimelockCase, TimelockCaseStatus as Status, TimelockState, credential_key,
        timelock_case_key, timelock_key,
    },
};
use keyward_store::{AccountState, Act as Row, ActKind, Change, Id};

use super::{act_of, entries::Login, malformed};
use crate::{
    accounts::{PERSON, record},
    acts::{Settled, detail},
    custody::{Custody, random},
    failure::Failure,
    hex::{hex, unhex},
    note::labelled,
    vaults::entries::{self, HandedIn},
};

const KEYED_LABEL: &str = "keyward/recovery-registration/v1";

/// Blocks after which the record of an opening would be seen if it were there.
const OPENED_BLOCKS: u64 = 4096;
/// How many of a rule's newest cases are looked at.
const CASES_MAX: usize = 16;
/// How long after a recovery's last moment it is over for certain, in milliseconds.
const AFTERWARDS_MS: u64 = 3_600_000;

/// What became of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    Closed,
    Executed,
    /// There is no such case, or not yet, or not any more.
    Unknown,
}

/// An OPAQUE registration for a name that has an account.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) response: Vec<u8>,
    pub(crate) account: Id,
    /// Of this registration alone.
    pub(crate) name: Id,
}

impl Custody {
    /// Answers an OPAQUE registration for a name that has an account. No two are keyed alike, so an answer is no guess at a
    /// password; it costs a try of the name all the same, as names are asked for here without a session.
    pub(crate) async fn recovery_begin(&self, user: &str, request: &[u8]) -> Result<Begun, Failure> {
        let user = UserName::parse(user).map_err(Failure::of)?;
        let now_ms = self.clock.now_ms();
        let row = self.store.account_by_name(PERSON, user.as_str()).await?;
        match &row {
            Some(row) => self.charge_account(row.account, now_ms).await?,
            None => self.charge_unknown(&user, now_ms).await?,
        }
        let row = row.filter(|row| row.state == AccountState::Open);
        let row = row.ok_or_else(|| Failure::new(Code::AccountUnknown, "no open account has this name"))?;
        let name = random()?;
        let response = self.opaque.register(&keyed(&row.account, &name), request).map_err(unreadable)?;
        Ok(Begun { response, account: row.account, name })
    }

    /// The record of the login that an opening brings, if the entry opens a recovery: it must be the one that was signed,
    /// and the account one of ours.
    pub(super) async fn check_login(
        &self,
        entry: &Entry,
        login: Option<Login<'_>>,
    ) -> Result<Vec<u8>, Failure> {
        let (recovery, Login { name, upload }) = match (opened_by(entry), login) {
            (Some(recovery), Some(login)) => (recovery, login),
            (None, None) => return Ok(Vec::new()),
            _ => return Err(malformed("a recovery binds a login, and nothing else does")),
        };
        let owner = self.store.account(recovery.rule.owner).await?;
        let owner = owner.filter(|row| row.kind == PERSON && row.state == AccountState::Open);
        if owner.is_none() {
            return Err(Failure::new(Code::AccountUnknown, "the account is not an open one of this service"));
        }
        let present = self.ledger.state(credential_key(&recovery.rule.owner)).await?;
        let present =
            present.as_deref().map(CredentialState::decode).transpose().map_err(Failure::internal)?;
        if present.is_some_and(|present| present.public_key == recovery.public_key) {
            return Err(malformed("the recovery binds the credential that the account has"));
        }
        if recovery.login != recovery_login(name, upload) {
            let what = "the login is not the one that the delegates signed";
            return Err(Failure::new(Code::RecoveryLoginOther, what));
        }
        let opaque_record = OpaqueServer::record(upload).map_err(unreadable)?;
        Ok(record::keep(&keyed(&recovery.rule.owner, name), &opaque_record))
    }

    /// Binds the login of a recovery that was executed. None while it waits, and while that is not known for certain: a state
    /// that was read may be older than the one that was read before.
    pub(crate) async fn settle_recovery(
        &self,
        act: &Row,
        entries: &[Entry],
        kept: &str,
    ) -> Result<Option<Settled>, Failure> {
        let recovery = entries.first().and_then(opened_by);
        let recovery = recovery.ok_or_else(|| Failure::internal("a recovery without its entry"))?;
        // First what became of it: one that is executed between the two questions is found by the second.
        let (fate, height) = self.fate(recovery).await?;
        let present = self.ledger.proven(credential_key(&recovery.rule.owner)).await?;
        let credential = present.value.as_deref().map(CredentialState::decode).transpose();
        let credential = credential.map_err(Failure::internal)?;
        if credential.is_some_and(|credential| credential.public_key == recovery.public_key) {
            return self.bind_login(recovery, kept).await.map(Some);
        }
        let over = match fate {
            Fate::Lives => false,
            Fate::Closed => true,
            // Another credential since, if the state that says so is no older than the execution.
            Fate::Executed => present.height >= height,
            // Once it cannot be recorded any more, and its case would be seen if it were there.
            Fate::Unknown => height > act.until && present.height >= height,
        };
        Ok(over.then(|| Settled::undone(Vec::new())))
    }

    async fn bind_login(&self, recovery: &Recovery, kept: &str) -> Result<Settled, Failure> {
        let (owner, credential) = (recovery.rule.owner, recovery.public_key);
        let opaque_record = unhex(kept).ok_or_else(|| Failure::internal("a recovery without its login"))?;
        // One that was closed meanwhile has no login any more.
        let open = self.store.account(owner).await?.is_some_and(|row| row.state == AccountState::Open);
        if !open {
            return Ok(Settled::undone(Vec::new()));
        }
        self.sessions.forget(AccountId(owner));
        let login = Change::SetPassword { account: owner, opaque_record, credential };
        Ok(Settled { changes: vec![login, Change::EndSessions(owner)], receipt: None })
    }

    /// What became of a recovery of exactly this, by its newest case, and the height at which that was so.
    async fn fate(&self, recovery: &Recovery) -> Result<(Fate, u64), Failure> {
        let rule = recovery.rule.id(kind::APPOINT_DELEGATES);
        let timelock = self.ledger.proven(timelock_key(&rule)).await?;
        let mut height = timelock.height;
        let Some(value) = timelock.value else { return Ok((Fate::Unknown, height)) };
        let cases = TimelockState::decode(&value).map_err(Failure::internal)?.cases;
        let payload = recovery.payload(&self.ledger.chain_id());
        for number in (1..=cases).rev().take(CASES_MAX) {
            let id = Tag::Case.hash(&[&rule, &number.to_be_bytes()]);
            let case = self.ledger.proven(timelock_case_key(&id)).await?;
            height = height.min(case.height);
            let Some(value) = case.value else { continue };
            let found = TimelockCase::decode(&value).map_err(Failure::internal)?;
            if found.payload != payload {
                continue;
            }
            let late = self.clock.now_ms() > found.ends_ms.saturating_add(AFTERWARDS_MS);
            let fate = match found.status {
                Status::Executed => Fate::Executed,
                Status::Closed => Fate::Closed,
                // Over by time; by then an execution in its last moment would be seen.
                Status::Waiting | Status::Disputed if late => Fate::Closed,
                Status::Waiting | Status::Disputed => Fate::Lives,
            };
            return Ok((fate, case.height));
        }
        Ok((Fate::Unknown, height))
    }

    /// An opening that the ledger refused because it had come there by another way: while the recovery lives its login is kept
    /// all the same. Answers with the record if it is this entry's, else with the refusal.
    pub(super) async fn opened_before(
        &self,
        entry: &Entry,
        login: &[u8],
        refused: Failure,
    ) -> Result<HandedIn, Failure> {
        let there =
            matches!(refused.code, Code::AuthorReplayed | Code::AuthorSignatureExpired | Code::TimelockBusy);
        let Some(recovery) = opened_by(entry).filter(|_| there) else { return Err(refused) };
        if self.fate(recovery).await?.0 != Fate::Lives {
            return Err(refused);
        }
        // An act keeps the login before everything else.
        let kept = format!("{}\n", hex(login));
        let same = |act: &Row| act.kind == ActKind::Recover && act.detail.starts_with(&kept);
        if !self.store.acts(self.boot).await?.iter().any(same) {
            self.store.apply(vec![waits(self, entry, login)?]).await?;
        }
        match self.recorded_before(entry, AUTHORED_BLOCKS_MAX).await? {
            Some(record) => HandedIn::of_kept(&entries::kept(record.as_ref())),
            None => Err(refused),
        }
    }
}

/// What keeps a login until its recovery is executed or over.
pub(super) fn waits(custody: &Custody, entry: &Entry, login: &[u8]) -> Result<Change, Failure> {
    let recovery = opened_by(entry).ok_or_else(|| Failure::internal("a login without a recovery"))?;
    Ok(Change::PutAct(Row {
        id: random()?,
        kind: ActKind::Recover,
        subject: recovery.rule.owner,
        detail: detail(std::slice::from_ref(entry), &hex(login)),
        until: custody.ledger.height().saturating_add(OPENED_BLOCKS),
        created_ms: custody.clock.now_ms(),
        boot: custody.boot,
        name: None,
    }))
}

/// What the oblivious function is keyed with: whatever name is handed back, it is the account's own, and none that any other
/// login goes by. Else somebody could have another's password guessed at logins of an account of their own.
fn keyed(account: &Id, name: &Id) -> Id {
    labelled(KEYED_LABEL, &[account, name])
}

fn opened_by(entry: &Entry) -> Option<&Recovery> {
    match act_of(entry)?.0 {
        DelegationAct::OpenRecovery { recovery, .. } => Some(recovery),
        _ => None,
    }
}

fn unreadable(error: keyward_crypto::OpaqueError) -> Failure {
    Failure::because(Code::InvalidArgument, "the message is not one of an OPAQUE registration", error)
}
