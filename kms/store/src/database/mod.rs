//! The adapters: SQLite and PostgreSQL behind one set of statements, a few writers, a few readers.

mod addresses;
mod approvals;
mod changes;
mod dealings;
mod grants;
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
    Account, AccountState, Act, AddressAccount, AddressEpoch, AddressRow, AddressSpan, AddressUse, AgentJob,
    Approval, ApprovalLine, ApprovalRule, Challenge, Change, Claim, Claimed, CodeState, GrantRow, Id, Intent,
    Key, KeyFilter, Location, NewIntent, Notice, OneTimeCode, Pending, Pin, PolicyRequests, PolicyVersion,
    Profile, QueuedRelease, Registration, RiskHistory, Server, Session, Signed, Store, StoreError, Taken,
    Vault, ViewingDealing,
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
    fn begin_address_intent(
        &self,
        intent: NewIntent,
        address: AddressUse,
        history: Option<RiskHistory>,
    ) -> Pending<'_, Claimed> {
        Box::pin(self.claimed(Work::BeginAddress(Box::new((intent, address, history)))))
    }
    fn allocate_addresses(&self, span: AddressSpan) -> Pending<'_, u32> {
        Box::pin(async move {
            match self.write(Work::Allocate(span)).await? {
                Answer::Count(first) => u32::try_from(first)
                    .map_err(|_range| StoreError::Corrupt { table: "address_epochs", column: "given" }),
                _ => Err(StoreError::Closed),
            }
        })
    }
    fn address_account(&self, account: Id) -> Pending<'_, Option<AddressAccount>> {
        Box::pin(addresses::account(&self.readers, account))
    }
    fn address_accounts(&self, after: Id, limit: u32) -> Pending<'_, Vec<AddressAccount>> {
        Box::pin(addresses::accounts(&self.readers, after, limit))
    }
    fn kept_address_accounts(&self, after: Id, limit: u32) -> Pending<'_, Vec<AddressAccount>> {
        Box::pin(addresses::kept(&self.readers, after, limit))
    }
    fn chosen_address_accounts(
        &self,
        of: AccountState,
        after: Id,
        limit: u32,
    ) -> Pending<'_, Vec<AddressAccount>> {
        Box::pin(addresses::chosen_of(&self.readers, of, after, limit))
    }
    fn address_accounts_not_under<'a>(
        &'a self,
        kek: &'a str,
        limit: u32,
    ) -> Pending<'a, Vec<AddressAccount>> {
        Box::pin(addresses::not_under(&self.readers, kek, limit))
    }
    fn address(&self, account: Id, public_key: [u8; 33]) -> Pending<'_, Option<AddressRow>> {
        Box::pin(addresses::address(&self.readers, account, public_key))
    }
    fn addresses(&self, account: Id, before_ms: u64, limit: u32) -> Pending<'_, Vec<AddressRow>> {
        Box::pin(addresses::listed(&self.readers, account, before_ms, limit))
    }
    fn address_of_intent(&self, account: Id, intent: Id) -> Pending<'_, Option<AddressRow>> {
        Box::pin(addresses::of_intent(&self.readers, account, intent))
    }
    fn addresses_used_in(&self, account: Id, epoch: u32) -> Pending<'_, Vec<AddressRow>> {
        Box::pin(addresses::used_in(&self.readers, account, epoch))
    }
    fn unused_addresses(&self, account: Id, epoch: u32) -> Pending<'_, u32> {
        Box::pin(addresses::unused(&self.readers, account, epoch))
    }
    fn address_epoch(&self, account: Id, epoch: u32) -> Pending<'_, Option<AddressEpoch>> {
        Box::pin(addresses::epoch(&self.readers, account, epoch))
    }
    fn address_epochs(&self, account: Id, limit: u32) -> Pending<'_, Vec<AddressEpoch>> {
        Box::pin(addresses::epochs(&self.readers, account, limit))
    }
    fn elapsed_address_epochs(&self, before_ms: u64, limit: u32) -> Pending<'_, Vec<AddressEpoch>> {
        Box::pin(addresses::elapsed(&self.readers, before_ms, limit))
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
    fn dealings(&self, account: Id, first: u32, last: u32, limit: u32) -> Pending<'_, Vec<ViewingDealing>> {
        Box::pin(dealings::within(&self.readers, account, (first, last), limit))
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
    fn grant(&self, grant: Id) -> Pending<'_, Option<GrantRow>> {
        Box::pin(grants::by_id(&self.readers, grant))
    }
    fn is_grant_looked_at(&self, grant: Id) -> Pending<'_, bool> {
        Box::pin(grants::is_looked_at(&self.readers, grant))
    }
    fn grants(
        &self,
        account: Option<Id>,
        after: Option<(u64, Id)>,
        limit: u32,
    ) -> Pending<'_, Vec<GrantRow>> {
        Box::pin(grants::newest(&self.readers, account, after, limit))
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
    fn queued_releases(
        &self,
        submitter: Id,
        over: (u64, u64),
        limit: u32,
    ) -> Pending<'_, Vec<QueuedRelease>> {
        Box::pin(read::queued_releases(&self.readers, submitter, over, limit))
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
