//! The adapters: SQLite and PostgreSQL behind one set of statements, a few writers, a few readers.

mod approvals;
mod changes;
mod group;
mod hot;
mod keys;
mod notices;
mod open;
mod policies;
mod read;
mod risk;
mod servers;
mod single_use;
mod sql;
mod vaults;
mod writer;

use std::{path::Path, sync::Arc};

use tokio::sync::{Mutex, mpsc, oneshot};

use self::{
    open::Opener,
    policies::{POLICY, RISK},
    servers::Lease,
    sql::Readers,
    writer::{Answer, Job, Queue, Work},
};
use crate::{
    Account, Act, AgentJob, Approval, ApprovalLine, ApprovalRule, Challenge, Change, Claim, Claimed,
    CodeState, Id, Intent, Key, KeyFilter, Location, NewIntent, Notice, OneTimeCode, Pending, Pin,
    PolicyRequests, PolicyVersion, Profile, QueuedRelease, Registration, RiskHistory, Server, Session,
    Signed, Store, StoreError, Taken, Vault,
};

/// Writes that may wait; beyond that callers are told that the store is busy.
const QUEUE_MAX: usize = 4096;

/// A database that is open.
#[derive(Clone, Debug)]
pub struct Database {
    opener: Opener,
    readers: Readers,
    jobs: mpsc::Sender<Job>,
    lease: Arc<Mutex<Option<Lease>>>,
}

impl Database {
    /// Opens the database, makes what is not there, and brings it to this version's form. Refused as
    /// [`StoreError::TooNew`] when a newer version was here.
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        let opener = Opener::new(location)?;
        let first = opener.prepare().await?;
        let readers = opener.readers().await?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let queue: Queue = Arc::new(Mutex::new(queue));
        let mut connections = vec![first];
        while connections.len() < opener.writers() {
            connections.push(opener.connect().await?);
        }
        for connection in connections {
            tokio::spawn(writer::run(opener.clone(), connection, queue.clone()));
        }
        Ok(Self { opener, readers, jobs, lease: Arc::default() })
    }

    /// Opens an SQLite file.
    pub async fn sqlite(file: &Path) -> Result<Self, StoreError> {
        Self::open(&Location::File(file.to_path_buf())).await
    }

    async fn write(&self, work: Work) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job { work, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn claimed(&self, work: Work) -> Result<Claimed, StoreError> {
        match self.write(work).await? {
            Answer::Claimed(claimed) => Ok(claimed),
            _ => Err(StoreError::Closed),
        }
    }
}

