//! Group commit: a task owns a writing connection and gives concurrent writers one transaction.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    addresses, group, hot,
    open::Opener,
    sql::{Connection, Kind, STEP_TIMEOUT, WORD_TIMEOUT, command, within},
};
use crate::{
    AddressSpan, Challenge, Change, Claim, Claimed, Id, Registration, Server, Signed, StoreError, Taken,
};

/// Writes that share one transaction at most.
const GROUP_MAX: usize = 512;
/// How often a transaction is tried that the database gave up in favour of another.
const TRIES: usize = 4;

/// One write.
#[derive(Debug)]
pub(super) enum Work {
    Apply(Vec<Change>),
    TakeRegistration([u8; 16], u64),
    TakeChallenge(Id, u64),
    Claim(Claim),
    Begin(Box<hot::Begin>),
    Finish(Signed),
    /// Takes indices of addresses.
    Allocate(AddressSpan),
    /// Begins an intent of an address.
    BeginAddress(Box<addresses::Begin>),
    Prune(u64, u64),
    Enter(Server),
    Leave([u8; 16]),
    Adopt {
        ended: Vec<[u8; 16]>,
        by: [u8; 16],
    },
    /// Ends the writer that takes it.
    Close,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Claimed(Claimed),
    Registration(Taken<Registration>),
    Challenge(Taken<Challenge>),
    Count(u64),
}

/// A write and where its answer goes.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// What the writers of one store take from.
pub(super) type Queue = Arc<Mutex<mpsc::Receiver<Job>>>;

/// Serves the queue until it closes; opens its connection again after losing it.
pub(super) async fn run(opener: Opener, first: Connection, queue: Queue) {
    let mut connection = Some(first);
    let mut jobs = Vec::with_capacity(GROUP_MAX);
    loop {
        if queue.lock().await.recv_many(&mut jobs, GROUP_MAX).await == 0 {
            break;
        }
        let closing = jobs.iter().position(|job| matches!(job.work, Work::Close));
        let closing = closing.map(|place| jobs.swap_remove(place));
        connection = serve(&opener, connection, &mut jobs).await;
        if let Some(job) = closing {
            // The queue ends with its last writer.
            drop(queue);
            close(connection).await;
            drop(job.reply.send(Ok(Answer::Done)));
            return;
        }
    }
    close(connection).await;
}

async fn close(connection: Option<Connection>) {
    if let Some(connection) = connection
        && let Err(error) = bounded(connection.kind(), WORD_TIMEOUT, connection.close()).await
    {
        tracing::debug!(%error, "a writing connection did not close in order");
    }
}

/// One group; the connection, if it is still good.
async fn serve(opener: &Opener, connection: Option<Connection>, jobs: &mut Vec<Job>) -> Option<Connection> {
    if jobs.is_empty() {
        return connection;
    }
    let mut connection = match begun(opener, connection).await {
        Ok(connection) => connection,
        Err(error) => {
            refuse(jobs, &error);
            return None;
        }
    };
    let works: Vec<&Work> = jobs.iter().map(|job| &job.work).collect();
    match bounded(connection.kind(), STEP_TIMEOUT, commit(&mut connection, &works)).await {
        Ok(answers) => {
            for (job, answer) in jobs.drain(..).zip(answers) {
                // A caller that stopped waiting does not undo the write.
                drop(job.reply.send(answer));
            }
            Some(connection)
        }
        Err(error) => {
            tracing::warn!(%error, "a write transaction failed");
            let good =
                bounded(connection.kind(), WORD_TIMEOUT, command(&mut connection, "ROLLBACK")).await.is_ok();
            refuse(jobs, &error);
            // SQLite's connection is a file, and stays; one to a server that failed is not trusted again.
            (good || matches!(connection, Connection::Sqlite(_))).then_some(connection)
        }
    }
}

/// A connection in a transaction. One to a server that was restarted shows it at the first word: then nothing has
/// happened yet, and a new one is made.
async fn begun(opener: &Opener, connection: Option<Connection>) -> Result<Connection, StoreError> {
    if let Some(mut connection) = connection {
        match bounded(connection.kind(), WORD_TIMEOUT, group::begin(&mut connection)).await {
            Ok(()) => return Ok(connection),
            Err(error) if matches!(connection, Connection::Sqlite(_)) => return Err(error),
            Err(error) => tracing::info!(%error, "a connection to the database was lost: a new one is made"),
        }
    }
    let mut connection = opener.connect().await?;
    bounded(connection.kind(), WORD_TIMEOUT, group::begin(&mut connection)).await?;
    Ok(connection)
}

/// A step of a transaction. A file is waited for; a server may have vanished.
async fn bounded<T, E: Into<StoreError>>(
    kind: Kind,
    bound: Duration,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match kind {
        Kind::Sqlite => step.await.map_err(Into::into),
        Kind::Postgres => within(bound, step).await,
    }
}

async fn commit(
    connection: &mut Connection,
    works: &[&Work],
) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match group::transact(connection, works).await {
            Err(StoreError::Unavailable { source }) if tries > 0 && group::is_collision(source.as_ref()) => {
                command(connection, "ROLLBACK").await?;
                group::begin(connection).await?;
            }
            other => return other,
        }
    }
}

fn refuse(jobs: &mut Vec<Job>, error: &StoreError) {
    for job in jobs.drain(..) {
        drop(job.reply.send(Err(error.again())));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::{Account, AccountState, Database, Location, Store as _};

    fn account(number: u8) -> Account {
        Account {
            account: [number; 32],
            kind: "person".into(),
            name: format!("person {number}"),
            salt: [7; 32],
            // More than the pages that earlier forms of the tables left free.
            opaque_record: Some(vec![3; 1 << 20]),
            credential: None,
            state: AccountState::Open,
            login_failures: 0,
            login_last_ms: 0,
            created_ms: 5,
        }
    }

    #[tokio::test]
    async fn a_full_disk_keeps_nothing_of_a_write_says_so_and_ends_with_the_room_that_there_is_again() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::File(folder.path().join("custody.db"));
        let database = Database::open(&location).await.unwrap();
        let opener = Opener::new(&location).unwrap();
        let mut connection = opener.prepare().await.unwrap();
        // Whatever is less than there is means: no page more than now.
        command(&mut connection, "PRAGMA max_page_count = 1").await.unwrap();
        let write = async |connection: Option<Connection>, works: Vec<Work>| {
            let (mut jobs, mut answers) = (Vec::new(), Vec::new());
            for work in works {
                let (reply, answer) = oneshot::channel();
                jobs.push(Job { work, reply });
                answers.push(answer);
            }
            let connection = serve(&opener, connection, &mut jobs).await;
            let mut told = Vec::new();
            for answer in answers {
                told.push(answer.await.unwrap());
            }
            (connection, told)
        };
        let insert = |number: u8| Work::Apply(vec![Change::InsertAccount(account(number))]);
        let (connection, told) = write(Some(connection), vec![insert(1), insert(2)]).await;
        assert!(told.iter().all(|told| matches!(told, Err(StoreError::Full { .. }))), "{told:?}");
        for number in [1, 2] {
            assert_eq!(database.account([number; 32]).await.unwrap(), None);
        }
        // The writer lives, and takes the same write when there is room.
        let mut connection = connection.expect("the connection stays");
        command(&mut connection, "PRAGMA max_page_count = 1000000").await.unwrap();
        let (_, told) = write(Some(connection), vec![insert(1), insert(2)]).await;
        assert!(told.iter().all(Result::is_ok), "{told:?}");
        assert_eq!(database.account([2; 32]).await.unwrap(), Some(account(2)));
    }
}
