//! A whole Keyward as a user has it: `keyward up` in a folder of its own, and the command line beside it.
//!
//! The processes end with the test, however it ends: dropping stops them, and a watchdog, whose standard input closes
//! when this process is gone, stops those that a shared or killed test leaves.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use keyward_ledger_core::trust::Trust;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// How long `up` may take to be ready, a child to be restarted, or anything else that must come.
pub const PATIENCE: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_millis(20);

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// Its one JSON object.
    pub fn json(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Itself, when the command did its work.
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The stable code of a refusal, from JSON or from words.
    pub fn refusal(&self) -> String {
        let from_json = || Some(self.json()["error"]["code"].as_str()?.to_owned());
        let from_words = || Some(self.err.split_once('[')?.1.split_once(']')?.0.to_owned());
        if self.out.trim_start().starts_with('{') { from_json() } else { from_words() }.unwrap_or_default()
    }
}

/// A running Keyward.
pub struct Keyward {
    running: Option<Running>,
    folder: TempDir,
    /// More words for `up`.
    options: Vec<String>,
    /// What its processes find in their environment.
    variables: Vec<(String, String)>,
}

struct Running {
    up: Child,
    ready: Value,
    _watchdog: Watchdog,
}

/// A shell that stops `up` and removes the folder when its standard input closes.
struct Watchdog {
    shell: Child,
    input: Option<ChildStdin>,
}

/// One Keyward for every story that changes nothing others look at; it ends with the test process.
pub fn shared() -> &'static Keyward {
    static SHARED: OnceLock<Keyward> = OnceLock::new();
    SHARED.get_or_init(Keyward::start)
}

/// The `keyward` of this build.
pub fn binary() -> PathBuf {
    let path = keyward_tests::build_folder().unwrap().join("keyward");
    assert!(path.is_file(), "there is no `{}`; build first: cargo build --release", path.display());
    path
}

/// `program` with nothing of ours in its environment.
pub fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let ours =
        |name: &str| ["KEYWARD_", "HSM_SIM_", "SOFTHSM2_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    command
}

