//! The clerk at the terminal: shown what is to be signed, and asked.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::sync::Mutex;

use keyward_client::agent::{Asked, Later, Person, Verdict};
use tokio::sync::{Mutex as Turn, mpsc};

use crate::output::Output;

/// How many digits of the hash the clerk types: they bind the answer to what is shown, so that one that was meant for
/// the request before never counts for this one.
const TYPED_DIGITS: usize = 4;

/// Whoever sits at the terminal that we were started from.
pub(super) struct Terminal {
    output: Output,
    lines: Turn<Option<mpsc::Receiver<String>>>,
    started: Mutex<bool>,
}

impl Terminal {
    pub(super) fn new(output: Output) -> Self {
        Self { output, lines: Turn::new(None), started: Mutex::new(false) }
    }

    /// Lines typed at the terminal; none where there is no terminal.
    fn typed(&self) -> Option<mpsc::Receiver<String>> {
        let mut started = self.started.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *started || !std::io::stdin().is_terminal() {
            return None;
        }
        *started = true;
        let (sender, lines) = mpsc::channel(1);
        // A thread that waits for a terminal cannot be ended: it ends with the process.
        std::thread::spawn(move || {
            let mut input = BufReader::new(std::io::stdin());
            let mut line = String::new();
            while input.read_line(&mut line).is_ok_and(|read| read > 0) {
                if sender.blocking_send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        Some(lines)
    }
}

impl Person for Terminal {
    fn ask<'a>(&'a self, asked: &'a Asked) -> Later<'a, Verdict> {
        Box::pin(async move {
            let mut lines = self.lines.lock().await;
            if lines.is_none() {
                *lines = self.typed();
            }
            let Some(lines) = lines.as_mut() else { return Verdict::Nobody };
            // What was typed before the question was shown is no answer to it.
            while lines.try_recv().is_ok() {}
            let hash = hex::encode(asked.sha256);
            let digits = hash.get(..TYPED_DIGITS).unwrap_or_default();
            self.show(asked, &hash, digits);
            match lines.recv().await {
                Some(line) if line.trim().eq_ignore_ascii_case(digits) => Verdict::Yes,
                Some(_) => Verdict::No,
                None => Verdict::Nobody,
            }
        })
    }
}

impl Terminal {
    fn show(&self, asked: &Asked, hash: &str, digits: &str) {
        let words = format!(
            "\n  {} asks for a signature with `{}`\n  {}\n  sha256 {hash}\n  Type {digits} to sign; anything else refuses.",
            asked.asker, asked.key, asked.what
        );
        self.output.note(words);
        let _shown = std::io::stderr().flush();
    }
}
