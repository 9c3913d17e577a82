//! A job for a module: awaited, or waited for.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use tokio::sync::{TryAcquireError, oneshot};
use tokio::time::timeout_at;

use crate::error::TokenError;
use crate::litter::Piece;
use crate::module::Front;
use crate::queue::{Job, Outcome, Reply};
use crate::request::{Answer, Request};

/// What an answer means to the caller; none if it is the answer to something else.
pub(crate) type Pick<R> = fn(Answer) -> Option<R>;

/// A job that was not sent yet: `.await` it, or `.wait()` for it outside of async code. Dropping it, or the
/// future, means that the job is not begun, or that its answer goes nowhere.
#[must_use = "nothing happens until it is awaited or waited for"]
pub struct Call<R> {
    front: Arc<Front>,
    deadline: Duration,
    request: Result<Request, TokenError>,
    pick: Pick<R>,
}

impl<R: Send + 'static> Call<R> {
    pub(crate) const fn new(
        front: Arc<Front>,
        deadline: Duration,
        request: Result<Request, TokenError>,
        pick: Pick<R>,
    ) -> Self {
        Self { front, deadline, request, pick }
    }

    /// Waits for the answer, blocking this thread; never call it on an async worker.
    pub fn wait(self) -> Result<R, TokenError> {
        let Self { front, deadline, request, pick } = self;
        let (request, until) = (request?, Instant::now() + deadline);
        for sweep in front.before(&request) {
            let begun = Instant::now();
            front.swept(&sweep, begun, wait(&front, sweep.request(), until, deadline).as_ref());
        }
        let made = Piece::made_by(&request, until);
        let outcome = wait(&front, request, until, deadline);
        front.after(made, &outcome);
        front.picked(outcome, pick)
    }

    async fn run(self) -> Result<R, TokenError> {
        let Self { front, deadline, request, pick } = self;
        let (request, until) = (request?, Instant::now() + deadline);
        for sweep in front.before(&request) {
            let begun = Instant::now();
            front.swept(&sweep, begun, ask(&front, sweep.request(), until, deadline).await.as_ref());
        }
        let mut made = Leaving { front: &front, made: Piece::made_by(&request, until) };
        let outcome = ask(&front, request, until, deadline).await;
        front.after(made.made.take(), &outcome);
        front.picked(outcome, pick)
    }
}

/// Notes what a request was to make when whoever asked leaves before the answer.
struct Leaving<'a> {
    front: &'a Front,
    made: Option<Piece>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(made) = self.made.take() {
            self.front.after(Some(made), &Err(self.front.stopped()));
        }
    }
}

fn wait(front: &Front, request: Request, until: Instant, deadline: Duration) -> Outcome {
    let place = front.places.clone().try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits => TokenError::Busy { path: front.path.clone() },
        TryAcquireError::Closed => front.stopped(),
    })?;
    let (reply, answer) = blocking::sync_channel(1);
    front.send(Job { request, until, deadline, reply: Reply::Thread(reply), place: Some(place) })?;
    match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(outcome) => outcome,
        Err(blocking::RecvTimeoutError::Timeout) => Err(front.late(deadline)),
        Err(blocking::RecvTimeoutError::Disconnected) => Err(front.stopped()),
    }
}

async fn ask(front: &Front, request: Request, until: Instant, deadline: Duration) -> Outcome {
    let place = match timeout_at(until.into(), front.places.clone().acquire_owned()).await {
        Ok(Ok(place)) => place,
        Ok(Err(_closed)) => return Err(front.stopped()),
        Err(_elapsed) => return Err(TokenError::Busy { path: front.path.clone() }),
    };
    let (reply, answer) = oneshot::channel();
    front.send(Job { request, until, deadline, reply: Reply::Task(reply), place: Some(place) })?;
    match timeout_at(until.into(), answer).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_gone)) => Err(front.stopped()),
        Err(_elapsed) => Err(front.late(deadline)),
    }
}

impl<R: Send + 'static> IntoFuture for Call<R> {
    type Output = Result<R, TokenError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