impl Keyward {
    /// A new Keyward in a fresh folder, ready.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more words for `up`.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_under(options, &[])
    }

    /// The same, with variables in the environment of all its processes.
    pub fn start_under(options: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("keyward-story-").tempdir().unwrap();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut keyward = Self { running: None, folder, options, variables };
        keyward.up();
        keyward
    }

    /// `keyward up` on the folder, again or for the first time; waits until it is ready.
    pub fn up(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.work("up.log")).unwrap();
        let mut up = clean(binary())
            .args(["--output", "json", "up", "--dir"])
            .arg(self.dir())
            .args(&self.options)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let watchdog = Watchdog::start(up.id(), self.folder.path());
        let mut line = String::new();
        let mut lines = BufReader::new(up.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _ended = up.kill().and_then(|()| up.wait());
            panic!("`keyward up` is not ready: {error}: `{line}`\n{}", self.log())
        });
        self.running = Some(Running { up, ready, _watchdog: watchdog });
    }

    /// What the supervisor said on the side.
    pub fn log(&self) -> String {
        fs::read_to_string(self.work("up.log")).unwrap_or_default()
    }

    /// The folder of `up`.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("keyward")
    }

    /// A place for a file of the story.
    pub fn work(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the story.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.work(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The profile's folder of a role: `app`, `operator`, `officer` or `auditor`.
    pub fn profile(&self, role: &str) -> PathBuf {
        self.dir().join(format!("profiles/local-{role}"))
    }

    pub fn trust(&self) -> PathBuf {
        self.dir().join("trust")
    }

    fn ready(&self) -> &Value {
        &self.running.as_ref().expect("it runs").ready
    }

    /// `https://host:port` of the service.
    pub fn service(&self) -> String {
        self.ready()["service"].as_str().unwrap().to_owned()
    }

    /// `https://host:port` of each server over the one database.
    pub fn services(&self) -> Vec<String> {
        let services = self.ready()["services"].as_array().unwrap();
        services.iter().map(|service| service.as_str().unwrap().to_owned()).collect()
    }

    /// `https://host:port` of each validator, `node-1` first.
    pub fn nodes(&self) -> Vec<String> {
        let nodes = self.ready()["nodes"].as_array().unwrap();
        nodes.iter().map(|node| node.as_str().unwrap().to_owned()).collect()
    }

    /// Runs the command line as the app.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        self.run_as("app", arguments)
    }

    /// Runs the command line with the profile of a role.
    pub fn run_as(&self, role: &str, arguments: &[&str]) -> Answer {
        self.run_with(&self.profile(role), arguments)
    }

    /// Runs the command line with a profile.
    pub fn run_with(&self, profile: &Path, arguments: &[&str]) -> Answer {
        let mut command = clean(binary());
        command.current_dir(self.folder.path()).env("KEYWARD_PROFILE", profile).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        Answer {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the command line as the app; it must succeed; its answer as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.json_as("app", arguments)
    }

    /// Runs the command line with the profile of a role; it must succeed; its answer as JSON.
    pub fn json_as(&self, role: &str, arguments: &[&str]) -> Value {
        self.run_as(role, &[&["--output", "json"], arguments].concat()).done().json()
    }

    /// The service as programs call it, with the certificate of a role; receipts are verified before it answers.
    pub async fn client(&self, role: &str) -> keyward_client::Client {
        self.client_of(role, self.service()).await
    }

    /// The same by way of one server.
    pub async fn client_of(&self, role: &str, address: String) -> keyward_client::Client {
        let (ca_pem, certificate_pem, key_pem) = self.identity(role);
        let identity = Some(keyward_client::Identity { certificate_pem, key_pem });
        let connection = keyward_client::Connection { address, ca_pem, identity };
        let client = keyward_client::Client::connect(&connection).await.unwrap();
        client.with_trust(&fs::read(self.trust()).unwrap()).unwrap()
    }

    /// The ledger as programs read it, through these validators alone.
    pub async fn ledger(&self, nodes: &[String]) -> keyward_ledger_client::Client {
        let (ca_pem, certificate_pem, key_pem) = self.identity("auditor");
        let config = keyward_ledger_client::Config {
            nodes: nodes.to_vec(),
            identity: keyward_ledger_client::Identity { ca_pem, certificate_pem, key_pem },
            trust: Trust::decode(&fs::read(self.trust()).unwrap()).unwrap(),
            deadline: keyward_ledger_client::DEADLINE,
            dial: None,
        };
        keyward_ledger_client::Client::connect(config).await.unwrap()
    }

    /// The authority's certificate, and a role's certificate and key.
    pub fn identity(&self, role: &str) -> (String, String, Zeroizing<String>) {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        let profile = self.profile(role);
        let key = Zeroizing::new(read(profile.join("key.pem")));
        (read(self.dir().join("ca/ca.pem")), read(profile.join("certificate.pem")), key)
    }

    /// The children by name (`node-1` .. `node-4`, `service`), those alone that run.
    pub fn children(&self) -> BTreeMap<String, u32> {
        self.running.as_ref().map(|running| children_of(running.up.id())).unwrap_or_default()
    }

    /// The process of a child, which must run.
    pub fn pid(&self, name: &str) -> u32 {
        *self.children().get(name).unwrap_or_else(|| panic!("{name} does not run\n{}", self.log()))
    }

    /// SIGKILL for a child, as a crash would be; the supervisor starts it again soon. Returns its process.
    pub fn kill(&self, name: &str) -> u32 {
        let process = self.pid(name);
        signal(process, Signal::KILL);
        wait_until(&format!("{name} to be dead"), || !runs(process));
        process
    }

    /// Waits until a killed child runs again as another process, and answers.
    pub fn is_back(&self, name: &str, killed: u32) {
        wait_until(&format!("{name} to be started again"), || {
            self.children().get(name).is_some_and(|process| *process != killed)
        });
        let place = |number: &str| number.parse::<usize>().unwrap() - 1;
        let address = match (name.strip_prefix("node-"), name.strip_prefix("service-")) {
            (Some(number), _) => self.nodes()[place(number)].clone(),
            (_, Some(number)) => self.services()[place(number)].clone(),
            (None, None) => self.service(),
        };
        let address = address.trim_start_matches("https://").to_owned();
        wait_until(&format!("{name} to answer"), || std::net::TcpStream::connect(&address).is_ok());
    }

    /// Halts the supervisor: from now on killed children stay dead, until `go_on`.
    pub fn hold(&self) {
        signal(self.supervisor(), Signal::STOP);
    }

    /// Lets the supervisor go on: it starts what died.
    pub fn go_on(&self) {
        signal(self.supervisor(), Signal::CONT);
    }

    /// The process of `keyward up`.
    pub fn supervisor(&self) -> u32 {
        self.running.as_ref().expect("it runs").up.id()
    }

    /// Ctrl-C: ends everything in order. The folder stays.
    pub fn interrupt(&mut self) -> ExitStatus {
        signal(self.supervisor(), Signal::INT);
        self.ended()
    }

    /// SIGKILL for the supervisor. The folder stays. Returns the children that it leaves.
    pub fn kill_supervisor(&mut self) -> BTreeMap<String, u32> {
        let children = self.children();
        signal(self.supervisor(), Signal::KILL);
        self.ended();
        children
    }

    fn ended(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match running.up.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > deadline => {
                    running.up.kill().unwrap();
                    running.up.wait().unwrap();
                    panic!("`keyward up` did not end in time\n{}", self.log());
                }
                None => std::thread::sleep(STEP),
            }
        }
    }
}

