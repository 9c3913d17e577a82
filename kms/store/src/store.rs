//! The promise that every adapter keeps.

use std::{future::Future, pin::Pin as Pinned};

use crate::{
    Account, AccountState, Act, AddressAccount, AddressEpoch, AddressRow, AddressSpan, AddressUse, AgentJob,
    Approval, ApprovalLine, ApprovalRule, Challenge, Change, Claim, Claimed, CodeState, GrantRow, Id, Intent,
    Key, KeyFilter, NewIntent, Notice, OneTimeCode, Pin, PolicyRequests, PolicyVersion, Profile,
    QueuedRelease, Registration, RiskHistory, Server, Session, Signed, StoreError, Taken, Vault,
    ViewingDealing,
};

/// An answer under way.
pub type Pending<'a, T> = Pinned<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Durable, atomic memory of a custody service.
///
/// Every write is durable before it answers. Writes of concurrent callers share transactions, but each stands
/// or falls alone. A caller that stops waiting does not undo a write.
pub trait Store: Send + Sync {
    /// All of the changes, or none.
    fn apply(&self, changes: Vec<Change>) -> Pending<'_, ()>;

    /// Takes a registration: of several takers one gets it.
    fn take_registration(&self, id: [u8; 16], now_ms: u64) -> Pending<'_, Taken<Registration>>;
    /// Takes a challenge.
    fn take_challenge(&self, nonce: Id, now_ms: u64) -> Pending<'_, Taken<Challenge>>;

    /// Enters a run of the service. Refused as [`StoreError::SubmitterInUse`] while another run that lives has the
    /// submitter key; earlier runs of the same submitter have ended. Left by [`Self::close`] or by dying.
    fn enter(&self, server: Server) -> Pending<'_, ()>;
    /// Notices runs that ended, and hands their unsettled acts to this one. Returns how many acts came over.
    fn take_over(&self) -> Pending<'_, u64>;
    /// The runs that are entered.
    fn servers(&self) -> Pending<'_, Vec<Server>>;

