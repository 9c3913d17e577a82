//! The promise that every adapter keeps.

use std::{future::Future, pin::Pin as Pinned};

use crate::{
    Account, Act, Challenge, Change, Claim, Claimed, Id, Intent, Key, NewIntent, Pin, QueuedRelease,
    Registration, Session, Signed, StoreError, Taken,
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

    /// Claims an idempotency key: of several claimants one gets it.
    fn claim(&self, claim: Claim) -> Pending<'_, Claimed>;
    /// Claims the key, if one is given, and keeps the intent if the claim is new. The hot path's first write.
    fn begin_intent(&self, intent: NewIntent, claim: Option<Claim>) -> Pending<'_, Claimed>;
    /// Queues the release and completes the request. The hot path's second write; refused as
    /// [`StoreError::Missing`] unless the intent stands as submitted or final.
    fn finish_intent(&self, signed: Signed) -> Pending<'_, ()>;

    /// The account of a ledger name.
    fn account(&self, account: Id) -> Pending<'_, Option<Account>>;
    /// The account of a kind and name.
    fn account_by_name<'a>(&'a self, kind: &'a str, name: &'a str) -> Pending<'a, Option<Account>>;
    /// The session of a token, if it has not ended.
    fn session(&self, token_hash: Id, now_ms: u64) -> Pending<'_, Option<Session>>;
    /// A key.
    fn key(&self, key_id: Id) -> Pending<'_, Option<Key>>;
    /// A key by its alias.
    fn key_by_alias<'a>(&'a self, account: Id, alias: &'a str) -> Pending<'a, Option<Key>>;
    /// The keys of an account, by alias.
    fn keys(&self, account: Id) -> Pending<'_, Vec<Key>>;
    /// The ids of every key that lives in a token.
    fn linked_keys(&self) -> Pending<'_, Vec<Key>>;
    /// The apps that may use a key without a session.
    fn authorisations(&self, key_id: Id) -> Pending<'_, Vec<String>>;
    /// Every sealed PIN.
    fn pins(&self) -> Pending<'_, Vec<Pin>>;
    /// A sealed secret.
    fn secret(&self, name: &'static str) -> Pending<'_, Option<Vec<u8>>>;
    /// Every act that is not settled, oldest first.
    fn acts(&self) -> Pending<'_, Vec<Act>>;
    /// Intents without a signature that are neither refused nor abandoned, oldest first.
    fn open_intents(&self, limit: u32) -> Pending<'_, Vec<Intent>>;
    /// An intent.
    fn intent(&self, id: Id) -> Pending<'_, Option<Intent>>;
    /// Releases that wait to be recorded, oldest first.
    fn queued_releases(&self, limit: u32) -> Pending<'_, Vec<QueuedRelease>>;

    /// Removes what has expired: single-use rows and sessions before `now_ms`, idempotent requests and
    /// settled intents made before `keep_from_ms`. Bounded; returns how many rows went.
    fn prune(&self, now_ms: u64, keep_from_ms: u64) -> Pending<'_, u64>;
    /// Ends the writer after what is queued, and closes the files.
    fn close(&self) -> Pending<'_, ()>;
}
