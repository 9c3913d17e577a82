//! Group commit: one task owns the writing connection and gives concurrent writers one transaction.

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::group::Group;
use crate::{Challenge, Change, Claim, Claimed, Id, NewIntent, Registration, Signed, StoreError, Taken};

/// Writes that share one transaction at most.
const GROUP_MAX: usize = 512;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The hot path's first write.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) intent: NewIntent,
    pub(super) claim: Option<Claim>,
    pub(super) reply: Reply<Claimed>,
}

/// The hot path's second write.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) signed: Signed,
    pub(super) reply: Reply<()>,
}

/// One write and where its answer goes.
#[derive(Debug)]
pub(super) enum Job {
    Apply(Vec<Change>, Reply<()>),
    TakeRegistration([u8; 16], u64, Reply<Taken<Registration>>),
    TakeChallenge(Id, u64, Reply<Taken<Challenge>>),
    Claim(Claim, Reply<Claimed>),
    Begin(Begin),
    Finish(Finish),
    Prune(u64, u64, Reply<u64>),
    Close(Reply<()>),
}

/// Serves the queue until it closes.
pub(super) async fn run(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(GROUP_MAX);
    while queue.recv_many(&mut jobs, GROUP_MAX).await > 0 {
        let mut closing = None;
        let mut group = Group::default();
        for job in jobs.drain(..) {
            match job {
                Job::Close(reply) => closing = Some(reply),
                job => group.push(job),
            }
        }
        group.commit(&mut connection).await;
        if let Some(reply) = closing {
            queue.close();
            drop(reply.send(connection.close().await.map_err(Into::into)));
            return;
        }
    }
}
