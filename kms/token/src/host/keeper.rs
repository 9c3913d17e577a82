//! Keeps a child running: starts it, watches it, ends it when it hangs, and starts the next one.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, Frame};
use super::parent::{Phase, Shared};
use crate::error::TokenError;
use crate::module::{DEADLINE, QUEUE_JOBS_MAX};

/// How often a running child is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The first pause after a child that ended early; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A child that lasted this long did not end early.
const LASTED: Duration = Duration::from_secs(10);
/// How long a child may take to end once its input is closed.
const ENDING: Duration = Duration::from_secs(2);

/// The keeper's thread, until the last handle is gone.
pub(super) fn keep(shared: &Arc<Shared>, ready: &SyncSender<Result<(), TokenError>>) {
    let mut early = 0_u32;
    let mut first = true;
    loop {
        let began = Instant::now();
        let reason = match Running::start(shared) {
            Ok(running) => {
                if std::mem::take(&mut first) {
                    let _gone = ready.try_send(Ok(()));
                }
                running.watch(shared)
            }
            Err(error) if first => {
                let _gone = ready.try_send(Err(error));
                return;
            }
            Err(TokenError::HostEnded { reason, .. }) => reason,
            Err(error) => error.to_string(),
        };
        early = if began.elapsed() >= LASTED { 0 } else { early.saturating_add(1) };
        // The first that ends is replaced at once.
        let pause = if early <= 1 { Duration::ZERO } else { PAUSE * 2_u32.saturating_pow(early.min(16) - 2) };
        let not_before = Instant::now() + pause.min(PAUSE_MAX);
        let child = shared.state().child;
        if !shared.state().closed {
            tracing::warn!(module = %shared.path.display(), reason, "the token host ended");
        }
        shared.down(child, reason, not_before);
        if !wait_until(shared, not_before) {
            return;
        }
    }
}

/// Waits for that moment; false if nobody is there any more.
fn wait_until(shared: &Shared, moment: Instant) -> bool {
    let mut state = shared.state();
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if state.closed || left.is_zero() {
            return !state.closed;
        }
        state = shared.changed.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
    }
}

/// A child whose module has started.
struct Running {
    process: Child,
    /// Ends with the thread that reads its answers.
    reader: Receiver<()>,
}

impl Running {
    fn start(shared: &Arc<Shared>) -> Result<Self, TokenError> {
        let failed = |error: io::Error| shared.ended(&format!("it did not start: {error}"));
        let mut process = Command::new(&shared.program.program)
            .args(&shared.program.arguments)
            .arg(&shared.path)
            .envs(shared.program.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C on the terminal is for the parent: it ends its children in order.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let child = {
            let mut state = shared.state();
            state.child += 1;
            state.process = Some(process.id());
            state.child
        };
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(shared.ended("it has no pipes"));
        };
        let (reading, reader) = sync_channel(0);
        let mut running = Self { process, reader };
        match running.begin(shared, child, stdin, stdout, reading) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.end(Duration::ZERO);
                Err(error)
            }
        }
    }

    fn begin(
        &self,
        shared: &Arc<Shared>,
        child: u64,
        mut stdin: ChildStdin,
        stdout: ChildStdout,
        reading: SyncSender<()>,
    ) -> Result<(), TokenError> {
        let failed = |error: io::Error| shared.ended(&format!("it did not start: {error}"));
        frame::write_frame(&mut stdin, &frame::hello(shared.program.patience, shared.program.threads))
            .map_err(failed)?;
        let (greeted, greeting) = sync_channel(1);
        let reader = shared.clone();
        let read = move || {
            let _until_the_end = reading;
            read(&reader, child, stdout, &greeted);
        };
        spawn("keyward-token-in", read).map_err(failed)?;
        match greeting.recv_timeout(DEADLINE) {
            Ok(started) => started.map_err(failed)??,
            Err(_) => return Err(shared.ended("it does not start its module in time")),
        }
        let (frames, queue) = sync_channel(QUEUE_JOBS_MAX + 64);
        spawn("keyward-token-out", move || write(stdin, &queue)).map_err(failed)?;
        shared.up(frames);
        Ok(())
    }

    /// Until it ends, hangs, or nobody is there any more; says why.
    fn watch(mut self, shared: &Shared) -> String {
        let mut state = shared.state();
        loop {
            if state.closed {
                drop(state);
                self.end(ENDING);
                return String::from("nobody uses it any more");
            }
            if state.phase == Phase::Down || matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                state.phase = Phase::Down; // nothing more is asked of it
                drop(state);
                let status = self.end(LOOK);
                let said = std::mem::take(&mut shared.state().reason);
                return if said.is_empty() { status } else { format!("{status}: {said}") };
            }
            if state.is_hanging(shared.program.patience) {
                state.phase = Phase::Down;
                drop(state);
                self.end(Duration::ZERO);
                return String::from("it said nothing for too long and was killed");
            }
            state =
                shared.changed.wait_timeout(state, LOOK).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Lets it end by itself for a while, then kills it; says how it ended. What it had said before was heard then,
    /// unless something else holds its output open.
    fn end(&mut self, patience: Duration) -> String {
        let status = self.end_process(patience);
        let _ended_or_late = self.reader.recv_timeout(ENDING);
        status
    }

    fn end_process(&mut self, patience: Duration) -> String {
        let until = Instant::now() + patience;
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return shown(status),
                Err(error) => return error.to_string(),
                Ok(None) if Instant::now() >= until => break,
                Ok(None) => thread::sleep(Duration::from_millis(5)),
            }
        }
        match self.process.kill().and_then(|()| self.process.wait()) {
            Ok(status) => shown(status),
            Err(error) => error.to_string(),
        }
    }
}

fn shown(status: ExitStatus) -> String {
    status.to_string()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(|_| ())
}

/// Greeting, then answers, until the pipe ends.
fn read(
    shared: &Shared,
    child: u64,
    mut stdout: ChildStdout,
    greeted: &SyncSender<io::Result<Result<(), TokenError>>>,
) {
    let greeting = frame::read_frame(&mut stdout)
        .and_then(|frame| frame::read_hello_back(&frame.ok_or(io::ErrorKind::UnexpectedEof)?));
    let up = matches!(greeting, Ok(Ok(())));
    let _gone = greeted.try_send(greeting);
    while up && let Ok(Some(frame)) = frame::read_frame(&mut stdout) {
        // Whoever breaks the rules is not listened to any more.
        let Some((number, outcome)) = frame::told(&frame) else { break };
        shared.answered(child, number, outcome);
    }
    let mut state = shared.state();
    if state.child == child {
        state.phase = Phase::Down;
        shared.changed.notify_all();
    }
}

/// Requests, until the channel or the pipe closes; then the child's input closes.
fn write(mut stdin: ChildStdin, queue: &Receiver<Frame>) {
    while let Ok(frame) = queue.recv() {
        if frame::write_frame(&mut stdin, &frame).is_err() {
            return;
        }
    }
}
