//! The parent's side: who waits for which answer of the child, and what is told them when it ends.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::child::left_ms;
use super::frame::{self, Frame};
use super::pins::Pins;
use super::{HostProgram, keeper};
use crate::error::TokenError;
use crate::module::DEADLINE;
use crate::queue::{Job, Outcome, Reply};
use crate::request::Request;
use crate::types::{Pin, TokenName};

/// A job waits for the next child at most this long; if it takes longer to come, the job is refused at once.
const WAIT_FOR_CHILD: Duration = Duration::from_millis(500);
/// The number of requests whose answer nobody waits for, and of a child's last words.
pub(super) const NOBODY: u64 = 0;

/// A module in a child process.
pub(crate) struct Host(Arc<Shared>);

pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) program: HostProgram,
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// The last handle is gone.
    pub(super) closed: bool,
    /// Which child this is.
    pub(super) child: u64,
    pub(super) process: Option<u32>,
    /// Why the last one ended.
    pub(super) reason: String,
    /// When the next one may begin.
    pub(super) not_before: Instant,
    /// When the child said something last.
    pub(super) heard: Instant,
    frames: Option<SyncSender<Frame>>,
    number: u64,
    pending: HashMap<u64, Pending>,
    waiting: VecDeque<Job>,
    pins: Pins,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Down,
    Up,
}

/// A request that the child has.
struct Pending {
    reply: Reply,
    until: Instant,
    subject: Subject,
    _place: Option<OwnedSemaphorePermit>,
}

/// What an answer changes here.
enum Subject {
    Login(TokenName, Pin),
    Other(Option<TokenName>),
}