impl Drop for Keyward {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // A supervisor that is halted cannot hear the end.
        signal(running.up.id(), Signal::CONT);
        signal(running.up.id(), Signal::INT);
        let deadline = Instant::now() + Duration::from_secs(20);
        while running.up.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > deadline {
                let _ended = running.up.kill().and_then(|()| running.up.wait());
                break;
            }
            std::thread::sleep(STEP);
        }
        if std::thread::panicking() {
            eprintln!("what the supervisor said:\n{}", self.log());
        }
    }
}

impl Watchdog {
    fn start(up: u32, folder: &Path) -> Self {
        let script = "read -r _ && exit; kill -CONT $1; kill -INT $1; n=0; \
                      while kill -0 $1 && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done; kill -KILL $1; \
                      sleep 0.5; rm -rf -- \"$2\"";
        let mut shell = Command::new("sh")
            .args(["-c", script, "watchdog", &up.to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = shell.stdin.take();
        Self { shell, input }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // One line means: all is well, nothing to stop.
        if let Some(mut input) = self.input.take() {
            let _gone = std::io::Write::write_all(&mut input, b"\n");
        }
        let _gone = self.shell.wait();
    }
}

/// Waits until something holds, within patience.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for: {what}");
        std::thread::sleep(STEP);
    }
}

/// Sends a signal; a process that is gone does not mind.
pub fn signal(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}

/// Whether a process runs; one that is dead but not waited for does not.
pub fn runs(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// State and parent of a process.
fn stat(process: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The processes that were started with a file below a folder.
pub fn processes_below(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let words = |process: u32| fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    processes.filter(|process| String::from_utf8_lossy(&words(*process)).contains(folder)).collect()
}

fn children_of(parent: u32) -> BTreeMap<String, u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let own = processes.filter(|process: &u32| {
        stat(*process).is_some_and(|(state, of)| of == parent && state != 'Z' && state != 'X')
    });
    own.filter_map(|process| Some((name_of(process)?, process))).collect()
}

/// `node-2`, `service` or `service-2`: the folder of the configuration that a child was started with, and its number.
fn name_of(process: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let config = words.by_ref().skip_while(|word| word != "--config").nth(1)?;
    let config = Path::new(&*config);
    let folder = config.parent()?.file_name()?.to_str()?;
    let number = config.file_stem()?.to_str()?.strip_prefix("serve").unwrap_or_default();
    Some(format!("{folder}{number}"))
}
