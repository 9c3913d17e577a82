//! Several servers over one database: each holds a lock that dies with its process, so that nobody needs a clock to
//! tell a dead server from a slow one. SQLite: a lock on a file beside the database. PostgreSQL: an advisory lock of
//! a session. A server whose lock is free has ended; its row goes, its claims and acts are taken over.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::Duration,
};

use super::{
    Database,
    open::{Opener, beside, private_file},
    sql::{Connection, WORD_TIMEOUT, query, within},
    writer::{Answer, Work},
};
use crate::{Id, Server, StoreError};

/// How often the lock of a submitter is tried before it counts as held: others hold it for a moment when they look
/// who ended.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The server that this store was entered for, and its proof of life.
#[derive(Debug)]
pub(super) struct Lease {
    server: Server,
    lock: Option<Lock>,
}

/// A lock that ends with this process.
#[derive(Debug)]
enum Lock {
    File { _held: File },
    Session(Connection),
}

impl Database {
    pub(super) async fn enter_as(&self, server: Server) -> Result<(), StoreError> {
        let mut lease = self.lease.lock().await;
        let mut lock = None;
        for attempt in 0..TRIES {
            lock = self.try_lock(&server.submitter).await?;
            if lock.is_some() || attempt + 1 == TRIES {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let Some(lock) = lock else { return Err(self.in_use(&server).await?) };
        self.write(Work::Enter(server.clone())).await?;
        *lease = Some(Lease { server, lock: Some(lock) });
        Ok(())
    }

    pub(super) async fn take_over_ended(&self) -> Result<u64, StoreError> {
        let mut lease = self.lease.lock().await;
        let Some(lease) = lease.as_mut() else { return Ok(0) };
        self.renew(lease).await?;
        let servers = super::read::servers(&self.readers).await?;
        if !servers.iter().any(|row| row.boot == lease.server.boot) {
            // While the lock was lost, after a restart of the database, another server took us for ended.
            tracing::warn!("this server's row was gone: it enters again");
            self.write(Work::Enter(lease.server.clone())).await?;
        }
        let mut ended = Vec::new();
        for other in servers {
            if other.submitter != lease.server.submitter && self.is_free(&other.submitter).await? {
                tracing::warn!(server = other.name, "a server ended without leaving");
                ended.push(other.boot);
            }
        }
        match self.write(Work::Adopt { ended, by: lease.server.boot }).await? {
            Answer::Count(acts) => Ok(acts),
            _ => Ok(0),
        }
    }

    /// Makes sure that our own lock is held: the database may have been restarted under us.
    async fn renew(&self, lease: &mut Lease) -> Result<(), StoreError> {
        let held = match &mut lease.lock {
            Some(Lock::File { .. }) => return Ok(()),
            Some(Lock::Session(session)) => {
                within(WORD_TIMEOUT, query("SELECT 1").rows(session)).await.is_ok()
            }
            None => false,
        };
        if held {
            return Ok(());
        }
        lease.lock = None;
        match self.try_lock(&lease.server.submitter).await? {
            Some(lock) => {
                self.write(Work::Enter(lease.server.clone())).await?;
                lease.lock = Some(lock);
                Ok(())
            }
            // Our own old session may linger; another server would have removed our row.
            None => Err(self.in_use(&lease.server).await?),
        }
    }

    /// Who holds the submitter's lock: another server, or for a moment somebody who looks.
    async fn in_use(&self, server: &Server) -> Result<StoreError, StoreError> {
        let rows = super::read::servers(&self.readers).await?;
        let holder = rows.into_iter().find(|row| row.submitter == server.submitter);
        Ok(match holder {
            Some(holder) if holder.boot != server.boot => StoreError::SubmitterInUse { by: holder.name },
            _ => StoreError::Unavailable { source: "the lock of the submitter key is held".into() },
        })
    }

    async fn try_lock(&self, submitter: &Id) -> Result<Option<Lock>, StoreError> {
        match &self.opener {
            Opener::Sqlite { file } => {
                lock_file(&beside(file, &format!(".server-{:016x}", lock_number(submitter))))
            }
            Opener::Postgres { .. } => {
                let mut session = self.opener.connect().await?;
                let lock = query("SELECT 1 WHERE pg_try_advisory_lock($1)").bind(lock_number(submitter));
                let rows = within(WORD_TIMEOUT, lock.rows(&mut session)).await?;
                Ok((!rows.is_empty()).then_some(Lock::Session(session)))
            }
        }
    }

    /// Whether nobody holds a submitter's lock.
    async fn is_free(&self, submitter: &Id) -> Result<bool, StoreError> {
        match &self.opener {
            Opener::Sqlite { .. } => Ok(self.try_lock(submitter).await?.is_some()),
            Opener::Postgres { .. } => {
                // Of a transaction, which ends with the statement.
                let free = query("SELECT 1 WHERE pg_try_advisory_xact_lock($1)").bind(lock_number(submitter));
                Ok(!free.read(&self.readers).await?.is_empty())
            }
        }
    }

    /// Leaves, if this store was entered: the lock goes with the lease.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        let Some(lease) = self.lease.lock().await.take() else { return Ok(()) };
        self.write(Work::Leave(lease.server.boot)).await?;
        if let Some(Lock::Session(session)) = lease.lock
            && let Err(error) = within(WORD_TIMEOUT, session.close()).await
        {
            tracing::debug!(%error, "the session of the submitter's lock did not close in order");
        }
        Ok(())
    }
}

/// Advisory locks are numbers: the first bytes of a public key are as good as random.
fn lock_number(submitter: &Id) -> i64 {
    let mut first = [0; 8];
    first.iter_mut().zip(submitter).for_each(|(to, from)| *to = *from);
    i64::from_be_bytes(first)
}

fn lock_file(path: &Path) -> Result<Option<Lock>, StoreError> {
    let failed = |source: std::io::Error| StoreError::Database { source: Box::new(source) };
    let file = private_file(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock::File { _held: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A server begins: earlier runs with its submitter key have ended, and rows that are older than servers become its.
pub(super) async fn enter(on: &mut Connection, server: &Server) -> Result<(), StoreError> {
    query("DELETE FROM servers WHERE submitter = $1 AND boot <> $2")
        .bind(server.submitter)
        .bind(server.boot)
        .execute(on)
        .await?;
    query("INSERT INTO servers (boot, name, submitter) VALUES ($1, $2, $3) ON CONFLICT (boot) DO NOTHING")
        .bind(server.boot)
        .bind(server.name.as_str())
        .bind(server.submitter)
        .execute(on)
        .await?;
    for state in ["state IN ('submitted', 'final')", "state = 'signed'"] {
        // The condition on the state lets the partial indexes find them.
        query("UPDATE intents SET submitter = $1 WHERE submitter = $2 AND ")
            .then(state)
            .bind(server.submitter)
            .bind([0_u8; 32])
            .execute(on)
            .await?;
    }
    adopt(on, &[], server.boot).await.map(drop)
}

pub(super) async fn leave(on: &mut Connection, boot: [u8; 16]) -> Result<(), StoreError> {
    query("DELETE FROM servers WHERE boot = $1").bind(boot).execute(on).await?;
    Ok(())
}

/// Removes servers that ended, and gives their acts to one that lives; how many acts came over.
pub(super) async fn adopt(on: &mut Connection, ended: &[[u8; 16]], by: [u8; 16]) -> Result<u64, StoreError> {
    for boot in ended {
        leave(on, *boot).await?;
    }
    // Of several that adopt at once, one gets each act: the others find it with a server that lives.
    let adopted = query(
        "UPDATE acts SET boot = $1 WHERE NOT EXISTS (SELECT 1 FROM servers WHERE servers.boot = acts.boot)",
    )
    .bind(by)
    .execute(on)
    .await?;
    Ok(adopted)
}