    /// Claims an idempotency key: of several claimants one gets it. A claim of a run that ended goes to the next
    /// claimant, unless an act is still going to complete it.
    fn claim(&self, claim: Claim) -> Pending<'_, Claimed>;
    /// Claims the key, if one is given, and keeps the intent if the claim is new and the signing key's row still
    /// has the revision named. The hot path's first write.
    fn begin_intent(&self, intent: NewIntent, claim: Option<Claim>) -> Pending<'_, Claimed> {
        self.begin_judged_intent(intent, claim, None)
    }
    /// The same together with the account's history: kept in the same write as the intent, and only if that is. Stale also
    /// where the history has another revision than the one it follows.
    fn begin_judged_intent(
        &self,
        intent: NewIntent,
        claim: Option<Claim>,
        history: Option<RiskHistory>,
    ) -> Pending<'_, Claimed>;
    /// Queues the release and completes the request. The hot path's second write; refused as
    /// [`StoreError::Missing`] unless the intent stands as submitted or final, and the claim is still this try's.
    fn finish_intent(&self, signed: Signed) -> Pending<'_, ()>;

    /// Keeps an intent that uses an address, together with the account's history, if one is given: in the same write or not
    /// at all. Stale where the history has another revision than the one it follows; refused as [`StoreError::Missing`] unless the
    /// account is open (`open account`), has chosen addresses (`chosen addresses`), the epoch is not being closed (`open address
    /// epoch`) and has the same leaf and spending point as before (`address epoch of this leaf`), and no other intent has the
    /// address (`free address`).
    fn begin_address_intent(
        &self,
        intent: NewIntent,
        address: AddressUse,
        history: Option<RiskHistory>,
    ) -> Pending<'_, Claimed>;
    /// Takes indices of an account's epoch that nobody has and nobody else will get; the first of them. Refused as
    /// [`StoreError::Missing`] unless the account has chosen addresses (`chosen addresses`), and once the epoch is being closed
    /// (`open address epoch`).
    fn allocate_addresses(&self, span: AddressSpan) -> Pending<'_, u32>;
    /// What an account chose.
    fn address_account(&self, account: Id) -> Pending<'_, Option<AddressAccount>>;
    /// Accounts with addresses, of closed ones those that are kept: those after this one, by id.
    fn address_accounts(&self, after: Id, limit: u32) -> Pending<'_, Vec<AddressAccount>>;
    /// The same, closed ones alone.
    fn kept_address_accounts(&self, after: Id, limit: u32) -> Pending<'_, Vec<AddressAccount>>;
    /// Accounts in this state that have chosen addresses of which nothing was kept or erased yet: those after this one, by id.
    fn chosen_address_accounts(
        &self,
        of: AccountState,
        after: Id,
        limit: u32,
    ) -> Pending<'_, Vec<AddressAccount>>;
    /// Accounts with hosted roots whose data keys are sealed under another key-encryption key than this one.
    fn address_accounts_not_under<'a>(&'a self, kek: &'a str, limit: u32)
    -> Pending<'a, Vec<AddressAccount>>;
    /// What an account knows of an address.
    fn address(&self, account: Id, public_key: [u8; 33]) -> Pending<'_, Option<AddressRow>>;
    /// Addresses of an account made before a moment, newest first.
    fn addresses(&self, account: Id, before_ms: u64, limit: u32) -> Pending<'_, Vec<AddressRow>>;
    /// The address of the account that an intent has taken.
    fn address_of_intent(&self, account: Id, intent: Id) -> Pending<'_, Option<AddressRow>>;
    /// Addresses of an account that an intent of an epoch uses: by their places in the log, those without one at an end.
    fn addresses_used_in(&self, account: Id, epoch: u32) -> Pending<'_, Vec<AddressRow>>;
    /// How many addresses of an epoch an account was given that no intent has taken.
    fn unused_addresses(&self, account: Id, epoch: u32) -> Pending<'_, u32>;
    /// An epoch of an account.
    fn address_epoch(&self, account: Id, epoch: u32) -> Pending<'_, Option<AddressEpoch>>;
    /// Epochs of an account, newest first.
    fn address_epochs(&self, account: Id, limit: u32) -> Pending<'_, Vec<AddressEpoch>>;
    /// Epochs of hosted roots that ended before a moment and are not closed: some of them, in no order that tells anything.
    fn elapsed_address_epochs(&self, before_ms: u64, limit: u32) -> Pending<'_, Vec<AddressEpoch>>;

    /// The account of a ledger name.
    fn account(&self, account: Id) -> Pending<'_, Option<Account>>;
    /// The account of a kind and name.
    fn account_by_name<'a>(&'a self, kind: &'a str, name: &'a str) -> Pending<'a, Option<Account>>;
    /// What is known of tried logins of a name that nobody has, by its hash: how many, and when the last was.
    fn unknown_name(&self, name: Id) -> Pending<'_, Option<(u32, u64)>>;
    /// The session of a token, if it has not ended.
    fn session(&self, token_hash: Id, now_ms: u64) -> Pending<'_, Option<Session>>;
    /// A key.
    fn key(&self, key_id: Id) -> Pending<'_, Option<Key>>;
    /// The newest version of the key under an alias; one whose binding is pending only if there is no other.
    fn key_by_alias<'a>(&'a self, account: Id, alias: &'a str) -> Pending<'a, Option<Key>>;
    /// One version of the key under an alias.
    fn key_by_version<'a>(&'a self, account: Id, alias: &'a str, version: u32) -> Pending<'a, Option<Key>>;
    /// Keys of any account, by id.
    fn search_keys(&self, filter: KeyFilter) -> Pending<'_, Vec<Key>>;
    /// Keys whose time to be destroyed has come, earliest first.
    fn scheduled_keys(&self, before_ms: u64, limit: u32) -> Pending<'_, Vec<Key>>;
    /// Keys of closed accounts that are neither scheduled for destruction nor destroyed, by id.
    fn keys_of_closed_accounts(&self, limit: u32) -> Pending<'_, Vec<Key>>;
    /// Hosted keys that are sealed under another key-encryption key than this one.
    fn keys_not_under<'a>(&'a self, kek: &'a str, limit: u32) -> Pending<'a, Vec<Key>>;
    /// The keys of an account, by alias and version.
    fn keys(&self, account: Id) -> Pending<'_, Vec<Key>>;
    /// The ids of every key that lives in a token.
    fn linked_keys(&self) -> Pending<'_, Vec<Key>>;
    /// The apps that may use a key without a session.
    fn authorisations(&self, key_id: Id) -> Pending<'_, Vec<String>>;
    /// Every sealed PIN.
    fn pins(&self) -> Pending<'_, Vec<Pin>>;
    /// A sealed secret.
    fn secret(&self, name: &'static str) -> Pending<'_, Option<Vec<u8>>>;
    /// A profile.
    fn profile(&self, account: Id) -> Pending<'_, Option<Profile>>;
    /// Profiles whose data keys are sealed under another key-encryption key than this one.
    fn profiles_not_under<'a>(&'a self, kek: &'a str, limit: u32) -> Pending<'a, Vec<Profile>>;
    /// The vaults of an account that are known here, by id.
    fn vaults(&self, account: Id) -> Pending<'_, Vec<Vault>>;
    /// Vaults of closed accounts that have not ended: those behind an account and vault, in their order.
    fn vaults_of_closed_accounts(&self, after: (Id, Id), limit: u32) -> Pending<'_, Vec<Vault>>;
    /// A secret of an account's one-time codes.
    fn one_time_code(&self, account: Id, state: CodeState) -> Pending<'_, Option<OneTimeCode>>;
    /// Secrets of one-time codes that are sealed under another key-encryption key than this one.
    fn one_time_codes_not_under<'a>(&'a self, kek: &'a str, limit: u32) -> Pending<'a, Vec<OneTimeCode>>;
    /// What is kept of a case, by the hash of the entry that asked.
    fn approval(&self, id: Id) -> Pending<'_, Option<Approval>>;
    /// The same by the case on the ledger.
    fn approval_of_case(&self, case: Id) -> Pending<'_, Option<Approval>>;
    /// Cases that an account asked for or may read and that were not taken back here, newest first.
    fn approvals(&self, account: Id, limit: u32) -> Pending<'_, Vec<ApprovalLine>>;
    /// Rules that an account has defined here, oldest first.
    fn approval_rules(&self, owner: Id, limit: u32) -> Pending<'_, Vec<ApprovalRule>>;
    /// The text of a policy set.
    fn policy_text(&self, hash: Id) -> Pending<'_, Option<String>>;
    /// Versions of the tenant's policy set, newest first.
    fn policy_versions(&self, limit: u32) -> Pending<'_, Vec<PolicyVersion>>;
    /// Requests that were decided lately, newest first.
    fn policy_requests(&self, limit: u32) -> Pending<'_, Vec<PolicyRequests>>;
    /// What is known of an account's habits: the revision and the sealed history.
    fn risk_history(&self, account: Id) -> Pending<'_, Option<(u64, Vec<u8>)>>;
    /// Versions of the tenant's rules of risk, newest first.
    fn risk_versions(&self, limit: u32) -> Pending<'_, Vec<PolicyVersion>>;
    /// Requests that were judged lately, newest first.
    fn risk_requests(&self, limit: u32) -> Pending<'_, Vec<PolicyRequests>>;
    /// Dealings that begin and end within a range of address epochs, by their first epoch.
    fn dealings(&self, account: Id, first: u32, last: u32, limit: u32) -> Pending<'_, Vec<ViewingDealing>>;
    /// A rule by its id.
    fn approval_rule(&self, rule: Id) -> Pending<'_, Option<ApprovalRule>>;
    /// A grant that was asked for here.
    fn grant(&self, grant: Id) -> Pending<'_, Option<GrantRow>>;
    /// Whether its approvers were looked at.
    fn is_grant_looked_at(&self, grant: Id) -> Pending<'_, bool>;
    /// Those of an account, or of all accounts; newest first, from behind a time and id on.
    fn grants(&self, account: Option<Id>, after: Option<(u64, Id)>, limit: u32)
    -> Pending<'_, Vec<GrantRow>>;
    /// A notice.
    fn notice(&self, id: Id) -> Pending<'_, Option<Notice>>;
    /// Notices that are to be tried now, of the webhook or of all else, those that wait longest first.
    fn due_notices(&self, webhook: bool, now_ms: u64, limit: u32) -> Pending<'_, Vec<Notice>>;
    /// Notices that wait, oldest first, then those that were given up, newest first.
    fn undelivered_notices(&self, limit: u32) -> Pending<'_, Vec<Notice>>;
    /// Open accounts of a kind after this one, by id.
    fn accounts_after<'a>(&'a self, kind: &'a str, after: Id, limit: u32) -> Pending<'a, Vec<Id>>;
    /// An agent's jobs that wait or are taken, and have not expired; oldest first.
    fn agent_jobs<'a>(&'a self, agent: &'a str, now_ms: u64, limit: u32) -> Pending<'a, Vec<AgentJob>>;
    /// A job of an agent.
    fn agent_job(&self, id: Id) -> Pending<'_, Option<AgentJob>>;
    /// The acts of one run that are not settled, oldest first.
    fn acts(&self, boot: [u8; 16]) -> Pending<'_, Vec<Act>>;
    /// One submitter's intents without a signature that are neither refused nor abandoned, oldest first.
    fn open_intents(&self, submitter: Id, limit: u32) -> Pending<'_, Vec<Intent>>;
    /// An intent.
    fn intent(&self, id: Id) -> Pending<'_, Option<Intent>>;
    /// One submitter's releases that wait to be recorded, oldest first: those that are not held back by this time any more, or whose
    /// intents end at this height or before.
    fn queued_releases(&self, submitter: Id, over: (u64, u64), limit: u32)
    -> Pending<'_, Vec<QueuedRelease>>;

    /// Removes what has expired: single-use rows and sessions before `now_ms`, idempotent requests and
    /// settled intents made before `keep_from_ms`. Bounded; returns how many rows went.
    fn prune(&self, now_ms: u64, keep_from_ms: u64) -> Pending<'_, u64>;
    /// Ends the writer after what is queued, and closes the files.
    fn close(&self) -> Pending<'_, ()>;
}
