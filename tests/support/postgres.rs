//! A PostgreSQL server of the test's own, from the installed binaries: an unprivileged user, a socket in a temporary
//! folder, no port. It ends with the value, and with the process that holds it.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

#[path = "ports.rs"]
#[allow(dead_code, reason = "not every test binary has readers")]
pub(crate) mod ports;

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What a server for readers is told.
const READERS: [&str; 4] = ["-c", "logging_collector=on", "-c", "log_destination=jsonlog"];

/// A running server; each test makes databases of its own in it.
pub(crate) struct Postgres {
    folder: PathBuf,
    binaries: PathBuf,
    server: Option<Child>,
    databases: AtomicU32,
    /// Where it listens beside its socket, if it is one for readers.
    #[allow(dead_code, reason = "not every test binary has readers")]
    pub(crate) port: Option<u16>,
}

impl Postgres {
    /// Starts one. None only where `tests/run --without postgresql` said so; a missing installation is a failure.
    pub(crate) fn start() -> Option<Self> {
        Self::start_on(None)
    }

    /// Starts one that readers may be let into: on a free port, with a password, its log as JSON.
    #[allow(dead_code, reason = "not every test binary has readers")]
    pub(crate) fn start_for_readers() -> Option<Self> {
        Self::start_on(Some(ports::free_address().port()))
    }

    fn start_on(port: Option<u16>) -> Option<Self> {
        if std::env::var("KEYWARD_WITHOUT").is_ok_and(|list| list.split(',').any(|name| name == "postgresql"))
        {
            eprintln!("left out: needs postgresql");
            return None;
        }
        let binaries = binaries().expect(
            "PostgreSQL is not installed: `apt-get install postgresql`, or `tests/run --without postgresql`",
        );
        let folder = tempfile::Builder::new().prefix("kwpg").tempdir_in("/tmp").unwrap().keep();
        let mut this = Self { folder, binaries, server: None, databases: AtomicU32::new(0), port };
        if is_root() {
            let owned = Command::new("chown").arg("-R").arg("nobody").arg(&this.folder).status().unwrap();
            assert!(owned.success());
        }
        let made = this
            .run(
                "initdb",
                &["--no-sync", "--auth=trust", "--username=keyward", "--encoding=UTF8", "--locale=C"],
            )
            .arg("-D")
            .arg(this.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        if port.is_some() {
            let rules = "local all keyward trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
            std::fs::write(this.data().join("pg_hba.conf"), rules).unwrap();
        }
        this.restart();
        Some(this)
    }

    /// The URL of a fresh, empty database.
    pub(crate) fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The installed `psql`.
    #[allow(dead_code, reason = "not every test binary talks to one")]
    pub(crate) fn psql() -> PathBuf {
        binaries().unwrap().join("psql")
    }

    fn url(&self, database: &str) -> String {
        let port = self.port.map(|port| format!("&port={port}")).unwrap_or_default();
        format!("postgres:///{database}?host={}&user=keyward{port}", self.folder.display())
    }

    /// Runs a statement beside everybody else.
    pub(crate) fn sql(&self, url: &str, statement: &str) -> String {
        let done = self.run("psql", &["-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement, url]).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// `kill -9` of the server.
    #[allow(dead_code, reason = "not every test binary kills it")]
    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // Its children notice, and end a moment later.
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts it, again.
    pub(crate) fn restart(&mut self) {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            let ended = match &mut self.server {
                Some(server) => server.try_wait().unwrap().is_some(),
                None => true,
            };
            if ended {
                // What a killed one leaves may stand in the way for a moment: its own children's memory.
                self.server = Some(self.spawn());
            }
            let answers = self
                .run("psql", &["-X", "-At", "-c", "SELECT 1", &self.url("postgres")])
                .stderr(Stdio::null())
                .output()
                .unwrap();
            if answers.status.success() {
                return;
            }
            assert!(Instant::now() < until, "PostgreSQL did not start: see `{}`", self.folder.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(&self) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        // A test kills the server, not the machine: what the kernel has is not lost, and nobody waits for a busy disk.
        let mut command = self.run("postgres", &["-c", "max_connections=200", "-c", "fsync=off", "-k"]);
        command.arg(&self.folder).arg("-D").arg(self.data());
        match self.port {
            None => drop(command.args(["-c", "listen_addresses="])),
            Some(port) => drop(
                command.args(["-c", "listen_addresses=127.0.0.1", "-p", &port.to_string()]).args(READERS),
            ),
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        command.spawn().unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of PostgreSQL's, as the unprivileged user: it refuses root.
    fn run(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.binaries.join(program);
        let mut command = Command::new("setpriv");
        if is_root() {
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        }
        command
            .args(["--pdeathsig=KILL", "--"])
            .arg(program)
            .args(arguments)
            .current_dir("/")
            .env_remove("PGPASSFILE")
            .env_remove("PGHOST");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGINT: a fast shutdown. By the shell: small systems have no program `kill`.
            drop(Command::new("sh").args(["-c", &format!("kill -INT {}", server.id())]).status());
            drop(server.wait());
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The folder with `initdb`: where the packages put it, the newest of several, or the path.
fn binaries() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    found.sort_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    found.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.into_iter().chain(std::env::split_paths(&path)).find(|folder| folder.join("postgres").exists())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
