//! A child process of ours: says when it is ready, ends when its standard input closes, logs into a file.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};

use crate::failure::{Failure, Result};
use crate::files;

/// How long a child may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// The one line that a supervised child prints on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Where it listens.
    pub(crate) ready: std::net::SocketAddr,
    /// Intents of earlier runs without a signature; the service alone.
    #[serde(default)]
    pub(crate) unreleased: usize,
}

/// How a child ended.
pub(crate) struct Ended {
    pub(crate) how: String,
    /// Its disk took no writes.
    pub(crate) by_disk: bool,
}

/// A running child.
pub(crate) struct Child {
    pub(crate) name: String,
    log: PathBuf,
    /// Where this run's part of the log begins.
    log_from: usize,
    process: Process,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
}

impl Child {
    /// Starts `keyward <arguments>` with variables added to the environment.
    pub(crate) fn start(
        name: &str,
        arguments: &[&std::ffi::OsStr],
        variables: &[(&str, PathBuf)],
        log: &Path,
    ) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Failure::refused(format!("cannot start {name}"), "free some memory, then try again")
                .because(&error)
        };
        let log_file = open_log(log)?;
        let log_from = log_file.metadata().map_or(0, |log| usize::try_from(log.len()).unwrap_or(usize::MAX));
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new(program)
            .args(arguments)
            .envs(variables.iter().map(|(key, value)| (key, value)))
            .env_remove("KEYWARD_PROFILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // Ctrl-C on the terminal is for the supervisor: it ends its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        Ok(Self { name: name.to_owned(), log: log.to_owned(), log_from, process, stdin, stdout })
    }

    /// Waits until the child says that it is ready.
    pub(crate) async fn ready(&mut self, deadline: Duration) -> Result<Ready> {
        let Some(stdout) = self.stdout.take() else {
            return Err(self.broken("was waited for twice"));
        };
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::select! {
            line = lines.next_line() => line,
            () = tokio::time::sleep(deadline) => {
                return Err(self.broken(&format!("is not ready after {} s", deadline.as_secs())));
            }
        };
        let ready = line.ok().flatten().and_then(|line| serde_json::from_str(&line).ok());
        // Whatever else it prints is taken off the pipe, so that it never waits for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        ready.ok_or_else(|| self.broken("ended before it was ready"))
    }

    fn broken(&self, what: &str) -> Failure {
        let text = files::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(text.get(self.log_from..).unwrap_or_default());
        // What it ended with, if it says so; else the last it logged.
        let said = match text.rsplit_once("keyward: ") {
            Some((_, error)) => error.lines().next().unwrap_or_default(),
            None => text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default(),
        };
        Failure::refused(format!("{} {what}: {said}", self.name), format!("read `{}`", self.log.display()))
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// How it ended, if it did.
    pub(crate) fn has_ended(&mut self) -> Option<Ended> {
        match self.process.try_wait() {
            Ok(status) => status.map(|status| Ended {
                how: status.to_string(),
                by_disk: status.code() == Some(keyward_ledger_node::EXIT_CODE_DISK),
            }),
            Err(error) => Some(Ended { how: error.to_string(), by_disk: false }),
        }
    }

    /// Waits until it ends.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        // Waiting closes the standard input that the process holds; ours was taken out.
        self.process.wait().await
    }

    /// Lets it end in order: closes its standard input and waits; true if it had to be killed after all.
    pub(crate) async fn stop(mut self) -> bool {
        drop(self.stdin.take());
        match tokio::time::timeout(PATIENCE, self.process.wait()).await {
            Ok(_ended) => false,
            Err(_elapsed) => self.kill().await.is_ok(),
        }
    }

    /// SIGKILL, as a crash would be.
    pub(crate) async fn kill(&mut self) -> std::io::Result<()> {
        self.process.kill().await
    }
}

fn open_log(path: &Path) -> Result<std::fs::File> {
    if let Some(folder) = path.parent() {
        files::make_folder(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
        Failure::refused(format!("cannot write `{}`", path.display()), "check the folder's permissions")
            .because(&error)
    })
}
