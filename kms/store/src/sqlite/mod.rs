//! The embedded adapter: one SQLite file, one writer, a few readers.

mod changes;
mod group;
mod hot;
mod read;
mod single_use;
mod writer;

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, SqlSafeStr as _, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

use self::writer::Job;
use crate::{
    Account, Act, Challenge, Change, Claim, Claimed, Id, Intent, Key, NewIntent, Pending, Pin, QueuedRelease,
    Registration, Session, Signed, Store, StoreError, Taken,
};

/// Writes that may wait; beyond that callers are told that the store is busy.
const QUEUE_MAX: usize = 4096;
/// Connections that read.
const READERS: u32 = 2;
/// How long a connection waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The embedded adapter.
#[derive(Clone, Debug)]
pub struct Sqlite {
    readers: SqlitePool,
    jobs: mpsc::Sender<Job>,
}

impl Sqlite {
    /// Opens the database file, makes it if it is not there, and brings it to this version's form.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(128)
            .disable_statement_logging();
        let mut connection = options.clone().pragma("wal_autocheckpoint", "4000").connect().await?;
        migrator()
            .run(&mut connection)
            .await
            .map_err(|source| StoreError::Database { source: source.into() })?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options).await?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(writer::run(connection, queue));
        Ok(Self { readers, jobs })
    }

    async fn write<T>(&self, job: impl FnOnce(writer::Reply<T>) -> Job + Send) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(job(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn migrator() -> Migrator {
    let sql = include_str!("../../migrations/sqlite/0001_custody.sql").into_sql_str();
    Migrator::with_migrations(vec![Migration::new(1, "custody".into(), MigrationType::Simple, sql, false)])
}

impl Store for Sqlite {
    fn apply(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        Box::pin(self.write(|reply| Job::Apply(changes, reply)))
    }
    fn take_registration(&self, id: [u8; 16], now_ms: u64) -> Pending<'_, Taken<Registration>> {
        Box::pin(self.write(move |reply| Job::TakeRegistration(id, now_ms, reply)))
    }
    fn take_challenge(&self, nonce: Id, now_ms: u64) -> Pending<'_, Taken<Challenge>> {
        Box::pin(self.write(move |reply| Job::TakeChallenge(nonce, now_ms, reply)))
    }
    fn claim(&self, claim: Claim) -> Pending<'_, Claimed> {
        Box::pin(self.write(|reply| Job::Claim(claim, reply)))
    }
    fn begin_intent(&self, intent: NewIntent, claim: Option<Claim>) -> Pending<'_, Claimed> {
        Box::pin(self.write(|reply| Job::Begin(writer::Begin { intent, claim, reply })))
    }
    fn finish_intent(&self, signed: Signed) -> Pending<'_, ()> {
        Box::pin(self.write(|reply| Job::Finish(writer::Finish { signed, reply })))
    }
    fn account(&self, account: Id) -> Pending<'_, Option<Account>> {
        Box::pin(read::account(&self.readers, account))
    }
    fn account_by_name<'a>(&'a self, kind: &'a str, name: &'a str) -> Pending<'a, Option<Account>> {
        Box::pin(read::account_by_name(&self.readers, kind, name))
    }
    fn session(&self, token_hash: Id, now_ms: u64) -> Pending<'_, Option<Session>> {
        Box::pin(read::session(&self.readers, token_hash, now_ms))
    }
    fn key(&self, key_id: Id) -> Pending<'_, Option<Key>> {
        Box::pin(read::key(&self.readers, key_id))
    }
    fn key_by_alias<'a>(&'a self, account: Id, alias: &'a str) -> Pending<'a, Option<Key>> {
        Box::pin(read::key_by_alias(&self.readers, account, alias))
    }
    fn keys(&self, account: Id) -> Pending<'_, Vec<Key>> {
        Box::pin(read::keys(&self.readers, account))
    }
    fn linked_keys(&self) -> Pending<'_, Vec<Key>> {
        Box::pin(read::linked_keys(&self.readers))
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
    fn acts(&self) -> Pending<'_, Vec<Act>> {
        Box::pin(read::acts(&self.readers))
    }
    fn open_intents(&self, limit: u32) -> Pending<'_, Vec<Intent>> {
        Box::pin(read::open_intents(&self.readers, limit))
    }
    fn intent(&self, id: Id) -> Pending<'_, Option<Intent>> {
        Box::pin(read::intent(&self.readers, id))
    }
    fn queued_releases(&self, limit: u32) -> Pending<'_, Vec<QueuedRelease>> {
        Box::pin(read::queued_releases(&self.readers, limit))
    }
    fn prune(&self, now_ms: u64, keep_from_ms: u64) -> Pending<'_, u64> {
        Box::pin(self.write(move |reply| Job::Prune(now_ms, keep_from_ms, reply)))
    }
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async {
            self.write(Job::Close).await?;
            self.readers.close().await;
            Ok(())
        })
    }
}
