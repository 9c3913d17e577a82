//! A job for the module's thread: awaited, or waited for.

use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use crate::error::TokenError;
use crate::worker::Worker;

/// What travels to the thread.
pub(crate) type Job = Box<dyn FnOnce(&mut Worker) + Send>;
type Work<R> = Box<dyn FnOnce(&mut Worker) -> Result<R, TokenError> + Send>;

/// A job that was not sent yet: `.await` it, or `.wait()` for it outside of async code. Dropping it, or the
/// future, means that the job is not begun, or that its answer goes nowhere.
#[must_use = "nothing happens until it is awaited or waited for"]
pub struct Call<R> {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
    deadline: Duration,
    work: Work<R>,
}

impl<R: Send + 'static> Call<R> {
    pub(crate) fn new(
        jobs: mpsc::Sender<Job>,
        path: PathBuf,
        deadline: Duration,
        work: impl FnOnce(&mut Worker) -> Result<R, TokenError> + Send + 'static,
    ) -> Self {
        Self { jobs, path, deadline, work: Box::new(work) }
    }

    /// Waits for the answer, blocking this thread; never call it on an async worker.
    pub fn wait(self) -> Result<R, TokenError> {
        let Self { jobs, path, deadline, work } = self;
        let until = Instant::now() + deadline;
        let (reply, answer) = blocking::sync_channel(1);
        let late = timeout(&path, deadline);
        let job: Job = Box::new(move |worker| {
            let result = if Instant::now() >= until { Err(late) } else { work(worker) };
            let _gone = reply.try_send(result); // whoever asked may have left
        });
        jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => TokenError::Busy { path: path.clone() },
            mpsc::error::TrySendError::Closed(_) => TokenError::Stopped { path: path.clone() },
        })?;
        match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(result) => result,
            Err(blocking::RecvTimeoutError::Timeout) => Err(timeout(&path, deadline)),
            Err(blocking::RecvTimeoutError::Disconnected) => Err(TokenError::Stopped { path }),
        }
    }

    async fn run(self) -> Result<R, TokenError> {
        let Self { jobs, path, deadline, work } = self;
        let until = Instant::now() + deadline;
        let (reply, answer) = oneshot::channel();
        let late = timeout(&path, deadline);
        let job: Job = Box::new(move |worker| {
            if reply.is_closed() {
                return; // whoever asked has left: do not begin
            }
            let result = if Instant::now() >= until { Err(late) } else { work(worker) };
            let _gone = reply.send(result);
        });
        match timeout_at(until.into(), jobs.send(job)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(TokenError::Stopped { path }),
            Err(_) => return Err(TokenError::Busy { path }),
        }
        match timeout_at(until.into(), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(TokenError::Stopped { path }),
            Err(_) => Err(timeout(&path, deadline)),
        }
    }
}

impl<R: Send + 'static> IntoFuture for Call<R> {
    type Output = Result<R, TokenError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn timeout(path: &std::path::Path, deadline: Duration) -> TokenError {
    let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    TokenError::Timeout { path: path.to_owned(), deadline_ms }
}
