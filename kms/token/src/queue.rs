//! The bounded queue between whoever asks and the threads of a module.

use std::collections::VecDeque;
use std::sync::mpsc as blocking;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::TokenError;
use crate::request::{Answer, Request};

/// What a job ends with.
pub(crate) type Outcome = Result<Answer, TokenError>;

/// A request under way.
pub(crate) struct Job {
    pub(crate) request: Request,
    /// When nobody waits for the answer any more.
    pub(crate) until: Instant,
    /// How long the caller gave it.
    pub(crate) deadline: Duration,
    pub(crate) reply: Reply,
    /// Its place among the jobs that may wait; given back when it is begun.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// Whoever waits for the answer.
pub(crate) enum Reply {
    Task(oneshot::Sender<Outcome>),
    Thread(blocking::SyncSender<Outcome>),
    Then(Box<dyn FnOnce(Outcome) + Send>),
}

impl Reply {
    /// Whether it is known that nobody waits any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Task(reply) if reply.is_closed())
    }

    /// Answers; gives the outcome back when nobody waits any more.
    pub(crate) fn send(self, outcome: Outcome) -> Result<(), Box<Outcome>> {
        match self {
            Self::Task(reply) => reply.send(outcome).map_err(Box::new),
            Self::Then(then) => {
                then(outcome);
                Ok(())
            }
            Self::Thread(reply) => reply.try_send(outcome).map_err(|error| match error {
                blocking::TrySendError::Full(outcome) | blocking::TrySendError::Disconnected(outcome) => {
                    Box::new(outcome)
                }
            }),
        }
    }
}

/// Jobs that wait for a thread.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    /// Puts a job in; gives it back if the queue is closed. Its place bounds how many there are.
    pub(crate) fn push(&self, job: Job) -> Result<(), Box<Job>> {
        let mut state = self.state();
        if state.closed {
            return Err(Box::new(job));
        }
        state.jobs.push_back(job);
        drop(state);
        self.0.ready.notify_one();
        Ok(())
    }

    /// The next job, waiting for one; none when the queue is closed and empty.
    pub(crate) fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(mut job) = state.jobs.pop_front() {
                job.place = None;
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.0.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more jobs: the threads end when those that wait are done.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.0.ready.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