impl Host {
    /// Starts the first child; blocks until its module has started.
    pub(crate) fn start(path: PathBuf, program: HostProgram) -> Result<Self, TokenError> {
        let state = State {
            phase: Phase::Down,
            closed: false,
            child: 0,
            process: None,
            reason: String::from("it was not started yet"),
            not_before: Instant::now(),
            heard: Instant::now(),
            frames: None,
            number: NOBODY,
            pending: HashMap::new(),
            waiting: VecDeque::new(),
            pins: Pins::default(),
        };
        let shared = Arc::new(Shared {
            path: path.clone(),
            program,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let (ready, started) = sync_channel(1);
        let keeper = shared.clone();
        let host = Self(shared);
        thread::Builder::new()
            .name(String::from("keyward-token-host"))
            .spawn(move || keeper::keep(&keeper, &ready))
            .map_err(|source| TokenError::Thread { path: path.clone(), source })?;
        match started.recv_timeout(DEADLINE * 2) {
            Ok(result) => result.map(|()| host),
            Err(_) => Err(TokenError::late(&path, DEADLINE * 2, None)),
        }
    }

    /// Passes a job on to the child, or lets it wait for the next one.
    pub(crate) fn send(&self, job: Job) -> Result<(), TokenError> {
        let mut state = self.0.state();
        if let Request::Logout { token } = &job.request {
            state.forget(token); // whatever becomes of the job
        }
        if state.closed {
            return Err(TokenError::Stopped { path: self.0.path.clone() });
        }
        if state.phase == Phase::Up {
            return state.pass_on(&self.0, job);
        }
        let soon = Instant::now() + WAIT_FOR_CHILD;
        if state.not_before > soon {
            return Err(self.0.ended(state.why()));
        }
        state.waiting.push_back(job);
        Ok(())
    }

    /// The child's process id, while there is one.
    pub(crate) fn process(&self) -> Option<u32> {
        self.0.state().process
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        state.frames = None; // the child's input closes, and it ends
        self.0.changed.notify_all();
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ended(&self, reason: &str) -> TokenError {
        TokenError::HostEnded { path: self.path.clone(), reason: reason.to_owned() }
    }

    /// A child is ready: it holds the PINs first, then takes what has waited.
    pub(super) fn up(&self, frames: SyncSender<Frame>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        for (token, pin) in state.pins.held() {
            let hold = Request::HoldPin { token, pin };
            let _full_or_gone = frames.try_send(frame::ask(NOBODY, u64::MAX, &hold));
        }
        state.frames = Some(frames);
        state.phase = Phase::Up;
        state.reason.clear(); // that was the one before
        state.heard = Instant::now();
        while let Some(job) = state.waiting.pop_front() {
            if let Err(error) = state.pass_on(self, job) {
                tracing::warn!(%error, "a job that waited for the token host is not done");
            }
        }
    }

    /// The child is gone: everybody who waited for it is told, and who waits for the next one if that takes long.
    pub(super) fn down(&self, child: u64, reason: String, not_before: Instant) {
        let mut state = self.state();
        if state.child != child {
            return;
        }
        let long = not_before > Instant::now() + WAIT_FOR_CHILD;
        state.phase = Phase::Down;
        state.frames = None;
        state.process = None;
        state.not_before = not_before;
        let mut replies: Vec<Reply> = state.pending.drain().map(|(_, pending)| pending.reply).collect();
        if long || state.closed {
            replies.extend(state.waiting.drain(..).map(|job| job.reply));
        }
        for reply in replies {
            let _gone = reply.send(Err(self.ended(&reason)));
        }
        state.reason = reason;
        self.changed.notify_all();
    }

    /// An answer of the child.
    pub(super) fn answered(&self, child: u64, number: u64, outcome: Outcome) {
        let mut state = self.state();
        if state.child != child {
            return;
        }
        state.heard = Instant::now();
        if number == NOBODY {
            if let Err(error) = outcome {
                // It ends by itself now: what is asked from here on is for the next one.
                state.reason = error.to_string();
                state.phase = Phase::Down;
                self.changed.notify_all();
            }
            return;
        }
        let Some(Pending { reply, subject, .. }) = state.pending.remove(&number) else { return };
        match subject {
            Subject::Login(token, pin) => state.pins.logged_in(&token, pin, &outcome),
            Subject::Other(None) => {}
            Subject::Other(Some(token)) => state.pins.met(&token, &outcome),
        }
        drop(state);
        let _gone = reply.send(outcome); // whoever asked may have left
    }
}

impl State {
    /// Whether somebody should have had an answer long ago, and the child has said nothing since.
    pub(super) fn is_hanging(&self, patience: Duration) -> bool {
        let now = Instant::now();
        let overdue = |pending: &Pending| now > pending.until + patience;
        now > self.heard + patience && self.pending.values().any(overdue)
    }

    /// Holds no PIN of this token any more, nor one whose login is not answered yet.
    fn forget(&mut self, token: &TokenName) {
        self.pins.forget(token);
        for pending in self.pending.values_mut() {
            if matches!(&pending.subject, Subject::Login(other, _) if other == token) {
                pending.subject = Subject::Other(None);
            }
        }
    }

    /// Why the last child ended, or that this one does.
    fn why(&self) -> &str {
        if self.reason.is_empty() { "it reads nothing any more" } else { &self.reason }
    }

    fn pass_on(&mut self, shared: &Shared, job: Job) -> Result<(), TokenError> {
        let Job { request, until, reply, place, .. } = job;
        if reply.is_gone() {
            return Ok(()); // whoever asked has left: do not begin
        }
        let subject = match &request {
            Request::Login { token, pin } if self.pins.was_refused(token, pin) => {
                let _gone = reply.send(Err(TokenError::PinRefusedBefore { token: token.clone() }));
                return Ok(());
            }
            Request::Login { token, pin } if self.pins.was_guessed(token, pin) => {
                let _gone = reply.send(Err(TokenError::PinGuessed { token: token.clone() }));
                return Ok(());
            }
            Request::Login { token, pin } => Subject::Login(token.clone(), pin.duplicate()),
            Request::Logout { token } => {
                self.forget(token); // a login that waited with it was passed on before it
                Subject::Other(None)
            }
            other => Subject::Other(other.token().cloned()),
        };
        let Some(frames) = &self.frames else { return Err(shared.ended(self.why())) };
        self.number += 1;
        match frames.try_send(frame::ask(self.number, left_ms(until), &request)) {
            Ok(()) => {
                self.pending.insert(self.number, Pending { reply, until, subject, _place: place });
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(TokenError::Busy { path: shared.path.clone() }),
            Err(TrySendError::Disconnected(_)) => Err(shared.ended(self.why())),
        }
    }
}
