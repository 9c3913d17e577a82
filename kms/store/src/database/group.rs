//! One transaction of many writes: each stands or falls alone, all become durable together.

use std::error::Error;

use super::{
    addresses, changes, hot, servers, single_use,
    sql::{Connection, Kind, command},
    writer::{Answer, Work},
};
use crate::{Signed, StoreError};

/// Begins a transaction.
pub(super) async fn begin(on: &mut Connection) -> Result<(), sqlx::Error> {
    command(on, if on.kind() == Kind::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }).await
}

/// Runs the transaction that was begun; one answer for each write, in order. An error is everybody's, and the caller
/// rolls back.
pub(super) async fn transact(
    on: &mut Connection,
    works: &[&Work],
) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
    let mut answers: Vec<Option<Result<Answer, StoreError>>> = Vec::new();
    answers.resize_with(works.len(), || None);
    let (mut begins, mut finishes) = (Vec::new(), Vec::new());
    for (place, work) in works.iter().enumerate() {
        match work {
            Work::Begin(begin) => begins.push((place, begin.as_ref())),
            Work::Finish(signed) => finishes.push((place, signed)),
            other => put(&mut answers, place, alone(on, other).await?),
        }
    }
    // Claims, and releases before intents, each in one order everywhere.
    let signed: Vec<&Signed> = finishes.iter().map(|(_, signed)| *signed).collect();
    for ((place, _), finished) in finishes.iter().zip(hot::finish(on, &signed).await?) {
        put(&mut answers, *place, finished.map(|()| Answer::Done));
    }
    let wanted: Vec<&hot::Begin> = begins.iter().map(|(_, begin)| *begin).collect();
    for ((place, _), begun) in begins.iter().zip(hot::begin(on, &wanted).await?) {
        put(&mut answers, *place, begun.map(Answer::Claimed));
    }
    command(on, "COMMIT").await?;
    let missing = || StoreError::Database { source: "a write without an answer".into() };
    Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(missing()))).collect())
}

fn put(answers: &mut [Option<Result<Answer, StoreError>>], place: usize, answer: Result<Answer, StoreError>) {
    if let Some(slot) = answers.get_mut(place) {
        *slot = Some(answer);
    }
}

/// Runs one write in a savepoint of its own. What breaks the connection or the transaction is an error.
async fn alone(on: &mut Connection, work: &Work) -> Result<Result<Answer, StoreError>, StoreError> {
    command(on, "SAVEPOINT alone").await?;
    let answer = one(on, work).await;
    match &answer {
        // Without room SQLite may have rolled everything back already.
        Err(StoreError::Unavailable { .. } | StoreError::Full { .. }) => return answer.map(Ok),
        Err(_) => command(on, "ROLLBACK TO alone").await?,
        Ok(_) => {}
    }
    command(on, "RELEASE alone").await?;
    Ok(answer)
}

async fn one(on: &mut Connection, work: &Work) -> Result<Answer, StoreError> {
    match work {
        Work::Apply(changes) => changes::apply(on, changes).await.map(|()| Answer::Done),
        Work::TakeRegistration(id, now) => {
            single_use::registration(on, *id, *now).await.map(Answer::Registration)
        }
        Work::TakeChallenge(nonce, now) => {
            single_use::challenge(on, *nonce, *now).await.map(Answer::Challenge)
        }
        Work::Claim(claim) => {
            let mut claimed = hot::claim_all(on, &[claim]).await?;
            Ok(Answer::Claimed(claimed.pop().unwrap_or(crate::Claimed::InProgress)))
        }
        Work::Allocate(span) => addresses::allocate(on, span).await.map(Answer::Count),
        Work::BeginAddress(begin) => addresses::begin(on, begin).await.map(Answer::Claimed),
        Work::Prune(now, keep) => changes::prune(on, *now, *keep).await.map(Answer::Count),
        Work::Enter(server) => servers::enter(on, server).await.map(|()| Answer::Done),
        Work::Leave(boot) => servers::leave(on, *boot).await.map(|()| Answer::Done),
        Work::Adopt { ended, by } => servers::adopt(on, ended, *by).await.map(Answer::Count),
        // These never come here: they are kept apart.
        Work::Begin(_) | Work::Finish(_) | Work::Close => Ok(Answer::Done),
    }
}

/// Whether the database gave one transaction up in favour of another: trying again is all there is to do.
pub(super) fn is_collision(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    error.and_then(|error| error.code()).is_some_and(|code| code == "40001" || code == "40P01")
}