impl Store for Database {
    fn apply(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        Box::pin(async { self.write(Work::Apply(changes)).await.map(drop) })
    }
    fn take_registration(&self, id: [u8; 16], now_ms: u64) -> Pending<'_, Taken<Registration>> {
        Box::pin(async move {
            match self.write(Work::TakeRegistration(id, now_ms)).await? {
                Answer::Registration(taken) => Ok(taken),
                _ => Err(StoreError::Closed),
            }
        })
    }
    fn take_challenge(&self, nonce: Id, now_ms: u64) -> Pending<'_, Taken<Challenge>> {
        Box::pin(async move {
            match self.write(Work::TakeChallenge(nonce, now_ms)).await? {
                Answer::Challenge(taken) => Ok(taken),
                _ => Err(StoreError::Closed),
            }
        })
    }
    fn enter(&self, server: Server) -> Pending<'_, ()> {
        Box::pin(self.enter_as(server))
    }
    fn take_over(&self) -> Pending<'_, u64> {
        Box::pin(self.take_over_ended())
    }
    fn servers(&self) -> Pending<'_, Vec<Server>> {
        Box::pin(read::servers(&self.readers))
    }
    fn claim(&self, claim: Claim) -> Pending<'_, Claimed> {
        Box::pin(self.claimed(Work::Claim(claim)))
    }
    fn begin_judged_intent(
        &self,
        intent: NewIntent,
        claim: Option<Claim>,
        history: Option<RiskHistory>,
    ) -> Pending<'_, Claimed> {
        Box::pin(self.claimed(Work::Begin(Box::new((intent, claim, history)))))
    }
    fn finish_intent(&self, signed: Signed) -> Pending<'_, ()> {
        Box::pin(async { self.write(Work::Finish(signed)).await.map(drop) })
    }
    fn account(&self, account: Id) -> Pending<'_, Option<Account>> {
        Box::pin(read::account(&self.readers, account))
    }
    fn account_by_name<'a>(&'a self, kind: &'a str, name: &'a str) -> Pending<'a, Option<Account>> {
        Box::pin(read::account_by_name(&self.readers, kind, name))
    }
    fn unknown_name(&self, name: Id) -> Pending<'_, Option<(u32, u64)>> {
        Box::pin(read::unknown_name(&self.readers, name))
    }
    fn session(&self, token_hash: Id, now_ms: u64) -> Pending<'_, Option<Session>> {
        Box::pin(read::session(&self.readers, token_hash, now_ms))
    }
    fn key(&self, key_id: Id) -> Pending<'_, Option<Key>> {
        Box::pin(keys::key(&self.readers, key_id))
    }
    fn key_by_alias<'a>(&'a self, account: Id, alias: &'a str) -> Pending<'a, Option<Key>> {
        Box::pin(keys::by_alias(&self.readers, account, alias))
    }
    fn key_by_version<'a>(&'a self, account: Id, alias: &'a str, version: u32) -> Pending<'a, Option<Key>> {
        Box::pin(keys::by_version(&self.readers, account, alias, version))
    }
    fn search_keys(&self, filter: KeyFilter) -> Pending<'_, Vec<Key>> {
        Box::pin(keys::search(&self.readers, filter))
    }
    fn scheduled_keys(&self, before_ms: u64, limit: u32) -> Pending<'_, Vec<Key>> {
        Box::pin(keys::scheduled(&self.readers, before_ms, limit))
    }
    fn keys_of_closed_accounts(&self, limit: u32) -> Pending<'_, Vec<Key>> {
        Box::pin(keys::of_closed_accounts(&self.readers, limit))
    }
    fn keys_not_under<'a>(&'a self, kek: &'a str, limit: u32) -> Pending<'a, Vec<Key>> {
        Box::pin(keys::not_under(&self.readers, kek, limit))
    }
    fn keys(&self, account: Id) -> Pending<'_, Vec<Key>> {
        Box::pin(keys::of_account(&self.readers, account))
    }
    fn linked_keys(&self) -> Pending<'_, Vec<Key>> {
        Box::pin(keys::linked(&self.readers))
    }
    fn authorisations(&self, key_id: Id) -> Pending<'_, Vec<String>> {
        Box::pin(read::authorisations(&self.readers, key_id))
    }
    fn pins(&self) -> Pending<'_, Vec<Pin>> {
        Box::pin(read::pins(&self.readers))
    }
    fn secret(&self, name: &'static str) -> Pending<'_, Option<Vec<u8>>> {
        Box::pin(read::secret(&self.readers, name))
    }
    fn profile(&self, account: Id) -> Pending<'_, Option<Profile>> {
        Box::pin(read::profile(&self.readers, account))
    }
    fn profiles_not_under<'a>(&'a self, kek: &'a str, limit: u32) -> Pending<'a, Vec<Profile>> {
        Box::pin(read::profiles_not_under(&self.readers, kek, limit))
    }
    fn vaults(&self, account: Id) -> Pending<'_, Vec<Vault>> {
        Box::pin(vaults::of_account(&self.readers, account))
    }
    fn vaults_of_closed_accounts(&self, after: (Id, Id), limit: u32) -> Pending<'_, Vec<Vault>> {
        Box::pin(vaults::of_closed_accounts(&self.readers, after, limit))
    }
    fn one_time_code(&self, account: Id, state: CodeState) -> Pending<'_, Option<OneTimeCode>> {
        Box::pin(vaults::code(&self.readers, account, state))
    }
    fn one_time_codes_not_under<'a>(&'a self, kek: &'a str, limit: u32) -> Pending<'a, Vec<OneTimeCode>> {
        Box::pin(vaults::codes_not_under(&self.readers, kek, limit))
    }
    fn approval(&self, id: Id) -> Pending<'_, Option<Approval>> {
        Box::pin(approvals::by_id(&self.readers, id))
    }
    fn approval_of_case(&self, case: Id) -> Pending<'_, Option<Approval>> {
        Box::pin(approvals::by_case(&self.readers, case))
    }
    fn approvals(&self, account: Id, limit: u32) -> Pending<'_, Vec<ApprovalLine>> {
        Box::pin(approvals::of_account(&self.readers, account, limit))
    }
    fn approval_rules(&self, owner: Id, limit: u32) -> Pending<'_, Vec<ApprovalRule>> {
        Box::pin(approvals::rules(&self.readers, owner, limit))
    }
    fn policy_text(&self, hash: Id) -> Pending<'_, Option<String>> {
        Box::pin(policies::text(&self.readers, hash))
    }
    fn policy_versions(&self, limit: u32) -> Pending<'_, Vec<PolicyVersion>> {
        Box::pin(POLICY.versions(&self.readers, limit))
    }
    fn policy_requests(&self, limit: u32) -> Pending<'_, Vec<PolicyRequests>> {
        Box::pin(POLICY.requests(&self.readers, limit))
    }
    fn risk_history(&self, account: Id) -> Pending<'_, Option<(u64, Vec<u8>)>> {
        Box::pin(risk::history(&self.readers, account))
    }
    fn risk_versions(&self, limit: u32) -> Pending<'_, Vec<PolicyVersion>> {
        Box::pin(RISK.versions(&self.readers, limit))
    }
    fn risk_requests(&self, limit: u32) -> Pending<'_, Vec<PolicyRequests>> {
        Box::pin(RISK.requests(&self.readers, limit))
    }
    fn approval_rule(&self, rule: Id) -> Pending<'_, Option<ApprovalRule>> {
        Box::pin(approvals::rule(&self.readers, rule))
    }
    fn notice(&self, id: Id) -> Pending<'_, Option<Notice>> {
        Box::pin(notices::one(&self.readers, id))
    }
    fn due_notices(&self, webhook: bool, now_ms: u64, limit: u32) -> Pending<'_, Vec<Notice>> {
        Box::pin(notices::due(&self.readers, webhook, now_ms, limit))
    }
    fn undelivered_notices(&self, limit: u32) -> Pending<'_, Vec<Notice>> {
        Box::pin(notices::undelivered(&self.readers, limit))
    }
    fn accounts_after<'a>(&'a self, kind: &'a str, after: Id, limit: u32) -> Pending<'a, Vec<Id>> {
        Box::pin(notices::accounts_after(&self.readers, kind, after, limit))
    }
    fn agent_jobs<'a>(&'a self, agent: &'a str, now_ms: u64, limit: u32) -> Pending<'a, Vec<AgentJob>> {
        Box::pin(read::agent_jobs(&self.readers, agent, now_ms, limit))
    }
    fn agent_job(&self, id: Id) -> Pending<'_, Option<AgentJob>> {
        Box::pin(read::agent_job(&self.readers, id))
    }
    fn acts(&self, boot: [u8; 16]) -> Pending<'_, Vec<Act>> {
        Box::pin(read::acts(&self.readers, boot))
    }
    fn open_intents(&self, submitter: Id, limit: u32) -> Pending<'_, Vec<Intent>> {
        Box::pin(read::open_intents(&self.readers, submitter, limit))
    }
    fn intent(&self, id: Id) -> Pending<'_, Option<Intent>> {
        Box::pin(read::intent(&self.readers, id))
    }
    fn queued_releases(&self, submitter: Id, limit: u32) -> Pending<'_, Vec<QueuedRelease>> {
        Box::pin(read::queued_releases(&self.readers, submitter, limit))
    }
    fn prune(&self, now_ms: u64, keep_from_ms: u64) -> Pending<'_, u64> {
        Box::pin(async move {
            match self.write(Work::Prune(now_ms, keep_from_ms)).await? {
                Answer::Count(rows) => Ok(rows),
                _ => Err(StoreError::Closed),
            }
        })
    }
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async {
            let left = self.leave().await;
            let mut closed = Ok(());
            for _writer in 0..self.opener.writers() {
                closed = closed.and(self.write(Work::Close).await.map(drop));
            }
            self.readers.close().await;
            left.and(closed)
        })
    }
}
