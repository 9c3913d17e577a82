//! One transaction of many writes: each stands or falls alone, all become durable together.

use sqlx::SqliteConnection;

use super::{
    changes, hot, single_use,
    writer::{Begin, Finish, Job, Reply},
};
use crate::StoreError;

/// Sends one answer, once it is known whether the transaction stands.
type Delivery = Box<dyn FnOnce(Result<(), &sqlx::Error>) + Send>;

/// Writes that are going to share a transaction.
#[derive(Default)]
pub(super) struct Group {
    begins: Vec<Begin>,
    finishes: Vec<Finish>,
    others: Vec<Job>,
}

impl Group {
    pub(super) fn push(&mut self, job: Job) {
        match job {
            Job::Begin(begin) => self.begins.push(begin),
            Job::Finish(finish) => self.finishes.push(finish),
            other => self.others.push(other),
        }
    }

    /// Runs the transaction and answers everybody.
    pub(super) async fn commit(self, connection: &mut SqliteConnection) {
        if self.begins.is_empty() && self.finishes.is_empty() && self.others.is_empty() {
            return;
        }
        let mut deliveries = Vec::new();
        let outcome = self.transact(connection, &mut deliveries).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, "a write transaction failed");
            if let Err(error) = sqlx::query("ROLLBACK").execute(&mut *connection).await {
                tracing::debug!(%error, "nothing to roll back");
            }
        }
        for deliver in deliveries {
            deliver(outcome.as_ref().copied());
        }
    }

    async fn transact(
        self,
        connection: &mut SqliteConnection,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<(), sqlx::Error> {
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await;
        if let Err(error) = begun {
            self.refuse(&error);
            return Err(error);
        }
        for job in self.others {
            deliveries.push(run_alone(connection, job).await?);
        }
        let mut finished = Vec::with_capacity(self.finishes.len());
        let (signed, replies): (Vec<_>, Vec<_>) =
            self.finishes.into_iter().map(|f| (f.signed, f.reply)).unzip();
        hot::finish(connection, &signed, &mut finished).await;
        deliveries.extend(replies.into_iter().zip(finished).map(|(reply, result)| deliver(reply, result)));
        let mut begun = Vec::with_capacity(self.begins.len());
        let (begins, replies): (Vec<_>, Vec<_>) =
            self.begins.into_iter().map(|b| ((b.intent, b.claim), b.reply)).unzip();
        hot::begin(connection, &begins, &mut begun).await;
        deliveries.extend(replies.into_iter().zip(begun).map(|(reply, result)| deliver(reply, result)));
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok(())
    }

    fn refuse(self, error: &sqlx::Error) {
        for Begin { reply, .. } in self.begins {
            drop(reply.send(Err(failed(error))));
        }
        for Finish { reply, .. } in self.finishes {
            drop(reply.send(Err(failed(error))));
        }
        // The others' answers are dropped with them: their callers see that the write did not happen.
    }
}

/// Runs one write in a savepoint of its own.
async fn run_alone(connection: &mut SqliteConnection, job: Job) -> Result<Delivery, sqlx::Error> {
    sqlx::query("SAVEPOINT alone").execute(&mut *connection).await?;
    let (good, delivery) = match job {
        Job::Apply(changes, reply) => judge(reply, changes::apply(connection, changes).await),
        Job::TakeRegistration(id, now, reply) => {
            judge(reply, single_use::registration(connection, id, now).await)
        }
        Job::TakeChallenge(nonce, now, reply) => {
            judge(reply, single_use::challenge(connection, nonce, now).await)
        }
        Job::Claim(claim, reply) => judge(reply, hot::claim(connection, &claim).await),
        Job::Prune(now, keep, reply) => judge(reply, changes::prune(connection, now, keep).await),
        // These never come here: `push` keeps them apart.
        Job::Begin(_) | Job::Finish(_) | Job::Close(_) => {
            (true, Box::new(|_: Result<(), &sqlx::Error>| {}) as Delivery)
        }
    };
    if !good {
        sqlx::query("ROLLBACK TO alone").execute(&mut *connection).await?;
    }
    sqlx::query("RELEASE alone").execute(&mut *connection).await?;
    Ok(delivery)
}

fn judge<T: Send + 'static>(reply: Reply<T>, result: Result<T, StoreError>) -> (bool, Delivery) {
    (result.is_ok(), deliver(reply, result))
}

fn deliver<T: Send + 'static>(reply: Reply<T>, result: Result<T, StoreError>) -> Delivery {
    Box::new(move |outcome| {
        let answer = match outcome {
            Ok(()) => result,
            Err(error) => result.and_then(|_| Err(failed(error))),
        };
        // A caller that stopped waiting does not undo the write.
        drop(reply.send(answer));
    })
}

fn failed(error: &sqlx::Error) -> StoreError {
    StoreError::Database { source: error.to_string().into() }
}
