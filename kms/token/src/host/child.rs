//! The child's side: loads the module, answers requests, ends when its standard input closes.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::frame::{self, Frame};
use super::parent::NOBODY;
use crate::doing::millis;
use crate::error::TokenError;
use crate::module::{DEADLINE, Module};
use crate::request::Request;

/// How often the calls into the module are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What a host ends with whose module hangs.
const EXIT_HANGING: i32 = 75;

/// Runs a host on this process's standard input and output until the input closes; then the process should end at
/// once, whatever the module's threads do. A module that reads its input or prints gets nothing of ours: its input
/// is empty, and what it prints goes to standard error.
pub fn serve_host(module: &Path) -> io::Result<()> {
    let input = rustix::io::dup(rustix::stdio::stdin())?;
    let output = rustix::io::dup(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    serve(module, File::from(input), File::from(output))
}

fn serve(path: &Path, mut input: File, mut output: File) -> io::Result<()> {
    let greeting = frame::read_frame(&mut input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (patience, threads) = frame::read_hello(&greeting)?;
    let started = Module::open_with(path, threads);
    frame::write_frame(&mut output, &frame::hello_back(started.as_ref().map(|_| ())))?;
    let Ok(module) = started else { return Ok(()) };
    let output = Arc::new(Mutex::new(output));
    watch(&module, patience, &output)?;
    while let Some(frame) = frame::read_frame(&mut input)? {
        let Some((number, left_ms, request)) = frame::asked(&frame) else {
            return Err(frame::malformed("a request that is none"));
        };
        let hold = matches!(request, Request::HoldPin { .. });
        let (replies, deadline) = (output.clone(), Duration::from_millis(left_ms));
        let (held, done) = sync_channel(1);
        let begun = module.hand_in(request, deadline, move |outcome| {
            send(&replies, &frame::tell(number, &outcome));
            let _not_awaited = held.try_send(());
        });
        match begun {
            // Requests after it count on the PIN.
            Ok(()) if hold => done.recv_timeout(DEADLINE).unwrap_or_default(),
            Ok(()) => {}
            Err(error) => send(&output, &frame::tell(number, &Err(error))),
        }
    }
    Ok(())
}

/// Ends the process when a call into the module hangs: nothing else ends such a call.
fn watch(module: &Module, patience: Duration, output: &Arc<Mutex<File>>) -> io::Result<()> {
    let (Some(doing), output, path) = (module.doing(), output.clone(), module.path().to_owned()) else {
        return Ok(());
    };
    let watching = move || {
        loop {
            std::thread::sleep(LOOK);
            if let Some(stuck) = doing.hanging(patience) {
                let error = TokenError::late(&path, patience, Some(stuck));
                send(&output, &frame::tell(NOBODY, &Err(error)));
                std::process::exit(EXIT_HANGING);
            }
        }
    };
    std::thread::Builder::new().name(String::from("keyward-token-watch")).spawn(watching).map(|_| ())
}

/// A parent that does not read any more has left, and the end of the input says so soon.
fn send(output: &Mutex<File>, frame: &Frame) {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = frame::write_frame(&mut *output, frame).and_then(|()| output.flush()) {
        tracing::warn!(%error, "an answer of the token host found nobody");
    }
}

/// How long the deadline of a request that is passed on still lasts.
pub(super) fn left_ms(until: std::time::Instant) -> u64 {
    millis(until.saturating_duration_since(std::time::Instant::now()))
}
