//! A store that speaks S3 and is not ours, and the way to it, on which things go wrong.
use super::{BucketConfig, BucketKey, free_address};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, OnceLock},
    time::{Duration, Instant},
};

pub(crate) const KEY_ID: &str = "keyward-tests";
pub(crate) const SECRET: &str = "what-nobody-may-read-in-a-log";
/// How long it may take to answer after its start.
const START_MAX: Duration = Duration::from_secs(60);

/// Whether its tests are left out; they need `go` (1.25 or newer).
pub(crate) fn left_out() -> bool {
    let left_out =
        std::env::var("KEYWARD_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == "go"));
    if left_out {
        println!("left out: go");
        return true;
    }
    let found = Command::new("go").arg("version").output().is_ok();
    assert!(
        found,
        "`go` is missing: install Go 1.25 or newer (https://go.dev/dl), or run with `--without go`"
    );
    false
}

/// What happens to those who come this way from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    Fine,
    /// So many are told to come later; then it is fine.
    Busy(usize),
    /// Nobody is answered.
    Silent,
    /// Answers end after so many bytes.
    Cut(usize),
}

/// The way to a server.
struct Way {
    weather: Mutex<Weather>,
    changed: Condvar,
    to: Mutex<u16>,
    open: Mutex<Vec<TcpStream>>,
}

impl Way {
    fn serve(self: &Arc<Self>, listener: TcpListener) {
        for client in listener.incoming().flatten() {
            let way = self.clone();
            std::thread::spawn(move || way.relay(client));
        }
    }

    fn relay(&self, client: TcpStream) -> io::Result<()> {
        let mut weather = self.weather.lock().unwrap();
        let now = *weather;
        if let Weather::Busy(left) = now {
            *weather = left.checked_sub(1).map_or(Weather::Busy(0), |left| match left {
                0 => Weather::Fine,
                left => Weather::Busy(left),
            });
        }
        self.open.lock().unwrap().push(client.try_clone()?);
        match now {
            Weather::Busy(_) => {
                drop(weather);
                return later(client);
            }
            Weather::Silent => {
                let _over = self.changed.wait_while(weather, |weather| *weather == Weather::Silent);
                return Ok(());
            }
            Weather::Fine | Weather::Cut(_) => drop(weather),
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", *self.to.lock().unwrap())) else {
            // Nobody is there: the client is told, though its stream stands in `open`.
            return client.shutdown(Shutdown::Both);
        };
        self.open.lock().unwrap().push(server.try_clone()?);
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || {
            let _ended = io::copy(&mut from_client, &mut to_server);
            let _ended = to_server.shutdown(Shutdown::Both);
        });
        let most = if let Weather::Cut(most) = now { most as u64 } else { u64::MAX };
        let _ended = io::copy(&mut server.take(most), &mut &client);
        client.shutdown(Shutdown::Both)
    }
}

/// Reads a request's head and puts it off.
fn later(mut client: TcpStream) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    client.write_all(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    client.shutdown(Shutdown::Write)?;
    io::copy(&mut client, &mut io::sink()).map(|_bytes| ())
}

/// A server over a folder of its own, with one bucket.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    way: Arc<Way>,
    port: u16,
    running: Mutex<Option<Child>>,
    /// Its certificate, where it has one.
    pub(crate) ca_pem: Option<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    pub(crate) fn start_with_tls() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        Self::start_with(Some((made.cert.pem(), made.signing_key.serialize_pem())))
    }

    fn start_with(tls: Option<(String, String)>) -> Self {
        built();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root/blocks")).unwrap();
        fs::create_dir_all(folder.path().join("beside")).unwrap();
        if let Some((certificate, key)) = &tls {
            fs::write(folder.path().join("certificate"), certificate).unwrap();
            fs::write(folder.path().join("key"), key).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(Way {
            weather: Mutex::new(Weather::Fine),
            changed: Condvar::new(),
            to: Mutex::new(0),
            open: Mutex::default(),
        });
        let serving = way.clone();
        std::thread::spawn(move || serving.serve(listener));
        let ca_pem = tls.map(|(certificate, _)| certificate);
        let server = Self { folder, way, port, running: Mutex::new(None), ca_pem };
        server.run();
        server
    }

    /// Starts it again, on whatever port is free.
    pub(crate) fn run(&self) {
        let deadline = Instant::now() + START_MAX;
        loop {
            let port = free_address().port();
            let at = |name: &str| self.folder.path().join(name);
            let mut command = Command::new(built());
            command.arg(port.to_string()).arg(at("root")).arg(at("beside"));
            if self.ca_pem.is_some() {
                command.arg(at("certificate")).arg(at("key"));
            }
            command.env("ROOT_ACCESS_KEY_ID", KEY_ID).env("ROOT_SECRET_ACCESS_KEY", SECRET);
            let mut child = command.stdout(Stdio::null()).spawn().unwrap();
            // Somebody else may have taken the port; then it ends at once.
            while child.try_wait().unwrap().is_none() {
                let answers = TcpStream::connect(("127.0.0.1", port)).is_ok();
                // Whoever took the port answers too.
                if answers && child.try_wait().unwrap().is_none() {
                    *self.way.to.lock().unwrap() = port;
                    *self.running.lock().unwrap() = Some(child);
                    return;
                }
                if Instant::now() > deadline {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(Instant::now() <= deadline, "the server does not start");
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.running.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn weather(&self, weather: Weather) {
        *self.way.weather.lock().unwrap() = weather;
        self.way.changed.notify_all();
        for stream in self.way.open.lock().unwrap().drain(..) {
            let _ended = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn config(&self, prefix: &str) -> BucketConfig {
        let scheme = if self.ca_pem.is_some() { "https" } else { "http" };
        BucketConfig {
            bucket: "blocks".into(),
            region: "us-east-1".into(),
            endpoint: Some(format!("{scheme}://127.0.0.1:{}", self.port)),
            prefix: prefix.into(),
            key: BucketKey { id: KEY_ID.into(), secret: SECRET.to_owned().into(), session_token: None },
            ca_pem: self.ca_pem.clone(),
            patience: BucketConfig::PATIENCE,
        }
    }

    /// Where it keeps an object: whoever owns the store may write there.
    pub(crate) fn object(&self, prefix: &str, name: &str) -> PathBuf {
        self.folder.path().join("root/blocks").join(prefix).join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server's program. `tests/run` has built it before; then this takes a moment, else minutes.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("s3-server-cache");
        let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let run = above.find_map(|folder| {
            Some(folder.join("tests/conformance/s3-server/run")).filter(|path| path.exists())
        });
        assert!(
            Command::new(run.unwrap()).arg(&cache).status().unwrap().success(),
            "the server does not build"
        );
        cache.join("s3-server")
    })
}
